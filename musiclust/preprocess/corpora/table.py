"""The corpus "table": features that somebody else has extracted, as CSV, Parquet or NPY.

Conventions: ids are compared as they are written ("2" is not "000002"), classes are kept as written. Features
are float32. Rows that hold NaN or infinity in a chosen column are skipped and named.
"""

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from musiclust.errors import InputError
from musiclust.preprocess.corpora.base import Corpus, Request, TableRequest
from musiclust.preprocess.corpora.columns import Columns, check_column
from musiclust.preprocess.corpora.make_tracks import make_tracks, merge_groups
from musiclust.preprocess.corpora.messages import list_first, suggest_names
from musiclust.preprocess.corpora.table_reader import read_columns
from musiclust.types import Block

_ID_NAMES = ("id", "track_id", "filename", "", "__index_level_0__")  # the last two are the index of pandas


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
    path = _resolve(options.path)
    facts, facts_id = None, ""
    if options.tracks_table is not None:
        facts, facts_id = _read_facts(_resolve(options.tracks_table), options)
    features, ids = _read_features(path, options, facts, facts_id)
    warnings: list[tuple[str, str]] = []
    chosen = _choose_blocks(path, features, options.block, warnings)
    used = np.unique(np.concatenate([np.array(rows) for rows in chosen.values()]))
    complete, skipped = _find_complete(path, features, ids, used)
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
        Block(name, tracks.track_id, values[:, at], everywhere, _make_spec(path, [features.numeric[i] for i in at]))
        for name, at in chosen.items()
    ]
    words = dict(zip(track_id, cells(options.text_column), strict=True))
    words = {i: text for i, text in words.items() if text}
    heard = zip(*(cells(name) for name in options.transcript_column), strict=True)
    transcripts = dict(zip(track_id, heard, strict=False))
    source = {"corpus": "table", "table": str(path)}
    return Corpus(tracks, words, 0, skipped, source, blocks, warnings, transcripts)


def _resolve(path: Path) -> Path:
    return Path(os.path.abspath(path.expanduser()))


def _name_offices(options: TableRequest) -> dict[str, str]:
    """Returns column -> the parameter that names it, but for the id."""
    named = {
        "group_column": [options.group_column],
        "title_column": [options.title_column],
        "artist_column": [options.artist_column],
        "text_column": [options.text_column],
        "transcript_column": options.transcript_column,
        "class_column": options.class_column,
    }
    return {name: parameter for parameter, names in named.items() for name in names if name}


def _guess_id_column(names: Sequence[str], first: Sequence[str], offices: Mapping[str, str]) -> str | None:
    """Returns the column that looks like the ids; None where none does."""
    for name, cell in zip(names, first, strict=False):
        if name in _ID_NAMES or (name not in offices and _is_text(cell)):
            return name
    return None


def _is_text(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return True
    return False


def _read_facts(path: Path, options: TableRequest) -> tuple[Columns, str]:
    """Reads what the tracks table knows, and its id column, "" if it has none."""
    offices = _name_offices(options)
    found: list[str] = []

    def choose(names: Sequence[str], first: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
        if options.id_column:
            found.append(check_column(path, names, options.id_column, "id_column"))
        else:
            found.append(_guess_id_column(names, first, offices) or "")
        return [name for name in names if name in offices or name == found[0]], []

    facts = read_columns(path, choose)
    if found[0] in facts.text:
        _check_unique(path, facts.text[found[0]])
    return facts, found[0] if found[0] in facts.text else ""


def _read_features(
    path: Path, options: TableRequest, facts: Columns | None, facts_id: str
) -> tuple[Columns, list[str]]:
    """Reads the table, and the id of each of its rows."""
    offices = _name_offices(options)
    by_row = path.suffix.lower() == ".npy"
    found: list[str | None] = []

    def choose(names: Sequence[str], first: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
        for name, parameter in offices.items():
            if facts is None or name not in facts.text:
                there = [] if by_row else names
                check_column(path, [*there, *(facts.names if facts else ())], name, parameter)
        if by_row:
            if facts is None and options.id_column:
                raise InputError(f"{path} has no ids: name the table that has them, `tracks_table=<file.csv>`")
            found.append(None)
        elif options.id_column:
            found.append(check_column(path, names, options.id_column, "id_column"))
        else:
            guess = names[0] if options.header_rows > 1 else _guess_id_column(names, first, offices)
            found.append(facts_id if facts_id in names else guess)
        texts = [name for name in names if name == found[0] or name in offices]
        return texts, [name for name in names if name not in texts]

    features = read_columns(path, choose, header_rows=options.header_rows)
    n = len(features.numbers)
    ids = features.text[found[0]] if found[0] is not None else [f"{i:0{len(str(n))}}" for i in range(1, n + 1)]
    if by_row and facts is not None:
        rows = len(next(iter(facts.text.values()), []))
        if rows != n:
            raise InputError(f"{path} has {n} rows and {options.tracks_table} {rows}: they must go row by row")
        ids = facts.text[facts_id] if facts_id else ids
    ids = [unicodedata.normalize("NFC", i) for i in ids]
    _check_unique(path, ids)
    return features, ids


def _check_unique(path: Path, ids: Sequence[str]) -> None:
    twice = [i for i, times in Counter(ids).items() if times > 1]
    if "" in ids:
        raise InputError(f"{path}: row {ids.index('') + 1} has no id: fill it in, or name another `id_column`")
    if twice:
        raise InputError(f"{path}: {len(twice)} ids stand there twice ({list_first(twice)}): name another `id_column`")


def _choose_blocks(
    path: Path, features: Columns, wanted: Sequence[tuple[str, str]], warnings: list[tuple[str, str]]
) -> dict[str, list[int]]:
    """Returns block -> its columns, as places in features.numeric."""
    if not features.numeric:
        others = list_first(features.other) or "none"
        raise InputError(f"{path} has no column of numbers (not numeric: {others}): check `header_rows`")
    globs: dict[str, list[str]] = defaultdict(list)
    for name, glob in wanted or [("table", "*")]:
        if not re.fullmatch(r"\w[\w-]*", name) or name == "lyrics":
            raise InputError(f"`block={name}:{glob}`: {name!r} cannot name a block: use letters, digits, _ and -")
        globs[name].append(glob)
        matched = [one for one in features.numeric if fnmatchcase(one, glob)]
        if not matched:
            raise InputError(
                f"`block={name}:{glob}` matches no column of numbers ({suggest_names(glob, features.numeric)})"
            )
    passed = [one for one in features.other if any(fnmatchcase(one, glob) for each in globs.values() for glob in each)]
    if passed:
        warnings.append((path.name, f"columns left out, not numeric: {list_first(passed)}"))
    return {
        name: [i for i, one in enumerate(features.numeric) if any(fnmatchcase(one, glob) for glob in each)]
        for name, each in globs.items()
    }


def _find_complete(
    path: Path, features: Columns, ids: Sequence[str], used: np.ndarray
) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """Returns which rows are finite in every column used, (N,) bool, and (id, reason) of the others."""
    broken: np.ndarray = ~np.isfinite(features.numbers[:, used])
    complete = np.array(~broken.any(axis=1))
    names = [features.numeric[i] for i in used]
    if not complete.any():
        always = [name for name, all_broken in zip(names, np.array(broken.all(axis=0)), strict=True) if all_broken]
        which = (
            f"{list_first(always)} in all of them: leave that out by `block`" if always else f"the first: {names[0]}"
        )
        raise InputError(f"{path}: each of its {len(ids)} rows lacks a number or has an infinite one, {which}")
    skipped = []
    for row in np.flatnonzero(~complete).tolist():
        at = np.flatnonzero(broken[row]).tolist()
        what = "NaN" if np.isnan(features.numbers[row, used[at[0]]]) else "infinite"
        where = "every column" if len(at) == len(used) else names[at[0]]
        more = f" and {len(at) - 1} more columns" if 1 < len(at) < len(used) else ""
        skipped.append((ids[row], f"{what} in {where}{more}"))
    return complete, skipped


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


def _make_spec(path: Path, columns: Sequence[str]) -> dict[str, object]:
    return {
        "shape": [len(columns)],
        "dtype": "float32",
        "units": "as in the table",
        "description": f"columns of {path.name}",
        "columns": list(columns),
    }
