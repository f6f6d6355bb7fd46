"""A table of features joined to the tracks of another corpus, by id or path: embeddings made elsewhere become blocks.

Conventions: a row belongs to a track if its id is the track's, or else if it is the end of the track's path or the
track's path below the corpus's folder is its end: "a", "a.wav", "jazz/a.mp3" and "/old/disk/jazz/a.mp3" all name the
track jazz/a.mp3, "rock/a.mp3" does not. Names are compared as they are written, composed (NFC); with the extension
first, and without that of an audio file where this finds nothing.
"""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from musiclust.errors import InputError
from musiclust.preprocess.corpora.audio_files import EXTENSIONS
from musiclust.preprocess.corpora.base import Corpus, TableRequest
from musiclust.preprocess.corpora.messages import list_first
from musiclust.preprocess.corpora.table_rows import (
    choose_blocks,
    find_complete,
    make_spec,
    read_facts,
    read_features,
    resolve_table,
)
from musiclust.types import JOINED, Block, Tracks


def join_table(corpus: Corpus, options: TableRequest) -> Corpus:
    """Returns the corpus with the blocks of a table.

    Blocks are chosen as in `table.table`. Tracks that the table lacks, or whose row is not finite in each column used,
    are not valid in them. Rows that belong to no track are counted, and stand in the warnings.

    Args:
      options: the table. An array (NPY) goes row by row with `tracks_table`, which has the ids or paths; other tables
        have them themselves.

    Raises:
      InputError: as `table.table`; if the table has no ids, a row could be several tracks, several rows are one track,
        or no row belongs to any.
    """
    path = resolve_table(options.path)
    by_row = path.suffix.lower() == ".npy"
    facts, facts_id = None, ""
    if options.tracks_table is not None:
        if not by_row:
            raise InputError(f"{path} has ids itself: leave out `tracks_table`, which goes with an NPY")
        facts, facts_id = read_facts(resolve_table(options.tracks_table), options)
        if not facts_id:
            raise InputError(f"{options.tracks_table} has no column of ids or paths: name it with `id_column`")
    elif by_row:
        raise InputError(f"{path} has no ids: name the table that has them, `tracks_table=<file.csv>`")
    features, ids = read_features(path, options, facts, facts_id)
    if not by_row and not features.text:
        raise InputError(f"{path} has no column of ids or paths: name it with `id_column`")
    warnings: list[tuple[str, str]] = []
    chosen = choose_blocks(path, features, options.block, warnings)
    there = {block.name for block in corpus.blocks} & set(chosen)
    if there:
        raise InputError(f"the corpus itself has the block {min(there)}: name another by `block`")
    row_of = _find_rows(path, ids, corpus)
    complete, broken = find_complete(path, features, ids, np.unique(np.concatenate([*map(np.array, chosen.values())])))
    rows = np.array([row_of.get(track_id, -1) for track_id in corpus.tracks.track_id.tolist()])
    valid = (rows >= 0) & complete[rows]
    if not valid.any():
        raise InputError(f"{path}: each row that belongs to a track lacks a number or has an infinite one")
    values = np.where(valid[:, None], features.numbers[rows], np.float32(0))
    blocks = [
        Block(
            name,
            corpus.tracks.track_id,
            values[:, at],
            valid,
            {**make_spec(path, [features.numeric[i] for i in at]), JOINED: str(path)},
        )
        for name, at in chosen.items()
    ]
    strangers = [ids[row] for row in sorted(set(range(len(ids))) - set(row_of.values()))]
    if strangers:
        warnings.append((path.name, f"{len(strangers)} of {len(ids)} rows match no track: {list_first(strangers)}"))
    warnings += [(f"{path.name}, {i}", f"not taken, {reason}") for i, reason in broken]
    return corpus._replace(blocks=[*corpus.blocks, *blocks], warnings=[*corpus.warnings, *warnings])


def _find_rows(path: Path, ids: Sequence[str], corpus: Corpus) -> dict[str, int]:
    """Returns track_id -> its row of the table. Raises InputError where that cannot be told."""
    finders = [_by_id(corpus.tracks), _by_end(corpus, lambda name: name), _by_end(corpus, _drop_extension)]
    row_of: dict[str, int] = {}
    several: list[str] = []
    twice: list[str] = []
    for row, name in enumerate(ids):
        found = next(filter(None, (find(name) for find in finders)), [])
        if len(found) > 1:
            several.append(f"{name} is {' or '.join(found[:2])}")
        elif found and row_of.setdefault(found[0], row) != row:
            twice.append(f"{found[0]} by {ids[row_of[found[0]]]} and {name}")
    if several:
        raise InputError(
            f"{path}: {len(several)} of its rows could be several tracks ({list_first(several, 2)}): give it paths "
            "from the corpus's folder on"
        )
    if twice:
        raise InputError(f"{path}: {len(twice)} tracks have several rows ({list_first(twice, 2)}): keep one of each")
    if not row_of:
        first = str(corpus.tracks.track_id[0])
        raise InputError(
            f"{path}: none of its {len(ids)} rows names one of the {len(corpus.tracks)} tracks ({ids[0]!r} there, "
            f"{first!r} here): check `id_column`"
        )
    return row_of


Finder = Callable[[str], list[str]]  # the name in a row -> the track_ids that it may be


def _by_id(tracks: Tracks) -> Finder:
    ids = set(tracks.track_id.tolist())
    return lambda name: [name] if name in ids else []


def _by_end(corpus: Corpus, spell: Callable[[str], str]) -> Finder:
    """Finds tracks whose path ends as the name does, or with whose path the name ends; in the spelling of `spell`."""
    whole: dict[str, list[str]] = defaultdict(list)
    ends: dict[str, list[str]] = defaultdict(list)
    for track_id, path in zip(corpus.tracks.track_id.tolist(), corpus.tracks.path.tolist(), strict=True):
        if path:
            name = spell(unicodedata.normalize("NFC", _relative(path, corpus.source.get("audio_dir"))))
            whole[name].append(track_id)
            for end in _list_ends(name):
                ends[end].append(track_id)

    def find(name: str) -> list[str]:
        spelt = spell(name.replace("\\", "/").removeprefix("./"))
        longer = (whole[end] for end in _list_ends(spelt) if end in whole)
        return ends[spelt] if spelt in ends else next(longer, [])

    return find


def _relative(path: str, folder: str | None) -> str:
    """Returns a path from the corpus's folder on, with slashes."""
    below = folder is not None and Path(path).is_relative_to(folder)
    return (os.path.relpath(path, folder) if below else path).replace(os.sep, "/")


def _list_ends(name: str) -> list[str]:
    """Lists a path and what is left of it without its first folders, the longest first.

    Example:
      >>> _list_ends("a/b/c.mp3")
      ['a/b/c.mp3', 'b/c.mp3', 'c.mp3']
    """
    parts = name.strip("/").split("/")
    return ["/".join(parts[i:]) for i in range(len(parts))]


def _drop_extension(name: str) -> str:
    stem, extension = os.path.splitext(name)
    return stem if extension.lower() in EXTENSIONS else name
