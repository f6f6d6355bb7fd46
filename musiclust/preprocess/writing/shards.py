"""Finished tracks on their way into a store: first in shards, then in its blocks.

    partial/<n>.npz   a few finished tracks: track_id, size, mtime_ns, duration, warning, specs, one array a block

Conventions: a track counts as finished for as long as its file keeps its size and modification time and the features
keep their specs. Whatever the moment at which a run is killed, the next one finds each finished track in a shard or in
every block. Nothing here holds more than a few shards in memory.
"""

import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from musiclust import store
from musiclust.preprocess.writing.swap import recover, replace_files
from musiclust.types import Tracks

Specs = Mapping[str, Mapping[str, Any]]

_FOLDER = "partial"
_OPEN_SHARDS = 16  # read at a time, about 4 MB each
_SUPPORT = {"extractor"}  # names a library's version: told, but no reason to compute anew


class Computed(NamedTuple):
    """A track whose features were just computed.

    Attributes:
      file: its audio file, as it was before it was read.
      features: block -> its values for this track.
    """

    track_id: str
    file: store.FileRecord
    features: Mapping[str, np.ndarray]


class Finished(NamedTuple):
    """A track whose features are on the disk.

    Attributes:
      file: its audio file, as it was when they were computed.
      shard: the file that holds them; None where they are in the blocks of the store.
      row: their row in the shard.
    """

    file: store.FileRecord
    shard: Path | None = None
    row: int = -1


def save_shard(root: Path, computed: Sequence[Computed], specs: Specs) -> None:
    """Writes one shard; it is on the disk when this returns."""
    numbers = [int(path.stem) for path in _list_shards(root)]
    files = [one.file for one in computed]
    arrays = {name: np.stack([one.features[name] for one in computed]) for name in specs}
    with store.atomic(root / _FOLDER / f"{max(numbers, default=0) + 1}.npz", "wb") as file:
        np.savez(
            file,
            allow_pickle=False,
            track_id=np.array([one.track_id for one in computed], dtype=str),
            size=np.array([one.stamp.size for one in files], dtype=np.int64),
            mtime_ns=np.array([one.stamp.mtime_ns for one in files], dtype=np.int64),
            duration=np.array([one.duration for one in files]),
            warning=np.array([one.warning for one in files], dtype=str),
            specs=_fingerprint(specs),
            **arrays,
        )


def find_finished(root: Path, specs: Specs) -> dict[str, Finished]:
    """Finds the finished tracks, by track_id: those in the blocks and, newer, those in shards.

    Shards made with other specs, or torn, are removed: their tracks are computed anew.
    """
    recover(root)
    finished = _find_in_blocks(root, specs)
    for path in _list_shards(root):
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
            file = store.FileRecord(store.Stamp(size, mtime_ns), duration, warning)
            finished[track_id] = Finished(file, path, row)
    return finished


def _find_in_blocks(root: Path, specs: Specs) -> dict[str, Finished]:
    """Finds the tracks that every block holds, computed by these specs."""
    if not set(specs) <= set(store.block_names(root)):
        return {}
    if any(_strip(store.load_block(root, name).spec) != _strip(spec) for name, spec in specs.items()):
        return {}
    return {track_id: Finished(file) for track_id, file in store.load_files(root).items()}


def merge_shards(root: Path, tracks: Tracks, finished: Mapping[str, Finished], specs: Specs) -> None:
    """Makes the blocks and tracks.csv hold exactly `tracks`, from shards and the blocks as they are; removes shards.

    Blocks that hold just these tracks already are not rewritten.

    Args:
      finished: track_id -> where its features are, for each of `tracks`.
    """
    finished = {track_id: finished[track_id] for track_id in tracks.track_id.tolist()}
    with replace_files(root) as folder:
        store.save_tracks(folder, tracks)
        if any(one.shard for one in finished.values()) or list(finished) != list(_find_in_blocks(root, specs)):
            for name, spec in specs.items():
                store.write_block(folder, name, list(finished), _read_rows(root, name, finished), spec)
            store.save_files(folder, {track_id: one.file for track_id, one in finished.items()})
    if (root / _FOLDER).exists():  # with it goes what a killed run was about to write
        shutil.rmtree(root / _FOLDER)


def _read_rows(root: Path, name: str, finished: Mapping[str, Finished]) -> Iterator[np.ndarray]:
    """Reads the values of a block for each track in turn."""

    @lru_cache(_OPEN_SHARDS)
    def read(path: Path) -> np.ndarray:
        with np.load(path) as shard:
            return shard[name]

    old: dict[str, np.ndarray] = {}
    if any(one.shard is None for one in finished.values()):
        block = store.load_block(root, name)
        old = dict(zip(block.track_id.tolist(), block.values, strict=True))
    for track_id, one in finished.items():
        yield old[track_id] if one.shard is None else read(one.shard)[one.row]


def _list_shards(root: Path) -> list[Path]:
    return sorted((root / _FOLDER).glob("*.npz"), key=lambda path: int(path.stem))


def _strip(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A spec without what is no reason to compute anew."""
    return {key: value for key, value in spec.items() if key not in _SUPPORT}


def _fingerprint(specs: Specs) -> str:
    return json.dumps({name: _strip(spec) for name, spec in specs.items()}, sort_keys=True)
