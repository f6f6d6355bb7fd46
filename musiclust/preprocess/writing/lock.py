"""Who may write into a store: one corpus, one process at a time, as long as there is room on the disk.

The file .lock in a store names the process that writes into it at this moment.
"""

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from musiclust import store
from musiclust.errors import InputError

_LOCK = ".lock"


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

    A lock that was left behind by a process that was killed is taken over.

    Raises:
      InputError: if another process writes into the store, or its folder cannot be made.
    """
    if root.exists() and not root.is_dir():
        raise InputError(f"{root} is a file: give `store` the name of a folder")
    try:
        root.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:  # as under /proc
        raise InputError(f"{root} cannot be made: give `store` another place") from error
    lock = root / _LOCK
    while True:
        try:
            descriptor = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            break
        except FileExistsError:
            owner = lock.read_text().strip()
            if owner.isdigit() and _is_alive(int(owner)):
                raise InputError(
                    f"{root} is being written by process {owner}: wait for it, or delete {lock} if that is no such run"
                ) from None
            lock.unlink(missing_ok=True)
    try:
        with open(descriptor, "w") as file:
            file.write(str(os.getpid()))
        yield
    finally:
        lock.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it lives and is somebody else's
        return True
    return True
