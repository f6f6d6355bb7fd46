"""Tables on disk -> columns: CSV (plain or .gz), Parquet, NPY.

Conventions: among numbers a cell that is empty or says nan, na, n/a, null or none (in any case) is missing and becomes
NaN; among texts one that is empty or says nan becomes "". A column is numeric if every cell of it that is not missing
reads as a number; numbers are kept as float32.
Several header rows are joined by "_", as FMA's feature, statistics, number become mfcc_mean_01; a row below them whose
first cell alone is filled (track_id,,,) names the index, as pandas writes it. Files are read as a stream, so that a
table of 100,000 rows needs the memory of its numbers and no more.
"""

import csv
import difflib
import gzip
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from io import TextIOWrapper
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from musiclust.errors import InputError

_MISSING = {"", "nan", "na", "n/a", "null", "none"}
_CHUNK = 1024  # rows turned into an array at a time


class Columns(NamedTuple):
    """A table of N rows.

    names: every column in file order. text: name -> (N) cells of the columns asked for, "" where missing. numeric: the
    names of the columns of `numbers` (N, len(numeric)) float32, NaN where missing. other: columns that were to be
    numbers and are not.
    """

    names: tuple[str, ...]
    text: dict[str, list[str]]
    numeric: tuple[str, ...]
    numbers: np.ndarray
    other: tuple[str, ...]


# The names of a table -> its first row of cells -> which columns are wanted as text, which as numbers.
Choose = Callable[[Sequence[str], Sequence[str]], tuple[Sequence[str], Sequence[str]]]


def read_columns(path: Path, choose: Choose, *, header_rows: int = 1) -> Columns:
    """Reads a table.

    Args:
      path: .parquet, .pq, .npy, or else CSV, by its name. An array (N, D) has the columns 1 ... D, zero-padded.
      choose: (names, first row) -> (columns to keep as text, columns to read as numbers).
      header_rows: of a CSV.

    Raises:
      InputError: if the file is missing, empty, damaged, not such a table, or names a column twice.
    """
    if not path.is_file():
        raise InputError(f"{path}: " + ("is a folder, name the file in it" if path.is_dir() else "no such file"))
    if not path.stat().st_size:
        raise InputError(f"{path}: empty file, 0 bytes")
    if path.suffix.lower() == ".npy":
        return _read_npy(path, choose)
    if path.suffix.lower() in (".parquet", ".pq"):
        return _read_parquet(path, choose)
    return _read_csv(path, choose, header_rows)


def column(path: Path, names: Sequence[str], name: str, flag: str) -> str:
    """`name`, if it is one of `names`. Raises InputError with the nearest names if it is not."""
    if name in names:
        return name
    raise InputError(f"{path} has no column {name!r} ({nearest(name, names)}): check {flag}")


def nearest(name: str, names: Sequence[str]) -> str:
    """What a person who wrote `name` may have meant."""
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return "did you mean " + " or ".join(close) + "?" if close else "it has " + ", ".join(names[:8]) + ", ..."


def opened(path: Path) -> TextIOWrapper:
    """A text file, through gzip where its name ends in .gz."""
    return gzip.open(path, "rt", encoding="utf-8-sig", newline="") if path.suffix.lower() == ".gz" else _plain(path)


def _plain(path: Path) -> TextIOWrapper:
    return open(path, encoding="utf-8-sig", newline="")


def _read_csv(path: Path, choose: Choose, header_rows: int) -> Columns:
    csv.field_size_limit(sys.maxsize)  # biographies and lyrics are cells too
    try:
        with opened(path) as file:
            return _from_lines(path, file, choose, header_rows)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not text in UTF-8 (byte {error.start} of a block): save it as UTF-8 CSV") from error
    except (csv.Error, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InputError(f"{path}: not a CSV file that can be read ({error})") from error


def _from_lines(path: Path, file: Iterator[str], choose: Choose, header_rows: int) -> Columns:
    rows = csv.reader(file)
    header = list(islice(rows, header_rows))
    first = next(rows, None)
    if first and header_rows > 1 and first[0] and not any(first[1:]) and not _is_number(first[0]):
        header.append(first)
        first = next(rows, None)
    if first is None:
        raise InputError(f"{path}: no rows below its {header_rows} header rows")
    names = _names(path, header)
    wanted_text, wanted_numbers = choose(names, first)
    into = _Rows(path, names, wanted_text, wanted_numbers)
    into.add([first], rows.line_num)
    line = rows.line_num
    while lines := list(islice(file, _CHUNK)):
        if not into.add_plain(lines):
            quoted = any('"' in one for one in lines)  # then a row may end in a later line, which only csv can tell
            rows = csv.reader(chain(lines, file) if quoted else lines)
            while some := list(islice(rows, _CHUNK)):
                into.add(some, line + rows.line_num)
        line += len(lines)
    numbers, numeric = into.numbers()
    other = tuple(name for name in wanted_numbers if name not in numeric)
    return Columns(names, into.text, numeric, numbers, other)


class _Rows:
    """Rows of cells, some at a time -> columns of text and of float32."""

    def __init__(self, path: Path, names: Sequence[str], text: Sequence[str], numbers: Sequence[str]) -> None:
        place = {name: i for i, name in enumerate(names)}
        self.text: dict[str, list[str]] = {name: [] for name in text}
        self._path, self._names = path, names
        self._text_at = [place[name] for name in text]
        self._at = {place[name]: i for i, name in enumerate(numbers)}  # of the columns numeric so far
        self._wanted = numbers
        self._chunks: list[np.ndarray] = []

    def add(self, rows: Sequence[Sequence[str]], line: int) -> None:
        """Rows as csv splits them; the last ends in this line of the file."""
        for row in rows:
            if row and len(row) != len(self._names):
                raise InputError(
                    f"{self._path}: a row of {len(row)} cells, its header has {len(self._names)}, near line {line}"
                )
        rows = [row for row in rows if row]  # an empty line is no row
        chunk = np.full((len(rows), len(self._wanted)), np.nan)
        for place, i in tuple(self._at.items()):
            try:
                chunk[:, i] = [_number(row[place]) for row in rows]
            except ValueError:
                del self._at[place]
        self._keep(chunk, rows)

    def add_plain(self, lines: Sequence[str]) -> bool:
        """Lines that hold numbers only, but for the columns of text, several times as fast; False if they do not."""
        commas = len(self._names) - 1
        if not self._at or any('"' in line or line.count(",") != commas for line in lines):
            return False
        try:
            values = np.loadtxt(lines, delimiter=",", usecols=tuple(self._at), comments=None, ndmin=2)
        except ValueError:  # an empty cell, or a word
            return False
        if len(values) != len(lines):
            return False
        chunk = np.full((len(lines), len(self._wanted)), np.nan)
        chunk[:, tuple(self._at.values())] = values
        last = max(self._text_at, default=-1) + 1
        self._keep(chunk, [line.rstrip("\r\n").split(",", last) for line in lines] if last else [])
        return True

    def _keep(self, chunk: np.ndarray, rows: Sequence[Sequence[str]]) -> None:
        with np.errstate(over="ignore"):  # beyond float32 is infinite, which the caller finds
            self._chunks.append(chunk.astype(np.float32))
        for place, cells in zip(self._text_at, self.text.values(), strict=True):
            cells.extend(_text(row[place]) for row in rows)

    def numbers(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """The numeric columns (N, D) and their names; called once."""
        kept = list(self._at.values())
        values = np.concatenate(self._chunks)
        self._chunks.clear()
        return values if len(kept) == len(self._wanted) else values[:, kept], tuple(self._wanted[i] for i in kept)


def _number(cell: str) -> float:
    """NaN where it is missing. Raises ValueError if it is no number."""
    try:
        return float(cell)
    except ValueError:
        if cell.strip().lower() in _MISSING:
            return np.nan
        raise


def _names(path: Path, header: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """One name a column. A first column without a name is "", the index of pandas."""
    widths = {len(row) for row in header}
    if len(widths) != 1:
        raise InputError(f"{path}: its {len(header)} header rows have {sorted(widths)} cells: is that many right?")
    for number, row in enumerate(header[1:], start=2):
        hollow = number < len(header) and not any(row[1:])  # as the last row names the index
        if hollow or any("." in cell and _is_number(cell) for cell in row):
            raise InputError(f"{path}: header row {number} looks like data: has it {len(header)} header rows?")
    index = header[-1][0].strip() if len(header) > 1 and not any(header[-1][1:]) else ""
    names = ["_".join(part for part in (cell.strip() for cell in cells) if part) for cells in zip(*header, strict=True)]
    names = [index or names[0], *(name or f"column_{i}" for i, name in enumerate(names[1:], start=2))]
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise InputError(f"{path}: several columns are named {twice[0]!r}: has it more header rows, or none?")
    return tuple(names)


def _read_npy(path: Path, choose: Choose) -> Columns:
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(f"{path}: not an array that can be read ({error})") from error
    if values.ndim != 2 or values.dtype.kind not in "fiub" or not values.size:
        raise InputError(f"{path}: array of {values.dtype} {values.shape}, expected numbers of shape (N, D)")
    names = tuple(f"{i:0{len(str(values.shape[1]))}}" for i in range(1, values.shape[1] + 1))
    choose(names, values[0].astype(str).tolist())
    with np.errstate(over="ignore"):
        return Columns(names, {}, names, values.astype(np.float32), ())


def _read_parquet(path: Path, choose: Choose) -> Columns:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise InputError(f"{path}: Parquet needs pyarrow: pip install 'musiclust[parquet]'") from error
    try:
        file = parquet.ParquetFile(path)
        names = tuple(file.schema_arrow.names)
        if not file.metadata.num_rows:
            raise InputError(f"{path}: no rows")
        first = next(file.iter_batches(batch_size=1)).to_pylist()[0]
        wanted_text, wanted_numbers = choose(names, ["" if value is None else str(value) for value in first.values()])
        frame = file.read(columns=[*wanted_text, *wanted_numbers])
    except ArrowException as error:
        raise InputError(f"{path}: not a Parquet file that can be read ({str(error).splitlines()[0]})") from error
    text = {
        name: [_text("" if value is None else str(value)) for value in frame[name].to_pylist()] for name in wanted_text
    }
    arrays = {name: np.asarray(frame[name].to_numpy()) for name in wanted_numbers}
    numeric = tuple(name for name, values in arrays.items() if values.dtype.kind in "fiub")
    other = tuple(name for name in arrays if name not in numeric)
    with np.errstate(over="ignore"):
        columns = [arrays[name].astype(np.float32) for name in numeric]
    return Columns(names, text, numeric, np.column_stack(columns) if numeric else np.zeros((len(frame), 0)), other)


def _text(cell: str) -> str:
    stripped = cell.strip()
    return "" if stripped.lower() == "nan" else stripped


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
