"""Records on disk: every JSON file that is read back is read here, by a schema that says what it holds.

A schema is a `msgspec.Struct` that stands in the room whose file it is. A field without a default must be there, one
with another name must not, and each has its type. A record whose layout may change carries `format`, a number that is
looked at first, so that a newer file is called newer and not damaged.
"""

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from musiclust.errors import InputError
from musiclust.files import atomic, read_bytes

T = TypeVar("T")

MOST = 2**30  # bytes of a record: ids of some ten million tracks


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of what a file of one record holds."""


class _Version(msgspec.Struct):
    format: int | None = None


def read_record(path: Path, kind: type[T], *, version: int | tuple[int, ...] | None = None, remedy: str) -> T:
    """Reads a file of one record.

    Args:
      kind: its schema.
      version: the value, or those of several, that its field `format` must have; None where it has no such field.
      remedy: what the user can do where it cannot be read, "preprocess the store again" say.

    Raises:
      InputError: "<path> <fault>: <remedy>".
    """
    try:
        return parse_record(read_bytes(path, most=MOST), kind, version=version)
    except InputError as error:
        raise InputError(f"{error}: {remedy}") from error
    except ValueError as error:
        raise InputError(f"{path} {error}: {remedy}") from error


def parse_record(content: bytes, kind: type[T], *, version: int | tuple[int, ...] | None = None) -> T:
    """The record in the bytes of a file, or of a line of one.

    Raises:
      ValueError: "<fault>", if it is damaged or of another version.
    """
    try:
        if version is not None:
            found = msgspec.json.decode(content, type=_Version).format
            known = version if isinstance(version, tuple) else (version,)
            if found not in known:
                reads = " and ".join(map(str, known))
                raise ValueError(f"is of format {found}, this version reads {reads}")
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"is damaged or of another version ({error})") from error


def write_record(path: Path, record: Any) -> None:
    """Writes a file of one record, readable by `read_record`; NaN and infinity become null.

    Args:
      record: a Struct, or what JSON knows.
    """
    with atomic(path, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
