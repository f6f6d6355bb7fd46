"""Processes that work on audio files, one file at a time; a file that kills its process costs only itself.

Conventions: a file ends as a result or as `Failed`, never as an exception. Each process that hears has one thread for
BLAS, OpenMP and numba, for there are as many processes as cores. Every process imports at its start what this file
imports, so it imports little. Where files are worked on is a `Where`: a number of processes here, or other machines.
"""

import os
import re
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

J = TypeVar("J")  # what is to be done: a file, and what is wanted of it
T = TypeVar("T")  # what is made of a file: its features, its words

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
ONE_THREAD = {name: "1" for name in _THREADS}


class Failed(NamedTuple):
    """Why a file could not be used."""

    reason: str


@runtime_checkable
class Place(Protocol):
    """What another machine has for the work on a batch of files."""

    def hear_all(
        self, jobs: Sequence[Any], *, hear: Callable[[Any], Any], seconds: float
    ) -> Generator[tuple[int, Any], None, None]:
        """Does what `hear_all` does, one file after the other. A file that takes longer than `seconds` has failed."""
        ...

    def open_process(self, name: str, env: Mapping[str, str]) -> AbstractContextManager[Executor]:
        """Offers the process of that name, which outlives the batch; see `open_processes`."""
        ...

    def wait_for(self, future: Future[Any]) -> Any:
        """Waits for the answer of a process."""
        ...

    def call(self, function: Callable[[], Any]) -> Any:
        """Calls a function that takes its time; functions of several batches are called one after the other."""
        ...

    def take_turns(self) -> AbstractContextManager[None]:
        """Lets the batches of the machine into the block one after the other."""
        ...


@runtime_checkable
class Machines(Protocol):
    """Other machines that work on files, see machines/dispatch.py."""

    def work_all(
        self,
        jobs: Sequence[Any],
        *,
        files: Sequence[str],
        work: Callable[[Sequence[Any], Place], Sequence[Any]],
        stage: str,
        most: int = 200,
    ) -> Generator[tuple[int, Any], None, None]:
        """Yields (index into jobs, what `work` made of it), each once, in the order of completion.

        Args:
          files: the file that each job needs, "" for none; the machines must see it.
          work: is called there with some of the jobs; it returns as many results.
          stage: what is reported while it goes on.
          most: how many jobs are handed out together.
        """
        ...


Where = int | Machines


@contextmanager
def open_processes(count: int, env: Mapping[str, str]) -> Iterator[Executor]:
    """Starts processes that ignore Ctrl-C and end with this one; when the block is left they are killed.

    Args:
      env: environment variables that they have beside those of this process.
    """
    pool = start_processes(count, env)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, kill_workers=True)


def start_processes(count: int, env: Mapping[str, str], *, idle: float | None = None) -> Any:
    """Starts processes as `open_processes` does. It returns loky's executor, which the caller shuts down.

    Args:
      idle: seconds without work after which they end, to start again with the next; None for never.
    """
    from joblib.externals.loky import ProcessPoolExecutor

    # loky starts fresh interpreters (a fork would copy BLAS and JAX threads in mid-flight) and, unlike
    # multiprocessing's "spawn", does not import the parent's main script in each.
    return ProcessPoolExecutor(
        count, timeout=idle, initializer=_prepare_process, initargs=(os.getpid(),), env=dict(env)
    )


def hear_all(
    jobs: Sequence[J], *, workers: int, hear: Callable[[J], T | Failed]
) -> Generator[tuple[int, T | Failed], None, None]:
    """Yields (index into jobs, what `hear` made of the file), each file once, in the order of completion.

    When a process dies, the files under way at that moment are tried again one after the other, and one that kills its
    process again has failed. Closing the generator kills the processes.

    Args:
      workers: how many processes there are.
      hear: is called with a job in one of the processes; it is sent there by cloudpickle.
    """
    todo = deque(range(len(jobs)))
    while todo:
        lost, _ = yield from _work_until_a_death(todo, jobs, min(workers, len(todo)), 2 * workers, hear)
        while lost:
            failed, death = yield from _work_until_a_death(lost, jobs, 1, 1, hear)
            for i in failed:
                yield i, death


def _work_until_a_death(
    todo: deque[int], jobs: Sequence[J], workers: int, ahead: int, hear: Callable[[J], T | Failed]
) -> Generator[tuple[int, T | Failed], None, tuple[deque[int], Failed]]:
    """Works on the files of `todo` until none is left or a process dies.

    Args:
      todo: indices into `jobs`; those begun are taken out.
      ahead: how many files are under way or queued at a time.

    Returns:
      The files that were under way when a process died, and how it died.
    """
    under_way: dict[Future[T | Failed], int] = {}
    with open_processes(workers, ONE_THREAD) as pool:
        try:
            while todo or under_way:
                while todo and len(under_way) < ahead:
                    under_way[pool.submit(hear, jobs[todo[0]])] = todo[0]
                    todo.popleft()
                done, _ = wait(under_way, return_when=FIRST_COMPLETED)
                for future in done:
                    result = future.result()
                    yield under_way.pop(future), result
        except BrokenExecutor as error:
            # The death is told to all futures at once; a result that came in just before still counts.
            lost = deque()
            for future, i in under_way.items():
                if future.exception():
                    lost.append(i)
                else:
                    yield i, future.result()
            return lost, explain_death(error)
    return deque(), Failed("")


def explain_death(error: BrokenExecutor) -> Failed:
    """Says of a file that its process died over it."""
    codes = re.search(r"exit codes of the workers are \{(.*)\}", str(error))
    how = f" ({codes[1]})" if codes else ""
    return Failed(f"the process that read it died{how}: damaged, or too large for the memory")


def _prepare_process(parent: int) -> None:
    """Prepares a worker process.

    It ignores Ctrl-C, which reaches the whole process group: the parent alone decides what to do about it. It drops
    standard error, to which decoders write a line for each damaged frame: what matters comes back as a warning. It
    ends when its parent has been killed: else it would wait for ever to hand over its last result.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
