"""Features that do not fit into memory: read from the disk, scaled and sent to the device in chunks of an epoch.

    x = Streamed((N, *D), read)                      # stands in `Data.x` where an array (N, *D) would
    chunks = plan_chunks(x, n, recipe.batches(n))    # which batches of an epoch come together
    rows = chunks.draw_rows(line, epoch)             # the rows of each batch
    order = chunks.order_batches(seed, epoch, c)     # the order in which a replica takes the batches of chunk c

Tracks are shuffled within and between chunks. Rows that are neighbours on the disk are read in runs of about a MiB;
each epoch puts the runs into another order, fills its chunks with them one after the other, and shuffles the rows of
each chunk into batches. Which tracks are a batch is the same for all replicas, so that a chunk is read once for all of
them; in which order a replica takes the batches of a chunk is a function of its seed. All is a function of the epoch
and of shapes, never of how much memory there is: a resumed run is the unbroken run, on another machine too.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from musiclust.types import AnyArray, Block, Data

CHUNK_BYTES = 2**28  # of float32 features in a chunk of an epoch
_PIECE_BYTES = 2**24  # of float32 features that are read and scaled, or encoded, at once
_RUNS = 256  # in a chunk: rows that are neighbours on the disk and are read together, 1 MiB by default
_ALIKE = 256  # a piece of more rows than these has a multiple of them, as many as are encoded at once

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Streamed:
    """Features (N, *D) float32 that are read and scaled when they are asked for, in place of an array.

    It has an array's shape, and indexing it with row numbers gives an array of those rows.

    Args:
      shape: (N, *D).
      read: gives rows by their numbers: (n,) integers, ascending, each once -> (n, *D) float32.
      chunk_bytes: size of a chunk of an epoch. The order of the tracks depends on it.

    Example:
      >>> x = Streamed((5, 2), lambda rows: np.stack([rows, rows**2], axis=1).astype(np.float32))
      >>> x[np.array([3, 1])].tolist(), x.nbytes
      ([[3.0, 9.0], [1.0, 1.0]], 40)
    """

    def __init__(
        self, shape: Sequence[int], read: Callable[[np.ndarray], np.ndarray], *, chunk_bytes: int = CHUNK_BYTES
    ) -> None:
        self.shape, self.chunk_bytes = tuple(shape), chunk_bytes
        self._read = read

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return 4 * int(np.prod(self.shape[1:], dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes of all rows, were they in memory."""
        return len(self) * self.row_bytes

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Int[AnyArray, " n"]) -> Float[np.ndarray, "n *D"]:
        """The rows of these numbers, in that order; they are read in the order of the disk, a piece at a time."""
        rows = np.asarray(rows)
        found = np.empty((len(rows), *self.shape[1:]), np.float32)
        ascending = np.argsort(rows, kind="stable")
        for piece in split_evenly(len(rows), max(1, _PIECE_BYTES // max(1, self.row_bytes))):
            places = ascending[piece]
            # What fills a batch or a piece up stands there twice.
            each, back = np.unique(rows[places], return_inverse=True)
            values = self._read(each)
            found[places] = values if len(each) == len(places) else values[back]
        return found

    def select(self, rows: Int[AnyArray, " n"]) -> "Streamed":
        """The same of some rows alone, which are read when they are asked for."""
        rows = np.asarray(rows)
        return Streamed((len(rows), *self.shape[1:]), lambda some: self[rows[some]], chunk_bytes=self.chunk_bytes)


class Chunks(NamedTuple):
    """How an epoch of n rows is cut.

    rows: n. count, size: batches of an epoch, and rows of a batch; the last one is filled up. batches: of a chunk; the
    last chunk may have fewer. run: rows that are read together.
    """

    rows: int
    count: int
    size: int
    batches: int
    run: int

    @property
    def number(self) -> int:
        """Chunks of an epoch."""
        return -(-self.count // self.batches)

    def there(self, chunk: int) -> int:
        """Batches in a chunk of an epoch."""
        return min(self.batches, self.count - chunk * self.batches)

    def draw_rows(self, line: Int[np.ndarray, " n"], epoch: int) -> Int[np.ndarray, "count size"]:
        """The rows of each batch of an epoch. Those that fill the last batch up stand at its end.

        Args:
          line: the n rows that are trained on.
        """
        rng = np.random.default_rng((epoch, self.rows))
        place = rng.permutation(-(-self.rows // self.run))
        sequence = line[np.argsort(place[np.arange(self.rows) // self.run], kind="stable")]
        of_chunk = self.batches * self.size
        parts = [rng.permutation(sequence[start : start + of_chunk]) for start in range(0, self.rows, of_chunk)]
        drawn = np.concatenate(parts)
        return np.concatenate([drawn, drawn[: self.count * self.size - self.rows]]).reshape(self.count, self.size)

    def weigh(self, chunk: int) -> Float[np.ndarray, "batches size"]:
        """1 for each track of a chunk that counts, 0 for those that fill its last batch or chunk up."""
        first = chunk * self.batches * self.size
        places = first + np.arange(self.batches * self.size).reshape(self.batches, self.size)
        return (places < self.rows).astype(np.float32)

    def order_batches(self, seed: int, epoch: int, chunk: int) -> Int[np.ndarray, " batches"]:
        """The order in which a replica takes the batches of a chunk; one that is filled up stays the last."""
        there = self.there(chunk)
        filled = chunk == self.number - 1 and self.rows < self.count * self.size
        order = np.arange(self.batches, dtype=np.int32)
        free = there - filled
        order[:free] = np.random.default_rng((seed, epoch, chunk)).permutation(free)
        return order


def plan_chunks(x: Streamed, rows: int, batches: tuple[int, int]) -> Chunks:
    """Cuts epochs of so many rows into chunks of at most about x.chunk_bytes, all of one size but for the last.

    Args:
      batches: (batches an epoch, rows a batch), as `training.Recipe.batches` gives them.

    Example:
      >>> x = Streamed((1000, 64), lambda rows: np.zeros((len(rows), 64), np.float32), chunk_bytes=2**14)
      >>> plan_chunks(x, 1000, (100, 10))
      Chunks(rows=1000, count=100, size=10, batches=6, run=1)
    """
    count, size = batches
    most = max(1, x.chunk_bytes // max(1, size * x.row_bytes))
    number = -(-count // min(most, count))
    run = max(1, min(rows, x.chunk_bytes // _RUNS // max(1, x.row_bytes)))
    return Chunks(rows, count, size, -(-count // number), run)


def split_evenly(rows: int, most: int) -> list[slice]:
    """Cuts so many rows into pieces of at most `most`, one after the other, as even as can be.

    Example:
      >>> split_evenly(7, 3)
      [slice(0, 3, None), slice(3, 6, None), slice(6, 7, None)]
    """
    if not rows:
        return []
    size = -(-rows // -(-rows // most))
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def read_ahead(read: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """Yields `read(item)` for each item; the next one is read by a thread while this one is used.

    Example:
      >>> list(read_ahead(abs, [-1, 2, -3]))
      [1, 2, 3]
    """
    left = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="reader") as pool:
        coming = [pool.submit(read, item) for item in islice(left, 1)]
        while coming:
            found = coming.pop().result()
            coming = [pool.submit(read, item) for item in islice(left, 1)]
            yield found


def is_streamed(data: Data) -> bool:
    """Whether the features of the data are read from the disk as they are needed."""
    return isinstance(data.x, Streamed)


def take_rows(data: Data, rows: Int[AnyArray, " n"]) -> Data:
    """The data of some rows; streamed features stay on the disk."""
    return Data(data.x.select(rows) if isinstance(data.x, Streamed) else data.x[rows], data.cond[rows])


def place_on_device(data: Data) -> Data:
    """The data as arrays of JAX; streamed data are returned as they are."""
    return data if is_streamed(data) else jax.tree.map(jnp.asarray, data)


def map_rows(function: Callable[..., Any], data: Data, *more: Any) -> Any:
    """What a function makes of each row of streamed data, a piece of rows at a time, in the host's memory.

    Args:
      function: Data of n rows, and n rows of each of `more` -> arrays with a leading axis n.
      more: arrays of N rows.

    Returns:
      What the function returns, of N rows. All pieces are of one size, the last one filled up by its last row, so that
      the function is compiled once.
    """
    x: Streamed = data.x
    size = max(1, min(_PIECE_BYTES // max(1, x.row_bytes), len(x)))
    size = size // _ALIKE * _ALIKE if size > _ALIKE else size

    def read(start: int) -> tuple[np.ndarray, Data]:
        rows = np.minimum(np.arange(start, start + size), len(x) - 1)
        return rows, Data(x[rows], data.cond[rows])

    parts = []
    for rows, part in read_ahead(read, range(0, len(x), size)):
        found = function(jax.tree.map(jnp.asarray, part), *(array[rows] for array in more))
        there = len(np.unique(rows))
        parts += [jax.tree.map(lambda leaf: np.asarray(leaf)[:there], found)]  # noqa: B023
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def map_pieces(function: Callable[[np.ndarray], np.ndarray], values: Any, *, piece_bytes: int = _PIECE_BYTES) -> Any:
    """What a function makes of values (N, *D) that are read a piece at a time: its results one after the other.

    Args:
      function: (n, *D) -> (n, *P), each row by itself.
      values: what can be indexed by (n,) integers.
    """
    row = max(1, 4 * int(np.prod(values.shape[1:], dtype=np.int64)))
    pieces = split_evenly(len(values), max(1, piece_bytes // row))
    return np.concatenate([function(values[np.arange(piece.start, piece.stop)]) for piece in pieces])


def pieces_of(blocks: Sequence[Block], rows: Int[np.ndarray, " n"]) -> Iterator[list[Block]]:
    """The blocks of so many rows, a piece at a time."""
    widest = max(4 * int(np.prod(block.values.shape[1:], dtype=np.int64)) for block in blocks)
    for piece in split_evenly(len(rows), max(1, _PIECE_BYTES // max(1, widest))):
        yield [take_block(block, rows[piece]) for block in blocks]


def take_block(block: Block, rows: Int[np.ndarray, " n"]) -> Block:
    """A block of some of its tracks, its values in memory."""
    return Block(block.name, block.track_id[rows], np.asarray(block.values[rows]), block.valid[rows], block.spec)
