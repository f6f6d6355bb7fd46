"""Checkpoints and the loop around training: restored is saved, resumed is unbroken, failures are named."""

import errno
import json
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from musiclust import checkpoint, devices, population, training
from musiclust.digests import DIGESTS, digest_file, forget_digests, list_files
from musiclust.errors import InputError
from musiclust.fit import fit
from musiclust.fusion import SCALINGS, Fusion, apply, fuse
from musiclust.models import MODELS
from musiclust.sweep import prepare, product
from musiclust.types import Block, Data

RECIPE = training.Recipe(batch_size=16)
FUSION = Fusion(
    "concat", ("mfcc_mean",), ({"mean": np.arange(5.0, dtype=np.float32), "factor": np.ones(5, np.float32)},)
)
SETTINGS = product((0, 1), (1.0, 4.0), (1e-3,))


@pytest.fixture(scope="module")
def data() -> Data:
    rng = np.random.default_rng(0)
    return Data(rng.normal(size=(40, 5)).astype(np.float32), np.ones((40, 1), np.float32))


def run(
    data, root, *, settings=SETTINGS, name="cvae", recipe=RECIPE, epochs=25, max_memory=None, fusion=FUSION, **options
):
    model = MODELS[name](input_shape=(5,), latent_dim=2, hidden=(8,))
    prepared = prepare(model, recipe, data, settings=settings, epochs=epochs, max_memory=max_memory)
    return fit(prepared, fusion=fusion, root=root, meta={"note": "é"}, **options).checkpoint


def assert_same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_restored_is_saved(data, tmp_path):
    saved = run(data, tmp_path / "model")
    back = checkpoint.restore(tmp_path / "model")
    assert (back.epoch, back.model, back.recipe, back.settings) == (25, saved.model, RECIPE, tuple(SETTINGS))
    assert (back.conditions, dict(back.meta)) == (1, {"note": "é"})
    assert back.fusion.how, back.fusion.blocks == ("concat", ("mfcc_mean",))
    assert_same(back.fusion.arrays, saved.fusion.arrays)
    assert_same(back.history, saved.history)
    assert back.history.loss.shape == (4, 25)
    assert back.history.kl_per_dim.shape == (4, 25, 2)
    for r in range(4):
        state, restored = (jax.tree.map(lambda leaf, r=r: leaf[r], c.states) for c in (saved, back))
        assert_same(training.encode(saved.model, state, data), training.encode(back.model, restored, data))


@pytest.mark.parametrize("scaling", SCALINGS)
def test_a_restored_fusion_treats_new_tracks_alike(tmp_path, scaling):
    rng = np.random.default_rng(0)
    ids = np.array([f"t{i:02d}" for i in range(20)])
    sung = np.arange(20) % 3 > 0
    blocks = [
        Block("mfcc_mean", ids, rng.normal(3, 2, (20, 2)), np.ones(20, bool)),
        Block("lyrics", ids, rng.normal(size=(20, 3)) * sung[:, None], sung),
    ]
    fused = fuse(blocks, scaling=scaling)
    data = Data(fused.x, np.ones((20, 1), np.float32))
    run(data, tmp_path / "model", settings=SETTINGS[:1], epochs=1, fusion=fused.fusion)
    back = checkpoint.restore(tmp_path / "model").fusion
    assert_same(back.arrays, fused.fusion.arrays)
    new = [Block(one.name, ids[:4], rng.normal(3, 9, (4, one.values.shape[1])), one.valid[:4]) for one in blocks]
    np.testing.assert_array_equal(apply(back, new), apply(fused.fusion, new))


class Killed(Exception):
    pass


def test_resumed_is_unbroken(data, tmp_path):
    """Stopped after the second chunk, when the first one's checkpoint is all there is."""
    whole = run(data, tmp_path / "whole")

    def kill(done, part):
        if done == 20:
            raise Killed

    with pytest.raises(Killed):
        run(data, tmp_path / "broken", checkpoint_seconds=0.0, on_epochs=kill)
    assert checkpoint.latest_epoch(tmp_path / "broken") == 10
    resumed = run(data, tmp_path / "broken", resume=True)
    assert_same(resumed.history, whole.history)
    assert_same(resumed.states.params, whole.states.params)
    assert_same(resumed.states.batch_stats, whole.states.batch_stats)


def test_an_interrupt_leaves_a_checkpoint(data, tmp_path):
    whole = run(data, tmp_path / "whole")

    def interrupt(done, part):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "broken", on_epochs=interrupt)
    assert checkpoint.latest_epoch(tmp_path / "broken") == 10
    assert_same(run(data, tmp_path / "broken", resume=True).states.params, whole.states.params)


def test_a_full_disk_is_told_before_anything_is_written(data, tmp_path, monkeypatch):
    full = type(shutil.disk_usage(tmp_path))(10**9, 10**9 - 1000, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with pytest.raises(OSError, match="No space left on device") as error:
        run(data, tmp_path / "model")
    assert error.value.errno == errno.ENOSPC
    assert not list((tmp_path / "model").iterdir())


def test_resume_of_a_finished_run_trains_nothing(data, tmp_path):
    first = run(data, tmp_path)
    told = []
    again = run(data, tmp_path, resume=True, on_epochs=lambda done, part: told.append(done))
    assert told == []
    assert_same(again.states.params, first.states.params)


def test_a_loss_that_is_not_finite_names_replica_epoch_and_checkpoint(data, tmp_path):
    # A step of 1e18 overflows float32 within a few epochs.
    settings = [*SETTINGS[:1], SETTINGS[1]._replace(learning_rate=1e18)]
    with pytest.raises(InputError, match=r"epoch \d+ in replica 1 \(seed 1, beta 1, learning rate 1e\+18\)") as error:
        run(data, tmp_path, settings=settings)
    assert "there is no checkpoint before it" in str(error.value)
    broken = Data(data.x.copy(), data.cond)
    broken.x[3, 2] = np.inf
    run(data, tmp_path / "good")
    with pytest.raises(InputError, match=r"epoch 26 .* last good checkpoint is .*good/25"):
        run(broken, tmp_path / "good", epochs=40, resume=True)


def test_no_checkpoint_and_other_versions_are_named(data, tmp_path):
    with pytest.raises(InputError, match="holds no checkpoint"):
        checkpoint.restore(tmp_path / "nothing")
    run(data, tmp_path / "model")
    forget_digests(tmp_path / "model" / "25")
    record = next((tmp_path / "model" / "25" / "record").glob("*metadata*"))
    content = json.loads(record.read_text())
    record.write_text(json.dumps(content | {"format": 99}))
    with pytest.raises(InputError, match="is of format 99, this version reads 2"):
        checkpoint.restore(tmp_path / "model")
    record.write_text(
        json.dumps(content | {"model": {"name": "vae", "options": {"input_shape": [5], "latent_dim": 2}}})
    )
    with pytest.raises(InputError, match="damaged, or of another version"):
        checkpoint.restore(tmp_path / "model")


def test_arrays_round_trip(tmp_path):
    arrays = {"points": np.eye(3, dtype=np.float32), "clusters": np.arange(3, dtype=np.int32)}
    checkpoint.save_arrays(tmp_path / "clusters", arrays)
    checkpoint.save_arrays(tmp_path / "clusters", arrays)
    assert_same(checkpoint.restore_arrays(tmp_path / "clusters"), arrays)
    before = {"points": arrays["points"], "labels": arrays["clusters"]}  # as version 0.1 names them
    checkpoint.save_arrays(tmp_path / "before", before)
    assert_same(checkpoint.restore_arrays(tmp_path / "before"), arrays)
    with pytest.raises(InputError, match="is missing"):
        checkpoint.restore_arrays(tmp_path / "none")


def test_replicas_in_groups_that_fit_memory_are_the_same(data, tmp_path):
    """Five replicas two by two: the groups wait in the host's memory for their next chunk."""
    settings = product((0, 1, 2, 3, 4), (1.0,), (1e-3,))
    together = run(data, tmp_path / "together", settings=settings)
    model = MODELS["cvae"](input_shape=(5,), latent_dim=2, hidden=(8,))
    each = population.footprint(model, RECIPE, population.share_all(jax.tree.map(jnp.asarray, data)))
    one = each.shared + 2 * each.state + each.step
    assert devices.arrange(5, 2, each, 2 * one) == devices.Layout(2, 1, 1, 3)
    with pytest.raises(InputError, match="raise `max_memory`"):
        run(data, tmp_path / "none", settings=settings, max_memory=one // 2)
    monkey = pytest.MonkeyPatch()
    monkey.setattr(jax, "local_device_count", lambda: 2)
    with monkey.context():
        grouped = run(data, tmp_path / "grouped", settings=settings, max_memory=2 * one)
    monkey.undo()
    assert_same(grouped.history, together.history)
    assert_same(grouped.states.params, together.states.params)
    assert_same(jax.random.key_data(grouped.states.key), jax.random.key_data(together.states.key))


def test_early_stopping_freezes_the_history_and_ends_the_run(data, tmp_path):
    """Of two replicas one cannot learn: it stops. When all have, the rest of the run is not trained."""
    recipe = training.Recipe(batch_size=16, patience=6)
    settings = [SETTINGS[0]._replace(beta=0.01, learning_rate=rate) for rate in (1e-30, 3e-2)]
    told = []
    stopped = run(
        data, tmp_path / "both", settings=settings, recipe=recipe, on_epochs=lambda done, _: told.append(done)
    )
    steps = np.asarray(stopped.states.step) // recipe.batches(40)[0]
    assert steps[0] < 25
    assert stopped.history.loss.shape == (2, 25)
    np.testing.assert_array_equal(stopped.history.loss[0, steps[0] :], stopped.history.loss[0, steps[0] - 1])
    assert len(set(stopped.history.loss[1].tolist())) == 25
    assert told == [10, 20, 25]
    alone = run(data, tmp_path / "alone", settings=settings[:1], recipe=recipe, epochs=1000)
    assert alone.history.loss.shape == (1, 1000)
    assert alone.epoch == 1000
    np.testing.assert_array_equal(alone.history.loss[0, :25], stopped.history.loss[0])
    again = run(data, tmp_path / "alone", settings=settings[:1], recipe=recipe, epochs=1000, resume=True)
    assert_same(again.history, alone.history)


def _flip(path, bit):
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_no_flipped_bit_of_a_checkpoint_passes(data, tmp_path):
    root = tmp_path / "model"
    run(data, root, settings=SETTINGS[:1], epochs=1)
    files = [root / "1" / name for name in list_files(root / "1")]
    sizes = np.array([path.stat().st_size for path in files])
    dice = np.random.default_rng(0)
    for _ in range(50):
        path = files[dice.choice(len(files), p=sizes / sizes.sum())]
        bit = int(dice.integers(8 * path.stat().st_size))
        _flip(path, bit)
        with pytest.raises(InputError, match=r"is not as it was written .*: train again, or delete .* `resume`"):
            checkpoint.restore(root)
        _flip(path, bit)
    checkpoint.restore(root)


def test_a_damaged_checkpoint_gives_way_to_the_one_before(data, tmp_path):
    whole = run(data, tmp_path / "whole")
    run(data, tmp_path / "model", checkpoint_seconds=0.0)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["20", "25"]
    largest = max((tmp_path / "model" / "25").rglob("*"), key=lambda path: path.stat().st_size * path.is_file())
    _flip(largest, 1000)
    told = []
    back = checkpoint.restore(tmp_path / "model", tell=told.append)
    assert back.epoch == 20
    assert len(told) == 1
    assert f"{largest} is not as it was written" in told[0]
    assert told[0].endswith(": the checkpoint before it, of epoch 20, is taken")
    with pytest.warns(UserWarning, match="of epoch 20, is taken"):
        checkpoint.restore(tmp_path / "model")
    resumed = run(data, tmp_path / "model", resume=True, tell=told.append)
    assert len(told) == 2
    assert_same(resumed.states.params, whole.states.params)
    assert checkpoint.restore(tmp_path / "model", tell=told.append).epoch == 25  # the damaged one was replaced
    assert len(told) == 2
    for epoch in ("20", "25"):
        _flip(tmp_path / "model" / epoch / "_CHECKPOINT_METADATA", 3)
    with pytest.raises(InputError, match=r"model/25/_CHECKPOINT_METADATA is not as it was written .*: train again"):
        checkpoint.restore(tmp_path / "model")
    with pytest.raises(InputError, match="train again"):
        run(data, tmp_path / "model", resume=True)


def test_checkpoints_without_digests_are_restored_as_they_are(data, tmp_path):
    saved = run(data, tmp_path, settings=SETTINGS[:1], epochs=1)
    assert digest_file(tmp_path / "1" / DIGESTS).size > 100
    forget_digests(tmp_path / "1")
    assert_same(checkpoint.restore(tmp_path).states.params, saved.states.params)


def test_what_is_no_checkpoint_is_one_line(data, tmp_path):
    for name in ("pipe", "folder", "file"):
        root = tmp_path / name
        run(data, root, settings=SETTINGS[:1], epochs=1)
        if name == "pipe":
            os.mkfifo(root / "1" / "states" / "pipe")
        elif name == "folder":
            shutil.rmtree(root / "1")
            (root / "1").mkdir()
        else:
            shutil.rmtree(root / "1")
            (root / "1").write_text("1")
        with pytest.raises(InputError, match="train again") as caught:
            checkpoint.restore(root)
        assert "\n" not in str(caught.value)


def test_another_training_is_not_gone_on_with(data, tmp_path):
    run(data, tmp_path, settings=SETTINGS[:1], epochs=1)
    with pytest.raises(InputError, match="is of another model, recipe or setting"):
        run(data, tmp_path, settings=SETTINGS[1:2], epochs=2, resume=True)


def test_no_flipped_bit_of_arrays_passes(tmp_path):
    root = tmp_path / "clusters"
    checkpoint.save_arrays(root, {"points": np.arange(100, dtype=np.float32)})
    for name in (one for one in list_files(root) if (root / one).stat().st_size > 1):
        _flip(root / name, 9)
        with pytest.raises(InputError, match=r"is not as it was written .*: start the run again with `resume`"):
            checkpoint.restore_arrays(root)
        _flip(root / name, 9)
    assert checkpoint.restore_arrays(root)["points"][99] == 99


def test_a_training_anew_replaces_the_checkpoints_of_the_one_before(data, tmp_path):
    run(data, tmp_path, settings=SETTINGS[:1], epochs=20)
    anew = run(data, tmp_path, settings=SETTINGS[1:2], epochs=10)
    assert [path.name for path in tmp_path.iterdir()] == ["10"]
    assert_same(checkpoint.restore(tmp_path).states.params, anew.states.params)
