"""A process that is killed while it brings a store up to date leaves what was there before, or what is new."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from musiclust import store

ROOT = Path(__file__).resolve().parents[3]
RATE, KILLS = 22_050, 40
PIPES: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}

# A line in: the folder of a store to bring up to date, by a process of its own. Lines out: its id, then how it ended.
SERVER = """
import os
import sys
from pathlib import Path
from musiclust.preprocess import pipeline
from musiclust.preprocess.audio import listen
from musiclust.preprocess.corpora.base import Request
from musiclust.preprocess.corpora.folder import folder

def hear_here(jobs, *, workers, hear):
    yield from enumerate(map(hear, jobs))

listen.hear_all = hear_here  # so that there is one process to kill
pipeline._SHARD_TRACKS = 1
listen.features.warm_up()
for line in sys.stdin:
    child = os.fork()
    if not child:
        pipeline.preprocess(folder(Request(audio_dir=Path(sys.argv[1]))), Path(line.rstrip("\\n")), embedder="tfidf")
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def tone(path: Path, hertz: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    t = np.arange(RATE) / RATE
    noise = np.random.default_rng(0).standard_normal(len(t))
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * hertz * t) + 0.01 * noise, RATE)


def read_store(root: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """All that a reader finds: the tracks with their sound, and their words, which come later."""
    tracks = store.load_tracks(root)
    found: dict[str, Any] = {
        "tracks": [*zip(tracks.track_id.tolist(), tracks.meta["duration"].tolist(), strict=True)],
        "files": store.load_files(root),
    }
    for name in store.block_names(root):
        block = store.load_block(root, name)
        found[name] = (block.track_id.tolist(), block.valid.tolist(), block.values[:].tobytes(), block.spec)
    return found, {"lyrics": found.pop("lyrics")}


def wait_until_writing(root: Path) -> None:
    written = (root / "tracks.csv").stat().st_mtime_ns
    while not (root / "partial" / "new").exists() and (root / "tracks.csv").stat().st_mtime_ns == written:
        time.sleep(0.0005)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_kill_at_any_moment_leaves_old_or_new(tmp_path):
    music, before, after = (tmp_path / name for name in ("music", "before", "after"))
    for i in range(4):
        tone(music / f"{i}.wav", 200 + 10 * i)
    for i in (0, 2):
        (music / f"{i}.txt").write_text(f"the sea the hill {i}")
    command = [sys.executable, "-c", SERVER, str(music)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, **PIPES, text=True, bufsize=1) as server:
        assert server.stdin is not None
        assert server.stdout is not None

        def begin(root: Path) -> int:
            server.stdin.write(f"{root}\n")
            return int(server.stdout.readline())

        def end() -> int:
            return int(server.stdout.readline())

        begin(before)
        assert end() == 0
        tone(music / "new.wav", 900)
        tone(music / "2.wav", 1000)
        (music / "0.wav").unlink()
        (music / "new.txt").write_text("the river and the sea")
        shutil.copytree(before, after)
        started = time.monotonic()
        begin(after)
        wait_until_writing(after)
        writing = time.monotonic() - started
        assert end() == 0
        whole = time.monotonic() - started
        old, new = read_store(before), read_store(after)
        assert old[0] != new[0]
        assert old[1] != new[1]
        rng, killed, seen = np.random.default_rng(0), 0, set()
        for number in range(KILLS):
            root = tmp_path / f"killed-{number}"
            shutil.copytree(before, root)
            child = begin(root)
            if number % 2:  # every other one while blocks are written
                wait_until_writing(root)
                time.sleep(rng.uniform(0, whole - writing))
            else:
                time.sleep(rng.uniform(0, whole))
            with suppress(ProcessLookupError):  # it may be done by now
                os.kill(child, signal.SIGKILL)
            killed += end() == -signal.SIGKILL
            sound, words = read_store(root)
            assert sound in (old[0], new[0]), number
            assert words in (old[1], new[1]), number
            seen.add((sound == new[0], words == new[1]))
            begin(root)
            assert end() == 0
            assert read_store(root) == new, number
            assert not (root / "partial").exists()
            for name in store.block_names(root):
                assert len(np.load(root / f"{name}.npy")) == store.load_outline(root, name).layout.rows
        server.stdin.close()
    assert killed > KILLS // 2
    assert len(seen) > 1
