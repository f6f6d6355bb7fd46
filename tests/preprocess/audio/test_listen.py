"""listen, with the real networks: groups of features come and go by themselves."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from tagger.weights_here import weights_or_skip

from musiclust import store
from musiclust.errors import InputError
from musiclust.preprocess import pipeline
from musiclust.preprocess.audio import features, listen
from musiclust.preprocess.audio.network_process import NetworkProcess
from musiclust.preprocess.audio.tagger import blocks, patches, run
from musiclust.preprocess.corpora.base import Request
from musiclust.preprocess.corpora.folder import folder
from musiclust.preprocess.workers import open_processes

TAGGED = ["msd", "msd_std", "mtt", "mtt_std", "tags", "tags_std"]


def song(path: Path, seed: int, seconds: float = 10.0) -> None:
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * 16_000)) / 16_000
    tones = np.sin(2 * np.pi * rng.uniform(100, 900) * time) * np.exp(-(time % 0.5) * 4)
    soundfile.write(path, 0.5 * tones + 0.01 * rng.standard_normal(len(time)), 16_000)


def make(music: Path, root: Path, **how) -> pipeline.Summary:
    return pipeline.preprocess(
        folder(Request(audio_dir=music)), root, embedder="tfidf", audio=listen.Settings(**how), workers=2
    )


@pytest.fixture
def music(tmp_path) -> Path:
    root = tmp_path / "music"
    root.mkdir()
    for seed in range(3):
        song(root / f"{seed}.wav", seed)
    return root


def test_the_taggers_blocks_join_a_store_and_leave_what_is_there(music, tmp_path):
    wheel, root = weights_or_skip(), tmp_path / "store"
    assert make(music, root).computed == 3
    stamps = {name: (root / f"{name}.npy").stat().st_mtime_ns for name in features.BLOCKS}
    assert make(music, root, tagger_weights=wheel).computed == 3
    assert {name: (root / f"{name}.npy").stat().st_mtime_ns for name in features.BLOCKS} == stamps
    assert store.block_names(root) == sorted([*features.BLOCKS, *TAGGED])
    tags = store.load_block(root, "tags")
    assert tags.values.shape == (3, 100)
    assert len(tags.spec["columns"]) == 100
    assert ((tags.values >= 0) & (tags.values <= 1)).all()
    for row, path in enumerate(sorted(music.iterdir())):
        found = run.tag(wheel, patches.cut_patches(str(path), 10.0, 5))
        expected = blocks.summarise_windows(found, pools=False)
        for name in TAGGED:
            np.testing.assert_allclose(store.load_block(root, name).values[row], expected[name], rtol=1e-3, atol=1e-4)
    assert make(music, root, tagger_weights=wheel).computed == 0


@pytest.mark.slow
def test_the_taggers_blocks_follow_the_songs(music, tmp_path):
    wheel, root = weights_or_skip(), tmp_path / "store"
    assert make(music, root, tagger_weights=wheel).computed == 3
    tags = store.load_block(root, "tags")
    # without the tagger its blocks keep the songs that are as they were
    song(music / "1.wav", 9, seconds=11.0)
    song(music / "new.wav", 10)
    assert make(music, root).computed == 2
    assert store.load_block(root, "msd").track_id.tolist() == ["0", "2"]
    np.testing.assert_array_equal(store.load_block(root, "tags").values, tags.values[[0, 2]])
    # and with it, those that are due get theirs
    assert make(music, root, tagger_weights=wheel).computed == 2
    assert store.load_block(root, "msd").track_id.tolist() == ["0", "1", "2", "new"]
    # other windows are other features; the pools come when they are asked for
    summary = make(music, root, tagger_weights=wheel, windows=2, tagger_pools=True)
    assert summary.computed == 4
    assert summary.blocks["msd_pool"] == ((4, 1506), "float32", 4)
    assert store.load_block(root, "msd").spec["windows"] == 2


def test_librosa_hears_more_than_the_centre_where_asked(tmp_path):
    path = str(tmp_path / "song.wav")
    time = np.arange(90 * 22_050) / 22_050
    rising = np.sin(2 * np.pi * (200 + 20 * time) * time)  # another pitch at each moment
    soundfile.write(path, 0.5 * rising, 22_050)
    heard = {
        count: listen.hear(listen.Job(path, ("librosa",)), listen.Settings(librosa_windows=count)) for count in (1, 5)
    }
    found = {count: one.features["librosa"] for count, one in heard.items()}
    np.testing.assert_array_equal(found[1]["melspec"], found[5]["melspec"])
    centroid = features.BLOCKS["spectral"].columns.index("centroid_std")
    assert found[5]["spectral"][centroid] > 2 * found[1]["spectral"][centroid]
    pieces = listen._spread(path, 90.0, 5)
    assert [len(piece) for piece in pieces] == [6 * 22_050] * 5
    by_hand = [features.extract(piece)["spectral"][centroid - 1] for piece in pieces]
    np.testing.assert_allclose(found[5]["spectral"][centroid - 1], np.mean(by_hand), rtol=1e-4)
    assert listen.list_specs(listen.Settings(librosa_windows=5))["librosa"]["chroma"]["clip_windows"] == 5


def _double(rows: np.ndarray) -> dict[str, np.ndarray]:
    return {"twice": 2 * rows}


def _die(rows: np.ndarray) -> dict[str, np.ndarray]:
    import os

    os._exit(9)


def _refuse() -> None:
    raise InputError("no weights")


def _nothing() -> None:
    pass


@pytest.mark.parametrize("rows", [1, 4, 100])
def test_a_network_answers_each_song_with_its_rows(rows):
    songs = {name: np.full((count, 2), count) for name, count in (("a", 1), ("b", 3), ("c", 2), ("d", 5))}
    with open_processes(1, {}) as pool:
        network = NetworkProcess("tagger", pool, prepare=_nothing, run=_double, rows=rows)
        answers = [answer for name, one in songs.items() for answer in network.put(name, one)]
        answers += network.finish()
    assert [name for name, _ in answers] == list(songs)
    for name, found in answers:
        np.testing.assert_array_equal(found["twice"], 2 * songs[name])


def test_what_goes_wrong_in_a_networks_process_is_one_line():
    with open_processes(1, {}) as pool:
        network = NetworkProcess("tagger", pool, prepare=_nothing, run=_die, rows=1)
        with pytest.raises(InputError, match=r"process that runs the tagger died.* choose `tagger=none`"):
            [*network.put("a", np.zeros((1, 2))), *network.finish()]
    with open_processes(1, {}) as pool:
        network = NetworkProcess("tagger", pool, prepare=_refuse, run=_double, rows=1)
        with pytest.raises(InputError, match="no weights"):
            [answer for i in range(50) for answer in [*network.put(i, np.zeros((1, 2))), *network.finish()]]
