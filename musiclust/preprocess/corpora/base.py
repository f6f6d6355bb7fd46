"""What a corpus is, and what may be asked of one; what the loaders of corpora share.

Conventions: paths are absolute; track_ids are NFC-normalised, unique and sorted; "" is an unknown label or tag.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from musiclust.errors import InputError
from musiclust.store import encode_classes
from musiclust.types import Block, Tracks


class TableRequest(NamedTuple):
    """Which columns of a table are what; "" where that is left open, see `table.table`.

    path: CSV, CSV.gz, Parquet or NPY. tracks_table: a CSV that knows the classes and the rest, joined by id. blocks:
    (name, glob) pairs that pick feature columns.
    """

    path: Path
    tracks_table: Path | None = None
    header_rows: int = 1
    id_column: str = ""
    class_columns: tuple[str, ...] = ()
    group_column: str = ""
    title_column: str = ""
    artist_column: str = ""
    text_column: str = ""
    transcript_columns: tuple[str, ...] = ()
    blocks: tuple[tuple[str, str], ...] = ()


class Request(NamedTuple):
    """What may be asked of a corpus; each takes what concerns it.

    audio_dir: the folder of a corpus of files; where the demo is rendered, by default in `cache_dir`, which itself is
    by default the user's. progress: called with (done, total) while a corpus is made. table: of "table". clips, split
    files: of "gtzan". metadata_dir, subset: of "fma".
    """

    audio_dir: Path | None = None
    cache_dir: Path | None = None
    seed: int = 0
    workers: int = 1
    progress: Callable[[int, int], None] | None = None
    table: TableRequest | None = None
    clips: int = 1
    split_files: tuple[Path, ...] = ()
    metadata_dir: Path | None = None
    subset: str | None = None


class Corpus(NamedTuple):
    """N tracks before anything was heard of them.

    words: track_id -> words sung, where the corpus itself knows them (from scores, from a column). others: how many
    files were passed over as not audio by their names. skipped: (path or id, reason) of what cannot be used. source:
    what tells this corpus from another, JSON-able. blocks: features that the corpus brings ready-made, for each of
    `tracks` at least; without audio (every path "") they are all there is. warnings: (path or name, what is amiss) of
    what is used all the same. transcripts: track_id -> what one or several machines heard in it, to be judged before it
    counts as words.
    """

    tracks: Tracks
    words: Mapping[str, str]
    others: int
    skipped: Sequence[tuple[str, str]]
    source: Mapping[str, Any]
    blocks: Sequence[Block] = ()
    warnings: Sequence[tuple[str, str]] = ()
    transcripts: Mapping[str, Sequence[str]] = {}


def make_tracks(
    track_id: Sequence[str],
    *,
    path: Sequence[str] | None = None,
    meta: Mapping[str, Sequence[str]],
    classes: Mapping[str, Sequence[str]],
    group: Sequence[str],
) -> Tracks:
    """Tracks from columns of text in the order of `track_id`, which is sorted; durations are unknown.

    Args:
      path: by default none has audio.
      meta: of "title", "artist" and "album" those that are known.
      classes: name -> the class of each track, "" where unknown.
      group: "" for a track of its own.
    """
    nothing = [""] * len(track_id)
    encoded = {name: encode_classes(values) for name, values in classes.items()}
    texts = {name: np.array(meta.get(name, nothing), dtype=str) for name in ("title", "artist", "album")}
    return Tracks(
        track_id=np.array(track_id, dtype=str),
        path=np.array(nothing if path is None else path, dtype=str),
        meta=texts | {"duration": np.full(len(track_id), np.nan)},
        classes={name: codes for name, (codes, _) in encoded.items()},
        class_names={name: names for name, (_, names) in encoded.items()},
        group=np.array([one or i for one, i in zip(group, track_id, strict=True)], dtype=str),
    )


def merge_groups(group: Sequence[str], sames: Iterable[Sequence[int]]) -> list[str]:
    """`group` (N,) after the groups of the rows that each of `sames` lists have become one, named after its first."""
    leader: dict[str, str] = {}

    def find(name: str) -> str:
        while name in leader:
            name = leader[name]
        return name

    for rows in sames:
        first, *others = [find(group[row]) for row in rows]
        for other in others:
            if find(other) != find(first):
                leader[find(other)] = find(first)
    return [find(name) for name in group]


def listing(names: Sequence[str], most: int = 5) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def existing_folder(named: Path | None, flag: str, what: str) -> Path:
    """The absolute path of a folder that a flag names.

    Raises:
      InputError: if the flag is not given (`what` says what it would name) or names no folder.
    """
    if named is None:
        raise InputError(f"no folder of {what} is named: add {flag}=<folder>")
    root = Path(os.path.abspath(named.expanduser()))
    if root.is_dir():
        return root
    if root.exists():
        raise InputError(f"{root} is a file: give {flag} the folder it lies in")
    parent = next(parent for parent in root.parents if parent.exists())
    raise InputError(f"{root} does not exist (the nearest folder that does is {parent}): check {flag}")
