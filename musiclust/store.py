"""A store: blocks of features on disk, joined by track_id. Every file of it is read and written here, and only here;
its blocks in blocks.py, whose functions this room has too.

    tracks.csv         track_id, path, group, title, artist, album, duration, and a column `class:<name>` for each kind
                       of class (`label:<name>` in stores of version 0.1)
    <block>.npy        rows of values of a block
    <block>.json       its spec, its track ids and which row is whose; see blocks.py
    lyrics.jsonl       a JSON object a line: track_id, text, words, source, language, confidence, reason, and more where
                       Whisper made the text (segments, model, stamp); the last line of a track counts
    lyrics.model.npz   beside the block "lyrics": digests (N,) str of the texts it was made from, and the arrays of the
                       fitted text model, if that model was fitted to these texts
    skipped.csv        path, reason: the files that could not be used
    corpus.json        which corpus the store holds
    files.csv          track_id, size (bytes), mtime_ns, duration (s), warning: the audio files as they were when the
                       features in the blocks were computed

While the preprocessing stage writes, and only then, its room `preprocess/writing` keeps two things more in the folder:

    .lock              the number of the process that writes (lock.py)
    partial/           features of finished tracks on their way into blocks (shards.py), and files that are about to
                       replace others (swap.py)

Every file but lyrics.jsonl and the rows of blocks is written under a temporary name and renamed, so that a crash or a
full disk leaves the file that was there before.
"""

import csv
import json
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from musiclust.blocks import (  # noqa: F401 (the blocks of a store are reached by this room)
    Outline,
    align,
    block_names,
    compact_block,
    extend_block,
    find_damaged,
    fit_to_tracks,
    load_block,
    load_outline,
    remove_block,
    save_block,
    settle_block,
    write_block,
)
from musiclust.errors import InputError
from musiclust.files import atomic, locate
from musiclust.types import Tracks

FORMAT = 1
CORPUS = "corpus.json"

_FILES = "files.csv"
_LYRICS = "lyrics.jsonl"
_SKIPPED = "skipped.csv"
_TEXT_MODEL = "lyrics.model.npz"
_TRACKS = "tracks.csv"
_CLASSES = "class:"
_CLASSES_BEFORE = "label:"  # as stores of version 0.1 have it
_META = ("title", "artist", "album")


class Stamp(NamedTuple):
    """What tells a changed file from an unchanged one: its size in bytes and its modification time in ns."""

    size: int
    mtime_ns: int


class FileRecord(NamedTuple):
    """An audio file as it was when its features were computed.

    Attributes:
      stamp: tells whether the file has changed since.
      duration: of the whole file, in s.
      warning: what is amiss with the file, "" for nothing.
    """

    stamp: Stamp
    duration: float
    warning: str


def save_tracks(root: Path, tracks: Tracks) -> None:
    """Writes tracks.csv: classes by name, "" where unknown; durations in seconds to the microsecond."""
    classes = {name: np.array([*tracks.class_names[name], ""])[codes] for name, codes in tracks.classes.items()}
    with atomic(root / _TRACKS) as file:
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
    path = locate(root, _TRACKS)
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
    """Numbers classes by their names in alphabetical order.

    Args:
      values: N names, "" where the class is unknown.

    Returns:
      (N,) int32 codes, -1 where the class is unknown; the names that the codes stand for.

    Example:
      >>> encode_classes(["rock", "", "folk", "rock"])
      (array([ 1, -1,  0,  1], dtype=int32), ('folk', 'rock'))
    """
    names = tuple(sorted({value for value in values if value}))
    code = {name: i for i, name in enumerate(names)} | {"": -1}
    return np.array([code[value] for value in values], dtype=np.int32), names


def append_lyrics(root: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Appends transcripts to lyrics.jsonl, each whole line on the disk when this returns.

    A last line torn by a crash is cut off first.
    """
    root.mkdir(parents=True, exist_ok=True)
    with open(root / _LYRICS, "a+b") as file:
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
    """Reads lyrics.jsonl: track_id -> its last record.

    Raises:
      InputError: if a line is not a record. A last line torn by a crash is passed over.
    """
    return {record["track_id"]: record for record in _read_lyrics(root)}


def load_transcripts(root: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Reads lyrics.jsonl: track_id -> model -> the last transcript that this Whisper model made, the newest one last.

    `load_lyrics` gives only the last record of a track, which since then may have come from elsewhere.

    Raises:
      InputError: as `load_lyrics`.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for record in _read_lyrics(root):
        if "segments" in record:
            of_track = found.setdefault(record["track_id"], {})
            of_track.pop(record["model"], None)  # so that the newest stands last
            of_track[record["model"]] = record
    return found


def _read_lyrics(root: Path) -> Iterator[dict[str, Any]]:
    """The records of lyrics.jsonl in the order in which they were appended."""
    path = root / _LYRICS
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8").split("\n")  # not splitlines: JSON leaves U+2028 and its like as they are
    lines = lines[:-1] if lines[-1] == "" else lines
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            record["track_id"]
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                return
            raise InputError(f"{path}, line {number}, is not a lyrics record: mend or delete the line") from error
        yield record


def save_text_model(root: Path, digests: np.ndarray, model: Mapping[str, np.ndarray]) -> None:
    """Writes lyrics.model.npz.

    Args:
      digests: (N,) str, of the text of each row of the block "lyrics".
      model: the arrays of the text model that was fitted to these texts, by name; empty where none was.
    """
    with atomic(root / _TEXT_MODEL, "wb") as file:
        np.savez(file, allow_pickle=False, digests=digests, **model)


def load_text_model(root: Path) -> tuple[np.ndarray, dict[str, np.ndarray]] | None:
    """Reads lyrics.model.npz: the digests and the model, as `save_text_model` was given them; None where there is none.

    Raises:
      InputError: if the file is damaged.
    """
    path = locate(root, _TEXT_MODEL)
    if not path.exists():
        return None
    try:
        with np.load(path) as arrays:
            model = dict(arrays)
            return model.pop("digests"), model
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is damaged ({error}): delete it and preprocess again") from error


def remove_text_model(root: Path) -> None:
    """Removes lyrics.model.npz, where it is."""
    (root / _TEXT_MODEL).unlink(missing_ok=True)


def save_corpus(root: Path, source: Mapping[str, Any]) -> None:
    """Writes corpus.json: what tells the corpus of this store from another; its "corpus" is the name."""
    with atomic(root / CORPUS) as file:
        json.dump({"format": FORMAT, **source}, file, ensure_ascii=False, indent=1)


def load_corpus(root: Path) -> dict[str, Any] | None:
    """Reads corpus.json: the source, as `save_corpus` was given it; None where there is none.

    Raises:
      InputError: if the file is damaged or of another format.
    """
    path = root / CORPUS
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        found, _ = record.pop("format"), record["corpus"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged: delete it and preprocess again") from error
    if found != FORMAT:
        raise InputError(f"{path} is of format {found}, this version reads {FORMAT}: make the store anew")
    return record


def load_corpus_name(root: Path) -> str:
    """The name of the corpus that a store holds; the name of its folder where corpus.json is missing.

    Raises:
      InputError: as `load_corpus`.
    """
    source = load_corpus(root)
    return root.name if source is None else source["corpus"]


def save_files(root: Path, files: Mapping[str, FileRecord]) -> None:
    """Writes files.csv: track_id -> its audio file."""
    with atomic(root / _FILES) as file:
        writer = csv.writer(file)
        writer.writerow(["track_id", *Stamp._fields, "duration", "warning"])
        writer.writerows([track_id, *one.stamp, one.duration, one.warning] for track_id, one in files.items())


def load_files(root: Path) -> dict[str, FileRecord]:
    """Reads files.csv: track_id -> its audio file; empty where there is none.

    Raises:
      InputError: if the file is damaged.
    """
    path = locate(root, _FILES)
    if not path.exists():
        return {}
    with open(path, encoding="utf-8", newline="") as file:
        try:
            return {
                row["track_id"]: FileRecord(
                    Stamp(int(row["size"]), int(row["mtime_ns"])), float(row["duration"]), row["warning"]
                )
                for row in csv.DictReader(file)
            }
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is damaged ({error}): delete it and preprocess again") from error


def save_skipped(root: Path, skipped: Sequence[tuple[str, str]]) -> None:
    """Writes skipped.csv: a row (path, reason) for each file that could not be used."""
    with atomic(root / _SKIPPED) as file:
        csv.writer(file).writerows([("path", "reason"), *skipped])


def load_skipped(root: Path) -> list[tuple[str, str]]:
    """Reads skipped.csv: rows (path, reason); empty where there is none."""
    path = root / _SKIPPED
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return [(row["path"], row["reason"]) for row in csv.DictReader(file)]
