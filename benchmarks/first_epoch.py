"""What start.py measures: experiments.run in a process of its own, on a store made here, until it has trained."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.cli.interrupt import check_stop
from musiclust import store
from musiclust.errors import InputError
from musiclust.types import Block, Tracks

TRACKS, COLUMNS = 200, 20
TRAINED = re.compile(r"training model: [1-9]")  # what experiments.run prints when epochs are trained


def make_store(root: Path) -> Path:
    """A store of noise, without classes."""
    rng = np.random.default_rng(0)
    track_id = np.array([f"t{i:04d}" for i in range(TRACKS)])
    meta = {name: np.array([""] * TRACKS) for name in ("title", "artist", "album")}
    meta["duration"] = np.full(TRACKS, 10.0)
    store.save_tracks(root, Tracks(track_id, meta["title"], meta, {}, {}, track_id))
    values = rng.normal(size=(TRACKS, COLUMNS)).astype(np.float32)
    columns = {"columns": [f"mfcc_{i:02d}" for i in range(COLUMNS)]}
    store.save_block(root, Block("mfcc_mean", track_id, values, np.ones(TRACKS, bool), columns))
    return root


def seconds_until(pattern: re.Pattern[str], command: Sequence[str]) -> float:
    """From before the process starts to its first line with the pattern in it; the process is waited for.

    Raises:
      InputError: if it fails, or never prints such a line.
    """
    started, found, said = time.perf_counter(), None, ""
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said = line.strip() or said
            if found is None and pattern.search(line):
                found = time.perf_counter() - started
    check_stop()
    if process.returncode or found is None:
        raise InputError(f"exit status {process.returncode} of a run that should print {pattern.pattern!r}: {said}")
    return found


def measure(folder: Path, warm: int, cold: int) -> dict[str, np.ndarray]:
    """Seconds of the warm and of the cold runs."""
    root = make_store(folder / "store")

    def one(cache: str, name: str) -> float:
        options = {"model": "vae", "epochs": 10, "store": root, "cache_dir": folder / cache, "run_dir": folder / name}
        arguments = [f"--{option}={value}" for option, value in options.items()]
        return seconds_until(TRAINED, [sys.executable, "-m", "experiments.run", *arguments])

    one("cache", "first")
    taken: dict[str, list[float]] = {"cold": [], "warm": []}
    for turn in range(max(warm, cold)):
        if turn < warm:
            taken["warm"].append(one("cache", f"warm-{turn}"))
        if turn < cold:
            taken["cold"].append(one(f"cache-{turn}", f"cold-{turn}"))
    return {name: np.array(seconds) for name, seconds in taken.items()}
