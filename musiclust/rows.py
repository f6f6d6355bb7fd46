"""Rows of a file: read when they are asked for, and held against digests when they are first read.

Conventions: a file of rows is a .npy, (M, *D) in C order. A chunk is some of its rows that stand one after the other
and were written at once, of about 1 MiB. Its digest is XXH3 (128 bits, xxhash.com) of its bytes, in hexadecimal.
`Rows` are rows of a file in an order of their own. They look like an array (N, *D), but nothing of them is in memory
until they are indexed.
"""

import io
import math
import os
import weakref
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import xxhash

from musiclust.errors import InputError
from musiclust.files import identify

_CHUNK = 2**20  # bytes
_PIECE = 2**23  # bytes

Chunk = tuple[int, str]  # number of rows, digest; "" where none was made, and the rows are taken as they are


class Layout(NamedTuple):
    """How rows lie in a file.

    Attributes:
      offset: the byte at which they begin.
      shape: D, the shape of a row.
      dtype: that of the values.
      fortran: whether not rows but columns stand one after the other; there is one chunk then, of all rows.
      chunks: the chunks in the order of the file.
    """

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    chunks: tuple[Chunk, ...]

    @property
    def rows(self) -> int:
        """M, the number of rows."""
        return sum(rows for rows, _ in self.chunks)

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def end(self) -> int:
        """The byte after the last row."""
        return self.offset + self.rows * self.row_bytes


def format_header(rows: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """The header of a .npy of so many rows; its length is the same for any number of them."""
    file = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(dtype)
    header = {"descr": descr, "fortran_order": False, "shape": (rows, *shape)}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


class ChunkDigests:
    """Makes the chunks of rows that are written one after the other.

    Args:
      row_bytes: the size of a row.

    Example:
      >>> digests = ChunkDigests(row_bytes=2**19)
      >>> digests.add(np.zeros((3, 2**19), np.uint8))
      >>> [rows for rows, _ in digests.close()]
      [2, 1]
    """

    def __init__(self, row_bytes: int) -> None:
        self._most = max(1, _CHUNK // max(1, row_bytes))
        self._chunks: list[Chunk] = []
        self._begin()

    def _begin(self) -> None:
        self._rows, self._digest = 0, xxhash.xxh3_128()

    def add(self, rows: np.ndarray) -> None:
        """Adds rows (n, *D), in C order."""
        while len(rows):
            room = self._most - self._rows
            part, rows = rows[:room], rows[room:]
            self._digest.update(_view_bytes(part))
            self._rows += len(part)
            if self._rows == self._most:
                self._end()

    def _end(self) -> None:
        self._chunks.append((self._rows, self._digest.hexdigest()))
        self._begin()

    def close(self) -> tuple[Chunk, ...]:
        """Ends the last chunk, and returns all of them."""
        if self._rows:
            self._end()
        return tuple(self._chunks)


def digest_rows(values: np.ndarray) -> tuple[Chunk, ...]:
    """The chunks of an array (M, *D) that is written as NumPy writes it: by columns where it is in Fortran order."""
    if is_fortran(values):
        return ((len(values), xxhash.xxh3_128_hexdigest(_view_bytes(values.T))),)
    digests = ChunkDigests(values[:1].nbytes)
    for piece in split_rows(values):
        digests.add(np.ascontiguousarray(piece))
    return digests.close()


def chunk_without_digests(values: np.ndarray) -> tuple[Chunk, ...]:
    """The chunks of an array (M, *D) of which no digests are known."""
    size = len(values) if is_fortran(values) else max(1, _CHUNK // max(1, values[:1].nbytes))
    return tuple((min(size, len(values) - start), "") for start in range(0, len(values), max(1, size)))


def is_fortran(values: np.ndarray) -> bool:
    """Whether NumPy writes this array by columns."""
    return values.flags.f_contiguous and not values.flags.c_contiguous


class RowFile:
    """A file of rows, open for reading for as long as this lives, even where another file takes its name.

    A chunk is held against its digest when it is first read, once in a process for as long as the file stays as it is.
    Several threads may read.

    Args:
      path: the file.
      layout: how its rows lie in it.
      remedy: what the user can do where rows are damaged.
    """

    def __init__(self, path: Path, layout: Layout, *, remedy: str) -> None:
        self.layout = layout
        self._path, self._remedy = path, remedy
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 (closed below)
        weakref.finalize(self, self._file.close)
        self._lock = Lock()
        self._edges = np.cumsum([0, *(rows for rows, _ in layout.chunks)])
        self._checked = _make_flags(identify(os.fstat(self._file.fileno())), layout)

    def map(self) -> np.ndarray:
        """All rows (M, *D), memory-mapped; they are of the file that was opened, and not checked."""
        order = "F" if self.layout.fortran else "C"
        shape = (self.layout.rows, *self.layout.shape)
        if not math.prod(shape):
            return np.empty(shape, self.layout.dtype)
        return np.memmap(self._file, self.layout.dtype, "r", self.layout.offset, shape, order)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Reads rows (n,) int of the file, in any order; -1 stands for a row of zeros.

        Raises:
          InputError: if they are damaged.
        """
        values = np.empty((len(rows), *self.layout.shape), self.layout.dtype)
        values[rows < 0] = 0
        order = np.argsort(rows, kind="stable")
        order = order[np.searchsorted(rows[order], 0) :]
        chunks = np.searchsorted(self._edges, rows[order], side="right") - 1
        starts = np.flatnonzero(np.diff(chunks, prepend=-1))
        for places, chunk in zip(np.split(order, starts[1:]), chunks[starts].tolist(), strict=False):
            first, end = int(rows[places[0]]), int(rows[places[-1]]) + 1
            unchecked = not self._checked[chunk]
            if unchecked:
                first, end = self._edges[chunk : chunk + 2].tolist()
            at = slice(places[0], places[0] + len(places))
            one_run = _is_run(places) and _is_run(rows[places])
            if one_run and end - first == len(places):
                span = self._fill(values[at], first)
            else:
                span = self._fill(np.empty((end - first, *self.layout.shape), self.layout.dtype), first)
            if unchecked:
                self._check_chunk(chunk, span)
            if not one_run:
                values[places] = span[rows[places] - first]
            elif len(span) > len(places):
                start = int(rows[places[0]]) - first
                values[at] = span[start : start + len(places)]
        return values

    def check(self) -> None:
        """Reads the chunks that were not read yet.

        Raises:
          InputError: if rows are damaged.
        """
        for chunk, values in self._read_chunks(np.flatnonzero(~self._checked)):
            self._check_chunk(chunk, values)

    def find_damaged(self) -> np.ndarray:
        """Reads all chunks, and returns (M,) bool: the rows that are not as they were written."""
        damaged = np.zeros(self.layout.rows, bool)
        for chunk, values in self._read_chunks(np.arange(len(self.layout.chunks))):
            self._checked[chunk] = sound = self._is_sound(chunk, values)
            damaged[slice(*self._edges[chunk : chunk + 2])] = not sound
        return damaged

    def _read_chunks(self, chunks: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yields each of the chunks (n,) with its values, which are overwritten by the next ones."""
        largest = np.diff(self._edges).max(initial=0)
        buffer = np.empty((largest, *self.layout.shape), self.layout.dtype)
        for chunk in chunks.tolist():
            first, end = self._edges[chunk : chunk + 2].tolist()
            yield chunk, self._fill(buffer[: end - first], first)

    def _fill(self, values: np.ndarray, first: int) -> np.ndarray:
        """Reads into `values` (n, *D) the rows from `first` on."""
        view, got = _view_bytes(values), 0
        with self._lock:
            self._file.seek(self.layout.offset + first * self.layout.row_bytes)
            while got < len(view):
                more = self._file.readinto(view[got:])
                if not more:
                    raise InputError(f"{self._path} is damaged (it ends too early): {self._remedy}")
                got += more
        return values

    def _is_sound(self, chunk: int, values: np.ndarray) -> bool:
        return xxhash.xxh3_128_hexdigest(_view_bytes(values)) == self.layout.chunks[chunk][1]

    def _check_chunk(self, chunk: int, values: np.ndarray) -> None:
        if not self._is_sound(chunk, values):
            first, end = self._edges[chunk : chunk + 2].tolist()
            broken = "" if np.isfinite(values).all() else "; they hold NaN or infinity"
            raise InputError(
                f"{self._path} is damaged (rows {first} to {end - 1} are not as they were written{broken}): "
                f"{self._remedy}"
            )
        self._checked[chunk] = True


@lru_cache(256)
def _make_flags(state: tuple[int, ...], layout: Layout) -> np.ndarray:
    """For each chunk, whether it was checked; the same array for the same state of a file."""
    return np.array([not digest for _, digest in layout.chunks], dtype=bool)


class Rows:
    """Rows of a file that look like an array.

    An index takes what it takes of the first axis of an array, and gives an array. An array of indices in any order is
    read chunk by chunk, each chunk once.

    Args:
      file: it has the rows.
      index: (N,) int, the row of the file for each row of these; -1 for a row of zeros.

    Attributes:
      shape: (N, *D).
      dtype: that of the values.
    """

    def __init__(self, file: RowFile, index: np.ndarray) -> None:
        self._file, self._index = file, index
        self.shape: tuple[int, ...] = (len(index), *file.layout.shape)
        self.dtype = file.layout.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return len(self) * math.prod(self.shape[1:])

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        index = self._index[key]
        return self._file.read(np.reshape(index, -1)).reshape(*np.shape(index), *self.shape[1:])

    def __iter__(self) -> Iterator[np.ndarray]:
        for piece in split_rows(self):
            yield from piece

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("rows of a file become an array only by a copy")
        return np.asarray(self._file.read(self._index), dtype)

    def __repr__(self) -> str:
        return f"Rows(shape={self.shape}, dtype={self.dtype})"

    def select(self, rows: np.ndarray) -> "Rows":
        """These rows (n,) int, still in the file; -1 stands for a row of zeros."""
        return Rows(self._file, np.where(rows < 0, -1, self._index[rows]))


def select_rows(values: np.ndarray | Rows, rows: np.ndarray) -> np.ndarray | Rows:
    """Rows (n,) int of values (N, *D), in memory or in a file as they are; -1 stands for a row of zeros."""
    if isinstance(values, Rows):
        return values.select(rows)
    there = rows >= 0
    if there.all():
        return values[rows]
    selected = np.zeros((len(rows), *values.shape[1:]), values.dtype)
    selected[there] = values[rows[there]]
    return selected


def split_rows(values: np.ndarray | Rows) -> Iterator[np.ndarray]:
    """Yields values (N, *D) in pieces (n, *D) of about 8 MiB, or of a row."""
    step = max(1, _PIECE * len(values) // max(1, values.nbytes))
    for start in range(0, len(values), step):
        yield values[start : start + step]


def _is_run(numbers: np.ndarray) -> bool:
    """Whether each of these numbers is one more than the one before."""
    return bool((np.diff(numbers) == 1).all())


def _view_bytes(values: np.ndarray) -> memoryview:
    """The bytes of an array in C order, as they are."""
    return values.reshape(-1).view(np.uint8).data
