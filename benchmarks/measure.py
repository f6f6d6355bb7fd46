"""How the benchmarks measure: contenders in turn, medians after a warm-up, ratios within a repeat.

A busy machine is then busy for all of them. Every figure comes with its range over the repeats, and with the machine.
A result is JSON: "command", "machine" (with threads and date) and the figures; `benchmarks.tables` renders it.
"""

import datetime
import json
import math
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from experiments.cli.console import PlainConsole
from experiments.cli.cores import count_usable_cores
from experiments.cli.interrupt import check_stop

console = PlainConsole(width=120)


def in_turn(
    contenders: Mapping[str, Callable[[], float | None]], repeats: int, most_seconds: float = math.inf
) -> dict[str, np.ndarray]:
    """Seconds of each contender in each repeat, (repeats,); the first round warms up and is not counted.

    A contender that returns a number has timed itself (it works in another process, say), and that number counts. One
    that takes `most_seconds` or more to warm up is not repeated, and that one figure, (1,), is what it gets; one that
    returns infinity could not do it.
    """
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(repeats + 1):
        for name, contender in contenders.items():
            if turn and taken[name][0] >= most_seconds:
                continue
            check_stop()
            start = time.perf_counter()
            told = contender()
            taken[name].append(time.perf_counter() - start if told is None else told)
    return {name: np.array(seconds[1:] or seconds) for name, seconds in taken.items()}


def summary(values: np.ndarray) -> dict[str, float]:
    """Median and range."""
    return {"median": float(np.median(values)), "min": float(values.min()), "max": float(values.max())}


def machine(packages: Sequence[str]) -> dict[str, Any]:
    """What the figures are measured on and with: processor, threads of this process as they are now, versions, date."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    pools = {pool["internal_api"]: pool["num_threads"] for pool in threadpool_info()}
    about: dict[str, Any] = {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "threads": {"usable cores": count_usable_cores(), **pools},
        "load_before": round(os.getloadavg()[0], 2),
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
    }
    for package in packages:
        try:
            about[package] = version(package)
        except PackageNotFoundError:
            about[package] = "not installed"
    return about


def write(out: Path, result: Mapping[str, Any]) -> None:
    """Writes the figures, and the command that made them, as JSON."""
    command = shlex.join(["python", "-m", f"benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]])
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"command": command, **result}, indent=1) + "\n", encoding="utf-8")


def watch_memory(process: subprocess.Popen) -> int:
    """Waits for a process; the most bytes that it and all below it held together."""
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(_resident(pid) for pid in _tree(process.pid)))
        time.sleep(0.05)
    return peak


def _tree(pid: int) -> list[int]:
    """A process and all below it."""
    children = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
        children.setdefault(parent, []).append(int(path.parent.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def _resident(pid: int) -> int:
    """Bytes of memory that a process holds, what it shares with others counted by its part."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
