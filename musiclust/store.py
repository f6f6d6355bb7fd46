"""A store: blocks of features on disk, joined by track_id. Every file of it is read and written here, and only here;
its blocks in blocks.py and alignment.py, whose functions this room has too.

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
    digests.json       digests of corpus.json, tracks.csv, files.csv, lyrics.model.npz and of lyrics.jsonl as long as it
                       was when the preprocessing stage ended; it is not there while that stage writes

While the preprocessing stage writes, and only then, its room `preprocess/writing` keeps two things more in the folder:

    .lock              the number of the process that writes (lock.py)
    partial/           features of finished tracks on their way into blocks (shards.py), and files that are about to
                       replace others (swap.py)

Every file but lyrics.jsonl and the rows of blocks is written under a temporary name and renamed, so that a crash or a
full disk leaves the file that was there before.
"""

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec
import numpy as np

from musiclust.alignment import align, fit_to_tracks  # noqa: F401 (they are reached by this room)
from musiclust.arrays import read_arrays
from musiclust.blocks import (  # noqa: F401 (the blocks of a store are reached by this room)
    Outline,
    block_names,
    compact_block,
    extend_block,
    find_damaged,
    load_block,
    load_outline,
    remove_block,
    save_block,
    settle_block,
    write_block,
)
from musiclust.csv_records import Columns, read_name, read_number, read_table, read_text, read_whole
from musiclust.digests import check_file, digest_file, forget_digests, is_there, read_verified, write_digests
from musiclust.errors import InputError
from musiclust.files import atomic, identify, locate, read_settled
from musiclust.records import Record, check_record, parse_record, read_record
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
_MOST_LYRICS = 2**32  # bytes

_TRACK_COLUMNS: Columns = {
    "track_id": read_name,
    **dict.fromkeys(("path", "group", *_META), read_text),
    "duration": read_number,
}
_FILE_COLUMNS: Columns = {
    "track_id": read_name,
    **dict.fromkeys(("size", "mtime_ns"), read_whole),
    "duration": read_number,
    "warning": read_text,
}
_SKIPPED_COLUMNS: Columns = dict.fromkeys(("path", "reason"), read_text)

_AGAIN = "delete it and preprocess again"
# What to do about those files that the preprocessing stage does not make anew by itself.
_REMEDIES = {
    CORPUS: _AGAIN,
    _FILES: f"{_AGAIN}, which hears its songs anew",
    _LYRICS: "put back a copy, or delete it, which loses what Whisper heard, and preprocess again",
    _TEXT_MODEL: _AGAIN,
}


class _Segment(Record, frozen=True):
    """What Whisper heard in a stretch of a song; see `musiclust.preprocess.lyrics.transcribe`."""

    text: str
    start: float
    end: float
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    temperature: float
    reason: str = ""


class _Lyrics(Record, frozen=True):
    """A line of lyrics.jsonl; see `musiclust.preprocess.lyrics.written`."""

    track_id: str
    text: str | None = None
    words: str = ""
    source: str = ""
    language: str | None = None
    confidence: float | None = None
    reason: str = ""
    voice: float | None = None
    language_probability: float | msgspec.UnsetType | None = msgspec.UNSET
    segments: list[_Segment] | None = None
    model: str | None = None
    seconds: float | None = None
    stamp: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        heard = (self.text, self.model, self.stamp)
        if self.segments is not None and (None in heard or self.language_probability is msgspec.UNSET):
            raise ValueError("a transcript lacks its `text`, `model`, `stamp` or `language_probability`")


class _Corpus(msgspec.Struct):
    """corpus.json; beside these it holds what tells this corpus from another, which each corpus says in its own way."""

    format: int
    corpus: str


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
    with atomic(root / _TRACKS) as file:
        file.write(_format_tracks(tracks))


def update_tracks(root: Path, folder: Path, tracks: Tracks) -> None:
    """Writes tracks.csv into `folder`, as `save_tracks` does, unless that of the store says just the same.

    Args:
      folder: the one that `preprocess.writing.swap.replace_files` yields.
    """
    path, content = root / _TRACKS, _format_tracks(tracks)
    if not (path.is_file() and path.read_bytes() == content.encode()):
        with atomic(folder / _TRACKS) as file:
            file.write(content)


def _format_tracks(tracks: Tracks) -> str:
    classes = {name: np.array([*tracks.class_names[name], ""])[codes] for name, codes in tracks.classes.items()}
    duration = ["" if np.isnan(seconds) else f"{seconds:.6f}" for seconds in tracks.meta["duration"].tolist()]
    about = [tracks.track_id, tracks.path, tracks.group, *(tracks.meta[name] for name in _META)]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["track_id", "path", "group", *_META, "duration", *(_CLASSES + name for name in classes)])
    named = (column.tolist() for column in classes.values())
    writer.writerows(zip(*(column.tolist() for column in about), duration, *named, strict=True))
    return text.getvalue()


def load_tracks(root: Path) -> Tracks:
    """Reads tracks.csv; classes are numbered in alphabetical order.

    Raises:
      InputError: if there is no store at `root`, or its tracks.csv is damaged.
    """
    return read_settled(root, [_TRACKS], lambda: _load_tracks(root))


def _load_tracks(root: Path) -> Tracks:
    path, remedy = locate(root, _TRACKS), "preprocess the store again"
    if not path.exists():
        raise InputError(f"{root} is not a store (no tracks.csv): make one with python -m experiments.preprocess")
    table = read_table(path, _TRACK_COLUMNS, others=(_CLASSES, _CLASSES_BEFORE), remedy=remedy)
    order = sorted(range(len(table["track_id"])), key=table["track_id"].__getitem__)
    columns = {column: [cells[row] for row in order] for column, cells in table.items()}
    classes, class_names = {}, {}
    for column in (column for column in columns if column.startswith((_CLASSES, _CLASSES_BEFORE))):
        name = column.removeprefix(_CLASSES if column.startswith(_CLASSES) else _CLASSES_BEFORE)
        classes[name], class_names[name] = encode_classes(columns[column])
    meta: dict[str, np.ndarray] = {name: np.array(columns[name], dtype=str) for name in _META}
    meta["duration"] = np.array(columns["duration"], dtype=np.float64)
    track_id, file, group = (np.array(columns[name], dtype=str) for name in ("track_id", "path", "group"))
    try:
        return Tracks(track_id, file, meta, classes, class_names, group)
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}): {remedy}") from error


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
      InputError: if the file is damaged. A last line torn by a crash is passed over.
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
    try:
        if not is_there(path):
            return
        content = read_verified(path, most=_MOST_LYRICS, appended=True)
    except InputError as error:
        raise InputError(f"{error}: {_REMEDIES[_LYRICS]}") from error
    *lines, torn = content.split(b"\n")  # not splitlines: JSON leaves U+2028 and its like as they are
    for number, line in enumerate([*lines, torn], start=1):
        try:
            record = parse_record(line, dict[str, Any], lenient=True)
            check_record(record, _Lyrics)
        except ValueError as error:
            if number > len(lines):
                return
            raise InputError(f"{path}, line {number}, is not a lyrics record ({error}): mend or delete it") from error
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
    model = read_arrays(path, remedy=_AGAIN)
    digests = model.pop("digests", np.zeros(()))
    if digests.dtype.kind != "U" or digests.ndim != 1:
        raise InputError(f"{path} is damaged (it lacks the digests of the texts): {_AGAIN}")
    return digests, model


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
    try:
        if not is_there(path):
            return None
    except InputError as error:
        raise InputError(f"{error}: preprocess the store again") from error
    read_record(path, _Corpus, version=FORMAT, remedy=_AGAIN)
    source = read_record(path, dict[str, Any], remedy=_AGAIN)
    del source["format"]
    return source


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
    return dict(_read_files(path, identify(path.stat())))


@lru_cache(1)  # a run of the preprocessing stage asks several times
def _read_files(path: Path, state: tuple[int, ...]) -> dict[str, FileRecord]:
    table = read_table(path, _FILE_COLUMNS, remedy=_REMEDIES[_FILES])
    files = map(FileRecord, map(Stamp, table["size"], table["mtime_ns"]), table["duration"], table["warning"])
    return dict(zip(table["track_id"], files, strict=True))


def save_skipped(root: Path, skipped: Sequence[tuple[str, str]]) -> None:
    """Writes skipped.csv: a row (path, reason) for each file that could not be used."""
    with atomic(root / _SKIPPED) as file:
        csv.writer(file).writerows([("path", "reason"), *skipped])


def load_skipped(root: Path) -> list[tuple[str, str]]:
    """Reads skipped.csv: rows (path, reason); empty where there is none.

    Raises:
      InputError: if the file is damaged.
    """
    path = root / _SKIPPED
    if not path.exists():
        return []
    table = read_table(path, _SKIPPED_COLUMNS, remedy="preprocess the store again")
    return list(zip(table["path"], table["reason"], strict=True))


@contextmanager
def writing(root: Path) -> Iterator[None]:
    """Lets the files of a store be written while the `with` statement runs.

    Before, those that are read again are checked, and all digests are forgotten. After it, however it ends, they are
    noted, because every file is whole by then. Blocks have their own digests.

    Raises:
      InputError: if a file that the preprocessing stage does not make anew is not as it was written.
    """
    for name, remedy in _REMEDIES.items():
        if locate(root, name).exists():
            try:
                check_file(locate(root, name), appended=name == _LYRICS)
            except InputError as error:
                raise InputError(f"{error}: {remedy}") from error
    forget_digests(root)
    try:
        yield
    finally:
        write_digests(root, [name for name in (*_REMEDIES, _TRACKS) if locate(root, name).is_file()])


def fingerprint(root: Path, names: Sequence[str]) -> dict[str, str]:
    """What tells whether a store has changed: a digest of tracks.csv and one of each of these blocks, by their names.

    Raises:
      InputError: if a file is missing, or a block damaged.
    """
    try:
        found = {_TRACKS: digest_file(locate(root, _TRACKS)).xxh3_128}
    except InputError as error:
        raise InputError(f"{error}: preprocess the store again") from error
    for name in names:
        files = (f"{name}.json", f"{name}.npy")  # a block of format 1 has no digest of its own
        digest = load_outline(root, name).digest
        found[name] = digest or "-".join(digest_file(root / one).xxh3_128 for one in files)
    return found
