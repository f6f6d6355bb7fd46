"""Flags of run.py to a Config."""

import json
from dataclasses import replace

import numpy as np
import pytest
from absl import flags
from conftest import make_store

from experiments.cli import config_flags
from experiments.configs import DEFAULTS, PRESETS, Config
from experiments.study import inputs
from musiclust import store
from musiclust.errors import InputError
from musiclust.types import Block


@pytest.fixture
def parsed():
    """Parses a command line and leaves the flags as they were."""
    before = {name: flags.FLAGS[name].value for name in config_flags.NAMES}

    def parse(*args: str) -> Config:
        flags.FLAGS(["run", *args])
        return config_flags.config_from_flags()

    yield parse
    for name, value in before.items():
        flags.FLAGS[name].value = value
        flags.FLAGS[name].present = 0
    flags.FLAGS.unparse_flags()


def test_defaults_presets_and_overrides(parsed):
    assert parsed() == DEFAULTS["vae"]  # whose result does not lean on who has words


def test_controls_and_the_null(parsed):
    assert parsed("--model=cvae").controls == ("words_shuffled", "sound_only")
    assert parsed("--model=cvae", "--controls=none").controls == ()
    config = parsed("--controls=noise", "--null=pipeline")
    assert (config.controls, config.null) == (("noise",), "pipeline")
    assert all(preset.controls == () and preset.null == "latents" for preset in PRESETS.values())
    with pytest.raises(InputError, match="--controls=silence: choose from words_shuffled, sound_only"):
        parsed("--controls=silence")


def test_a_model_brings_its_defaults(parsed):
    assert parsed("--model=beta_vae") == DEFAULTS["beta_vae"]


def test_flags_override_a_preset(parsed):
    config = parsed("--preset=gtzan_mlp", "--latent_dim=8", "--features=mfcc_mean,chroma")
    assert (config.latent_dim, config.features, config.epochs) == (
        8,
        ("mfcc_mean", "chroma"),
        PRESETS["gtzan_mlp"].epochs,
    )


def test_sweeps(parsed):
    config = parsed("--model=beta_vae", "--seed=0-3,9", "--beta=1,2,4", "--learning_rate=1e-3", "--learning_rate=3e-4")
    assert config.seed == (0, 1, 2, 3, 9)
    assert config.beta == (1.0, 2.0, 4.0)
    assert config.learning_rate == (1e-3, 3e-4)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--beta=high"], "--beta: 'high' is not a number"),
        (["--beta=-1"], "--beta: a weight of the KL term is a number from 0 up"),
        (["--learning_rate=0"], "--learning_rate: a step size is a number above 0"),
        (["--seed=1.5"], "--seed: '1.5' is not a number"),
        (["--seed=3-1"], "--seed: '3-1' has no number in it: write the lower one first"),
        (["--seed=0-2147483646"], "--seed: 0-2147483646 makes more than 100,000 numbers: take fewer"),
        (["--seed=0-60000,70000-120000"], "--seed: 70000-120000 makes more than 100,000 numbers"),
        (["--features=msd,mtt,msd"], "--features names msd twice: name it once"),
        (["--baselines=nothing"], "--baselines=nothing: choose from features, unit_features, pca, tsne"),
        (["--preset=fma_beta", "--model=cvae"], "fma_beta is a beta_vae, not a cvae"),
    ],
)
def test_bad_values_are_named(parsed, args, message):
    with pytest.raises(InputError, match=message):
        parsed(*args)


def test_unknown_models_list_the_choices(parsed):
    with pytest.raises(flags.IllegalFlagValueError, match=r"vae\|beta_vae\|conv_vae\|cvae\|autoencoder"):
        parsed("--model=vea")


def test_a_config_of_another_version_is_named():
    record = json.loads(json.dumps(DEFAULTS["vae"].to_json()))
    assert Config.from_json(record) == DEFAULTS["vae"]
    with pytest.raises(ValueError, match="unknown field `dropout_everywhere`"):
        Config.from_json(record | {"dropout_everywhere": 1})


def test_what_only_the_store_can_tell(tmp_path):
    with_lyrics, without = make_store(tmp_path / "a"), make_store(tmp_path / "b", lyrics=False)
    assert inputs.complete(DEFAULTS["cvae"], with_lyrics, keep_features=False).features == ("mfcc_mean", "lyrics")
    completed = inputs.complete(DEFAULTS["cvae"], without, keep_features=False)
    assert (completed.features, completed.classes, completed.k) == (("mfcc_mean",), "genre", 3)
    with pytest.raises(InputError, match="no block 'lyrics': choose from melspec, mfcc_mean, mfcc_stats"):
        inputs.load(inputs.complete(PRESETS["fma_vae"], without, keep_features=True), without)


def test_where_there_are_no_classes_k_is_left_to_the_songs(tmp_path):
    """It was 8 then, or whatever the classes were; now the job asks the features, and says which it was."""
    classes, none = make_store(tmp_path / "a"), make_store(tmp_path / "b", classes=1)
    assert [
        (done.k, done.k_source)
        for done in (
            inputs.complete(DEFAULTS["vae"], classes, keep_features=False),
            inputs.complete(DEFAULTS["vae"], none, keep_features=False),
            inputs.complete(replace(DEFAULTS["vae"], k=5), classes, keep_features=False),
            inputs.complete(replace(DEFAULTS["vae"], k=5), none, keep_features=False),
        )
    ] == [(3, "classes"), (0, "suggested"), (5, "given"), (5, "given")]


def test_controls_that_would_take_nothing_are_left_out(tmp_path):
    sung, silent = make_store(tmp_path / "a"), make_store(tmp_path / "b", lyrics=False)
    config = replace(DEFAULTS["cvae"], controls=("words_shuffled", "sound_only", "noise"))
    assert inputs.complete(config, sung, keep_features=False).controls == config.controls
    assert inputs.complete(config, silent, keep_features=False).controls == ("noise",)
    asked = inputs.complete(config, silent, keep_features=False, keep_controls=True)
    assert asked.controls == config.controls


@pytest.mark.parametrize("name", ["cvae", "poe_vae", "attention_vae"])
def test_the_taggers_blocks_and_the_words_are_taken_where_they_are(tmp_path, name):
    config = DEFAULTS[name]
    root = make_store(tmp_path / "a", tagger=True)
    heard = inputs.complete(config, root, keep_features=False)
    assert heard.features == ("msd", "mtt", "lyrics")
    assert inputs.tell_choices(config, heard, root) == ["features: msd, mtt, lyrics"]
    root = make_store(tmp_path / "b", tagger=True, lyrics=False)
    wordless = inputs.complete(config, root, keep_features=False)
    assert wordless.features == ("msd", "mtt")
    assert inputs.tell_choices(config, wordless, root) == ["features: msd, mtt; the store holds no lyrics"]
    root = make_store(tmp_path / "c")
    deaf = inputs.complete(config, root, keep_features=False)
    assert deaf.features == ("mfcc_mean", "lyrics")
    assert inputs.tell_choices(config, deaf, root) == [
        "features: mfcc_mean, lyrics; the store lacks msd, mtt (python -m experiments.preprocess makes them of audio)"
    ]


@pytest.mark.parametrize("name", ["vae", "beta_vae", "autoencoder"])
def test_models_of_one_input_leave_the_words_out_and_say_so(tmp_path, name):
    config, root = DEFAULTS[name], make_store(tmp_path / "a", tagger=True)
    heard = inputs.complete(config, root, keep_features=False)
    assert heard.features == ("msd", "mtt")
    assert inputs.tell_choices(config, heard, root) == [
        "features: msd, mtt; the words of the store are looked at only by --features=msd,mtt,lyrics"
    ]
    root = make_store(tmp_path / "b", lyrics=False)
    deaf = inputs.complete(config, root, keep_features=False)
    assert deaf.features == ("mfcc_mean",)
    assert inputs.tell_choices(config, deaf, root) == [
        "features: mfcc_mean; the store lacks msd, mtt (python -m experiments.preprocess makes them of audio)"
    ]


@pytest.mark.parametrize("lacking", ["row", "valid", "block"])
def test_a_taggers_block_that_lacks_a_track_is_not_taken(tmp_path, lacking):
    root = make_store(tmp_path, tagger=True)
    block = store.load_block(root, "mtt")
    values, valid = np.array(block.values), block.valid.copy()
    valid[3] = lacking != "valid"
    kept = np.arange(60) != 3 if lacking == "row" else np.ones(60, bool)
    store.remove_block(root, "mtt")
    if lacking != "block":
        store.save_block(root, Block("mtt", block.track_id[kept], values[kept], valid[kept], {}))
    assert inputs.complete(DEFAULTS["vae"], root, keep_features=False).features == ("mfcc_mean",)


def test_presets_and_features_by_name_are_left_alone(tmp_path, parsed):
    root = make_store(tmp_path, tagger=True)
    for preset in PRESETS.values():
        completed = inputs.complete(preset, root, keep_features=False)
        assert completed.features == preset.features
        assert inputs.tell_choices(preset, completed, root) == []
    config = parsed("--model=vae", "--features=msd,chroma")
    assert inputs.complete(config, root, keep_features=True).features == ("msd", "chroma")
    assert inputs.tell_choices(config, config, root) == []


def test_tsne_of_many_tracks_is_left_out_and_told(tmp_path, monkeypatch, parsed):
    monkeypatch.setattr(inputs, "TSNE_LIMIT", 59)
    root, config = make_store(tmp_path, tagger=True), DEFAULTS["vae"]
    completed = inputs.complete(config, root, keep_features=False)
    assert completed.baselines == ("features", "unit_features", "pca")
    assert inputs.tell_choices(config, completed, root)[1:] == [
        "no row of t-SNE, which takes minutes above 59 tracks: --baselines=tsne makes it"
    ]
    assert inputs.for_other_store(config, root).baselines == completed.baselines
    asked = parsed("--baselines=tsne,pca")
    assert asked.baselines == ("tsne", "pca")
    assert inputs.complete(asked, root, keep_features=False, keep_baselines=True).baselines == ("tsne", "pca")
    monkeypatch.setattr(inputs, "TSNE_LIMIT", 60)
    assert inputs.complete(config, root, keep_features=False).baselines == config.baselines


def test_the_reference_space_is_the_same_with_and_without_a_tagger(tmp_path):
    spaces = []
    for tagger in (False, True):
        root = make_store(tmp_path / str(tagger), tagger=tagger, lyrics=False)
        config = inputs.complete(DEFAULTS["vae"], root, keep_features=False)
        spaces.append(inputs.load(config, root).reference())
    np.testing.assert_array_equal(*spaces)


def test_baselines_are_given_the_same_whatever_the_scaling(tmp_path):
    root = make_store(tmp_path, tagger=True)
    config = inputs.complete(DEFAULTS["vae"], root, keep_features=False)
    unit, balanced = (inputs.load(replace(config, scaling=scaling), root) for scaling in ("unit", "balanced"))
    np.testing.assert_allclose(unit.columns, balanced.columns, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(balanced.columns, balanced.data.x)
    assert np.abs(unit.data.x - balanced.data.x).max() > 0.1
    again = inputs.load(replace(config, scaling="unit"), root, unit.fusion)
    np.testing.assert_array_equal(again.columns, unit.columns)


def test_a_run_of_an_earlier_version_has_its_baselines():
    record = json.loads(json.dumps(DEFAULTS["vae"].to_json()))
    del record["baselines"]
    assert Config.from_json(record).baselines == ("features", "pca")


def test_conditions(tmp_path):
    root = make_store(tmp_path)

    def condition(text):
        config = Config("cvae", ("mfcc_mean", "lyrics"), condition=text)
        return inputs.load(inputs.complete(config, root, keep_features=True), root).data.cond

    assert condition("none").shape == (60, 0)
    assert condition("modality")[:4].tolist() == [[1, 1], [1, 0], [1, 1], [1, 0]]
    assert condition("class")[:3].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert condition("genre:code")[:3, 0].tolist() == [0, 0.5, 1]
    with pytest.raises(InputError, match="choose from none, modality, class, genre"):
        condition("mood")
    assert not inputs.conditioned_on_classes("modality")
    assert inputs.conditioned_on_classes("genre:code")


def test_unknown_classes_and_too_few_tracks(tmp_path):
    root = make_store(tmp_path / "a")
    with pytest.raises(InputError, match="--classes=mood: the store has genre"):
        inputs.complete(Config("vae", ("mfcc_mean",), classes="mood"), root, keep_features=True)
    with pytest.raises(InputError, match="holds 3 tracks: clustering needs at least 4"):
        inputs.complete(DEFAULTS["vae"], make_store(tmp_path / "b", n=3), keep_features=False)
