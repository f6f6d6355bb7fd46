"""corpora: what a folder of files becomes."""

import os
import socket
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musiclust import store
from musiclust.errors import InputError
from musiclust.preprocess import pipeline
from musiclust.preprocess.audio import features, listen
from musiclust.preprocess.corpora import registry
from musiclust.preprocess.corpora.audio_files import EXTENSIONS
from musiclust.preprocess.corpora.base import Request
from musiclust.preprocess.corpora.folder import folder
from musiclust.preprocess.demo import manifest, render
from musiclust.types import Block


def touch(path, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def id3(**frames):
    """An ID3v2.3 tag with text frames, by hand: header, then (id, size, flags, latin-1 marker, text) each."""
    body = b""
    for name, value in frames.items():
        content = b"\0" + value.encode("latin-1")
        body += name.encode() + len(content).to_bytes(4, "big") + b"\0\0" + content
    size = bytes(len(body) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + size + body


def test_ids_are_relative_paths_sorted_without_extension(tmp_path):
    for name in ("b.mp3", "a/deep/z.FLAC", "a/1 'quoted', \"twice\" 🎵.ogg", "line\nbreak.wav"):
        touch(tmp_path / name)
    tracks = folder(Request(audio_dir=tmp_path)).tracks
    assert tracks.track_id.tolist() == ["a/1 'quoted', \"twice\" 🎵", "a/deep/z", "b", "line\nbreak"]
    assert [os.path.exists(path) for path in tracks.path] == [True] * 4
    assert tracks.meta["title"].tolist() == ["1 'quoted', \"twice\" 🎵", "z", "b", "line\nbreak"]
    assert tracks.group.tolist() == tracks.track_id.tolist()
    assert np.isnan(tracks.meta["duration"]).all()


def test_every_extension_in_either_case(tmp_path):
    for i, extension in enumerate(EXTENSIONS):
        touch(tmp_path / f"{i}a{extension}")
        touch(tmp_path / f"{i}b{extension.upper()}")
    assert len(folder(Request(audio_dir=tmp_path)).tracks) == 2 * len(EXTENSIONS)


def test_ids_that_would_collide_keep_the_extension(tmp_path):
    for name in ("a.mp3", "a.wav", "a.mp3.wav", "b.mp3"):
        touch(tmp_path / name)
    assert folder(Request(audio_dir=tmp_path)).tracks.track_id.tolist() == ["a.mp3", "a.mp3.wav", "a.wav", "b"]


def test_ids_are_composed_but_two_spellings_of_a_name_stay_two_tracks(tmp_path):
    decomposed = unicodedata.normalize("NFD", "é")
    touch(tmp_path / f"{decomposed}.mp3")
    assert folder(Request(audio_dir=tmp_path)).tracks.track_id.tolist() == ["é"]
    touch(tmp_path / "é.mp3")
    assert folder(Request(audio_dir=tmp_path)).tracks.track_id.tolist() == [f"{decomposed}.mp3", "é.mp3"]


def test_hidden_files_and_loops_are_left_out_and_others_counted(tmp_path):
    touch(tmp_path / "music" / "a.mp3")
    touch(tmp_path / "music" / "._a.mp3")
    touch(tmp_path / ".trash" / "b.mp3")
    touch(tmp_path / "cover.jpg")
    touch(tmp_path / "music" / "a.txt")
    (tmp_path / "music" / "loop").symlink_to(tmp_path)
    (tmp_path / "again").symlink_to(tmp_path / "music")
    corpus = folder(Request(audio_dir=tmp_path))
    assert len(corpus.tracks) == 1
    assert corpus.others == 2
    assert corpus.skipped == []


def test_a_name_that_is_not_text_is_named(tmp_path):
    touch(tmp_path / "good.wav")
    try:
        touch(tmp_path / os.fsdecode(b"bad\xff.wav"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    corpus = folder(Request(audio_dir=tmp_path))
    assert corpus.tracks.track_id.tolist() == ["good"]
    [(path, reason)] = corpus.skipped
    assert path.encode().endswith(b"bad\\udcff.wav")
    assert "UTF-8" in reason


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_cannot_be_read_is_named(tmp_path):
    touch(tmp_path / "a.mp3")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    assert folder(Request(audio_dir=tmp_path)).skipped == [(str(closed), "folder cannot be read: Permission denied")]


def test_tags_make_titles_groups_and_genres(tmp_path):
    touch(tmp_path / "x" / "1.mp3", id3(TIT2="Song", TPE1="Band", TALB="Disc", TCON="Rock") + b"\0" * 100)
    touch(tmp_path / "x" / "2.mp3", id3(TPE1="Band") + b"\0" * 100)
    touch(tmp_path / "y" / "3.mp3", b"ID3\x03\0\0\x7f\x7f\x7f\x7fTIT2")  # a tag that lies about its length
    tracks = folder(Request(audio_dir=tmp_path)).tracks
    assert tracks.meta["title"].tolist() == ["Song", "2", "3"]
    assert tracks.meta["artist"].tolist() == ["Band", "Band", ""]
    assert tracks.meta["album"].tolist() == ["Disc", "", ""]
    assert tracks.group.tolist() == ["Band", "Band", "y/3"]
    assert tracks.class_names == {"genre": ("Rock",), "folder": ("x", "y")}
    assert tracks.classes["genre"].tolist() == [0, -1, -1]
    assert tracks.classes["folder"].tolist() == [0, 0, 1]


def test_one_sub_folder_is_no_class(tmp_path):
    touch(tmp_path / "x" / "1.mp3")
    touch(tmp_path / "2.mp3")
    assert folder(Request(audio_dir=tmp_path)).tracks.classes == {}


def test_vorbis_comments_are_read(tmp_path):
    with soundfile.SoundFile(tmp_path / "a.flac", "w", 22_050, 1) as file:
        file.title, file.artist, file.genre = "Lied", "Chor", "Choral"
        file.write(np.zeros(1000))
    tracks = folder(Request(audio_dir=tmp_path)).tracks
    assert (tracks.meta["title"][0], tracks.group[0], tracks.class_names["genre"]) == ("Lied", "Chor", ("Choral",))


def test_wrong_folders_name_the_remedy(tmp_path):
    with pytest.raises(InputError, match=f"nearest folder that does is {tmp_path}.*`audio_dir`"):
        folder(Request(audio_dir=tmp_path / "no" / "where"))
    touch(tmp_path / "a.txt")
    with pytest.raises(InputError, match=r"holds no audio files \(looked for \.mp3.*others: 1"):
        folder(Request(audio_dir=tmp_path))
    with pytest.raises(InputError, match="is a file"):
        folder(Request(audio_dir=tmp_path / "a.txt"))
    with pytest.raises(InputError, match="add `audio_dir"):
        folder(Request())


def test_a_url_is_told_how_to_become_a_folder():
    with pytest.raises(InputError, match=r"`audio_dir` is the URL of a place, s3://\.\.\., and .* mount it"):
        folder(Request(audio_dir=Path("s3://bucket/music")))


def test_the_demo_is_rendered_in_the_cache_and_brings_its_words(tmp_path, monkeypatch):
    touch(tmp_path / "a.mp3")
    tracks = folder(Request(audio_dir=tmp_path)).tracks
    rendered = []
    monkeypatch.setattr(render, "render", lambda out_dir, **options: rendered.append((out_dir, options)))
    monkeypatch.setattr(render.manifest, "load", lambda out_dir: (tracks, {"a": "la la"}))
    corpus = registry.CORPORA["demo"](Request(cache_dir=tmp_path, seed=3, workers=2))
    place = manifest.default_dir(tmp_path, 3)
    assert rendered == [(place, {"seed": 3, "workers": 2, "progress": None})]
    assert (corpus.tracks, corpus.words) == (tracks, {"a": "la la"})
    assert corpus.source == {"corpus": "demo", "audio_dir": str(place), "seed": 3}


def hear_here(paths, *, workers, hear):
    """hear_all in this process."""
    yield from enumerate(map(hear, paths))


def test_blocks_that_a_corpus_brings_join_what_is_heard(tmp_path, monkeypatch):
    monkeypatch.setattr(listen, "hear_all", hear_here)
    music, root = tmp_path / "music", tmp_path / "store"
    music.mkdir()
    for i in range(3):
        soundfile.write(music / f"0{i}.wav", np.random.default_rng(i).uniform(-0.3, 0.3, 22_050), 22_050)
    corpus = folder(Request(audio_dir=music))
    values = np.arange(6, dtype=np.float32).reshape(3, 2)
    brought = Block("extra", corpus.tracks.track_id, values, np.array([True, False, True]), {"columns": ["a", "b"]})
    (music / "00.wav").write_bytes(b"")
    warnings = [(str(music / "00.wav"), "told already"), (str(music / "01.wav"), "odd")]
    summary = pipeline.preprocess(corpus._replace(blocks=[brought], warnings=warnings), root, embedder="tfidf")
    assert (summary.used, summary.things) == (2, "audio files")
    assert summary.blocks["extra"] == ((2, 2), "float32", 1)
    assert summary.warnings == warnings[1:]
    assert store.load_block(root, "extra").track_id.tolist() == ["01", "02"]
    np.testing.assert_array_equal(store.load_block(root, "extra").values, values[1:])
    pipeline.preprocess(corpus, root, embedder="tfidf")
    assert store.block_names(root) == sorted(features.BLOCKS)


@pytest.mark.skipif(os.name != "posix", reason="pipes and sockets of POSIX")
def test_what_is_no_file_is_named_and_never_opened(tmp_path):
    touch(tmp_path / "good.wav")
    os.mkfifo(tmp_path / "pipe.mp3")
    os.mkfifo(tmp_path / "pipe.txt")  # is counted among the others, as every name that is not audio's
    (tmp_path / "device.ogg").symlink_to("/dev/zero")
    (tmp_path / "gone.ogg").symlink_to(tmp_path / "nowhere.ogg")
    with socket.socket(socket.AF_UNIX) as one:
        here = os.getcwd()
        os.chdir(tmp_path)  # the path of a socket may be no longer than a hundred bytes
        one.bind("socket.flac")
        os.chdir(here)
        corpus = folder(Request(audio_dir=tmp_path))
    assert corpus.tracks.track_id.tolist() == ["gone", "good"]
    assert corpus.others == 1
    reason = "a pipe, socket or device, not a file: remove it"
    assert sorted(corpus.skipped) == [
        (str(tmp_path / name), reason) for name in ("device.ogg", "pipe.mp3", "socket.flac")
    ]


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_file_that_has_become_a_pipe_does_not_stop_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(listen, "hear_all", hear_here)
    music = tmp_path / "music"
    for name in ("a.wav", "b.wav"):
        soundfile.write(touch(music / name), np.random.default_rng(0).uniform(-0.3, 0.3, 22_050), 22_050)
    corpus = folder(Request(audio_dir=music))
    (music / "b.wav").unlink()
    os.mkfifo(music / "b.wav")
    summary = pipeline.preprocess(corpus, tmp_path / "store", embedder="tfidf")
    assert (summary.used, summary.skipped) == (1, [(str(music / "b.wav"), "a pipe, socket or device, not a file")])
