"""Who may write into a store: one corpus, one process at a time, as long as there is room on the disk.

A process that writes holds a lock of the operating system on the file .lock of the store, and the file names the
process. The lock ends with the process, whatever ends it. On a network file system the lock is the server's (NFS 3 with
its lock service, NFS 4, Lustre mounted with `flock`), so that processes on several machines exclude each other too; a
file system that has no locks is refused.
"""

import errno
import os
import platform
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from musiclust import store
from musiclust.errors import InputError
from musiclust.files import remove_temporary

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_LOCK = ".lock"
_BEYOND = 2**30  # the byte that is locked on Windows, where nobody can read what another has locked
_LONGEST = 300  # bytes that name a process
_NO_FILE = (errno.ELOOP, errno.EISDIR, errno.ENXIO)  # of a link, a folder, a socket


def record_corpus(root: Path, source: Mapping[str, Any]) -> None:
    """Records in a new store which corpus it holds, and refuses another corpus in a store that has one.

    Args:
      source: what tells the corpus from another, see `Corpus.source`.

    Raises:
      InputError: if the store holds another corpus.
    """
    there = store.load_corpus(root)
    if there is None:
        store.save_corpus(root, source)
    elif there != source:
        raise InputError(
            f"{root} holds the corpus {_describe(there)}, not {_describe(source)}: give `store` another place, or "
            f"delete {root / store.CORPUS} to replace it"
        )


def _describe(source: Mapping[str, Any]) -> str:
    told = [f"{key} {value}" for key, value in source.items() if key != "corpus"]
    return f"{source['corpus']} of " + ", ".join(one.removeprefix("audio_dir ") for one in told)


@contextmanager
def explain_full_disk(root: Path) -> Iterator[None]:
    """Turns the error of a full disk into an InputError of one line.

    Raises:
      InputError: in place of an OSError that says so.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(
            f"{root}: no space left on its disk: free some and run the same command again, finished tracks are kept"
        ) from error


@contextmanager
def lock_store(root: Path) -> Iterator[None]:
    """Makes the folder of a store where it is missing, and keeps a second process from writing into it.

    What a process that was killed left behind, its lock and files half written, is removed.

    Raises:
      InputError: if another process writes into the store, its folder cannot be made, or its file system has no locks.
    """
    if root.exists() and not root.is_dir():
        raise InputError(f"{root} is a file: give `store` the name of a folder")
    try:
        root.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:  # as under /proc
        raise InputError(f"{root} cannot be made: give `store` another place") from error
    lock = root / _LOCK
    descriptor = _acquire(root, lock)
    try:
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()} on {platform.node()}".encode()[:_LONGEST])
        remove_temporary(root)
        yield
    finally:
        if sys.platform != "win32":  # there, nobody can remove a file that is open; the next process takes it over
            lock.unlink(missing_ok=True)  # while it is held, so that nobody waits for a file that is no more
        os.close(descriptor)


def _acquire(root: Path, lock: Path) -> int:
    """Opens and locks the file, and returns its descriptor; to close it ends the lock."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)  # what a link leads to would be emptied
    while True:
        try:
            descriptor = os.open(lock, flags, 0o666)
        except OSError as error:
            if error.errno not in _NO_FILE:
                raise
            raise InputError(f"{lock} is no file: delete it") from error
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InputError(f"{lock} is no file: delete it")
            if not _try_to_lock(root, descriptor):
                owner = os.read(descriptor, _LONGEST).decode(errors="replace")
                raise InputError(f"{root} is being written by process {owner or '(it has just begun)'}: wait for it")
            if _is_same(lock, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its owner removed it before it was locked here: another file is the lock by now


def _try_to_lock(root: Path, descriptor: int) -> bool:
    """Whether the lock is this process's now; if not, it is another's."""
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, _BEYOND, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        os.lseek(descriptor, 0, os.SEEK_SET)
        return False
    except OSError as error:
        raise InputError(
            f"{root} lies on a file system that has no locks ({error.strerror}): give `store` a place on another"
        ) from error
    return True


def _is_same(path: Path, descriptor: int) -> bool:
    """Whether the path still names the file that is open."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
