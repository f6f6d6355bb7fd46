"""pipeline (with its workers and shards): what is due, what failed, what survives."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from musiclust import blocks, files, records, store
from musiclust.errors import InputError
from musiclust.preprocess import pipeline
from musiclust.preprocess.audio import features, listen
from musiclust.preprocess.corpora.base import Request
from musiclust.preprocess.corpora.folder import folder
from musiclust.preprocess.writing import shards, swap
from musiclust.preprocess.writing.compact import compact_store
from musiclust.preprocess.writing.lock import lock_store

ROOT = Path(__file__).resolve().parents[2]
RATE = 22_050


def tone(path: Path, hertz: float, seconds: float = 1.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    t = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(0).standard_normal(len(t))
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * hertz * t) + 0.01 * noise, RATE)
    return path


def tones(root: Path, n: int) -> Path:
    for i in range(n):
        tone(root / f"{i:02d}.wav", 200 + 10 * i)
    return root


def run(music: Path, root: Path, **options) -> pipeline.Summary:
    return pipeline.preprocess(folder(Request(audio_dir=music)), root, **{"embedder": "tfidf", **options})


def contents(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.glob("*.npy")}


def loaded(root: Path) -> dict[str, Any]:
    """What a reader finds in the blocks, in whatever order their rows came."""
    blocks = [store.load_block(root, name) for name in store.block_names(root)]
    return {b.name: (b.track_id.tolist(), b.valid.tolist(), np.asarray(b.values).tobytes(), b.spec) for b in blocks}


def _here(jobs: Sequence[Any], *, workers: int, hear: Callable[[Any], Any]):
    """hear_all in this process, for tests that are not about processes."""
    yield from enumerate(map(hear, jobs))


def features_by_hand(path: Path | str) -> dict[str, np.ndarray]:
    samples = features.decode(path, sample_rate=features.SAMPLE_RATE, seconds=features.CLIP_SECONDS).samples
    return features.extract(samples, sample_rate=features.SAMPLE_RATE)


def test_a_store_holds_what_decode_and_extract_give(tmp_path):
    music = tones(tmp_path / "music", 5)
    progress = []
    summary = run(music, tmp_path / "store", workers=2, progress=lambda *args: progress.append(args))
    tracks = store.load_tracks(tmp_path / "store")
    assert tracks.track_id.tolist() == ["00", "01", "02", "03", "04"]
    np.testing.assert_allclose(tracks.meta["duration"], 1.0)
    aligned = store.align(tracks, [store.load_block(tmp_path / "store", name) for name in features.BLOCKS])
    for row, path in enumerate(tracks.path):
        expected = features_by_hand(path)
        for block in aligned:
            # not to the last bit: BLAS adds up in another order in the single thread of a pool's process
            np.testing.assert_allclose(block.values[row], expected[block.name], rtol=1e-3, atol=1e-4)
    for block in aligned:
        assert block.valid.all()
        assert block.spec == features.spec(block.name)
    assert (summary.found, summary.used, summary.computed, summary.skipped) == (5, 5, 5, [])
    assert summary.blocks["mfcc_stats"] == ((5, 20, 7), "float32", 5)
    assert summary.embedder is None
    assert [args[1:] for args in progress if args[0] == listen._PREPARING] == [(0, 1), (1, 1)]
    assert [args for args in progress if args[0] == "features"] == [("features", i, 5) for i in range(6)]
    assert sorted(path.name for path in (tmp_path / "store").iterdir() if path.suffix not in (".npy", ".json")) == [
        "files.csv",
        "lyrics.jsonl",
        "skipped.csv",
        "tracks.csv",
    ]


def test_a_folder_of_odd_files(tmp_path, monkeypatch):
    monkeypatch.setattr(listen, "hear_all", _here)
    music = tmp_path / "music"
    tone(music / "good.wav", 440)
    tone(music / "sub" / 'it\'s "quoted", 🎵\nnaïve.ogg', 330)
    tone(music / "short.wav", 440, seconds=0.3)
    whole = tone(music / "whole.mp3", 220, seconds=6.0).read_bytes()
    (music / "cut.mp3").write_bytes(whole[: len(whole) // 3])
    (music / "empty.mp3").write_bytes(b"")
    (music / "text.mp3").write_text("not music at all\n" * 50)
    soundfile.write(music / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(music / "nan.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
    tone(music / "tiny.wav", 440, seconds=0.03)
    (music / "gone.wav").symlink_to(music / "nowhere.wav")
    (music / "cover.jpg").write_bytes(b"x")
    (music / "good.lrc").write_text("[00:01.00]Early one morning")
    summary = run(music, tmp_path / "store")
    reasons = {Path(path).name: reason for path, reason in summary.skipped}
    assert set(reasons) == {"empty.mp3", "text.mp3", "silent.wav", "nan.wav", "tiny.wav", "gone.wav"}
    assert "empty" in reasons["empty.mp3"]
    assert "not audio" in reasons["text.mp3"]
    assert "silent" in reasons["silent.wav"]
    assert "too short" in reasons["tiny.wav"]
    assert "No such file" in reasons["gone.wav"]
    assert not any(str(music) in reason for reason in reasons.values())
    [(warned, warning)] = summary.warnings
    assert Path(warned).name == "cut.mp3"
    assert "cut short" in warning
    tracks = store.load_tracks(tmp_path / "store")
    assert tracks.track_id.tolist() == ["cut", "good", "short", 'sub/it\'s "quoted", 🎵\nnaïve', "whole"]
    assert (summary.found, summary.used, summary.others) == (11, 5, 2)
    assert store.load_skipped(tmp_path / "store") == list(summary.skipped)
    lyrics = store.load_block(tmp_path / "store", "lyrics")
    assert lyrics.valid.tolist() == [False, True, False, False, False]
    assert summary.lyrics == {"none": 4, "sidecar": 1}
    # and once more: nothing is computed, the same is said
    again = run(music, tmp_path / "store")
    assert (again.computed, again.used, again.skipped, again.warnings) == (
        0,
        5,
        summary.skipped,
        summary.warnings,
    )


def test_nothing_usable_leaves_no_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(listen, "hear_all", _here)
    music = tmp_path / "music"
    music.mkdir()
    (music / "empty.mp3").write_bytes(b"")
    summary = run(music, tmp_path / "store")
    assert (summary.found, summary.used, summary.blocks) == (1, 0, {})
    assert store.block_names(tmp_path / "store") == []
    assert store.load_skipped(tmp_path / "store") == list(summary.skipped)


def test_only_what_is_new_or_changed_is_computed(tmp_path, monkeypatch):
    monkeypatch.setattr(listen, "hear_all", _here)
    music, root = tones(tmp_path / "music", 4), tmp_path / "store"
    assert run(music, root).computed == 4
    before = contents(root)
    assert run(music, root).computed == 0
    assert contents(root) == before
    tone(music / "new.wav", 900)
    tone(music / "02.wav", 1000, seconds=2.0)
    (music / "00.wav").unlink()
    summary = run(music, root)
    assert (summary.computed, summary.used) == (2, 4)
    for name, content in before.items():  # rows are appended, and nothing else of a block is written
        assert contents(root)[name][128 : len(content)] == content[128:]
        assert len(contents(root)[name]) == 128 + (len(content) - 128) * 6 // 4
    assert summary.dead == {}
    fresh = tmp_path / "fresh"
    assert run(music, fresh).computed == 4
    assert loaded(root) == loaded(fresh)
    compact_store(root, lambda *report: None)
    assert contents(root) == contents(fresh)
    assert (root / "tracks.csv").read_text() == (fresh / "tracks.csv").read_text()
    spec = features.spec
    monkeypatch.setattr(features, "spec", lambda name, **how: {**spec(name, **how), "extractor": "librosa 99"})
    assert run(music, root).computed == 0
    monkeypatch.setattr(features, "spec", lambda name, **how: {**spec(name, **how), "extractor_version": -1})
    assert run(music, root).computed == 4
    assert store.load_block(root, "chroma").spec["extractor_version"] == -1


def test_no_words_asked_for_no_words_in_the_store(tmp_path, monkeypatch):
    monkeypatch.setattr(listen, "hear_all", _here)
    music, root = tones(tmp_path / "music", 2), tmp_path / "store"
    (music / "00.txt").write_text("la la la")
    assert run(music, root).embedder.name == "tfidf-svd"
    summary = run(music, root, lyrics="none")
    assert (summary.embedder, summary.lyrics) == (None, {"none": 2})
    assert "lyrics" not in store.block_names(root)
    assert run(music, root, lyrics="sidecar").blocks["lyrics"] == ((2, 1), "float32", 1)


SCRIPT = """
import sys
from pathlib import Path
from musiclust.preprocess import pipeline
from musiclust.preprocess.audio import listen
from musiclust.preprocess.corpora.base import Request
from musiclust.preprocess.corpora.folder import folder
listen.features.warm_up = lambda: None  # the one worker does it
pipeline._SHARD_TRACKS, pipeline._SHARD_SECONDS = 4, 1e9  # a shard holds four tracks however slow the machine is
pipeline.preprocess(folder(Request(audio_dir=Path(sys.argv[1]))), Path(sys.argv[2]), embedder="tfidf", workers=1)
"""


def _hear_interrupts() -> None:
    """A shell that starts the tests in the background has SIGINT ignored, by all processes below it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _start(music: Path, root: Path) -> subprocess.Popen[str]:
    """Preprocesses in a process group of its own; returns when the first shard is on the disk."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(music), str(root)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_hear_interrupts,
    )
    while not (root / "partial" / "1.npz").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.002)
    return process


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_killed_run_is_taken_up_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(listen, "hear_all", _here)
    music, root = tones(tmp_path / "music", 30), tmp_path / "store"
    process = _start(music, root)
    process.kill()
    process.communicate(timeout=120)  # which ends when the workers have: none of them outlives its parent
    assert not (root / "tracks.csv").exists()
    kept = shards.find_finished(root, listen.list_specs(listen.Settings()))["librosa"]
    assert 4 <= len(kept) < 30
    (root / "partial" / ".99.npz.1.tmp").write_bytes(b"torn")  # as if killed while writing a shard
    summary = run(music, root)  # the lock of the dead process is taken over
    assert summary.computed == 30 - len(kept)
    assert not (root / "partial").exists()
    assert not (root / ".lock").exists()
    run(music, tmp_path / "unbroken")
    for name in features.BLOCKS:
        broken, unbroken = (store.load_block(place, name) for place in (root, tmp_path / "unbroken"))
        np.testing.assert_array_equal(broken.track_id, unbroken.track_id)
        np.testing.assert_allclose(broken.values, unbroken.values, rtol=1e-3, atol=1e-4)  # see above
    assert (root / "tracks.csv").read_text() == (tmp_path / "unbroken" / "tracks.csv").read_text()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_an_interrupted_run_saves_what_it_has(tmp_path, monkeypatch):
    monkeypatch.setattr(listen, "hear_all", _here)
    music, root = tones(tmp_path / "music", 60), tmp_path / "store"
    process = _start(music, root)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does on Ctrl-C: to the workers too
    _, errors = process.communicate(timeout=120)
    # One in the main thread, which a script would end in a line; threads of the pool may say so too on their way out.
    assert "KeyboardInterrupt" in errors
    assert "InputError" not in errors
    assert not (root / ".lock").exists()
    kept = shards.find_finished(root, listen.list_specs(listen.Settings()))["librosa"]
    assert 4 <= len(kept) < 60
    assert run(music, root).computed == 60 - len(kept)


def _full_after(n: int):
    """files.atomic, but that the disk is full after n files."""
    count = iter(range(10**6))

    def full(path, mode="w"):
        if next(count) >= n:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return files.atomic(path, mode)

    return full


@pytest.mark.parametrize("written", range(0, 15, 2))
def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path, monkeypatch, written):
    # A run writes 15 files. The disk fills up at another one each time: a shard, one of the records, a table.
    monkeypatch.setattr(listen, "hear_all", _here)
    music, root = tones(tmp_path / "music", 4), tmp_path / "store"
    (music / "00.txt").write_text("la la la")
    run(music, root)
    tone(music / "new.wav", 900)
    tone(music / "02.wav", 1000, seconds=2.0)
    with monkeypatch.context() as patch:
        full = _full_after(written)
        for module in (store, blocks, records, shards, swap):
            patch.setattr(module, "atomic", full)
        with pytest.raises(InputError, match=r"no space left .* finished tracks are kept"):
            run(music, root)
    computed = run(music, root).computed
    assert computed == (2 if written == 0 else 0)
    run(music, tmp_path / "fresh")
    assert loaded(root) == loaded(tmp_path / "fresh")


def test_a_store_keeps_to_its_corpus_and_to_one_writer(tmp_path, monkeypatch):
    monkeypatch.setattr(listen, "hear_all", _here)
    music, root = tones(tmp_path / "music", 1), tmp_path / "store"
    run(music, root)
    with pytest.raises(InputError, match=r"holds the corpus folder of .*music.*give `store` another place"):
        run(tones(tmp_path / "elsewhere", 1), root)
    with lock_store(root), pytest.raises(InputError, match=f"written by process {os.getpid()}"):
        run(music, root)
    (root / ".lock").write_text("")  # of a process that died before it could sign
    assert run(music, root).used == 1
    with pytest.raises(InputError, match="is a file"):
        run(music, music / "00.wav")


@pytest.mark.skipif("MUSICLUST_DATA" not in os.environ, reason="MUSICLUST_DATA names no folder of recordings")
def test_real_recordings(tmp_path):
    summary = run(Path(os.environ["MUSICLUST_DATA"]) / "songs", tmp_path / "store", workers=2)
    assert summary.used == summary.found == 7
    assert summary.lyrics == {"none": 7}  # licences lie beside them
    assert len(summary.refused) == 7
