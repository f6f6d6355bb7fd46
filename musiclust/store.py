"""A store: blocks of features on disk, joined by track_id.

    tracks.csv      track_id, path, group, title, artist, album, duration, and columns `class:<name>`
    <block>.npy     (N, *D) values, memory-mapped when read
    <block>.json    its spec, its track ids and which of them are valid
    lyrics.jsonl    a JSON object a line: track_id, text, source, language, confidence; the last one of a track counts
    skipped.csv     path, reason

Every file but lyrics.jsonl is written under a temporary name and renamed, so that a crash or a full disk leaves the
file that was there before.
"""

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from musiclust.errors import InputError
from musiclust.types import Block, Tracks

FORMAT = 1
_CLASSES = "class:"
_CLASSES_BEFORE = "label:"  # as stores of version 0.1 have it
_META = ("title", "artist", "album")


@contextmanager
def atomic(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Opens `path` for writing; it takes its name only when all is written and on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    encoding, newline = (None, None) if "b" in mode else ("utf-8", "")
    try:
        with open(temporary, mode, encoding=encoding, newline=newline) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def save_tracks(root: Path, tracks: Tracks) -> None:
    """Writes tracks.csv. Classes are written by name, "" where unknown; durations in seconds to the microsecond."""
    classes = {name: np.array([*tracks.class_names[name], ""])[codes] for name, codes in tracks.classes.items()}
    with atomic(root / "tracks.csv") as file:
        writer = csv.writer(file)
        writer.writerow(["track_id", "path", "group", *_META, "duration", *(_CLASSES + name for name in classes)])
        for i, track_id in enumerate(tracks.track_id):
            duration = tracks.meta["duration"][i]
            seconds = "" if np.isnan(duration) else f"{duration:.6f}"
            meta = [tracks.meta[name][i] for name in _META]
            writer.writerow(
                [track_id, tracks.path[i], tracks.group[i], *meta, seconds, *(column[i] for column in classes.values())]
            )


def load_tracks(root: Path) -> Tracks:
    """Reads tracks.csv; classes are numbered in alphabetical order.

    Raises:
      InputError: if there is no store at `root`, or its tracks.csv is not one.
    """
    path = root / "tracks.csv"
    if not path.exists():
        raise InputError(f"{root} is not a store (no tracks.csv): make one with python -m experiments.preprocess")
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        header = reader.fieldnames or []
        missing = {"track_id", "path", "group", "duration", *_META} - set(header)
        if missing:
            raise InputError(f"{path} lacks the columns {sorted(missing)}: make the store anew")
        rows = sorted(reader, key=lambda row: row["track_id"])
    classes, class_names = {}, {}
    for column in (name for name in header if name.startswith((_CLASSES, _CLASSES_BEFORE))):
        name = column.removeprefix(_CLASSES).removeprefix(_CLASSES_BEFORE)
        classes[name], class_names[name] = encode_classes([row[column] for row in rows])
    meta: dict[str, np.ndarray] = {name: np.array([row[name] for row in rows], dtype=str) for name in _META}
    meta["duration"] = np.array([float(row["duration"] or "nan") for row in rows])
    try:
        return Tracks(
            track_id=np.array([row["track_id"] for row in rows], dtype=str),
            path=np.array([row["path"] for row in rows], dtype=str),
            meta=meta,
            classes=classes,
            class_names=class_names,
            group=np.array([row["group"] for row in rows], dtype=str),
        )
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}): make the store anew") from error


def encode_classes(values: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class names -> (codes (N,) int32, names in alphabetical order); "" becomes -1."""
    names = tuple(sorted({value for value in values if value}))
    code = {name: i for i, name in enumerate(names)} | {"": -1}
    return np.array([code[value] for value in values], dtype=np.int32), names


def save_block(root: Path, block: Block) -> None:
    """Writes <name>.npy and <name>.json.

    Raises:
      InputError: if a valid row is not finite; the first such track is named.
    """
    finite = np.isfinite(block.values.reshape(len(block.values), -1)).all(axis=1) if block.values.size else block.valid
    broken = block.track_id[block.valid & ~finite]
    if len(broken):
        raise InputError(f"block {block.name}: {len(broken)} tracks hold NaN or infinity, the first is {broken[0]}")
    with atomic(root / f"{block.name}.npy", "wb") as file:
        np.save(file, block.values)
    record = {
        "format": FORMAT,
        "name": block.name,
        "spec": dict(block.spec),
        "track_id": block.track_id.tolist(),
        "invalid": block.track_id[~block.valid].tolist(),
    }
    with atomic(root / f"{block.name}.json") as file:
        json.dump(record, file, ensure_ascii=False)


def block_names(root: Path) -> list[str]:
    """The blocks of a store, in alphabetical order."""
    return sorted(path.stem for path in root.glob("*.npy") if path.with_suffix(".json").exists())


def load_block(root: Path, name: str) -> Block:
    """Reads a block; its values are memory-mapped.

    Raises:
      InputError: if there is no such block (those that there are, are named), or it is damaged or of another format.
    """
    if name not in block_names(root):
        there = ", ".join(block_names(root)) or "none"
        raise InputError(f"{root} has no block {name!r}: choose from {there}, or preprocess the store again")
    try:
        record = json.loads((root / f"{name}.json").read_text(encoding="utf-8"))
        values = np.load(root / f"{name}.npy", mmap_mode="r")
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{root / name}: block is damaged ({error}): delete it and preprocess again") from error
    if record.get("format") != FORMAT:
        raise InputError(f"{root / name}: block of format {record.get('format')}, this version reads {FORMAT}")
    track_id = np.array(record["track_id"], dtype=str)
    try:
        return Block(name, track_id, values, ~np.isin(track_id, record["invalid"]), record["spec"])
    except ValueError as error:
        raise InputError(f"{root / name}: {error}: delete it and preprocess again") from error


def align(tracks: Tracks, blocks: Sequence[Block]) -> list[Block]:
    """The blocks with their rows in the order of `tracks`, surplus rows dropped.

    Raises:
      InputError: if a block lacks a track; it names the block, how many are lacking and the first few.
    """
    aligned = []
    for block in blocks:
        lacking = np.setdiff1d(tracks.track_id, block.track_id)
        if len(lacking):
            first = ", ".join(lacking[:3])
            raise InputError(
                f"block {block.name} lacks {len(lacking)} of {len(tracks)} tracks ({first}, ...): preprocess again"
            )
        rows = np.searchsorted(block.track_id, tracks.track_id)
        same = len(rows) == len(block.track_id)
        values, valid = (block.values, block.valid) if same else (block.values[rows], block.valid[rows])
        aligned.append(Block(block.name, tracks.track_id, values, valid, block.spec))
    return aligned


def append_lyrics(root: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Appends transcripts to lyrics.jsonl, each whole line on the disk when this returns.

    A last line torn by a crash is cut off first.
    """
    root.mkdir(parents=True, exist_ok=True)
    with open(root / "lyrics.jsonl", "a+b") as file:
        if file.tell() and not _ends_line(file):
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)
        file.writelines(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records)
        file.flush()
        os.fsync(file.fileno())


def _ends_line(file: IO[bytes]) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def load_lyrics(root: Path) -> dict[str, dict[str, Any]]:
    """track_id -> its last record in lyrics.jsonl; a last line torn by a crash is passed over."""
    path = root / "lyrics.jsonl"
    if not path.exists():
        return {}
    records = {}
    lines = path.read_text(encoding="utf-8").split("\n")  # not splitlines: JSON leaves U+2028 and its like as they are
    lines = lines[:-1] if lines[-1] == "" else lines
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            records[record["track_id"]] = record
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                break
            raise InputError(f"{path}, line {number}, is not a lyrics record: mend or delete the line") from error
    return records


def save_skipped(root: Path, skipped: Sequence[tuple[str, str]]) -> None:
    """Writes skipped.csv: (path, reason) rows."""
    with atomic(root / "skipped.csv") as file:
        csv.writer(file).writerows([("path", "reason"), *skipped])


def load_skipped(root: Path) -> list[tuple[str, str]]:
    """(path, reason) rows of skipped.csv; empty where there is none."""
    path = root / "skipped.csv"
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return [(row["path"], row["reason"]) for row in csv.DictReader(file)]
