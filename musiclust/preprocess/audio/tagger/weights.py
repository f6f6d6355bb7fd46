"""The weights of the two MusiCNN networks, read as numbers from the wheel that they ship in.

The wheel is musicnn 0.1.0 (Pons and Serra 2019, ISC licence). It cannot be installed any more and need not be: nothing
of it is imported or executed. It is a zip file with a TensorFlow checkpoint for each network: `.index` names the arrays
and tells where they lie in `.data-00000-of-00001`.

Conventions: the index is a LevelDB table (table_format.md of LevelDB) without compression: a footer of 48 bytes, an
index block, and data blocks of keys that share prefixes. Each value is a BundleEntryProto (tensor_bundle.proto of
TensorFlow): type, shape, offset and size. Numbers are little-endian.

Sources: Pons and Serra, musicnn: pre-trained convolutional neural networks for music audio tagging (ISMIR late-breaking
demo 2019).
"""

import hashlib
import io
import math
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from musiclust.errors import InputError
from musiclust.files import read_bytes

WHEEL = "musicnn-0.1.0-py3-none-any.whl"
SHA256 = "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa"
REQUIREMENT = "musicnn==0.1.0"
LICENCE = "ISC licence"
MEGABYTES = 29

_FOLDERS = {"msd": "musicnn/MSD_musicnn", "mtt": "musicnn/MTT_musicnn"}
_FOOTER = 48  # bytes
_MAGIC = 0xDB4775248B80FB57  # ends a LevelDB table
_FLOAT = 1  # DT_FLOAT of TensorFlow

Variables = dict[str, dict[str, dict[str, np.ndarray]]]


def read_wheel(wheel: Path) -> bytes:
    """Reads the wheel.

    Raises:
      InputError: if it is missing, or is not that very file by its SHA-256.
    """
    try:
        data = read_bytes(wheel, most=2 * MEGABYTES * 10**6)
    except InputError as error:
        raise InputError(f"{error}: give `tagger_weights` the wheel {WHEEL}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256:
        raise InputError(
            f"{wheel} is not {WHEEL} as published (SHA-256 {found[:12]}..., expected {SHA256[:12]}...): fetch it anew, "
            f"pip download --no-deps {REQUIREMENT}"
        )
    return data


def read_weights(wheel: Path, shapes: Mapping[str, Any]) -> dict[str, Variables]:
    """Reads the variables of both networks.

    Args:
      wheel: the file musicnn-0.1.0-py3-none-any.whl.
      shapes: the variables that the network has, as a tree of arrays or shapes: collection -> layer -> name. Each has
        to be in the wheel in just this shape.

    Returns:
      "msd" and "mtt" -> the variables, float32.

    Raises:
      InputError: if the wheel is missing or is another file, or its arrays do not fit.
    """
    with zipfile.ZipFile(io.BytesIO(read_wheel(wheel))) as archive:
        return {
            network: _fill(
                _read_bundle(archive.read(f"{folder}/.index"), archive.read(f"{folder}/.data-00000-of-00001")), shapes
            )
            for network, folder in _FOLDERS.items()
        }


def _fill(arrays: Mapping[str, np.ndarray], shapes: Mapping[str, Any]) -> Variables:
    """Puts arrays by their TensorFlow names into the tree of a network's variables."""
    filled: Variables = {}
    for collection, layers in shapes.items():
        for layer, variables in layers.items():
            for name, expected in variables.items():
                array = arrays.get(f"{layer}/{name}")
                if array is None or array.shape != tuple(expected.shape):
                    there = "is not there" if array is None else f"has the shape {array.shape}"
                    raise InputError(f"{layer}/{name} of {WHEEL} {there}, expected {tuple(expected.shape)}")
                filled.setdefault(collection, {}).setdefault(layer, {})[name] = array
    return filled


def _read_bundle(index: bytes, data: bytes) -> dict[str, np.ndarray]:
    """Reads the arrays of float32 of a TensorFlow checkpoint, by name."""
    arrays = {}
    for key, value in _read_table(index):
        entry = _read_fields(value)
        if not key or entry.get(1, [0])[0] != _FLOAT:  # the entry without a name is the header of the bundle
            continue
        shape = tuple(_read_fields(size).get(1, [0])[0] for size in _read_fields(entry.get(2, [b""])[0]).get(2, []))
        offset, size = entry.get(4, [0])[0], entry[5][0]
        if size != 4 * math.prod(shape) or offset + size > len(data):
            raise InputError(f"{key.decode()} of {WHEEL} lies outside of its file")
        arrays[key.decode()] = np.frombuffer(data, "<f4", math.prod(shape), offset).reshape(shape)
    return arrays


def _read_table(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Reads the keys and values of a LevelDB table, in order."""
    if len(table) < _FOOTER or int.from_bytes(table[-8:], "little") != _MAGIC:
        raise InputError(f"the index of {WHEEL} is no LevelDB table")
    footer = table[-_FOOTER:]
    place = 0
    for _ in range(2):  # the handle of the metaindex block, which is empty
        _, place = _read_varint(footer, place)
    start, place = _read_varint(footer, place)
    size, _ = _read_varint(footer, place)
    for _, handle in _read_block(table[start : start + size]):
        start, place = _read_varint(handle, 0)
        size, _ = _read_varint(handle, place)
        yield from _read_block(table[start : start + size])


def _read_block(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Reads the entries of a block; each key begins with some bytes of the one before. Restart points end the block."""
    end = len(block) - 4 - 4 * int.from_bytes(block[-4:], "little")
    place, key = 0, b""
    while place < end:
        shared, place = _read_varint(block, place)
        own, place = _read_varint(block, place)
        length, place = _read_varint(block, place)
        key = key[:shared] + block[place : place + own]
        place += own
        yield key, block[place : place + length]
        place += length


def _read_fields(message: bytes) -> dict[int, list[Any]]:
    """Reads the fields of a protocol buffer: number -> values, integers or bytes."""
    fields: dict[int, list[Any]] = {}
    place = 0
    while place < len(message):
        tag, place = _read_varint(message, place)
        kind = tag & 7
        if kind == 0:
            value, place = _read_varint(message, place)
        elif kind == 2:
            length, place = _read_varint(message, place)
            value, place = message[place : place + length], place + length
        else:  # fixed width: checksums
            width = {1: 8, 5: 4}[kind]
            value, place = message[place : place + width], place + width
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    """Reads a number of seven bits a byte, the lowest first; returns it and the place after it."""
    number = shift = 0
    while True:
        byte = data[place]
        number |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if not byte & 0x80:
            return number, place
