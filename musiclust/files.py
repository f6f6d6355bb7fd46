"""Files written whole or not at all, and read only where they are files.

A folder, a pipe, a socket or a device under the name of a file is refused before it is opened: a pipe would hang.
"""

import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from musiclust.errors import InputError

PENDING = Path("partial", "new")  # the files of a folder that are about to replace others, as one
COMPLETE = ".complete"  # the file in it that says that they are all there, and count

_TEMPORARY = re.compile(r"\..+\.\d+\.tmp")
_TRIES = 20  # of reading what is being replaced
_PAUSE = 0.05  # seconds between two of them

T = TypeVar("T")


@contextmanager
def atomic(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Opens `path` for writing; it takes its name only when all is written and on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    encoding, newline = (None, None) if "b" in mode else ("utf-8", "")
    try:
        with open(temporary, mode, encoding=encoding, newline=newline) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_bytes(path: Path, *, most: int) -> bytes:
    """Reads a whole file.

    Args:
      most: bytes that it may have.

    Raises:
      InputError: "<path> <fault>", without a remedy, which the caller knows: if it is missing, is no regular file, has
        more bytes or cannot be read.
    """
    try:
        check_regular(path)
        with open(path, "rb") as file:
            # Python makes room for all bytes that are asked for.
            content = file.read(min(os.fstat(file.fileno()).st_size, most) + 1)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error
    if len(content) > most:
        raise InputError(f"{path} is larger than {most / 1e6:,.0f} MB")
    return content


def check_regular(path: Path) -> None:
    """Raises InputError unless `path` is a regular file, or a link to one.

    Raises:
      InputError: "<path> <fault>", without a remedy.
      OSError: if it cannot be looked at.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{path} is missing") from error
    if not stat.S_ISREG(mode):
        raise InputError(f"{path} is {'a folder' if stat.S_ISDIR(mode) else 'a pipe, socket or device'}, not a file")


def locate(folder: Path, name: str) -> Path:
    """A file of a folder, or the one that is about to replace it where a process was killed as it replaced several.

    See `musiclust.preprocess.writing.swap`. Whatever the moment, all files are found old or all new.
    """
    pending = folder / PENDING / name
    return pending if pending.exists() and (folder / PENDING / COMPLETE).exists() else folder / name


def identify(status: os.stat_result) -> tuple[int, ...]:
    """What tells a file from one that takes its place, and from itself once more was written into it."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def read_settled(folder: Path, names: Sequence[str], read: Callable[[], T]) -> T:
    """What `read` returns, which is called again where it fails while another process replaces the files of a folder.

    Args:
      names: of the files that it reads.

    Raises:
      InputError, OSError: as `read`, if the files were the same before and after, or are replaced all the time.
    """
    for _ in range(_TRIES):
        before = _look_at(folder, names)
        try:
            return read()
        except (InputError, FileNotFoundError):
            if _look_at(folder, names) == before:
                raise
        time.sleep(_PAUSE)
    return read()


def _look_at(folder: Path, names: Sequence[str]) -> list[tuple[int, ...]]:
    """What tells whether any of the files was written, and whether others are about to take their places."""
    found: list[tuple[int, ...]] = []
    files = [place / name for place in (folder, folder / PENDING) for name in names]
    for path in [folder / PENDING / COMPLETE, *files]:
        try:
            found.append(identify(path.stat()))
        except OSError:
            found.append(())
    return found


def remove_temporary(folder: Path, *, idle: float | int = 0) -> None:
    """Removes what was half written in a folder when its process was killed; a process that lives keeps its own.

    It is known by its name, `.<anything>.<number of the process>.tmp`, as `atomic` gives it.

    Args:
      idle: seconds for which nothing has been written into it. A folder that several machines may write into needs
        some, because the processes of another one are not known here.
    """
    for path in folder.glob(".*.tmp"):
        if not _TEMPORARY.fullmatch(path.name) or _is_alive(int(path.name.split(".")[-2])):
            continue
        with suppress(FileNotFoundError):  # another process may remove it too
            status = path.lstat()
            if time.time() - status.st_mtime < idle:
                continue
            if stat.S_ISDIR(status.st_mode):
                shutil.rmtree(path)
            else:
                path.unlink()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it lives and is somebody else's
        return True
    return True
