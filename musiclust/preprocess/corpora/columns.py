"""A table as columns: what every reader of tables returns, and what a cell of text says.

Conventions: among numbers a cell that is empty or says nan, na, n/a, null or none (in any case) is missing and becomes
NaN; among texts one that is empty or says nan becomes "". A column is numeric if every cell of it that is not missing
reads as a number; numbers are kept as float32.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from musiclust.errors import InputError
from musiclust.preprocess.corpora.messages import suggest_names

_MISSING = {"", "nan", "na", "n/a", "null", "none"}


class Columns(NamedTuple):
    """A table of N rows.

    Attributes:
      names: every column in file order.
      text: name -> (N) cells of the columns asked for, "" where missing.
      numeric: the names of the columns of `numbers`.
      numbers: (N, len(numeric)) float32, NaN where missing.
      other: columns that were to be numbers and are not.
    """

    names: tuple[str, ...]
    text: dict[str, list[str]]
    numeric: tuple[str, ...]
    numbers: np.ndarray
    other: tuple[str, ...]


# The names of a table -> its first row of cells -> which columns are wanted as text, which as numbers.
Choose = Callable[[Sequence[str], Sequence[str]], tuple[Sequence[str], Sequence[str]]]


def check_column(path: Path, names: Sequence[str], name: str, parameter: str) -> str:
    """Returns `name`, a column that `parameter` names. Raises InputError with the nearest names if there is none."""
    if name in names:
        return name
    raise InputError(f"{path} has no column {name!r} ({suggest_names(name, names)}): check `{parameter}`")


def parse_number(cell: str) -> float:
    """Reads a cell as a number, NaN where it is missing. Raises ValueError if it is no number.

    Example:
      >>> parse_number("2e3"), parse_number("N/A")
      (2000.0, nan)
    """
    try:
        return float(cell)
    except ValueError:
        if cell.strip().lower() in _MISSING:
            return np.nan
        raise


def parse_text(cell: str) -> str:
    """Reads a cell as text, "" where it is missing."""
    stripped = cell.strip()
    return "" if stripped.lower() == "nan" else stripped
