"""Controls: each is the data with one thing taken, and everything else as it was."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_store

from experiments.configs import CONTROLS, Config
from experiments.study import inputs
from experiments.study.controls import MAKERS, make_control, mask_pattern, shows_mask
from musiclust import fusion, store
from musiclust.errors import InputError
from musiclust.types import Block

MFCC, WORDS = slice(0, 20), slice(20, 32)  # columns of the fused features


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("controls") / "store")


@pytest.fixture(scope="module")
def given(root):
    return inputs.load(Config("cvae", ("mfcc_mean", "lyrics"), condition="modality"), root)


@pytest.fixture
def sung(given):
    return given.blocks[1].valid


def test_shuffled_words_are_those_of_other_tracks_and_the_mask_is_the_same(given, sung):
    """What stays in the score is who has words: the words themselves tell nothing."""
    control = make_control("words_shuffled", "modality", given)
    np.testing.assert_array_equal(control.cond, given.data.cond)
    np.testing.assert_array_equal(control.x[:, MFCC], given.data.x[:, MFCC])
    np.testing.assert_array_equal(control.x[~sung], given.data.x[~sung])
    mine, others = control.x[sung][:, WORDS], given.data.x[sung][:, WORDS]
    assert not np.array_equal(mine, others)
    np.testing.assert_array_equal(np.sort(mine, axis=0), np.sort(others, axis=0))
    assert {row.tobytes() for row in mine} == {row.tobytes() for row in others}  # whole rows
    assert np.mean((mine == others).all(axis=1)) < 0.3


def test_sound_alone_has_no_words_and_no_mask(given, sung):
    control = make_control("sound_only", "modality", given)
    np.testing.assert_array_equal(control.x[:, MFCC], given.data.x[:, MFCC])
    assert (control.x[:, WORDS] == control.x[~sung][0, WORDS]).all()  # all are as one that has none
    np.testing.assert_array_equal(control.cond, np.tile([1.0, 0.0], (60, 1)))
    assert control.cond.shape == given.data.cond.shape


def test_sound_alone_leaves_another_condition(root):
    given = inputs.load(Config("cvae", ("mfcc_mean", "lyrics"), condition="genre"), root)
    np.testing.assert_array_equal(make_control("sound_only", "genre", given).cond, given.data.cond)


def test_noise_has_the_covariance_of_the_data_and_nothing_else(given, sung):
    control = make_control("noise", "modality", given)
    np.testing.assert_array_equal(control.cond, given.data.cond)
    assert control.x.shape == given.data.x.shape
    assert control.x.dtype == np.float32
    ours, theirs = (np.cov(x[:, MFCC].T) for x in (given.data.x, control.x))
    assert np.linalg.norm(ours - theirs) / np.linalg.norm(ours) < 0.5
    assert np.linalg.eigvalsh(theirs)[-1] / np.trace(theirs) == pytest.approx(
        np.linalg.eigvalsh(ours)[-1] / np.trace(ours), abs=0.15
    )
    np.testing.assert_array_equal(control.x[~sung][:, WORDS], given.data.x[~sung][:, WORDS])  # who has words stays
    assert not np.isin(control.x[:, 0], given.data.x[:, 0]).any()


def test_noise_of_many_tracks_has_their_covariance_closely(tmp_path):
    root = make_store(tmp_path / "store", n=3000, lyrics=False)
    given = inputs.load(Config("vae", ("mfcc_mean",)), root)
    control = make_control("noise", "none", given)
    ours, theirs = (np.cov(x.T) for x in (given.data.x, control.x))
    assert np.linalg.norm(ours - theirs) / np.linalg.norm(ours) < 0.1


def test_classes_are_shuffled_among_tracks_that_have_and_lack_the_same(root):
    """Shuffled among all, they would be parted from the mask, and the mask alone may tell half of them."""
    tracks = store.load_tracks(root)
    sung = store.load_block(root, "lyrics").valid
    codes = np.where(sung, 0, 1 + np.arange(60) // 2 % 2).astype(np.int32)
    given = inputs.load(Config("cvae", ("mfcc_mean", "lyrics"), condition="genre"), root)
    cond = (codes[:, None] == np.arange(3)).astype(np.float32)
    given = given._replace(data=given.data._replace(cond=cond), tracks=replace(tracks, classes={"genre": codes}))
    control = make_control("classes_shuffled", "genre", given)
    np.testing.assert_array_equal(control.x, given.data.x)
    assert not np.array_equal(control.cond, cond)
    for some in (sung, ~sung):
        np.testing.assert_array_equal(control.cond[some].sum(axis=0), cond[some].sum(axis=0))
    np.testing.assert_array_equal(control.cond[:, 0], sung)


def test_a_control_is_the_same_each_time(given):
    for name in ("words_shuffled", "sound_only", "noise"):
        for one, other in zip(
            make_control(name, "modality", given), make_control(name, "modality", given), strict=True
        ):
            np.testing.assert_array_equal(one, other)


def test_a_control_that_takes_nothing_is_named(root):
    given = inputs.load(Config("vae", ("mfcc_mean",)), root)
    for name in ("words_shuffled", "sound_only"):
        with pytest.raises(InputError, match="the run takes no words"):
            make_control(name, "none", given)
    with pytest.raises(InputError, match="the model is told no classes"):
        make_control("classes_shuffled", "none", given)
    assert set(MAKERS) == set(CONTROLS) == {"words_shuffled", "sound_only", "classes_shuffled", "noise"}


def test_the_mask_is_seen_where_blocks_are_lacking(given, root, sung):
    assert shows_mask(given)
    pattern = mask_pattern(given.blocks)
    assert pattern is not None
    assert set(zip(pattern.tolist(), sung.tolist(), strict=True)) in ({(0, False), (1, True)}, {(1, False), (0, True)})
    assert not shows_mask(inputs.load(Config("vae", ("mfcc_mean",)), root))
    ids = np.array(["a", "b"])
    nowhere = Block("lyrics", ids, np.zeros((2, 3), np.float32), np.zeros(2, bool))
    assert mask_pattern([nowhere]) is None  # all lack the same


def test_the_condition_of_a_control_is_that_of_its_blocks(given):
    np.testing.assert_array_equal(given.data.cond, fusion.modality_mask(given.blocks))
