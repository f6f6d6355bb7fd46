"""Finished tracks on their way into a store: first in shards, then in its blocks.

    partial/<n>.npz   a few finished tracks: track_id, size, mtime_ns, duration, warning, specs, one array a block

Conventions: features come in groups, each made by one extractor and of one or more blocks. A track counts as finished
in a group for as long as its file keeps its size and modification time and the group's features keep their specs.
Whatever the moment at which a run is killed, the next one finds each finished track in a shard or in every block of the
group. A shard is of one group. Nothing here holds more than a few shards in memory.
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from musiclust import store
from musiclust.arrays import read_arrays
from musiclust.errors import InputError
from musiclust.files import atomic
from musiclust.preprocess.writing.swap import recover, replace_files
from musiclust.types import Tracks

Specs = Mapping[str, Mapping[str, Any]]  # block -> how its values come about

_FOLDER = "partial"
_OPEN_SHARDS = 16  # read at a time, about 4 MB each
_NAMES = ("track_id", "size", "mtime_ns", "duration", "warning", "specs")  # of the arrays that are no features
_REMEDY = "delete it and preprocess again, which hears its songs anew"
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
    """Writes one shard of the group that has these specs; it is on the disk when this returns."""
    numbers = [int(path.stem) for path in _list_shards(root)]
    files = [one.file for one in computed]
    arrays = {name: np.stack([one.features[name] for one in computed]) for name in specs}
    with atomic(root / _FOLDER / f"{max(numbers, default=0) + 1}.npz", "wb") as file:
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


def find_finished(root: Path, groups: Mapping[str, Specs]) -> dict[str, dict[str, Finished]]:
    """Finds the finished tracks of each group, by track_id: those in the blocks and, newer, those in shards.

    Shards made with other specs, or torn, are removed: their tracks are computed anew. A track that a shard and the
    blocks hold alike is in the blocks: its shard was merged, and a process was killed before it was removed.
    """
    recover(root)
    files = store.load_files(root)
    finished = {group: _find_in_blocks(root, specs, files) for group, specs in groups.items()}
    by_specs = {_fingerprint(specs): group for group, specs in groups.items()}
    for path in _list_shards(root):
        try:
            shard = read_arrays(path, names=_NAMES, remedy=_REMEDY)
            group = by_specs[shard["specs"].item()]
            rows = list(zip(*(shard[name].tolist() for name in _NAMES[:-1]), strict=True))
        except (InputError, ValueError, KeyError, TypeError):  # torn, damaged or of other specs
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            continue
        for row, (track_id, size, mtime_ns, duration, warning) in enumerate(rows):
            file = store.FileRecord(store.Stamp(size, mtime_ns), duration, warning)
            if finished[group].get(track_id) != Finished(file):
                finished[group][track_id] = Finished(file, path, row)
    return finished


def _find_in_blocks(root: Path, specs: Specs, files: Mapping[str, store.FileRecord]) -> dict[str, Finished]:
    """Finds the tracks that every block of a group holds, computed by these specs. files: of `store.load_files`."""
    if not set(specs) <= set(store.block_names(root)):
        return {}
    held: set[str] | None = None
    for name, spec in specs.items():
        block = store.load_outline(root, name)
        if _strip(block.spec) != _strip(spec):
            return {}
        held = set(block.track_id.tolist()) if held is None else held.intersection(block.track_id.tolist())
    return {track_id: Finished(file) for track_id, file in files.items() if track_id in (held or ())}


def merge_shards(
    root: Path, tracks: Tracks, finished: Mapping[str, Mapping[str, Finished]], groups: Mapping[str, Specs]
) -> None:
    """Makes the groups' blocks and tracks.csv hold exactly `tracks`, from shards and the blocks as they are.

    What is in the blocks stays where it is, and what is in shards is appended; blocks that hold just these tracks
    already are not touched. Blocks of audio features that are of none of the groups lose the tracks that are gone or
    whose file has changed, and are kept else. The shards are removed.

    Args:
      finished: group -> track_id -> where its features are, for each of `tracks`.

    Raises:
      InputError: if a shard or a block is damaged.
    """
    ids = tracks.track_id.tolist()
    finished = {group: {track_id: finished[group][track_id] for track_id in ids} for group in groups}
    files = {track_id: one.file for track_id, one in next(iter(finished.values())).items()}
    before = store.load_files(root)
    current = {i for i, file in files.items() if i in before and before[i].stamp == file.stamp}
    with replace_files(root) as folder:
        store.update_tracks(root, folder, tracks)
        for group, specs in groups.items():
            fresh = {track_id: one for track_id, one in finished[group].items() if one.shard}
            for name, spec in specs.items():
                if fresh or store.load_outline(root, name).track_id.tolist() != ids:
                    store.extend_block(root, folder, name, ids, [*fresh], _read_rows(name, fresh), spec)
        # Before the new files count: beside their stamps what these blocks hold would pass for current.
        for name in _trim_others(root, folder, current, groups):
            store.remove_block(root, name)
        if files != before:
            store.save_files(folder, files)
    if (root / _FOLDER).exists():  # with it goes what a killed run was about to write
        shutil.rmtree(root / _FOLDER)


def _trim_others(root: Path, folder: Path, current: set[str], groups: Mapping[str, Specs]) -> list[str]:
    """Takes the tracks that are gone or changed from the blocks of audio features that are of no group.

    Args:
      folder: where the new records of these blocks are written.
      current: ids of the tracks whose file is as it was.

    Returns:
      The names of those in which no track is left.
    """
    emptied = []
    asked = {name for specs in groups.values() for name in specs}
    for name in set(store.block_names(root)) - asked:
        block = store.load_outline(root, name)
        if "extractor_version" not in block.spec:  # not of audio features
            continue
        kept = [track_id for track_id in block.track_id.tolist() if track_id in current]
        if not kept:
            emptied.append(name)
        elif len(kept) < len(block.track_id):
            store.extend_block(root, folder, name, kept, [], [], block.spec)
    return emptied


def _read_rows(name: str, fresh: Mapping[str, Finished]) -> Iterator[np.ndarray]:
    """Reads the values of a block for each track in turn, from the shards."""

    @lru_cache(_OPEN_SHARDS)
    def read(path: Path) -> np.ndarray:
        try:
            return read_arrays(path, names=[name], remedy=_REMEDY)[name]
        except InputError as error:
            path.unlink()
            raise InputError(
                f"{path} was damaged, and is removed: run the same command again, which makes its tracks anew"
            ) from error

    for one in fresh.values():
        assert one.shard is not None
        yield read(one.shard)[one.row]


def _list_shards(root: Path) -> list[Path]:
    there = (path for path in (root / _FOLDER).glob("*.npz") if path.stem.isdecimal())
    return sorted(there, key=lambda path: int(path.stem))


def _strip(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A spec without what is no reason to compute anew."""
    return {key: value for key, value in spec.items() if key not in _SUPPORT}


def _fingerprint(specs: Specs) -> str:
    return json.dumps({name: _strip(spec) for name, spec in specs.items()}, sort_keys=True)
