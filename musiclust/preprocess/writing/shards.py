"""Finished tracks on their way into a store: first in shards, then in its blocks.

    partial/<n>.npz   a few finished tracks: track_id, size, mtime_ns, duration, warning, specs, one array a block
    files.csv         about each track in the blocks: track_id, size, mtime_ns, duration, warning

Conventions: a track counts as done for as long as its file keeps its size (bytes) and modification time (ns) and the
features keep their specs. Whatever the moment at which a run is killed, the next one finds each finished track in a
shard or in every block. Nothing here holds more than a few shards in memory.
"""

import csv
import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from musiclust import store
from musiclust.preprocess.audio.listen import Heard
from musiclust.preprocess.writing.swap import recover, together
from musiclust.types import Tracks

Specs = Mapping[str, Mapping[str, Any]]

_FOLDER = "partial"
_FILES = "files.csv"
_OPEN_SHARDS = 16  # read at a time, about 4 MB each
_SUPPORT = {"extractor"}  # names a library's version: told, but no reason to compute anew


class Stamp(NamedTuple):
    """What tells a changed file from an unchanged one: bytes, ns."""

    size: int
    mtime_ns: int


class Done(NamedTuple):
    """A finished track. shard: where its features are, at which row; None where they are in the store's blocks."""

    stamp: Stamp
    duration: float
    warning: str
    shard: Path | None = None
    row: int = -1


def save_shard(root: Path, finished: Sequence[tuple[str, Stamp, Heard]], specs: Specs) -> None:
    """Writes one shard; it is on the disk when this returns."""
    numbers = [int(path.stem) for path in _shards(root)]
    track_id, stamps, heard = zip(*finished, strict=True)
    arrays = {name: np.stack([one.features[name] for one in heard]) for name in specs}
    with store.atomic(root / _FOLDER / f"{max(numbers, default=0) + 1}.npz", "wb") as file:
        np.savez(
            file,
            allow_pickle=False,
            track_id=np.array(track_id, dtype=str),
            size=np.array([stamp.size for stamp in stamps], dtype=np.int64),
            mtime_ns=np.array([stamp.mtime_ns for stamp in stamps], dtype=np.int64),
            duration=np.array([one.duration for one in heard]),
            warning=np.array([one.warning for one in heard], dtype=str),
            specs=_fingerprint(specs),
            **arrays,
        )


def finished(root: Path, specs: Specs) -> dict[str, Done]:
    """track_id -> what is finished, in the blocks or, newer, in shards.

    Shards made with other specs, or torn, are removed: their tracks are computed anew.
    """
    recover(root)
    done = _in_blocks(root, specs)
    for path in _shards(root):
        try:
            with np.load(path) as shard:
                if shard["specs"].item() != _fingerprint(specs):
                    raise ValueError("other specs")
                names = ("track_id", "size", "mtime_ns", "duration", "warning")
                columns = [shard[name].tolist() for name in names]
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile):
            path.unlink()
            continue
        for row, (track_id, size, mtime_ns, duration, warning) in enumerate(zip(*columns, strict=True)):
            done[track_id] = Done(Stamp(size, mtime_ns), duration, warning, path, row)
    return done


def _in_blocks(root: Path, specs: Specs) -> dict[str, Done]:
    """The tracks that every block holds, computed by these specs."""
    path = root / _FILES
    if not path.exists() or not set(specs) <= set(store.block_names(root)):
        return {}
    if any(_essence(store.load_block(root, name).spec) != _essence(spec) for name, spec in specs.items()):
        return {}
    with open(path, encoding="utf-8", newline="") as file:
        return {
            row["track_id"]: Done(Stamp(int(row["size"]), int(row["mtime_ns"])), float(row["duration"]), row["warning"])
            for row in csv.DictReader(file)
        }


def merge(root: Path, tracks: Tracks, done: Mapping[str, Done], specs: Specs) -> None:
    """Makes the blocks and tracks.csv hold exactly `tracks`, from shards and the blocks as they are; removes shards.

    Blocks that hold just these tracks already are not rewritten.

    Args:
      done: track_id -> where its features are, for each of `tracks`.
    """
    done = {track_id: done[track_id] for track_id in tracks.track_id.tolist()}
    with together(root) as staged:
        store.save_tracks(staged, tracks)
        if any(one.shard for one in done.values()) or list(done) != list(_in_blocks(root, specs)):
            for name, spec in specs.items():
                _write_block(root, staged, name, done, spec)
            with store.atomic(staged / _FILES) as file:
                writer = csv.writer(file)
                writer.writerow(["track_id", *Stamp._fields, "duration", "warning"])
                writer.writerows([i, *one.stamp, one.duration, one.warning] for i, one in done.items())
    if (root / _FOLDER).exists():  # with it goes what a killed run was about to write
        shutil.rmtree(root / _FOLDER)


def _write_block(root: Path, staged: Path, name: str, done: Mapping[str, Done], spec: Mapping[str, Any]) -> None:
    """Streams rows into <name>.npy, in sequence: through a memory map a full disk would kill the process."""
    shape, dtype = (len(done), *spec["shape"]), np.dtype(spec["dtype"])
    with store.atomic(staged / f"{name}.npy", "wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for values in _values(root, name, done):
            file.write(np.ascontiguousarray(values, dtype=dtype).data)
    record = {"format": store.FORMAT, "name": name, "spec": dict(spec), "track_id": list(done), "invalid": []}
    with store.atomic(staged / f"{name}.json") as file:
        json.dump(record, file, ensure_ascii=False)


def _values(root: Path, name: str, done: Mapping[str, Done]) -> Iterator[np.ndarray]:
    """The features of each track in turn."""

    @lru_cache(_OPEN_SHARDS)
    def read(path: Path) -> np.ndarray:
        with np.load(path) as shard:
            return shard[name]

    old: dict[str, np.ndarray] = {}
    if any(one.shard is None for one in done.values()):
        block = store.load_block(root, name)
        old = dict(zip(block.track_id.tolist(), block.values, strict=True))
    for track_id, one in done.items():
        yield old[track_id] if one.shard is None else read(one.shard)[one.row]


def _shards(root: Path) -> list[Path]:
    return sorted((root / _FOLDER).glob("*.npz"), key=lambda path: int(path.stem))


def _essence(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in spec.items() if key not in _SUPPORT}


def _fingerprint(specs: Specs) -> str:
    return json.dumps({name: _essence(spec) for name, spec in specs.items()}, sort_keys=True)
