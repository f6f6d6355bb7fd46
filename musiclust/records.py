"""Records on disk: every JSON file that is read back is read here, by a schema that says what it holds.

A schema is a `msgspec.Struct` that stands in the room whose file it is. A field without a default must be there, one
with another name must not, and each has its type. A record whose layout may change carries `format`, a number that is
looked at first, so that a newer file is called newer and not damaged. Where the folder knows digests of its files
(`musiclust.digests`), a file must also be the one that was written.
"""

import json
from pathlib import Path
from types import GenericAlias
from typing import Any, TypeVar

import msgspec

from musiclust.digests import read_verified
from musiclust.errors import InputError
from musiclust.files import atomic

T = TypeVar("T")
Version = int | tuple[int, ...] | None

MOST = 2**30  # bytes of a record: ids of some ten million tracks


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of what a file of one record holds."""


class _Version(msgspec.Struct):
    format: int | None = None


def read_record(
    path: Path, kind: type[T] | GenericAlias, *, version: Version = None, lenient: bool = False, remedy: str
) -> T:
    """Reads a file of one record.

    Args:
      kind: its schema.
      version: the value, or those of several, that its field `format` must have; None where it has no such field.
      lenient: as in `parse_record`.
      remedy: what the user can do where it cannot be read, "preprocess the store again" say.

    Raises:
      InputError: "<path> <fault>: <remedy>".
    """
    try:
        return parse_record(read_verified(path, most=MOST), kind, version=version, lenient=lenient)
    except InputError as error:
        raise InputError(f"{error}: {remedy}") from error
    except ValueError as error:
        raise InputError(f"{path} {error}: {remedy}") from error


def parse_record(content: bytes, kind: type[T] | GenericAlias, *, version: Version = None, lenient: bool = False) -> T:
    """The record in the bytes of a file, or of a line of one.

    Args:
      lenient: whether the record may hold what Python's `json` writes beyond JSON: NaN, and halves of surrogate pairs,
        which stand for bytes of a file name that are not UTF-8.

    Raises:
      ValueError: "<fault>", if it is damaged or of another version.
    """
    try:
        if lenient:
            value = json.loads(content.decode("utf-8"))
            _check_version(msgspec.convert(value, _Version).format if version is not None else None, version)
            return msgspec.convert(value, kind)
        _check_version(msgspec.json.decode(content, type=_Version).format if version is not None else None, version)
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"is damaged or of another version ({error})") from error


def _check_version(found: int | None, version: Version) -> None:
    known = version if isinstance(version, tuple) else (version,)
    if found not in known:
        reads = " and ".join(map(str, known))
        raise ValueError(f"is of format {found}, this version reads {reads}")


def check_record(value: Any, kind: type[T] | GenericAlias, *, version: Version = None) -> T:
    """What another library has read of JSON, as a record.

    Raises:
      ValueError: what is wrong with it.
    """
    try:
        _check_version(msgspec.convert(value, _Version).format if version is not None else None, version)
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error


def write_record(path: Path, record: Any) -> None:
    """Writes a file of one record, readable by `read_record`; NaN and infinity become null.

    Args:
      record: a Struct, or what JSON knows.
    """
    with atomic(path, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
