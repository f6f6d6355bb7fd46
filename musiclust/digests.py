"""Digests of files, by which a file is known to be the one that was written.

    <folder>/digests.json   of each file that it names: size (bytes) and digest, as the file was written

The digest is XXH3 with 128 bits (xxHash 0.8). It finds flipped bits and torn copies and costs a small share of reading.
It does not protect against somebody who wants to deceive: whoever writes a file can write its digest too.

A file may have two digests, of its content and of the content before. digests.json is written first, so that whatever
the moment of a kill, the file that is there has one of the two. A folder without digests.json is of an earlier version
or not finished, and its files are taken as they are; so is a file that digests.json does not name.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

import msgspec
from xxhash import xxh3_128

from musiclust.errors import InputError
from musiclust.files import atomic, check_regular, locate, read_bytes

DIGESTS = "digests.json"

_FORMAT = 1
_MOST = 2**26  # bytes of digests.json
_READ = 2**20  # bytes at a time


class Digest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Size in bytes and digest, in 32 hexadecimal digits, of a file or of its beginning."""

    size: int
    xxh3_128: str


class _Digests(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    files: dict[str, list[Digest]]


def digest_bytes(content: bytes) -> Digest:
    """The digest of a content."""
    return Digest(len(content), xxh3_128(content).hexdigest())


def digest_file(path: Path, *, size: int | None = None) -> Digest:
    """The digest of a file, or of its first `size` bytes; it is not held in memory.

    Raises:
      InputError: "<path> <fault>", without a remedy, if it is no regular file or cannot be read.
    """
    state, left, done = xxh3_128(), size, 0
    try:
        check_regular(path)
        with open(path, "rb") as file:
            while piece := file.read(_READ if left is None else min(_READ, left)):
                state.update(piece)
                done += len(piece)
                left = None if left is None else left - len(piece)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})") from error
    return Digest(done, state.hexdigest())


def read_verified(path: Path, *, most: int, appended: bool = False) -> bytes:
    """Reads a whole file, which must be as it was written where digests.json beside it names it.

    Args:
      most: bytes that it may have.
      appended: whether more may have been appended since.

    Raises:
      InputError: "<path> <fault>", without a remedy: as `files.read_bytes`, or if its digest is another.
    """
    content = read_bytes(path, most=most)
    accepted = read_digests(path.parent).get(path.name, ())
    if accepted and not any(digest_bytes(content[: one.size] if appended else content) == one for one in accepted):
        raise _changed(path)
    return content


def check_file(path: Path, *, appended: bool = False) -> None:
    """Raises InputError, as `read_verified`, unless a file is as it was written; it is not held in memory."""
    accepted = read_digests(path.parent).get(path.name, ())
    if accepted and not any(digest_file(path, size=one.size if appended else None) == one for one in accepted):
        raise _changed(path)


def check_files(folder: Path) -> None:
    """Checks every file that the digests.json of a folder names, in the folder and below it.

    Raises:
      InputError: "<path> <fault>", without a remedy, for the first that is not as it was written, is gone, or is no
        regular file; the last also where there is no digests.json.
    """
    list_files(folder)
    for name, accepted in read_digests(folder).items():
        if digest_file(folder / name) not in accepted:
            raise _changed(folder / name)


def list_files(folder: Path) -> list[str]:
    """Names of the files in a folder and below it, with "/" between their parts, but for its digests.json.

    Raises:
      InputError: "<path> <fault>", if something there is neither a folder nor a regular file.
    """
    paths = [path for path in sorted(folder.rglob("*")) if not path.is_dir() and path != folder / DIGESTS]
    for path in paths:
        try:
            check_regular(path)
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror})") from error
    return [path.relative_to(folder).as_posix() for path in paths]


def read_digests(folder: Path) -> Mapping[str, list[Digest]]:
    """The digests that are known of the files of a folder, by their names; empty where there is no digests.json.

    Raises:
      InputError: "<path> <fault>", if it is damaged or of another version.
    """
    path = folder / DIGESTS
    if not path.exists():
        return {}
    try:
        found = msgspec.json.decode(read_bytes(path, most=_MOST), type=_Digests)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is damaged (delete it, and the files that it names are taken as they are)") from error
    outside = [name for name in found.files if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts]
    if found.format != _FORMAT or outside:
        raise InputError(f"{path} is of another version (delete it, and the files that it names are taken as they are)")
    return found.files


def is_there(path: Path) -> bool:
    """Whether there is a file; it must be there where digests.json beside it names it.

    Raises:
      InputError: "<path> is missing", without a remedy.
    """
    if path.exists():
        return True
    if path.name in read_digests(path.parent):
        raise InputError(f"{path} is missing")
    return False


def write_digests(folder: Path, names: Iterable[str]) -> None:
    """Notes the digests of files as they are now, in place of all that was noted of the folder before.

    Args:
      names: of files in the folder or below it; of one that is about to be replaced the new one counts, as in
        `files.locate`.
    """
    _write(folder, {name: [digest_file(locate(folder, name))] for name in names})


def forget_digests(folder: Path) -> None:
    """Removes digests.json, where it is: from then on the files of the folder are taken as they are."""
    (folder / DIGESTS).unlink(missing_ok=True)


@contextmanager
def atomic_with_digest(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Opens `path` for writing as `files.atomic` does, and notes its digest before it takes its name."""
    with atomic(path, mode) as file:
        yield file
        file.flush()
        known = dict(read_digests(path.parent))
        now = digest_file(Path(file.name))
        _write(path.parent, known | {path.name: [now, *(one for one in known.get(path.name, [])[:1] if one != now)]})


def _write(folder: Path, files: Mapping[str, list[Digest]]) -> None:
    with atomic(folder / DIGESTS, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(_Digests(_FORMAT, dict(files))), indent=1) + b"\n")


def _changed(path: Path) -> InputError:
    return InputError(f"{path} is not as it was written (if you changed it yourself, delete {DIGESTS} in its folder)")
