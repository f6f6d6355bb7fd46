"""Arrays on disk, NPY and NPZ, read as numbers and text only: nothing in them is ever unpickled.

The size that a header tells is held against the size of the file before anything is made of it, so that a header of a
billion rows costs no memory.
"""

import errno
import io
import math
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from musiclust.digests import read_verified
from musiclust.errors import InputError
from musiclust.files import check_regular

_MOST = 2**32  # bytes of a file
# What the readers of headers and archives raise, whatever the bytes are.
_FAULTS = (
    *(ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, RecursionError, MemoryError, SyntaxError),
    *(TokenError, NotImplementedError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error),
)


def read_array(path: Path, *, remedy: str) -> np.ndarray:
    """Reads a NPY file.

    Args:
      remedy: what the user can do where it cannot be read.

    Raises:
      InputError: "<path> <fault>: <remedy>".
    """
    try:
        return _parse(read_verified(path, most=_MOST))
    except InputError as error:
        raise InputError(f"{error}: {remedy}") from error
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}): {remedy}") from error


def read_arrays(path: Path, *, names: Iterable[str] | None = None, remedy: str) -> dict[str, np.ndarray]:
    """Reads a NPZ file, each array with its checksum.

    Args:
      names: of the arrays that are read; None for all.
      remedy: as in `read_array`.

    Raises:
      InputError: "<path> <fault>: <remedy>"; an array that the file lacks is a fault.
      OSError: with `names`, if the disk or the permissions of the file do not let it be read.
    """
    try:
        if names is None:
            return _unpack(io.BytesIO(read_verified(path, most=_MOST)), None)
        check_regular(path)
        with open(path, "rb") as file:
            return _unpack(file, list(names))
    except InputError as error:
        raise InputError(f"{error}: {remedy}") from error
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}): {remedy}") from error


def _unpack(file: Any, names: list[str] | None) -> dict[str, np.ndarray]:
    """Raises ValueError: "<fault>"."""
    try:
        with zipfile.ZipFile(file) as archive:
            there = {one.filename: one for one in archive.infolist()}
            if sum(one.file_size for one in there.values()) > _MOST:
                raise ValueError("what it holds is larger than anything that is stored so")
            wanted = [*there] if names is None else [f"{name}.npy" for name in names]
            if lacking := sorted({*wanted} - {*there}):
                raise ValueError(f"it lacks {lacking[0].removesuffix('.npy')}")
            contents = {name.removesuffix(".npy"): archive.read(there[name]) for name in wanted}
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # these are seeks to where no file goes on
            raise
        raise ValueError("it is no whole archive") from error
    except _FAULTS as error:
        raise ValueError(str(error) if type(error) is ValueError else "it is no whole archive") from error
    return {name: _parse(content) for name, content in contents.items()}


def _parse(content: bytes) -> np.ndarray:
    """Raises ValueError: "<fault>"."""
    file = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran_order, dtype = read(file)
        whole = all(type(length) is int and length >= 0 for length in shape)
    except _FAULTS as error:
        raise ValueError("it does not begin as a NumPy array does") from error
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never read")
    count, start = math.prod(shape) if whole else -1, file.tell()
    if not whole or count * dtype.itemsize != len(content) - start:
        raise ValueError(f"it tells of an array of shape {str(shape)[:80]} and has {len(content) - start:,} bytes")
    values = np.frombuffer(content, dtype, count, start) if count and dtype.itemsize else np.zeros(count, dtype)
    return values.reshape(shape, order="F" if fortran_order else "C").copy()
