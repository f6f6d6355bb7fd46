"""Who may write into a store: one corpus, one process at a time, as long as there is disk.

corpus.json   which corpus the store holds: a second one is refused
.lock         the process that writes into the store at this moment
"""

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from musiclust import store
from musiclust.errors import InputError
from musiclust.preprocess.corpora.base import Corpus


def claim(root: Path, corpus: Corpus) -> None:
    """Notes in the store which corpus it holds, or finds that it holds another."""
    path = root / "corpus.json"
    record = {"format": store.FORMAT, **corpus.source}
    if path.exists():
        try:
            there = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path} is damaged: delete it and preprocess again") from error
        if there != record:
            was, now = _named(there), _named(record)
            raise InputError(
                f"{root} holds the corpus {was}, not {now}: name another --store, or delete {path} to replace it"
            )
    else:
        with store.atomic(path) as file:
            json.dump(record, file, ensure_ascii=False, indent=1)


def _named(record: Mapping[str, Any]) -> str:
    told = [f"{key} {value}" for key, value in record.items() if key not in ("format", "corpus")]
    return f"{record.get('corpus')} of " + ", ".join(one.removeprefix("audio_dir ") for one in told)


@contextmanager
def full_disk_explained(root: Path) -> Iterator[None]:
    """Turns a full disk into one clear InputError."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(
            f"{root}: no space left on its disk: free some and run the same command again, finished tracks are kept"
        ) from error


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Keeps a second run out of the store; a lock left behind by a run that was killed is taken over."""
    if root.exists() and not root.is_dir():
        raise InputError(f"{root} is a file: give --store the name of a folder")
    try:
        root.mkdir(parents=True, exist_ok=True)
    except FileNotFoundError as error:  # as under /proc
        raise InputError(f"{root} cannot be made: give --store another place") from error
    lock = root / ".lock"
    while True:
        try:
            descriptor = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            break
        except FileExistsError:
            owner = lock.read_text().strip()
            if owner.isdigit() and _alive(int(owner)):
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


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it lives and is somebody else's
        return True
    return True
