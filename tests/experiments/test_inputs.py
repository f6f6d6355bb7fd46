"""What a model is given: what it is told of unknown classes, and what is kept from it."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_store, make_tracks

from experiments.configs import Config
from experiments.study import inputs
from experiments.study.job import subsample_rows
from musiclust import blocks, fusion, store, streaming
from musiclust.errors import InputError
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


def test_features_that_are_the_same_for_all_are_refused_before_anything_trains(root, tmp_path):
    tracks, config = make_tracks(4), Config("vae", ("mfcc_mean",))
    store.save_tracks(tmp_path, tracks)
    store.save_block(tmp_path, Block("mfcc_mean", tracks.track_id, np.ones((4, 20)), np.ones(4, bool), {}))
    with pytest.raises(InputError, match="the features are the same for all tracks"):
        inputs.load(config, tmp_path)
    fitted = inputs.load(config, root).fusion  # new songs may be alike, or only one
    width = fitted.widths[0]
    store.save_block(tmp_path, Block("mfcc_mean", tracks.track_id, np.ones((4, width)), np.ones(4, bool), {}))
    assert inputs.load(config, tmp_path, fitted).data.x.shape == (4, width)


def test_subsamples_of_one_group_are_refused(root):
    given = inputs.load(Config("vae", ("mfcc_mean",)), root)
    alone = given._replace(tracks=replace(given.tracks, group=np.full(60, "a")))
    with pytest.raises(InputError, match="--subsamples draws whole songs, and all tracks are of one group"):
        subsample_rows(Config("vae", ("mfcc_mean",), subsamples=3), alone)


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


def test_streamed_features_are_those_in_memory(root):
    """Of an image and of two blocks side by side: rows and scaling but for rounding, and what judges them."""
    for config in (
        Config("conv_vae", ("melspec",), held_out=0.2),
        Config("cvae", ("mfcc_mean", "lyrics"), scaling="unit", condition="modality"),
    ):
        memory, disk = (inputs.load(replace(config, stream=stream), root) for stream in ("no", "yes"))
        rows = np.array([3, 59, 0])
        assert streaming.is_streamed(disk.data)
        assert disk.data.x.shape == memory.data.x.shape
        np.testing.assert_allclose(disk.data.x[rows], memory.data.x[rows], rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(disk.data.cond, memory.data.cond)
        np.testing.assert_allclose(disk.reference(), memory.reference(), rtol=1e-5, atol=1e-8)
        assert disk.judged_names == memory.judged_names
        again = inputs.load(replace(config, stream="yes"), root, disk.fusion)
        np.testing.assert_array_equal(again.data.x[rows], disk.data.x[rows])
        assert len(disk.columns) == 60
        assert disk.columns.dtype == np.float32
    image = inputs.load(Config("conv_vae", ("melspec",), stream="yes"), root)
    whole = inputs.load(Config("conv_vae", ("melspec",)), root).data.x
    bands = np.concatenate([whole.mean(axis=2), whole.std(axis=2)], axis=1)
    np.testing.assert_allclose(image.columns, bands, atol=1e-4)


def test_features_too_many_for_memory_are_streamed_and_it_is_said(root):
    config = Config("cvae", ("mfcc_mean", "lyrics"), condition="modality", controls=("sound_only",))
    inside = inputs.complete(config, root, keep_features=True)
    assert (inside.stream, inside.controls) == ("no", ("sound_only",))
    small = replace(config, max_memory=8 * 60 * 31 / 2**30)  # not twice 60 rows of 32 float32
    outside = inputs.complete(small, root, keep_features=True)
    assert (outside.stream, outside.controls) == ("yes", ())
    told = inputs.tell_choices(small, outside, root)
    assert any("streamed from the disk in chunks of 256 MiB" in line and "no controls" in line for line in told)
    assert inputs.complete(replace(small, stream="no"), root, keep_features=True).stream == "no"
    assert inputs.for_other_store(replace(outside, max_memory=0.0), root).stream == "no"
    with pytest.raises(InputError, match="--controls=sound_only are made of all features"):
        inputs.complete(small, root, keep_features=True, keep_controls=True)
    with pytest.raises(InputError, match="--null=pipeline trains on surrogates of all features"):
        inputs.complete(replace(small, null="pipeline"), root, keep_features=True)


def test_replicas_that_stream_are_compared_by_some_tracks(root, monkeypatch):
    monkeypatch.setattr(inputs, "COMPARED", 20)
    config = Config("conv_vae", ("melspec",))
    assert inputs.load(config, root).compared_rows() is None
    rows = inputs.load(replace(config, stream="yes"), root).compared_rows()
    assert (len(set(rows.tolist())), rows[0], rows[-1]) == (20, 0, 59)
    held = inputs.load(replace(config, stream="yes", held_out=0.2), root)
    np.testing.assert_array_equal(held.compared_rows(), held.held_out)
