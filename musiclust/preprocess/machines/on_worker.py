"""What a worker of Dask does with a batch of files, in processes that it has for it.

Conventions: a thread of the worker works on one batch at a time, one file after the other, in a process of its own
that hears with one thread. So a worker with 8 threads has 8 of these, and one process for each network, as one machine
without Dask has. A file that kills its process, or that takes too long, costs itself and not the worker. While a thread
waits it gives signs of life. Processes outlive the batch, so that a network is loaded once; they end when they were
idle for some minutes, and with the worker.
"""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from musiclust.errors import InputError
from musiclust.preprocess.workers import ONE_THREAD, Failed, explain_death, start_processes

J = TypeVar("J")
T = TypeVar("T")

_SIGN_SECONDS = 2.0
_IDLE_SECONDS = 180.0
_ANSWER_SECONDS = 3600.0  # that a network may take for what it was sent, loading included


class Answer(NamedTuple):
    """What became of a batch.

    Attributes:
      results: what was made of each file; empty where any was not seen.
      unseen: which of its files are not there on this worker.
    """

    results: Sequence[Any]
    unseen: Sequence[int]


class Unwanted(Exception):
    """Nobody waits for the batch any more."""


class _TooLong(Exception):
    """The time is up."""


def do_batch(batch: bytes, topic: str, number: int) -> Answer:
    """Works on a batch. It runs in a thread of a worker of Dask.

    Args:
      batch: the function, its jobs and the file of each ("" for none), pickled so that the scheduler, which looks into
        all that it hands on, need not import what they are made of.
      topic: under which signs of life are published.
      number: the batch's own.

    Raises:
      InputError: as the function does.
    """
    import cloudpickle

    signs = _Signs(topic, number)
    signs.give()
    with _lock:
        work, jobs, files = cloudpickle.loads(batch)
    unseen = [i for i, file in enumerate(files) if file and not os.path.exists(file)]
    if unseen:
        return Answer((), unseen)
    # Dask starts workers as daemons, which may have no children because these would outlive them: ours do not.
    multiprocessing.current_process().daemon = False
    return Answer(work(jobs, BatchPlace(signs)), ())


class _Signs:
    """Signs of life of a batch, which whoever sent it listens to."""

    def __init__(self, topic: str, number: int) -> None:
        from distributed import get_worker

        self._worker = get_worker()
        self._task = self._worker.get_current_task()
        self._topic, self._number = topic, number
        self._next = 0.0
        self.done = 0

    def give(self) -> None:
        """Gives a sign if the last one is some time ago. Raises Unwanted where the batch was called off."""
        task = self._worker.state.tasks.get(self._task)
        if task is None or task.state == "cancelled":
            raise Unwanted
        if time.monotonic() >= self._next:
            sign = {"number": self._number, "done": self.done, "worker": self._worker.address}
            self._worker.log_event(self._topic, sign)
            self._next = time.monotonic() + _SIGN_SECONDS


class BatchPlace:
    """The processes that a batch works in, see `workers.Place`."""

    def __init__(self, signs: _Signs) -> None:
        self._signs = signs

    def hear_all(
        self, jobs: Sequence[J], *, hear: Callable[[J], T | Failed], seconds: float
    ) -> Generator[tuple[int, T | Failed], None, None]:
        """Yields (index into jobs, what `hear` made of the file), in their order."""
        process = _take_process()
        try:
            for i, job in enumerate(jobs):
                yield i, process.work_on(hear, job, seconds, self._signs)
                self._signs.done = i + 1
                self._signs.give()
        finally:
            _give_back(process)

    @contextmanager
    def open_process(self, name: str, env: Mapping[str, str]) -> Iterator[Executor]:
        """Offers the process of that name that all batches of this worker share."""
        with _lock:
            pool = _named.get(name)
            if pool is None:
                # Dask sets this to 1 for the worker, whose threads these are.
                threads = {"OMP_NUM_THREADS": str(self._signs._worker.state.nthreads)}
                pool = _named[name] = start_processes(1, {**env, **threads}, idle=_IDLE_SECONDS)
        try:
            yield pool
        except InputError:
            with _lock:
                if _named.get(name) is pool:  # the next batch begins with a new one: this one may have died
                    del _named[name]
            raise

    def wait_for(self, future: Future[T]) -> T:
        """Waits for a network's answer, under signs of life. Raises InputError where it takes too long."""
        try:
            return _wait(future, _ANSWER_SECONDS, self._signs)
        except _TooLong as error:
            raise InputError(f"a network did not answer within {_ANSWER_SECONDS / 60:.0f} minutes") from error

    def call(self, function: Callable[[], T]) -> T:
        """Calls a function under signs of life; functions of several batches are called one after the other."""
        return self.wait_for(_one_by_one.submit(function))

    @contextmanager
    def take_turns(self) -> Iterator[None]:
        """Lets the batches of this worker into the block one after the other."""
        while not _turn.acquire(timeout=_SIGN_SECONDS):
            self._signs.give()
        try:
            yield
        finally:
            _turn.release()


class _Process:
    """A process that hears files; when one has killed it another takes its place."""

    def __init__(self) -> None:
        self._pool: Any = None

    def work_on(self, hear: Callable[[J], T | Failed], job: J, seconds: float, signs: _Signs) -> T | Failed:
        """Hears a file. The file has failed when a second process has died over it, or when its time is up."""
        death = Failed("")
        for _ in range(2):
            if self._pool is None:
                with _lock:
                    self._pool = start_processes(1, ONE_THREAD, idle=_IDLE_SECONDS)
            try:
                return _wait(self._pool.submit(hear, job), seconds, signs)
            except BrokenExecutor as error:
                self._pool, death = None, explain_death(error)
            except _TooLong:
                self._kill()
                return Failed(f"it took longer than {seconds / 60:.2g} minutes: damaged, or too long")
            except BaseException:
                self._kill()
                raise
        return death

    def _kill(self) -> None:
        self._pool.shutdown(wait=False, kill_workers=True)
        self._pool = None


# The processes of this worker, which are those of all its batches. Packages are imported under the lock too: two
# threads that import modules which import each other see halves of them.
_lock = threading.Lock()
_turn = threading.Lock()
_one_by_one = ThreadPoolExecutor(1)
_idle: list[_Process] = []
_named: dict[str, Any] = {}


def _take_process() -> _Process:
    """Takes the process that was given back last: it has loaded the most."""
    with _lock:
        return _idle.pop() if _idle else _Process()


def _give_back(process: _Process) -> None:
    with _lock:
        _idle.append(process)


def _wait(future: Future[T], seconds: float, signs: _Signs) -> T:
    """Waits for a result under signs of life. Raises _TooLong after so many seconds."""
    end = time.monotonic() + seconds
    while not wait([future], timeout=_SIGN_SECONDS).done:
        if time.monotonic() > end:
            raise _TooLong
        signs.give()
    return future.result()
