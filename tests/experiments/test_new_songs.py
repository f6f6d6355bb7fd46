"""`python -m experiments.organize --audio_dir=...`: songs that come after a run are placed in it."""

import csv
import shutil
from dataclasses import replace

import numpy as np
import pytest
from command_line import script
from conftest import make_tracks

from musiclust import store
from musiclust.types import Block

SPEC = {"columns": [], "extractor": "librosa 1", "extractor_version": 1, "description": "means"}
CENTRES = 6 * np.random.default_rng(5).normal(size=(3, 20))


def save_store(root, music, values, first=0, spec=SPEC):
    """A store of songs as `preprocess` would have heard them, each with a file of its own content."""
    music.mkdir(parents=True, exist_ok=True)
    paths = [music / f"{first + i:03d}.mp3" for i in range(len(values))]
    for path in paths:
        path.write_bytes(path.stem.encode() * 20)
    tracks = make_tracks(len(values))
    lasting = {"duration": 10.0 + 2 * np.arange(first, first + len(values))}  # so that none is taken for a copy
    tracks = replace(tracks, path=np.array(list(map(str, paths))), meta=tracks.meta | lasting)
    store.save_tracks(root, tracks)
    store.save_corpus(root, {"corpus": "folder", "audio_dir": str(music)})
    store.save_block(root, Block("mfcc_mean", tracks.track_id, values, np.ones(len(values), bool), spec))
    return root


def songs_near(centre, count, seed):
    return (centre + np.random.default_rng(seed).normal(size=(count, 20))).astype(np.float32)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run on 60 songs in three clusters, and the folder that it and its music lie in."""
    place = tmp_path_factory.mktemp("place")
    values = np.concatenate([songs_near(centre, 20, i) for i, centre in enumerate(CENTRES)])
    order = np.arange(60).reshape(3, 20).T.ravel()  # as the classes of make_tracks take turns
    root = save_store(place / "store", place / "music", values[order])
    args = [
        f"--store={root}",
        f"--run_dir={place / 'run'}",
        "--features=mfcc_mean",
        "--epochs=30",
        "--baselines=features",
    ]
    code, _, err = script(place, "run", "--model=autoencoder", "--subsamples=0", *args)
    assert code == 0, err
    return place


@pytest.fixture
def place(finished, tmp_path):
    """A copy of the run, without its store, and its music where it was."""
    shutil.copytree(finished / "run", tmp_path / "run")
    return tmp_path


def organize(place, *args):
    code, out, err = script(place, "organize", f"--run={place / 'run'}", *args)
    return code, " ".join(out.split()), " ".join(err.split())


def new_songs(place):
    with open(place / "run" / "playlists" / "songs.csv", newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file) if row["new"] == "1"}


def test_songs_are_placed_or_fit_none_whether_they_come_at_once_or_not(place):
    pytest.importorskip("matplotlib")  # without it there is no map
    values = np.concatenate([songs_near(CENTRES[1], 12, 7), songs_near(CENTRES.mean(axis=0) + 40, 3, 8)])
    whole = save_store(place / "run" / "new_songs" / "all", place / "new", values, first=100)
    code, out, err = organize(place)
    assert code == 0, err
    placed = new_songs(place)
    numbers = [int(row["cluster"]) for row in placed.values()]
    assert len(numbers) == 15
    assert numbers[12:] == [-1, -1, -1]
    home = max(set(numbers[:12]), key=numbers.count)
    assert numbers[:12].count(home) >= 10  # 5 % of a cluster's own songs would be refused
    assert f"15 new songs, of which {numbers.count(-1)} fit no cluster" in out
    last = placed[str(place / "new" / "114.mp3")]
    assert last["certainty"].startswith("fits none; nearest is ")
    assert "fits no cluster.m3u8" in {path.name for path in (place / "run" / "playlists").iterdir()}
    files = {path.name: path.read_bytes() for path in (place / "run" / "playlists").iterdir()}
    # Once more, in two goes: the store of a folder is what grows.
    shutil.rmtree(place / "run" / "playlists")
    for count in (8, 15):
        shutil.rmtree(whole)
        save_store(whole, place / "new", values[:count], first=100)
        assert organize(place)[0] == 0
    assert {path.name: path.read_bytes() for path in (place / "run" / "playlists").iterdir()} == files


def test_what_is_there_already_is_left_out(place, finished):
    root = save_store(place / "run" / "new_songs" / "all", place / "new", songs_near(CENTRES[0], 3, 9), first=200)
    shutil.copyfile(finished / "music" / "007.mp3", place / "new" / "201.mp3")
    code, out, err = organize(place)
    assert code == 0, err
    assert "; 1 more are in the collection already" in out
    assert set(new_songs(place)) == {str(place / "new" / name) for name in ("200.mp3", "202.mp3")}
    store.remove_block(root, "mfcc_mean")
    assert "has no mfcc_mean, on which the run was trained" in organize(place)[2]


def test_songs_that_were_heard_otherwise_are_refused(place):
    other = SPEC | {"extractor": "librosa 2", "description": "said otherwise"}
    save_store(place / "run" / "new_songs" / "all", place / "new", songs_near(CENTRES[0], 3, 9), 200, other)
    code, _, err = organize(place)
    assert code == 1
    assert "mfcc_mean has extractor 'librosa 2' and the run's has 'librosa 1'" in err


@pytest.mark.slow
def test_new_songs_are_heard_as_the_runs_were(tmp_path):
    """From audio to playlists, and again after one more song has come: only that one is heard."""
    import soundfile

    def write(path, pitch, seed):
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(seed).normal(size=5 * 16000)
        soundfile.write(path, 0.3 * np.sin(2 * np.pi * pitch * np.arange(5 * 16000) / 16000) + 0.01 * noise, 16000)

    for i in range(16):
        write(tmp_path / "music" / f"{i:02d}.wav", 220 if i % 2 else 1760, i)
    audio = ["--corpus=folder", f"--audio_dir={tmp_path / 'music'}", f"--store={tmp_path / 'store'}"]
    code, _, err = script(tmp_path, "preprocess", *audio, "--tagger=none", "--librosa_windows=2")
    assert code == 0, err
    args = [f"--store={tmp_path / 'store'}", f"--run_dir={tmp_path / 'run'}", "--features=mfcc_mean", "--k=2"]
    code, _, err = script(tmp_path, "run", "--model=vae", "--subsamples=0", "--baselines=features", *args)
    assert code == 0, err
    shutil.rmtree(tmp_path / "store")
    write(tmp_path / "new" / "low.wav", 220, 100)
    code, out, err = organize(tmp_path, f"--audio_dir={tmp_path / 'new'}")
    assert code == 0, err
    assert "1 new songs" in out
    write(tmp_path / "new" / "high.wav", 1760, 101)
    code, out, err = organize(tmp_path, f"--audio_dir={tmp_path / 'new'}")
    assert code == 0, err
    assert "2, of which 1 computed now" in out
    placed = new_songs(tmp_path)
    assert len({row["cluster"] for row in placed.values()}) == 2


def test_new_songs_that_lie_elsewhere_are_refused(place):
    save_store(place / "run" / "new_songs" / "all", place / "new", songs_near(CENTRES[0], 3, 9), first=200)
    store.save_corpus(place / "run" / "new_songs" / "all", {"corpus": "folder", "audio_dir": str(place / "other")})
    code, _, err = organize(place)
    assert code == 1
    assert (
        f"has the path {place / 'new' / '200.mp3'}, which is not below {place / 'other'}, the folder of its music"
        in err
    )
    assert organize(place, "--trust_paths")[0] == 0
