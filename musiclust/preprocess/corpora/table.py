"""The corpus "table": features that somebody else has extracted, as CSV, Parquet or NPY.

Conventions: ids are compared as they are written ("2" is not "000002"), classes are kept as written. Features
are float32. Rows that hold NaN or infinity in a chosen column are skipped and named.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from musiclust.errors import InputError
from musiclust.preprocess.corpora.base import Corpus, Request, TableRequest
from musiclust.preprocess.corpora.columns import Columns
from musiclust.preprocess.corpora.make_tracks import make_tracks, merge_groups
from musiclust.preprocess.corpora.table_rows import (
    choose_blocks,
    find_complete,
    make_spec,
    read_facts,
    read_features,
    resolve_table,
)
from musiclust.types import Block


def table(request: Request) -> Corpus:
    """Takes the rows of a table as tracks without audio; their features are the corpus's blocks.

    Every numeric column that has no other office is a feature of the block "table"; with `block`, (name, glob) pairs,
    each block holds the columns that its globs match, in file order. The id is in `id_column`, else in the first column
    that is called id, track_id or filename, has no name, or holds text; without any, rows are numbered. Below several
    header rows, which are pandas's, it is in the first. Classes, group, title, artist, words and transcripts come from
    the columns so named, in `tracks_table` where that has them. An array (NPY) goes with its tracks_table row by row,
    other tables by id. The group is the group column, else the artist, else the track; rows with the very same
    features, which are copies of one clip, share a group and are named.

    Raises:
      InputError: if a file cannot be read, a column is missing (the nearest are named), ids are not unique or do not
        join, a glob matches nothing, or no row is complete.
    """
    if request.table is None:
        raise InputError("no table is named: add `table=<file>` (CSV, Parquet or NPY)")
    options = request.table
    path = resolve_table(options.path)
    facts, facts_id = None, ""
    if options.tracks_table is not None:
        facts, facts_id = read_facts(resolve_table(options.tracks_table), options)
    features, ids = read_features(path, options, facts, facts_id)
    warnings: list[tuple[str, str]] = []
    chosen = choose_blocks(path, features, options.block, warnings)
    used = np.unique(np.concatenate([np.array(rows) for rows in chosen.values()]))
    complete, skipped = find_complete(path, features, ids, used)
    order = np.flatnonzero(complete)
    order = order[np.argsort(np.array(ids, dtype=str)[order])]
    facts_rows = _join_rows(path, options, features, ids, facts, facts_id, order, warnings)

    def cells(name: str) -> list[str]:
        if facts is not None and name in facts.text:
            return [facts.text[name][row] if row >= 0 else "" for row in facts_rows]
        return [features.text[name][row] for row in order] if name else [""] * len(order)

    track_id = [ids[row] for row in order]
    values = features.numbers[order]
    artist = cells(options.artist_column)
    groups = cells(options.group_column) if options.group_column else artist
    groups = [group or i for group, i in zip(groups, track_id, strict=True)]
    copies = _find_copies(values[:, used])
    warnings += [(track_id[rows[0]], "same features: " + ", ".join(track_id[i] for i in rows[1:])) for rows in copies]
    tracks = make_tracks(
        track_id,
        meta={"title": cells(options.title_column), "artist": artist},
        classes={name: cells(name) for name in options.class_column},
        group=merge_groups(groups, copies),
    )
    everywhere = np.ones(len(tracks), dtype=bool)
    blocks = [
        Block(name, tracks.track_id, values[:, at], everywhere, make_spec(path, [features.numeric[i] for i in at]))
        for name, at in chosen.items()
    ]
    words = dict(zip(track_id, cells(options.text_column), strict=True))
    words = {i: text for i, text in words.items() if text}
    heard = zip(*(cells(name) for name in options.transcript_column), strict=True)
    transcripts = dict(zip(track_id, heard, strict=False))
    source = {"corpus": "table", "table": str(path)}
    return Corpus(tracks, words, 0, skipped, source, blocks, warnings, transcripts)


def _join_rows(
    path: Path,
    options: TableRequest,
    features: Columns,
    ids: Sequence[str],
    facts: Columns | None,
    facts_id: str,
    order: np.ndarray,
    warnings: list[tuple[str, str]],
) -> list[int]:
    """Returns the row of the tracks table that belongs to each of the rows `order`, -1 for none."""
    if facts is None:
        return []
    if path.suffix.lower() == ".npy":
        return order.tolist()
    if not facts_id:
        raise InputError(f"{options.tracks_table} has no column of ids: name it with `id_column`")
    there = {unicodedata.normalize("NFC", i): row for row, i in enumerate(facts.text[facts_id])}
    wanted: list[str] = [ids[int(row)] for row in order]
    rows = [there.get(i, -1) for i in wanted]
    lacking = [i for i, row in zip(wanted, rows, strict=True) if row < 0]
    if len(lacking) == len(rows):
        raise InputError(
            f"{path} and {options.tracks_table} have no id in common ({lacking[0]!r} here, {next(iter(there))!r} there)"
        )
    name = Path(options.tracks_table or "").name
    warnings += [(i, f"no row in {name}: nothing is known of it but its features") for i in lacking]
    return rows


def _find_copies(values: np.ndarray) -> list[list[int]]:
    """Returns the rows of (N, D) that are equal in every column, as lists of two or more."""
    rows = defaultdict(list)
    for i, row in enumerate(np.ascontiguousarray(values) + np.float32(0)):  # -0 is 0
        rows[row.tobytes()].append(i)
    return [each for each in rows.values() if len(each) > 1]
