"""A process that runs a network: arrays of many songs go in, what the network makes of them comes out.

Conventions: JAX and PyTorch run in such processes alone, with all cores of a CPU or on the accelerator there is. The
processes that decode files never load them, and the two never meet. Songs come out in the order they went in.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any, Generic, TypeVar

import numpy as np

from musiclust.errors import InputError

K = TypeVar("K")  # what the caller knows a song by
Arrays = Mapping[str, np.ndarray]

ENVIRONMENT = {
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    # glibc gives large blocks back to the system at once and fetches them anew for the next batch, page by page, which
    # takes a third of the time; with these it keeps them.
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**31),
}

_AHEAD = 3  # sendings that are under way at a time


class NetworkProcess(Generic[K]):
    """A network in a process of its own.

    Args:
      name: what the network is called in messages, which is also the parameter by which it is left out.
      pool: one process, which stays the caller's to end.
      prepare: is called in the process at once, so that the network is loaded while the first songs are decoded.
      run: is called there with the rows (M, *D) of some songs; it returns arrays of M rows by name.
      rows: from how many rows on songs are sent.
      wait_for: waits for what the process answers.

    Raises:
      InputError: from `put` and `finish`, if `prepare` or `run` raises it or the process dies.
    """

    def __init__(
        self,
        name: str,
        pool: Executor,
        *,
        prepare: Callable[[], None],
        run: Callable[[np.ndarray], Arrays],
        rows: int,
        wait_for: Callable[[Future[Arrays]], Arrays] = Future.result,
    ) -> None:
        self._name, self._pool, self._run, self._rows, self._wait_for = name, pool, run, rows, wait_for
        self._waiting: list[tuple[K, np.ndarray]] = []
        self._sent: deque[tuple[list[tuple[K, int]], Future[Arrays]]] = deque()
        self._ready = pool.submit(prepare)

    def put(self, key: K, rows: np.ndarray) -> Iterator[tuple[K, Arrays]]:
        """Takes the rows (W, *D) of a song; yields (key, name -> (W, ...)) of songs that are done."""
        self._waiting.append((key, rows))
        if sum(len(one) for _, one in self._waiting) >= self._rows:
            self._send()
        while self._sent and (len(self._sent) > _AHEAD or self._sent[0][1].done()):
            yield from self._take()

    def finish(self) -> Iterator[tuple[K, Arrays]]:
        """Yields the songs that are left."""
        if self._waiting:
            self._send()
        while self._sent:
            yield from self._take()

    def _send(self) -> None:
        songs = [(key, len(rows)) for key, rows in self._waiting]
        together = np.concatenate([rows for _, rows in self._waiting])
        self._waiting.clear()
        self._sent.append((songs, self._ask(lambda: self._pool.submit(self._run, together))))

    def _take(self) -> Iterator[tuple[K, Arrays]]:
        songs, future = self._sent.popleft()
        found = self._ask(lambda: self._wait_for(future))
        start = 0
        for key, count in songs:
            yield key, {name: array[start : start + count] for name, array in found.items()}
            start += count

    def _ask(self, question: Callable[[], Any]) -> Any:
        """Asks the process for something. Raises InputError where it has died."""
        try:
            if self._ready.done():
                self._ready.result()  # raises what went wrong with the weights
            return question()
        except BrokenExecutor as error:
            raise InputError(
                f"the process that runs the {self._name} died, most likely for want of memory: free some and run "
                f"again, or choose `{self._name}=none`"
            ) from error
