"""What a model is given: what it is told of unknown classes, and what is kept from it."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_store, make_tracks

from experiments.configs import Config
from experiments.study import inputs
from experiments.study.job import subsample_rows
from musiclust import blocks, fusion, store
from musiclust.preprocess.writing.swap import replace_files
from musiclust.types import Block


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


@pytest.mark.parametrize("at_once", [2**28, 0], ids=["in memory", "in the file"])
def test_a_store_that_grew_gives_a_model_the_same_to_the_digit(tmp_path, monkeypatch, at_once):
    fresh, grown = make_store(tmp_path / "fresh"), tmp_path / "grown"
    ids = store.load_tracks(fresh).track_id.tolist()
    first, changed, new = ["t0001a", *ids[5:50]], ids[7:9], [*ids[:5], *ids[50:]]
    store.save_tracks(grown, store.load_tracks(fresh))
    for name in store.block_names(fresh):
        block = store.load_block(fresh, name)
        values, valid = np.array(block.values[4:50]), np.array(block.valid[4:50])
        values[2:5] = 7
        store.save_block(grown, Block(name, np.array(first), values, valid, block.spec))
        fresh_ids = sorted([*new, *changed, ids[6]])
        rows = [block.values[ids.index(one)] for one in fresh_ids]
        silent = block.track_id[~block.valid].tolist()
        with replace_files(grown) as folder:
            store.extend_block(grown, folder, name, ids, fresh_ids, rows, block.spec, invalid=silent)
    monkeypatch.setattr(blocks, "_AT_ONCE", at_once)
    for features in (("mfcc_mean", "lyrics"), ("melspec",)):
        for held_out in (0.0, 0.2):
            config = Config("cvae", features, condition="modality", held_out=held_out)
            one, other = inputs.load(config, fresh), inputs.load(config, grown)
            np.testing.assert_array_equal(one.data.x, other.data.x)
            np.testing.assert_array_equal(one.data.cond, other.data.cond)
            np.testing.assert_array_equal(one.columns, other.columns)
            np.testing.assert_array_equal(one.reference(), other.reference())
