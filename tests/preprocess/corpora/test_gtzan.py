"""gtzan: a small tree of the layout in which GTZAN is distributed."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from musiclust import store
from musiclust.errors import InputError
from musiclust.preprocess import pipeline
from musiclust.preprocess.audio import listen
from musiclust.preprocess.audio.decode import decode
from musiclust.preprocess.audio.features import extract
from musiclust.preprocess.corpora.base import Request
from musiclust.preprocess.corpora.gtzan import gtzan

RATE = 22_050


def song(root: Path, name: str, seed: int, seconds: float = 0.5) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).uniform(-0.3, 0.3, round(seconds * RATE))
    soundfile.write(path, samples, RATE, subtype="PCM_16")
    return path


def hear_here(paths, *, workers, hear):
    """hear_all in this process."""
    yield from enumerate(map(hear, paths))


@pytest.fixture
def genres(tmp_path) -> Path:
    root = tmp_path / "genres"
    for seed, name in enumerate(("rock/rock.00001.wav", "blues/blues.00000.wav", "blues/blues.00001.wav")):
        song(root, name, seed)
    return root


def test_genres_are_classes_and_songs_tracks(genres):
    song(genres, "jazz/jazz.00054.au", 7)
    (genres / "rock" / "notes.txt").write_text("x")
    song(genres, "rock/rehearsal.wav", 8)
    corpus = gtzan(Request(audio_dir=genres))
    tracks = corpus.tracks
    assert tracks.track_id.tolist() == ["blues/blues.00000", "blues/blues.00001", "jazz/jazz.00054", "rock/rock.00001"]
    assert tracks.path[2] == str(genres / "jazz" / "jazz.00054.au")
    assert tracks.class_names == {"genre": ("blues", "jazz", "rock")}
    assert tracks.classes["genre"].tolist() == [0, 0, 1, 2]
    assert tracks.group.tolist() == tracks.track_id.tolist()
    assert tracks.meta["title"][0] == "blues.00000"
    assert (corpus.others, list(corpus.skipped), corpus.warnings) == (2, [], [])


def test_clips_of_a_song_share_its_group_and_are_its_tens_of_seconds(genres):
    path = song(genres, "pop/pop.00003.wav", 9, seconds=24.0)
    tracks = gtzan(Request(audio_dir=genres, clips=12)).tracks
    mine = [i for i, group in enumerate(tracks.group) if group == "pop/pop.00003"]
    assert len(mine) == 12
    clips = {tracks.track_id[i]: str(tracks.path[i]) for i in mine}
    assert clips["pop/pop.00003#2"] == f"{path}#t=20,30"
    assert clips["pop/pop.00003#11"] == f"{path}#t=110,120"
    whole = soundfile.read(path, dtype="float32")[0]
    np.testing.assert_array_equal(decode(clips["pop/pop.00003#1"]).samples, whole[10 * RATE : 20 * RATE])
    last = decode(clips["pop/pop.00003#2"])
    np.testing.assert_array_equal(last.samples, whole[20 * RATE :])
    assert last.duration == pytest.approx(4.0)
    with pytest.raises(InputError, match=r"pop.00003.wav#t=30,40: too short, 0.000 s of sound"):
        decode(clips["pop/pop.00003#3"])
    heard = listen.hear(listen.Job(clips["pop/pop.00003#0"], ("librosa",)), listen.Settings())
    assert isinstance(heard, listen.Heard)
    assert heard.duration == pytest.approx(10.0)


@pytest.mark.parametrize("extension", ["wav", "au"])
def test_the_same_samples_twice_share_a_group_and_are_named(genres, extension):
    song(genres, f"metal/metal.00058.{extension}", 5)
    copy = song(genres, f"rock/rock.00016.{extension}", 5)
    song(genres, f"rock/rock.00017.{extension}", 6)
    if extension == "au":  # another header, the same sound
        raw = copy.read_bytes()
        begin = int.from_bytes(raw[4:8], "big")
        copy.write_bytes(raw[:4] + (begin + 8).to_bytes(4, "big") + raw[8:begin] + b"comment\0" + raw[begin:])
    (genres / "rock" / "rock.00020.wav").touch()
    (genres / "rock" / "rock.00021.wav").touch()  # two empty files are no recording twice
    corpus = gtzan(Request(audio_dir=genres))
    group = dict(zip(corpus.tracks.track_id.tolist(), corpus.tracks.group.tolist(), strict=True))
    assert group["metal/metal.00058"] == group["rock/rock.00016"]
    assert len(set(group.values())) == len(group) - 1
    assert corpus.warnings == [
        (str(genres / "metal" / f"metal.00058.{extension}"), "the same samples as rock/rock.00016")
    ]


def test_split_lists_choose_songs_and_are_classes(genres, tmp_path):
    train, test = tmp_path / "train_filtered.txt", tmp_path / "test_filtered.txt"
    train.write_text("blues/blues.00001.wav\nreggae/reggae.00086.wav\n\n")
    test.write_text("/data/gtzan/rock/rock.00001.au\trock\n")
    corpus = gtzan(Request(audio_dir=genres, split_file=(train, test)))
    assert corpus.tracks.track_id.tolist() == ["blues/blues.00001", "rock/rock.00001"]
    assert corpus.tracks.class_names["split"] == ("test_filtered", "train_filtered")
    assert corpus.tracks.classes["split"].tolist() == [1, 0]
    assert corpus.warnings == [("train_filtered.txt", "1 of its songs are not there: reggae.00086")]
    clips = gtzan(Request(audio_dir=genres, split_file=(train,), clips=2)).tracks
    assert clips.track_id.tolist() == ["blues/blues.00001#0", "blues/blues.00001#1"]
    assert clips.group.tolist() == ["blues/blues.00001"] * 2
    test.write_text("blues.00001\n")
    with pytest.raises(InputError, match=r"blues/blues.00001 is in train_filtered too"):
        gtzan(Request(audio_dir=genres, split_file=(train, test)))
    test.write_text("techno.00001\n")
    with pytest.raises(InputError, match=r"names no song that is there \(such as techno.00001\)"):
        gtzan(Request(audio_dir=genres, split_file=(test,)))
    with pytest.raises(InputError, match=r"is missing: check `split_file`"):
        gtzan(Request(audio_dir=genres, split_file=(tmp_path / "no.txt",)))


def test_a_song_in_two_formats_is_one_track(genres):
    song(genres, "blues/blues.00000.au", 3)
    corpus = gtzan(Request(audio_dir=genres))
    assert len(corpus.tracks) == 3
    [(path, reason)] = corpus.skipped
    assert path.endswith("blues.00000.wav")
    assert "another file, blues/blues.00000.au" in reason


def test_wrong_folders_are_one_line(tmp_path):
    with pytest.raises(InputError, match="add `audio_dir"):
        gtzan(Request())
    with pytest.raises(InputError, match="does not exist"):
        gtzan(Request(audio_dir=tmp_path / "no"))
    song(tmp_path, "blues/song.wav", 0)
    with pytest.raises(InputError, match=r"no songs named as GTZAN's, blues/blues.00000.wav"):
        gtzan(Request(audio_dir=tmp_path))
    with pytest.raises(InputError, match="`clips=0`"):
        gtzan(Request(audio_dir=tmp_path, clips=0))


def test_clips_of_one_file_are_heard_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr(listen, "hear_all", hear_here)
    path, root = song(tmp_path / "genres", "blues/blues.00000.wav", 0, seconds=21.0), tmp_path / "store"
    corpus = gtzan(Request(audio_dir=tmp_path / "genres", clips=3))
    summary = pipeline.preprocess(corpus, root, embedder="tfidf")
    assert (summary.found, summary.things, summary.used, summary.computed) == (3, "clips", 3, 3)
    tracks = store.load_tracks(root)
    np.testing.assert_allclose(tracks.meta["duration"], [10, 10, 1], atol=1e-3)
    assert set(tracks.group) == {"blues/blues.00000"}
    expected = extract(soundfile.read(path, dtype="float32")[0][10 * RATE : 20 * RATE])["mfcc_mean"]
    np.testing.assert_allclose(store.load_block(root, "mfcc_mean").values[1], expected, rtol=1e-5)
    assert pipeline.preprocess(corpus, root, embedder="tfidf").computed == 0
    with pytest.raises(InputError, match=r"holds the corpus gtzan of .*, clips 3, not gtzan of .*, clips 1"):
        pipeline.preprocess(gtzan(Request(audio_dir=tmp_path / "genres")), root)
