"""What adding.py measures: a store that grows, each step of it in a process of its own."""

import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from experiments.cli.interrupt import check_stop
from musiclust import store
from musiclust.preprocess.writing import shards
from musiclust.preprocess.writing.compact import compact_store
from musiclust.rows import RowFile
from musiclust.types import Tracks

_SHAPES: dict[str, tuple[tuple[int, ...], str]] = {
    "msd": ((200,), "float32"),
    "mtt": ((200,), "float32"),
    "mfcc_stats": ((20, 7), "float32"),
}
_GROUP = "made up"
_SHARD = 32
_TURNS = 5  # of reading, of which the fastest counts: what else the machine does only adds


def specify(frames: int) -> dict[str, dict[str, Any]]:
    """The specs of the blocks, for spectrograms of so many frames."""
    shapes = {**_SHAPES, "melspec": ((128, frames), "float16")}
    return {
        name: {"shape": list(shape), "dtype": dtype, "extractor_version": 1} for name, (shape, dtype) in shapes.items()
    }


def list_ids(count: int) -> list[str]:
    """Ids as a folder of artists and albums gives them; those of a larger count lie between and after."""
    return sorted(f"artist {i % 997:03d}/album {i % 9}/{i:07d} song of some name" for i in range(count))


def save_songs(root: Path, ids: Sequence[str], frames: int, version: int = 0) -> None:
    """Writes songs to shards, as if they had been heard; another version has other values and another stamp."""
    specs, rng = specify(frames), np.random.default_rng(version)
    pools = {name: rng.normal(size=(64, *spec["shape"])).astype(spec["dtype"]) for name, spec in specs.items()}
    for start in range(0, len(ids), _SHARD):
        check_stop()
        heard = []
        for number, track_id in enumerate(ids[start : start + _SHARD], start):
            values = {name: pool[number % 64] for name, pool in pools.items()}
            file = store.FileRecord(store.Stamp(1_000_000 + number, 10**18 + version), 180.0, "")
            heard.append(shards.Computed(track_id, file, values))
        shards.save_shard(root, heard, specs)


def merge(root: Path, ids: Sequence[str], frames: int) -> None:
    """Makes the store hold these songs, of those that are in it and in its shards."""
    groups = {_GROUP: specify(frames)}
    track_id = np.array(ids)
    empty = np.full(len(ids), "")
    meta = {"title": track_id, "artist": empty, "album": empty, "duration": np.full(len(ids), 180.0)}
    tracks = Tracks(track_id, track_id, meta, {}, {}, track_id)
    shards.merge_shards(root, tracks, shards.find_finished(root, groups), groups)


def add(root: Path, ids: Sequence[str], fresh: Sequence[str], frames: int, version: int = 0) -> None:
    """Saves `fresh` and makes the store hold `ids`."""
    save_songs(root, fresh, frames, version)
    merge(root, ids, frames)


def compact(root: Path) -> None:
    """Compacts the store."""
    compact_store(root, lambda stage, done, total: None)


def read_blocks(root: Path, checked: bool, cold: bool) -> None:
    """Reads all values chunk by chunk, with their digests or without.

    Args:
      cold: whether they come from the disk, and not from what the system keeps of it in memory.
    """
    for name in store.block_names(root):
        path, outline = root / f"{name}.npy", store.load_outline(root, name)
        chunks = outline.layout.chunks if checked else tuple((rows, "") for rows, _ in outline.layout.chunks)
        if cold:
            forget(path)
        file = RowFile(path, outline.layout._replace(chunks=chunks), remedy="")
        edges = np.cumsum([0, *(rows for rows, _ in chunks)])
        for start, end in pairwise(edges.tolist()):
            file.read(np.arange(start, end))


def forget(path: Path) -> None:
    """Lets the system drop what it keeps of a file in memory, where it can be told so."""
    if hasattr(os, "posix_fadvise"):
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _measure(connection: Any, step: Callable[..., None], arguments: Sequence[Any], options: Mapping[str, Any]) -> None:
    before, started = _written(), time.perf_counter()
    step(*arguments, **options)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    connection.send({"seconds": seconds, "written": _written() - before, "peak": peak})


def _written() -> int:
    """Bytes that this process has written; 0 where there is no /proc."""
    io = Path("/proc/self/io")
    counts = dict(line.split(": ") for line in io.read_text().splitlines()) if io.exists() else {}
    return int(counts.get("wchar", 0))


def measure(step: Callable[..., None], *arguments: Any, **options: Any) -> dict[str, float]:
    """Seconds, bytes written and peak of memory of a step in a process of its own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_measure, args=(there, step, arguments, options))
    process.start()
    there.close()
    try:
        return here.recv()
    finally:
        process.join()


def measure_store(folder: Path, tracks: int, added: int, frames: int) -> list[dict[str, Any]]:
    """The rows of the table."""
    ids = list_ids(tracks + added)
    rng = np.random.default_rng(0)
    fresh = sorted(rng.choice(ids, added, replace=False).tolist())
    first = sorted({*ids} - {*fresh})
    changed = first[:: len(first) // added][:added]
    fewer = sorted({*ids} - {*changed})
    root, empty = folder / "large", folder / "empty"
    rows = [
        {"what": f"{tracks:,} songs into an empty store", **measure(add, root, first, first, frames)},
        {"what": f"{added} songs into an empty store", **measure(add, empty, fresh, fresh, frames)},
        {"what": f"{added} songs into that of {tracks:,}", **measure(add, root, ids, fresh, frames)},
        {"what": f"{added} songs of it changed", **measure(add, root, ids, changed, frames, version=1)},
        {"what": f"{added} songs of it taken away", **measure(merge, root, fewer, frames)},
        {"what": "the same again: nothing to do", **measure(merge, root, fewer, frames)},
        {"what": "compacting it", **measure(compact, root)},
    ]
    for cold, where in ((False, "memory"), (True, "the disk")):
        read_blocks(root, checked=False, cold=cold)
        turns = [[measure(read_blocks, root, checked, cold) for checked in (False, True)] for _ in range(_TURNS)]
        for how, taken in zip(("unchecked", "checked"), zip(*turns, strict=True), strict=True):
            rows.append({"what": f"reading it from {where}, {how}", **min(taken, key=lambda one: one["seconds"])})
    return rows
