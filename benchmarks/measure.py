"""How the benchmarks measure: contenders in turn, medians after a warm-up, ratios within a repeat.

A busy machine is then busy for all of them. Every figure comes with its range over the repeats, and with the machine.
"""

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

console = Console(highlight=False, width=110)


def in_turn(contenders: Mapping[str, Callable[[], float | None]], repeats: int) -> dict[str, np.ndarray]:
    """Seconds of each contender in each repeat, (repeats,); the first round warms up and is not counted.

    A contender that returns a number has timed itself (it works in another process, say), and that number counts.
    """
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats + 1):
        for name, contender in contenders.items():
            start = time.perf_counter()
            told = contender()
            taken[name].append(time.perf_counter() - start if told is None else told)
    return {name: np.array(seconds[1:]) for name, seconds in taken.items()}


def summary(values: np.ndarray) -> dict[str, float]:
    """Median and range."""
    return {"median": float(np.median(values)), "min": float(values.min()), "max": float(values.max())}


def machine(packages: Sequence[str]) -> dict[str, Any]:
    """What the figures were measured on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    about: dict[str, Any] = {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
    }
    for package in packages:
        try:
            about[package] = version(package)
        except PackageNotFoundError:
            about[package] = "not installed"
    return about


def ratio_table(title: str, ratios: Mapping[str, np.ndarray]) -> Table:
    """Median and range of each ratio (repeats,)."""
    table = Table("ratio", "median", "range", title=title)
    for name, ratio in ratios.items():
        table.add_row(name, f"{np.median(ratio):.2f}", f"{ratio.min():.2f} to {ratio.max():.2f}")
    return table


def write(out: Path, result: Mapping[str, Any]) -> None:
    """Writes the figures as JSON and says where."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    console.print(f"written to {out}")
