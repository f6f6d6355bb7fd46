"""CSV files (plain or .gz) -> columns.

Cells are set apart by commas, semicolons or tabs; the first two lines tell by which. Several header rows are joined by
"_", as FMA's feature, statistics, number become mfcc_mean_01; a row below them whose first cell alone is filled
(track_id,,,) names the index, as pandas writes it. Files are read as a stream, so that a table of 100,000 rows needs
the memory of its numbers and no more. No line, no cell and no packed file may grow without end.
"""

import csv
import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from io import TextIOWrapper
from itertools import chain, islice
from pathlib import Path

import numpy as np

from musiclust.errors import InputError
from musiclust.preprocess.corpora.columns import Choose, Columns, parse_number, parse_text
from musiclust.preprocess.corpora.expansion import most_unpacked, refuse_unpacked

_CHUNK = 1024  # rows turned into an array at a time,
_CELLS = 2**21  # and cells, at most
_LONGEST = 2**26  # characters of a line and of a cell: biographies and lyrics are cells too
_DELIMITERS = ",;\t"
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+(?:[eE][-+]?\d+)?")


def open_text(path: Path) -> TextIOWrapper:
    """Opens a file of text, through gzip where its name ends in .gz.

    Reading raises InputError where that unpacks to more than a table does, see `expansion`.
    """
    if path.suffix.lower() == ".gz":
        return TextIOWrapper(_BoundedGzip(path), encoding="utf-8-sig", newline="")
    return open(path, encoding="utf-8-sig", newline="")


class _BoundedGzip(gzip.GzipFile):
    """A gzip file for reading that ends in an InputError where it unpacks to more than a table does."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "rb")
        self._table, self._left = path, most_unpacked(path)

    def read1(self, size: int = -1) -> bytes:
        found = super().read1(size)
        self._left -= len(found)
        if self._left < 0:
            raise refuse_unpacked(self._table)
        return found


def find_delimiter(opening: Sequence[str]) -> str:
    """Returns what stands between the cells of a table: a comma, a semicolon or a tab.

    It is the one that gives both lines the same number of cells, more than one; of several the one that gives most. It
    is a comma where none does.

    Args:
      opening: the first two lines.

    Example:
      >>> find_delimiter(["id;a, b;c", "x;1,5;2"]), find_delimiter(["id,a;b", "x,1"])
      (';', ',')
    """
    best, most = ",", 1
    for delimiter in _DELIMITERS:
        widths = {len(cells) for cells in csv.reader(opening, delimiter=delimiter)}
        if len(widths) == 1 and max(widths) > most:
            best, most = delimiter, max(widths)
    return best


def _read_lines(path: Path, file: TextIOWrapper) -> Iterator[str]:
    while line := file.readline(_LONGEST):
        if len(line) == _LONGEST:
            raise InputError(f"{path}: has a line of {_LONGEST:,} characters or more, so it is no table")
        yield line


def read_csv(path: Path, choose: Choose, header_rows: int) -> Columns:
    """Reads a CSV file. Arguments and errors are those of `table_reader.read_columns`."""
    csv.field_size_limit(_LONGEST)
    try:
        with open_text(path) as file:
            return _read_rows(path, file, choose, header_rows)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not text in UTF-8 (byte {error.start} of a block): save it as UTF-8 CSV") from error
    except (csv.Error, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise InputError(f"{path}: not a CSV file that can be read ({error})") from error


def _read_rows(path: Path, file: TextIOWrapper, choose: Choose, header_rows: int) -> Columns:
    lines = _read_lines(path, file)
    opening = list(islice(lines, 2))
    delimiter, lines = find_delimiter(opening), chain(opening, lines)
    rows = csv.reader(lines, delimiter=delimiter)
    header = list(islice(rows, header_rows))
    first = next(rows, None)
    if first and header_rows > 1 and first[0] and not any(first[1:]) and not _is_number(first[0]):
        header.append(first)
        first = next(rows, None)
    if first is None:
        raise InputError(f"{path}: no rows below its {header_rows} header rows")
    names = _read_names(path, header)
    wanted_text, wanted_numbers = choose(names, first)
    into = _Rows(path, names, wanted_text, wanted_numbers, delimiter)
    into.add([first], rows.line_num)
    line = rows.line_num
    at_once = min(_CHUNK, max(1, _CELLS // len(names)))
    while chunk := list(islice(lines, at_once)):
        if not into.add_plain(chunk):
            quoted = any('"' in one for one in chunk)  # then a row may end in a later line, which only csv can tell
            rows = csv.reader(chain(chunk, lines) if quoted else chunk, delimiter=delimiter)
            while some := list(islice(rows, at_once)):
                into.add(some, line + rows.line_num)
        line += len(chunk)
    numbers, numeric = into.take_numbers()
    comma = next((cell for cell in first if _DECIMAL_COMMA.fullmatch(cell.strip())), "")
    if comma and not numeric:
        raise InputError(f"{path}: writes its numbers with a comma ({comma}): save it with decimal points")
    known = set(numeric)
    other = tuple(name for name in wanted_numbers if name not in known)
    return Columns(names, into.text, numeric, numbers, other)


class _Rows:
    """Gathers rows of cells, some at a time, into columns of text and of float32."""

    def __init__(
        self, path: Path, names: Sequence[str], text: Sequence[str], numbers: Sequence[str], delimiter: str
    ) -> None:
        place = {name: i for i, name in enumerate(names)}
        self.text: dict[str, list[str]] = {name: [] for name in text}
        self._path, self._names, self._delimiter = path, names, delimiter
        self._text_at = [place[name] for name in text]
        self._at = {place[name]: i for i, name in enumerate(numbers)}  # of the columns numeric so far
        self._wanted = numbers
        self._chunks: list[np.ndarray] = []

    def add(self, rows: Sequence[Sequence[str]], line: int) -> None:
        """Adds rows as csv splits them; the last ends in line `line` of the file."""
        for row in rows:
            if row and len(row) != len(self._names):
                raise InputError(
                    f"{self._path}: a row of {len(row)} cells, its header has {len(self._names)}, near line {line}"
                )
        rows = [row for row in rows if row]  # an empty line is no row
        chunk = np.full((len(rows), len(self._wanted)), np.nan)
        for place, i in tuple(self._at.items()):
            try:
                chunk[:, i] = [parse_number(row[place]) for row in rows]
            except ValueError:
                del self._at[place]
        self._keep(chunk, rows)

    def add_plain(self, lines: Sequence[str]) -> bool:
        """Adds lines that hold numbers only, but for the columns of text, several times as fast as `add`.

        Returns whether they do; if not, nothing is added.
        """
        between = len(self._names) - 1
        if not self._at or any('"' in line or line.count(self._delimiter) != between for line in lines):
            return False
        try:
            values = np.loadtxt(lines, delimiter=self._delimiter, usecols=tuple(self._at), comments=None, ndmin=2)
        except ValueError:  # an empty cell, or a word
            return False
        if len(values) != len(lines):
            return False
        chunk = np.full((len(lines), len(self._wanted)), np.nan)
        chunk[:, tuple(self._at.values())] = values
        last = max(self._text_at, default=-1) + 1
        self._keep(chunk, [line.rstrip("\r\n").split(self._delimiter, last) for line in lines] if last else [])
        return True

    def _keep(self, chunk: np.ndarray, rows: Sequence[Sequence[str]]) -> None:
        with np.errstate(over="ignore"):  # beyond float32 is infinite, which the caller finds
            self._chunks.append(chunk.astype(np.float32))
        for place, cells in zip(self._text_at, self.text.values(), strict=True):
            cells.extend(parse_text(row[place]) for row in rows)

    def take_numbers(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """Returns the numeric columns (N, D) and their names; may be called once."""
        kept = list(self._at.values())
        values = np.concatenate(self._chunks)
        self._chunks.clear()
        return values if len(kept) == len(self._wanted) else values[:, kept], tuple(self._wanted[i] for i in kept)


def _read_names(path: Path, header: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Returns one name a column. A first column without a name is "", the index of pandas."""
    widths = {len(row) for row in header}
    if widths == {0}:
        raise InputError(f"{path}: begins with an empty line: the first one names the columns")
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


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
