"""Tables on disk: every CSV file that musiclust wrote and reads back is read here, by a schema of its columns.

A schema says of each column by which function its cells are read: `read_text`, `read_name`, `read_whole` or
`read_number`. The file must be UTF-8, have each column that is not optional once and no other, a cell for each column
in every row, and a line break after the last one. So a table that was cut off is no table, even where it was cut within
its last cell.
"""

import csv
import io
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from musiclust.digests import read_verified
from musiclust.errors import InputError

Columns = Mapping[str, Callable[[str], Any]]

_MOST = 2**32  # bytes of a table
_LONGEST_CELL = 2**31 - 1  # characters; by itself `csv` reads 131,072, and tags may be longer
_WHOLE = re.compile(r"-?[0-9]{1,19}")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")


def read_text(cell: str) -> str:
    """Any text."""
    return cell


def read_name(cell: str) -> str:
    """A text that is not empty."""
    if not cell:
        raise ValueError("is empty")
    return cell


def read_whole(cell: str) -> int:
    """A whole number."""
    if not _WHOLE.fullmatch(cell) or not -(2**63) <= int(cell) < 2**63:
        raise ValueError(f"is no whole number: {cell[:40]!r}")
    return int(cell)


def read_number(cell: str) -> float:
    """A number, NaN where the cell is empty."""
    if cell in ("", "nan"):
        return math.nan
    if not _NUMBER.fullmatch(cell):
        raise ValueError(f"is no number: {cell[:40]!r}")
    return float(cell)


def read_table(
    path: Path, columns: Columns, *, optional: Collection[str] = (), others: tuple[str, ...] = (), remedy: str
) -> dict[str, list[Any]]:
    """Reads a CSV file with a row of headings.

    Args:
      columns: the schema.
      optional: those of the columns that a table of an earlier version may lack.
      others: how the headings of further columns of text may begin.
      remedy: what the user can do where it cannot be read.

    Returns:
      Heading -> the N cells of that column, for each column that is there, in their order.

    Raises:
      InputError: "<path> <fault>: <remedy>".
    """
    try:
        return _parse(read_verified(path, most=_MOST), columns, optional, others)
    except InputError as error:
        raise InputError(f"{error}: {remedy}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is damaged, or not in UTF-8 (at byte {error.start:,}): {remedy}") from error
    except (ValueError, csv.Error) as error:
        raise InputError(f"{path} {error}: {remedy}") from error


def _parse(content: bytes, columns: Columns, optional: Collection[str], others: tuple[str, ...]) -> dict[str, list]:
    """Raises ValueError: "<fault>"."""
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True)
    try:
        rows = list(reader)
    except csv.Error as error:
        raise ValueError(f"is damaged at line {reader.line_num} ({error})") from error
    header = rows[0] if rows else []
    if missing := [column for column in columns if column not in header and column not in optional]:
        raise ValueError(f"lacks the columns {missing}")
    if len(set(header)) < len(header):
        raise ValueError(f"has a column twice: {max(header, key=header.count)[:40]!r}")
    strange = [column for column in header if column not in columns and not (others and column.startswith(others))]
    if strange:
        raise ValueError(f"has a column that this version does not know: {strange[0][:40]!r}")
    if not content.endswith(b"\n"):
        raise ValueError(f"is cut off in row {len(rows) - 1}")
    for row, cells in enumerate(rows):
        if len(cells) != len(header):
            raise ValueError(f"is damaged in row {row}: it has {len(cells)} cells, and there are {len(header)} columns")
    cells_of = zip(*rows[1:], strict=True) if len(rows) > 1 else ((),) * len(header)
    return {
        column: _read_column(columns.get(column, read_text), column, cells)
        for column, cells in zip(header, cells_of, strict=True)
    }


def _read_column(kind: Callable[[str], Any], column: str, cells: Sequence[str]) -> list[Any]:
    found: list[Any] = []
    try:
        found.extend(map(kind, cells))  # what was read before an error stays
    except ValueError as error:
        raise ValueError(f"is damaged in row {len(found) + 1}: its {column} {error}") from error
    return found
