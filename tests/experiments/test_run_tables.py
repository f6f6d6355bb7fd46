"""tracks.csv of a run: no title of a stranger is a formula in it, and each comes back as it was."""

import csv
from dataclasses import replace

import numpy as np
from conftest import make_store

from experiments.configs import DEFAULTS
from experiments.study import inputs
from experiments.study.run_files import write_latents, write_metrics, write_tracks
from experiments.study.songs import read_songs
from musiclust import store
from musiclust.metrics.stability import Consensus

TITLES = ["=HYPERLINK(1)", "-a", "+44", "@you", "'=b", "''=c", " =d", "plain", "'Round Midnight", 'a, "b"', "x=y", "é"]


def test_titles_that_are_formulas_are_text_in_the_table_and_come_back(tmp_path):
    root, run_dir, n = make_store(tmp_path / "store", len(TITLES)), tmp_path / "run", len(TITLES)
    tracks = store.load_tracks(root)
    texts = np.array(TITLES)
    store.save_tracks(
        root, replace(tracks, meta={**tracks.meta, "title": texts, "artist": texts[::-1], "album": texts})
    )
    config = replace(DEFAULTS["autoencoder"], features=("mfcc_mean",))
    given = inputs.load(inputs.complete(config, root, keep_features=True), root)
    zeros = np.zeros(n, np.int32)
    agreed = Consensus(zeros, np.ones((n, 1)), np.ones(n), zeros - 1)
    run_dir.mkdir()
    write_latents(run_dir, np.zeros((n, 2), np.float32))
    write_metrics(run_dir, {"format": 3, "rows": [], "clusters": [{"cluster": 0, "name": "=name"}]})
    xy = np.full((n, 2), -1.5)
    write_tracks(run_dir, given, zeros, agreed, xy, {0: "=name"}, ["-tag 0.5"] * n, ["sure"] * n)
    with open(run_dir / "tracks.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for name in ("title", "artist", "album", "tags", "cluster_name"):
        assert not [row[name] for row in rows if row[name].lstrip().startswith(("=", "+", "-", "@"))]
    assert {(row["x"], row["second"]) for row in rows} == {("-1.5000", "-1")}  # numbers are no formulas
    songs = read_songs(run_dir)
    assert [song.title for song in songs.song] == TITLES
    assert songs.artist.tolist() == TITLES[::-1]
    assert songs.album.tolist() == TITLES
    assert songs.tags == ["-tag 0.5"] * n
    assert songs.xy.tolist() == xy.tolist()
