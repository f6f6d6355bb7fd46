"""What a model is given: what it is told of unknown classes, and what is kept from it."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_store, make_tracks

from experiments.configs import Config
from experiments.study import inputs
from experiments.study.job import subsample_rows
from musiclust import fusion, store


def test_an_unknown_class_is_not_told_as_the_first():
    tracks = make_tracks(9)
    codes = tracks.classes["genre"].copy()
    codes[[0, 4]] = -1
    some = replace(tracks, classes={"genre": codes})
    cond = inputs._condition("class:code", some, [], "genre")
    assert cond.shape == (9, 2)
    assert cond.dtype == np.float32
    known = codes >= 0
    np.testing.assert_array_equal(cond[:, 1], ~known)
    np.testing.assert_array_equal(cond[known, 0], (codes[known] / 2).astype(np.float32))
    assert not set(map(tuple, cond[~known])) & set(map(tuple, cond[known]))
    # Where all are known, one column as ever.
    whole = inputs._condition("class:code", tracks, [], "genre")
    np.testing.assert_array_equal(whole, (tracks.classes["genre"] / 2).astype(np.float32)[:, None])


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("inputs") / "store"
    make_store(root)
    return root


def test_the_scaling_is_fitted_on_what_is_not_held_out(root):
    config = Config("vae", ("mfcc_mean",), held_out=0.2)
    given, whole = inputs.load(config, root), inputs.load(replace(config, held_out=0.0), root)
    assert whole.held_out is None
    assert len(given.held_out) == 12
    group = given.tracks.group
    train = np.setdiff1d(np.arange(60), given.held_out)
    assert not set(group[train]) & set(group[given.held_out])
    np.testing.assert_allclose(given.data.x[train].mean(axis=0), 0.0, atol=1e-5)
    assert np.abs(given.data.x[given.held_out].mean(axis=0)).max() > 0.01
    block = store.load_block(root, "mfcc_mean")
    np.testing.assert_array_equal(given.data.x, fusion.apply(given.fusion, [block]))


def test_subsamples_are_drawn_from_what_is_not_held_out(root):
    given = inputs.load(Config("vae", ("mfcc_mean",), held_out=0.2), root)
    rows = subsample_rows(Config("vae", ("mfcc_mean",), held_out=0.2, subsamples=3), given)
    assert (rows.shape, rows.dtype) == ((3, 38), np.int32)
    assert not np.isin(rows, given.held_out).any()
    assert subsample_rows(Config("vae", ("mfcc_mean",)), given) is None
