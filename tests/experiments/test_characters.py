"""Names, typical songs and tags from what a store has: with tags and words, and with none of them."""

import csv

import numpy as np
import pytest
from conftest import make_store

from experiments.configs import Config
from experiments.study import inputs
from experiments.study.characters import describe_certainty, describe_clusters, describe_songs
from experiments.study.run_files import write_tracks
from musiclust import store
from musiclust.errors import InputError
from musiclust.metrics.stability import Consensus
from musiclust.report.names import quote
from musiclust.types import Block

COLUMNS = ["mtt:harp", "msd:rock", "mtt:no vocals", "msd:80s"]


@pytest.fixture
def root(tmp_path):
    """Of three classes the first has harps, the second is loud, and the third sings of the sea."""
    root = make_store(tmp_path / "store")
    tracks, rng = store.load_tracks(root), np.random.default_rng(0)
    codes = tracks.classes["genre"]
    tags = rng.uniform(0.02, 0.1, (60, 4)).astype(np.float32)
    tags[codes == 0, 0] += 0.6
    tags[3] = 0  # nothing is known of this song
    valid = np.arange(60) != 3
    store.save_block(root, Block("tags", tracks.track_id, tags, valid, {"columns": COLUMNS}))
    loud = np.where(codes == 1, 0.2, 0.1)[:, None] + rng.normal(0, 0.01, (60, 1))
    store.save_block(root, Block("spectral", tracks.track_id, loud, np.ones(60, bool), {"columns": ["rms_mean"]}))
    words = np.where(codes == 2, "O the wide sea, the sea", "Nothing but grass")
    store.append_lyrics(
        root, [{"track_id": i, "words": w} for i, w in zip(tracks.track_id.tolist(), words.tolist(), strict=True)]
    )
    return root


def load(root):
    return inputs.load(Config("vae", ("mfcc_mean",)), root)


def test_clusters_are_described_by_what_the_store_has(root):
    given = load(root)
    z = given.data.x
    described = describe_clusters(given, z, np.asarray(given.truth), np.array([0.9, 0.6, np.nan]))
    assert [one["name"].split(", ")[0] for one in described][::2] == ["harp", quote("sea")]
    assert "louder" in described[1]["name"]
    assert [one["size"] for one in described] == [20, 20, 20]
    np.testing.assert_array_equal([one["jaccard"] for one in described], [0.9, 0.6, np.nan])
    assert described[0]["reasons"][0]["kind"] == "tag"
    ids = [song["track_id"] for song in described[1]["typical"]]
    assert set(given.truth[np.isin(given.tracks.track_id, ids)]) == {1}
    assert described[1]["typical"][0]["title"].startswith("Song ")
    assert all(song["distance"] > 1 for one in described for song in one["oddest"])


def test_songs_have_their_tags_and_the_table_has_all(root, tmp_path):
    given = load(root)
    tags = describe_songs(given.store, given.tracks)
    assert tags[0].startswith("harp 0.6") or tags[0].startswith("harp 0.7")
    assert tags[1] == ""  # none is strong
    assert tags[3] == ""  # none is known
    votes = np.tile([0.875, 0.125, 0.0], (60, 1))
    agreed = Consensus(np.zeros(60, np.int32), votes, votes[:, 0], np.ones(60, np.int32))
    write_tracks(
        tmp_path, given, np.r_[-1, np.zeros(59, int)], agreed, None, {0: "harp, solo"}, tags, describe_certainty(agreed)
    )
    with open(tmp_path / "tracks.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["cluster_name"] for row in rows] == ["", *["harp, solo"] * 59]
    assert [row["tags"] for row in rows] == tags
    assert {(row["group"], row["certainty"]) for row in rows} == {
        (track_id, "sure") for track_id in given.tracks.track_id
    }
    assert {(row["consensus"], row["confidence"], row["second"]) for row in rows} == {("0", "0.875", "1")}


def test_songs_are_as_sure_as_the_votes():
    votes = np.array([[0.75, 0.25, 0, 0], [0.5, 0.25, 0.25, 0], [0.25, 0, 0.5, 0], [0.4, 0, 0.3, 0.3], [0.3, 0, 0, 0]])
    order = np.argsort(-votes, axis=1, kind="stable")
    clusters = order[:, 0].astype(np.int32)
    clusters[4] = -1
    agreed = Consensus(clusters, votes, votes.max(axis=1), order[:, 1].astype(np.int32))
    assert describe_certainty(agreed) == [
        "sure", "between 0 and 1", "between 0 and 2", "anywhere", "noise more often than not"
    ]  # fmt: skip
    alone = Consensus(np.array([2], np.int32), np.array([[0, 0, 0.6]]), np.array([0.6]), np.array([-1], np.int32))
    assert describe_certainty(alone) == ["likely 2"]


def test_columns_without_names_call_nothing(root):
    for name in ("tags", "spectral"):
        block = store.load_block(root, name)
        store.save_block(root, Block(name, block.track_id, np.array(block.values), block.valid, {}))
    given = load(root)
    described = describe_clusters(given, given.data.x, np.asarray(given.truth), np.ones(3))
    assert [one["name"] for one in described][:2] != ["harp", "louder"]
    assert {reason["kind"] for one in described for reason in one["reasons"]} == {"word"}
    assert describe_songs(given.store, given.tracks) == [""] * 60


def test_a_block_that_lacks_songs_is_taken_for_what_it_has(root):
    """As after a run of preprocessing without the tagger, where files have changed."""
    block = store.load_block(root, "tags")
    rows = np.arange(60) != 0
    store.save_block(
        root, Block("tags", block.track_id[rows], np.array(block.values[rows]), block.valid[rows], block.spec)
    )
    given = load(root)
    assert describe_songs(given.store, given.tracks)[0] == ""
    described = describe_clusters(given, given.data.x, np.asarray(given.truth), np.ones(3))
    assert described[0]["name"].startswith("harp")


def test_what_is_no_probability_is_named(root):
    block = store.load_block(root, "tags")
    store.save_block(root, Block("tags", block.track_id, 9 * np.array(block.values), block.valid, block.spec))
    given = load(root)
    with pytest.raises(InputError, match=r"outside \[0, 1\]"):
        describe_clusters(given, given.data.x, np.asarray(given.truth), np.ones(3))
