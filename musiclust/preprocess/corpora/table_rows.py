"""The rows of a table of features: their ids, their blocks, and which of them are whole.

Conventions: ids are compared as they are written ("2" is not "000002"). Features are float32.
"""

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from fnmatch import translate
from pathlib import Path

import numpy as np

from musiclust.errors import InputError
from musiclust.preprocess.corpora.base import TableRequest
from musiclust.preprocess.corpora.columns import Columns, check_column
from musiclust.preprocess.corpora.messages import list_first, suggest_names
from musiclust.preprocess.corpora.table_reader import read_columns

_ID_NAMES = ("id", "track_id", "filename", "", "__index_level_0__")  # the last two are the index of pandas


def resolve_table(path: Path) -> Path:
    """Returns the absolute path of a table."""
    return Path(os.path.abspath(path.expanduser()))


def read_facts(path: Path, options: TableRequest) -> tuple[Columns, str]:
    """Reads what the tracks table knows, and its id column, "" if it has none.

    Raises:
      InputError: as `read_features`.
    """
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


def read_features(path: Path, options: TableRequest, facts: Columns | None, facts_id: str) -> tuple[Columns, list[str]]:
    """Reads the table, and the id of each of its rows; rows are numbered where no column holds ids.

    Args:
      facts: the columns of the tracks table, None without one; facts_id: its id column, "" if it has none.

    Raises:
      InputError: if a file cannot be read, a column is missing, ids are not unique, or an array has not the rows of
        its tracks table.
    """
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
        texts = {name: None for name in names if name == found[0] or name in offices}
        return list(texts), [name for name in names if name not in texts]

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


def choose_blocks(
    path: Path, features: Columns, wanted: Sequence[tuple[str, str]], warnings: list[tuple[str, str]]
) -> dict[str, list[int]]:
    """Returns block -> its columns, as places in features.numeric.

    Args:
      wanted: (name, glob) pairs; without any, all numbers are the block "table".
      warnings: gets (table, what is left out) where a glob matches columns that are not numeric.

    Raises:
      InputError: if there is no column of numbers, a name cannot name a block, or a glob matches nothing.
    """
    if not features.numeric:
        others = list_first(features.other) or "none"
        raise InputError(f"{path} has no column of numbers (not numeric: {others}): check `header_rows`")
    taken: dict[str, set[int]] = defaultdict(set)
    passed: set[str] = set()
    for name, glob in wanted or [("table", "*")]:
        if not re.fullmatch(r"\w[\w-]*", name) or name == "lyrics":
            raise InputError(f"`block={name}:{glob}`: {name!r} cannot name a block: use letters, digits, _ and -")
        fits = re.compile(translate(glob)).match
        matched = [i for i, one in enumerate(features.numeric) if fits(one)]
        if not matched:
            raise InputError(
                f"`block={name}:{glob}` matches no column of numbers ({suggest_names(glob, features.numeric)})"
            )
        taken[name].update(matched)
        passed.update(filter(fits, features.other))
    if passed:
        left_out = [one for one in features.other if one in passed]
        warnings.append((path.name, f"columns left out, not numeric: {list_first(left_out)}"))
    return {name: sorted(places) for name, places in taken.items()}


def find_complete(
    path: Path, features: Columns, ids: Sequence[str], used: np.ndarray
) -> tuple[np.ndarray, list[tuple[str, str]]]:
    """Returns which rows are finite in every column used, (N,) bool, and (id, reason) of the others.

    Args:
      used: places in features.numeric.

    Raises:
      InputError: if none is.
    """
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


def make_spec(path: Path, columns: Sequence[str]) -> dict[str, object]:
    """Describes a block of these columns of a table."""
    return {
        "shape": [len(columns)],
        "dtype": "float32",
        "units": "as in the table",
        "description": f"columns of {path.name}",
        "columns": list(columns),
    }


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


def _check_unique(path: Path, ids: Sequence[str]) -> None:
    twice = [i for i, times in Counter(ids).items() if times > 1]
    if "" in ids:
        raise InputError(f"{path}: row {ids.index('') + 1} has no id: fill it in, or name another `id_column`")
    if strange := [i for i in ids if "\0" in i]:
        raise InputError(f"{path}: the id {strange[0][:40]!r} has a character of code 0: the table is damaged")
    if twice:
        raise InputError(f"{path}: {len(twice)} ids stand there twice ({list_first(twice)}): name another `id_column`")
