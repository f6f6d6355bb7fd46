"""Batches of files, handed to the workers of a scheduler of Dask and handed out again where one is lost.

Conventions: each thread of a worker has one batch at a time, and a batch is sent to a worker by its address, so that it
is known where it is. A batch is lost when its worker has gone or has given no sign of life for some time; another
worker does it again. A batch that is lost twice is split into its files, which are done after all others, each alone on
a worker; a file that is lost twice so has failed. dask is imported when `connect` is called, and not before.
"""

import asyncio
import importlib.util
import itertools
import logging
import math
import os
import re
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from musiclust.errors import InputError
from musiclust.preprocess.machines.on_worker import Answer, do_batch
from musiclust.preprocess.workers import Failed

Report = Callable[[str, int, int], None]

_CONNECT_SECONDS = 10.0
_WAIT_SECONDS = 60.0  # for a first worker, and for another one when none is left
_SILENT_SECONDS = 120.0  # without a sign of life, which comes every two seconds
_ANSWER_SECONDS = 30.0  # that the scheduler may take for a question, or for handing over the results of a batch
_TICK_SECONDS = 0.1
_LOOK_SECONDS = 1.0  # between two looks at which workers there are

_LEAST = 50  # files of a batch, where there are so many for each thread
_MOST = 200
_ALLOWED = 2  # times that a batch may be lost, as a whole and then file by file

_ADDRESS = re.compile(r"(tcp|tls|ws|wss)://\S+:\d+")
_LOGGERS = ("distributed", "distributed.client", "tornado", "tornado.application", "asyncio")
_PACKAGE = "musiclust"


class _Lost(NamedTuple):
    """A batch was lost.

    Attributes:
      blame: whether one of its files may be why.
    """

    blame: bool


@dataclass
class _Worker:
    """A worker of the scheduler.

    Attributes:
      open: whether it takes batches now: it is not about to leave, nor short of memory.
      question: what it is asked before its first batch: its versions.
      fit: whether it has answered, and has the same versions.
      silent: whether it gave no sign of life for a batch, nor one since.
    """

    threads: int
    question: Any
    open: bool = True
    fit: bool = False
    silent: bool = False

    @property
    def usable(self) -> bool:
        return self.fit and self.open and not self.silent


@dataclass
class _Batch:
    """Files that are handed out together: rows of the jobs; `alone` where it is to have a worker for itself."""

    rows: Sequence[int]
    lost: int = 0
    alone: bool = False


@dataclass
class _Sent:
    """A batch that is under way. `sign` is when it was last heard of, `done` how many of its files are."""

    batch: _Batch
    worker: str
    future: Any
    sign: float = field(default_factory=time.monotonic)
    begun: bool = False
    done: int = 0


@contextmanager
def connect(scheduler: str, report: Report = lambda stage, done, total: None) -> Iterator["DaskWorkers"]:
    """Connects to a scheduler of Dask.

    Whoever may speak to a scheduler may run code on its workers, and answers are unpickled here: it is for a network
    that is private, or for TLS, as Dask's own configuration says it.

    Args:
      scheduler: its address, "tcp://host:8786" or "tls://host:8786".
      report: called with (stage, done, total), about ten times a second while work goes on.

    Raises:
      InputError: if dask is not installed, no scheduler answers there, or its versions of Python and musiclust are
        others; while work goes on, if there are no workers, they do not see the files, or the scheduler goes away.
    """
    if importlib.util.find_spec("distributed") is None:
        raise InputError("`scheduler` needs dask: pip install 'musiclust[cluster]'")
    if not _ADDRESS.fullmatch(scheduler):
        raise InputError(f"`scheduler={scheduler}` is no address: write tcp://host:8786, as `dask scheduler` prints it")
    with _silence_loggers():
        _greet(scheduler)
        client = _open_client(scheduler)
        try:
            yield DaskWorkers(client, scheduler, report)
        finally:
            with suppress(OSError):
                client.close(timeout=_CONNECT_SECONDS)


class DaskWorkers:
    """The workers of a scheduler, see `workers.Machines`."""

    def __init__(self, client: Any, address: str, report: Report) -> None:
        self._client, self._address, self._report = client, address, report
        self._workers: dict[str, _Worker] = {}
        self._sent: dict[int, _Sent] = {}
        self._numbers = itertools.count()
        self._next_look = 0.0
        self._topic = f"{_PACKAGE}-{client.id}"
        client.subscribe_topic(self._topic, self._hear_sign)

    def work_all(
        self,
        jobs: Sequence[Any],
        *,
        files: Sequence[str],
        work: Callable[..., Sequence[Any]],
        stage: str,
        most: int = _MOST,
    ) -> Generator[tuple[int, Any], None, None]:
        """Yields (index into jobs, what `work` made of it), each once, in the order of completion.

        Closing the generator calls off what is under way.

        Args:
          files: the file that each job needs, "" for none; the workers must see it.
          work: is called on a worker with some of the jobs and a `Place`; it returns as many results.
          stage: what is reported while it goes on, with the jobs that are done, be they back or not.
          most: how many jobs are handed out together.

        Raises:
          InputError: as `connect`, and as `work` does, naming the worker.
        """
        if not jobs:
            return
        self._wait_for_workers()
        threads = sum(worker.threads for worker in self._workers.values() if worker.usable)
        size = choose_size(len(jobs), threads, most)
        todo = deque(_Batch(range(i, min(i + size, len(jobs)))) for i in range(0, len(jobs), size))
        alone: deque[_Batch] = deque()
        back = 0

        def send(batch: _Batch, address: str) -> None:
            payload = _pickle((work, [jobs[i] for i in batch.rows], [files[i] for i in batch.rows]))
            self._send(batch, address, payload)

        try:
            while todo or alone or self._sent:
                self._look_at_workers()
                if not self._sent:
                    self._wait_for_workers()
                self._hand_out(todo, alone, send)
                for number, one in list(self._sent.items()):
                    found = self._look_at(one)
                    if found is None:
                        continue
                    del self._sent[number]
                    one.future.release()
                    if isinstance(found, _Lost):
                        results = self._do_again(one.batch, found, todo, alone)
                    elif found.unseen:
                        results = self._check_unseen(one, found.unseen, files, todo)
                    else:
                        results = zip(one.batch.rows, found.results, strict=True)
                    for result in results:
                        back += 1
                        yield result
                self._report(stage, back + sum(one.done for one in self._sent.values()), len(jobs))
                time.sleep(_TICK_SECONDS)
        finally:
            for one in self._sent.values():
                one.future.release()
            self._sent.clear()

    def _hear_sign(self, event: Sequence[Any]) -> None:
        """Takes a sign of life. It is called in another thread."""
        _, sign = event
        if worker := self._workers.get(sign["worker"]):
            worker.silent = False
        if one := self._sent.get(sign["number"]):
            one.begun, one.done, one.sign = True, sign["done"], time.monotonic()

    def _wait_for_workers(self) -> None:
        """Waits until a worker can be used."""
        end = time.monotonic() + _WAIT_SECONDS
        stage = f"waiting for workers at {self._address}, {_WAIT_SECONDS:.0f} s at most"
        self._look_at_workers()
        if self._any_usable():
            return
        while not self._any_usable():
            self._report(stage, 0, 1)
            if time.monotonic() > end:
                known = len(self._workers)
                what = f"none of the {known} workers" if known else "there is no worker"
                which = f"{what} at {self._address}" + (" takes work" if known else "")
                raise InputError(
                    f"{which}, after waiting for {_WAIT_SECONDS:.0f} s: start some (dask worker {self._address}), then "
                    "run again; what came back is kept"
                )
            time.sleep(_TICK_SECONDS)
            self._look_at_workers()
        self._report(stage, 1, 1)

    def _any_usable(self) -> bool:
        return any(worker.usable for worker in self._workers.values())

    def _look_at_workers(self) -> None:
        """Finds out which workers there are and which of them are fit, about once a second; more seldom of many."""
        from distributed.versions import get_versions

        if time.monotonic() < self._next_look:
            return
        try:
            ask = self._client.scheduler.identity
            told = self._client.sync(ask, n_workers=-1, callback_timeout=_ANSWER_SECONDS)["workers"]
        except (OSError, RuntimeError, AttributeError) as error:  # a client that is closed has no scheduler and no loop
            raise self._gone() from error
        for address in set(self._workers) - set(told):
            self._workers.pop(address).question.release()
        for address, about in told.items():
            if address not in self._workers:
                question = self._submit(partial(get_versions, packages=[_PACKAGE]), address)
                self._workers[address] = _Worker(about["nthreads"], question)
            self._workers[address].open = about["status"] == "running"
        for address, worker in self._workers.items():
            if not worker.fit and worker.question.status in ("finished", "error"):
                with suppress(TimeoutError, _Killed):
                    compare_versions(self._ask(worker.question, address), f"the worker {address}")
                    worker.fit = True
                    worker.question.release()  # else Dask asks again when the worker is gone
        self._next_look = time.monotonic() + _LOOK_SECONDS * (1 + len(told) / 100)  # a megabyte of a thousand workers

    def _hand_out(self, todo: deque[_Batch], alone: deque[_Batch], send: Callable[[_Batch, str], None]) -> None:
        """Gives each free thread a batch, those of the least busy worker first."""
        threads = {address: worker.threads for address, worker in self._workers.items() if worker.usable}
        busy = Counter(one.worker for one in self._sent.values())
        for one in self._sent.values():
            if one.batch.alone:
                busy[one.worker] = threads.get(one.worker, 0)
        while todo or alone:
            batches = todo or alone
            free = [a for a in threads if busy[a] < threads[a] and (batches is todo or not busy[a])]
            if not free:
                return
            address = min(free, key=lambda a: busy[a] / threads[a])
            batch = batches.popleft()
            send(batch, address)
            busy[address] += threads[address] if batch.alone else 1

    def _send(self, batch: _Batch, address: str, payload: bytes) -> None:
        number = next(self._numbers)
        future = self._submit(partial(do_batch, payload, self._topic, number), address)
        self._sent[number] = _Sent(batch, address, future)

    def _submit(self, task: Callable[[], Any], address: str) -> Any:
        from distributed.client import ClosedClientError

        try:
            return self._client.submit(task, workers=[address], pure=False)
        except ClosedClientError as error:
            raise self._gone() from error

    def _look_at(self, one: _Sent) -> Answer | _Lost | None:
        """What became of a batch; None while it is under way."""
        status = one.future.status
        if status in ("finished", "error"):
            try:
                return self._ask(one.future, one.worker)
            except _Killed:
                return _Lost(blame=True)
            except TimeoutError:
                pass  # its results are on a worker that has gone or is silent, which is told below
        if status == "cancelled":
            raise self._gone()
        if status == "lost":
            return _Lost(blame=False)
        worker = self._workers.get(one.worker)
        if worker is None:  # a batch that killed it at once had no time for a sign
            return _Lost(blame=True)
        if time.monotonic() - one.sign > _SILENT_SECONDS:
            worker.silent = True
            return _Lost(blame=one.begun)
        return None

    def _ask(self, future: Any, address: str) -> Any:
        """The result of a task that has ended. Raises TimeoutError where it cannot be had any more."""
        from distributed.client import FutureCancelledError
        from distributed.scheduler import KilledWorker

        try:
            return future.result(timeout=_ANSWER_SECONDS)
        except KilledWorker as error:
            raise _Killed from error
        except FutureCancelledError as error:
            raise self._gone() from error
        except InputError as error:
            raise InputError(f"the worker {address}: {error}") from error
        except ImportError as error:
            raise InputError(f"the worker {address} lacks a package ({error}): install there what is here") from error

    def _gone(self) -> InputError:
        return InputError(
            f"the scheduler at {self._address} has gone or does not answer: start it, then run again; what came back "
            "is kept"
        )

    def _do_again(
        self, batch: _Batch, how: _Lost, todo: deque[_Batch], alone: deque[_Batch]
    ) -> Iterator[tuple[int, Failed]]:
        """Puts a lost batch back, as a whole or split; yields it as failed where there is nothing left to split."""
        batch.lost += how.blame
        if batch.lost < _ALLOWED:
            (alone if batch.alone else todo).appendleft(batch)
        elif not batch.alone:
            alone.extend(_Batch([row], alone=True) for row in batch.rows)
        else:
            what = f"{_ALLOWED} workers died over it or fell silent, each with nothing else to do"
            yield from ((row, Failed(f"{what}: damaged, or too large for the memory")) for row in batch.rows)

    def _check_unseen(
        self, one: _Sent, unseen: Sequence[int], files: Sequence[str], todo: deque[_Batch]
    ) -> Iterator[tuple[int, Failed]]:
        """Yields files that are gone everywhere as failed, and puts the others back.

        Raises:
          InputError: if any of them is here.
        """
        rows = {one.batch.rows[i] for i in unseen}
        here = [files[row] for row in sorted(rows) if os.path.exists(files[row])]
        if here:
            raise InputError(
                f"the worker {one.worker} does not see {here[0]}, which is here ({len(here)} of the "
                f"{len(one.batch.rows)} files of its batch are missing there): all machines must see the music under "
                "the same path, by a shared file system"
            )
        rest = [row for row in one.batch.rows if row not in rows]
        if rest:
            todo.appendleft(_Batch(rest, one.batch.lost, one.batch.alone))
        yield from ((row, Failed("cannot be read: it is there no more")) for row in sorted(rows))


class _Killed(Exception):
    """Dask gave a batch up, because workers died over it."""


def choose_size(jobs: int, threads: int, most: int = _MOST) -> int:
    """Chooses how many jobs make a batch.

    Four batches a thread let all end at about the same time. They have at least 50 files, unless threads would be idle.

    Args:
      threads: of all workers together.
      most: no batch has more.

    Example:
      >>> choose_size(100_000, 64), choose_size(5_000, 16), choose_size(60, 3)
      (200, 79, 20)
    """
    fair = math.ceil(jobs / threads)
    return min(fair, most, max(_LEAST, math.ceil(jobs / (4 * threads))))


def compare_versions(there: Mapping[str, Any], name: str) -> None:
    """Compares versions with those here.

    Args:
      there: what `distributed.versions.get_versions` says elsewhere.
      name: of that place.

    Raises:
      InputError: if the Python (3.11, say) or the musiclust is another.
    """
    from distributed.versions import get_versions

    here, there = (_name_versions(one) for one in (get_versions(packages=[_PACKAGE]), there))
    for package, version in here.items():
        if there[package] != version:
            found = f"{package} {there[package]}" if there[package] else f"no {package}"
            raise InputError(f"{name} has {found} and this machine {package} {version}: install the same on both")


def _name_versions(found: Mapping[str, Any]) -> dict[str, str]:
    packages = found["packages"]
    return {"Python": ".".join(packages["python"].split(".")[:2]), _PACKAGE: packages.get(_PACKAGE) or ""}


def _pickle(thing: Any) -> bytes:
    import cloudpickle

    return cloudpickle.dumps(thing)


def _greet(address: str) -> None:
    """Raises InputError unless a scheduler of the same versions is at the address.

    Dask's client waits without end for a server that takes the connection and says nothing, so it comes second.
    """
    from distributed.core import rpc
    from distributed.security import Security

    async def ask() -> tuple[str, Mapping[str, Any]]:
        how = Security().get_connection_args("client")
        server: Any = rpc(address, timeout=_CONNECT_SECONDS, connection_args=how)
        async with server:
            return (await server.identity())["type"], await server.versions(packages=[_PACKAGE])

    async def ask_in_time() -> tuple[str, Mapping[str, Any]]:
        return await asyncio.wait_for(ask(), _CONNECT_SECONDS)

    try:
        with ThreadPoolExecutor(1) as thread:  # a notebook has a loop of its own in this one
            kind, versions = thread.submit(asyncio.run, ask_in_time()).result()
    except Exception as error:  # what answers may be anything, and what it says is read as Dask's
        reason = next(iter(str(error).splitlines()), "") or "no answer"
        raise InputError(
            f"`scheduler={address}`: no scheduler of Dask answers there ({reason[:120]}): check the address, and that "
            "dask scheduler runs"
        ) from error
    if kind != "Scheduler":
        raise InputError(f"`scheduler={address}` is a {kind.lower()} of Dask: give the address of its scheduler")
    compare_versions(versions, f"the scheduler {address}")


def _open_client(address: str) -> Any:
    from distributed import Client

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a table of all packages whose versions are not the same
            return Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except OSError as error:
        raise InputError(f"the scheduler at {address} does not answer any more: run again") from error


@contextmanager
def _silence_loggers() -> Iterator[None]:
    """Silences what Dask logs of lost connections and workers, which is told in one line."""
    importlib.import_module("distributed")  # which sets these loggers up
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
