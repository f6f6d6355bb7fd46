"""Blocks on disk: rows of values, and a record that says which row is which track's.

    <block>.npy    rows (M, *D) in the order in which they came; each is a track's, or dead
    <block>.json   the block's spec; its track ids, in order; which row of the file is each track's; which are not
                   valid; and digests of the rows

The record alone says what counts. Rows are appended to the file, and count when a record that counts them takes the
place of the record before; rows of tracks that are gone or changed stay in the file, dead, until the block is
compacted. So a block grows by what is added, a process may be killed at any moment, and a block that is mapped in
another process stays what it was. Tables may come with columns one after the other (Fortran order); their blocks are
written anew instead.

Format 1, up to version 0.3, has no digests, and row i of its file is track i. It is read, and becomes format 2 when the
block grows.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Annotated, Any

import msgspec
import numpy as np
from msgspec.structs import replace
from xxhash import xxh3_128_hexdigest

from musiclust.errors import InputError
from musiclust.files import COMPLETE, PENDING, atomic, check_regular, identify, locate, read_settled
from musiclust.records import Record, read_record, write_record
from musiclust.rows import (
    ChunkDigests,
    Layout,
    RowFile,
    Rows,
    chunk_without_digests,
    digest_rows,
    format_header,
    is_fortran,
    split_rows,
)
from musiclust.types import JOINED, Block

_FORMAT = 2
_RESERVED = ("corpus", "digests")  # a block of such a name would have its record in another file of the store
_AT_ONCE = 2**28  # bytes of a block that is checked, or put in order in memory, when it is loaded
_AGAIN = "delete it and preprocess again"
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
_Size = Annotated[int, msgspec.Meta(ge=1, le=2**62)]


@dataclass(frozen=True)
class Outline:
    """A block without its values.

    Attributes:
      name, track_id, valid, spec: as in `Block`.
      rows: (N,) int, for each track its row of the block's file; the other rows are dead.
      layout: how the rows lie in the file.
      digest: that of the record, which tells one state of the block from another; "" in format 1.
    """

    name: str
    track_id: np.ndarray
    valid: np.ndarray
    spec: Mapping[str, Any]
    rows: np.ndarray
    layout: Layout
    digest: str

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, *D)."""
        return (len(self.track_id), *self.layout.shape)

    @property
    def dead_rows(self) -> int:
        return self.layout.rows - len(self.track_id)

    @property
    def is_in_order(self) -> bool:
        """Whether the first N rows of the file are those of the tracks in their order."""
        return np.array_equal(self.rows, np.arange(len(self.rows)))


class _BlockRecord(Record, frozen=True):
    """<block>.json. Format 1 has the first five fields alone, and row i of its file is that of track i."""

    format: int
    name: str
    spec: dict[str, Any]
    track_id: list[str]
    invalid: list[str]
    rows: list[_Count] | None = None  # None where row i is that of track i
    offset: _Count = 0
    shape: tuple[_Count, ...] = ()
    dtype: str = ""
    fortran: bool = False
    chunks: tuple[tuple[_Size, str], ...] = ()
    digest: str = ""  # of the record without it


def save_block(root: Path, block: Block) -> None:
    """Writes <name>.npy and <name>.json anew.

    Raises:
      InputError: if a valid row is not finite, where the first such track is named, or another file has its name.
    """
    if block.name in _RESERVED:
        raise InputError(f"`block={block.name}`: a file of the store has that name: choose another for the block")
    values = np.asarray(block.values)
    finite = np.isfinite(values.reshape(len(values), -1)).all(axis=1) if values.size else block.valid
    broken = block.track_id[block.valid & ~finite]
    if len(broken):
        raise InputError(f"block {block.name}: {len(broken)} tracks hold NaN or infinity, the first is {broken[0]}")
    with atomic(root / f"{block.name}.npy", "wb") as file:
        np.save(file, values)
        offset = file.tell() - values.nbytes
    layout = Layout(offset, values.shape[1:], values.dtype, is_fortran(values), digest_rows(values))
    _save_record(root, block.name, block.track_id, ~block.valid, np.arange(len(values)), layout, block.spec)


def write_block(
    root: Path, name: str, track_id: Sequence[str], rows: Iterable[np.ndarray], spec: Mapping[str, Any]
) -> None:
    """Writes a block anew, row by row, so that it need not fit the memory; every row is valid.

    Rows are written in sequence: through a memory map a full disk would kill the process.

    Args:
      track_id: N ids, sorted.
      rows: N arrays (*D) in that order.
      spec: its "shape" is D and its "dtype" that of the block.

    Raises:
      InputError: if a row is not finite.
      ValueError: if there are more or fewer rows than ids, or a row has another shape.
    """
    _write_anew(root, name, track_id, rows, spec, _lay_out(spec), ())


def extend_block(
    root: Path,
    folder: Path,
    name: str,
    track_id: Sequence[str],
    fresh: Sequence[str],
    rows: Iterable[np.ndarray],
    spec: Mapping[str, Any],
    *,
    invalid: Collection[str] = (),
) -> None:
    """Makes a block hold exactly `track_id`: rows of tracks that are new or changed are appended, the others stay.

    The rows go to the end of the block's file, and a record that counts them into `folder`. Until that record takes the
    place of the one that is there, the block is what it was. Rows of tracks that are gone or changed stay in the file,
    dead. A block that keeps no row, or whose file has columns one after the other, is written anew into `folder`.

    Args:
      root: the store; no other process writes into it.
      folder: the one that `preprocess.writing.swap.replace_files` yields.
      track_id: N ids, sorted.
      fresh: those of them that are new or changed, in this order; the block has the others.
      rows: arrays (*D), one for each of `fresh`.
      spec: as in `write_block`.
      invalid: the ids whose rows are not valid.

    Raises:
      InputError: if the block is damaged, or a valid row is not finite.
      ValueError: as in `write_block`, or if the block lacks a track that is not in `fresh`.
    """
    old = load_outline(root, name) if name in block_names(root) else None
    new = set(fresh)
    there = {} if old is None else dict(zip(old.track_id.tolist(), old.rows.tolist(), strict=True))
    row_of = {one: there[one] for one in track_id if one in there and one not in new}
    if len(row_of) + len(fresh) != len(track_id):
        raise ValueError(f"block {name} lacks {len(track_id) - len(row_of) - len(fresh)} tracks that it is to keep")
    if old is None or not row_of:
        _write_anew(folder, name, track_id, rows, spec, _lay_out(spec), invalid)
        return
    layout = old.layout if old.digest else _digest_format_1(root, old)
    if layout.fortran or layout.offset != len(format_header(layout.rows, layout.shape, layout.dtype)):
        merged = _merge_rows(load_block(root, name), track_id, new, rows)
        _write_anew(folder, name, track_id, merged, spec, layout, invalid)
        return
    row_of |= {one: row for row, one in enumerate(fresh, start=layout.rows)}
    if fresh:
        with open(root / f"{name}.npy", "r+b") as file:
            file.truncate(layout.end)
            file.seek(layout.end)
            layout = _write_rows(file, name, fresh, rows, layout, invalid)
            file.flush()
            os.fsync(file.fileno())
    ids = np.array(track_id, dtype=str)
    places = np.array([row_of[one] for one in track_id])
    _save_record(folder, name, ids, np.isin(ids, [*invalid]), places, layout, spec)


def settle_block(root: Path, name: str) -> None:
    """Brings the file of a block in line with its record, which alone says what counts.

    Rows that a killed process appended are cut off, and the header tells other readers how many there are.

    Raises:
      InputError: if the block is damaged.
    """
    path = root / f"{name}.npy"
    if _is_settled(path):
        return
    outline = load_outline(root, name)
    layout = outline.layout
    header = format_header(layout.rows, layout.shape, layout.dtype)
    if not outline.digest or layout.fortran or layout.offset != len(header):
        return
    with open(path, "r+b") as file:
        if file.seek(0, os.SEEK_END) > layout.end:
            file.truncate(layout.end)
        file.seek(0)
        if file.read(len(header)) != header:
            file.seek(0)
            file.write(header)
            file.flush()
            os.fsync(file.fileno())


def _is_settled(path: Path) -> bool:
    """Whether the header of a file tells as many rows as there are in it, as it does unless a process was killed."""
    try:
        values = np.load(path, mmap_mode="r")
        return bool(values.offset + values.nbytes == path.stat().st_size)
    except Exception:  # NumPy's reader of headers raises all kinds
        return False


def find_damaged(root: Path, name: str) -> list[str]:
    """Reads a whole block, and lists the tracks whose rows are damaged.

    Those are rows that are not as they were written; in format 1, which has no digests, valid rows that are not finite.
    One damaged value damages its whole chunk, and all rows of a file that has columns one after the other.

    Raises:
      InputError: as `load_outline`.
    """
    return read_settled(root, _list_files(name), lambda: _find_damaged(root, name))


def _find_damaged(root: Path, name: str) -> list[str]:
    outline, path = _load_outline(root, name), locate(root, f"{name}.npy")
    if outline.digest:
        damaged = RowFile(path, outline.layout, remedy=_tell_remedy(outline)).find_damaged()[outline.rows]
        if damaged.any() and _load_outline(root, name).digest != outline.digest:
            raise InputError(f"{path} is being replaced: run the same command again")
    else:
        damaged = _find_broken(path, identify(path.stat())) & outline.valid
    return outline.track_id[damaged].tolist()


def compact_block(root: Path, folder: Path, name: str, *, drop: Collection[str] = ()) -> None:
    """Writes a block anew into `folder` if its file has dead rows or another order, or is of format 1.

    It is then, to the byte, what `write_block` makes of its rows.

    Args:
      root, folder: as in `extend_block`.
      drop: ids of tracks, not of all, that the block loses.
    """
    old = load_outline(root, name)
    kept = ~np.isin(old.track_id, [*drop])
    ids, places, silent = old.track_id[kept].tolist(), old.rows[kept], old.track_id[~old.valid].tolist()
    if old.digest and not (len(ids) < len(kept) or old.dead_rows or not old.is_in_order):
        return
    file = RowFile(root / f"{name}.npy", old.layout, remedy=_tell_remedy(old))
    if old.layout.fortran and len(ids) == len(kept):
        save_block(folder, Block(name, old.track_id, file.map(), old.valid, old.spec))
    else:
        rows = (file.map()[place] for place in places) if old.layout.fortran else Rows(file, places)
        _write_anew(folder, name, ids, rows, old.spec, old.layout, silent)


def _lay_out(spec: Mapping[str, Any]) -> Layout:
    """The layout of a new file without rows."""
    shape, dtype = tuple(spec["shape"]), np.dtype(spec["dtype"])
    return Layout(len(format_header(0, shape, dtype)), shape, dtype, False, ())


def _digest_format_1(root: Path, outline: Outline) -> Layout:
    """The layout with digests, which a record of format 1 lacks."""
    file = RowFile(root / f"{outline.name}.npy", outline.layout, remedy=_tell_remedy(outline))
    return outline.layout._replace(chunks=digest_rows(file.map()))


def _merge_rows(
    old: Block, track_id: Sequence[str], fresh: Collection[str], rows: Iterable[np.ndarray]
) -> Iterator[np.ndarray]:
    """Yields the rows of `track_id`, those of `fresh` from `rows` and the others from the block."""
    row_of = {one: row for row, one in enumerate(old.track_id.tolist())}
    new = iter(rows)
    for one in track_id:
        yield next(new) if one in fresh else old.values[row_of[one]]


def _write_anew(
    folder: Path,
    name: str,
    track_id: Sequence[str],
    rows: Iterable[np.ndarray],
    spec: Mapping[str, Any],
    layout: Layout,
    invalid: Collection[str],
) -> None:
    """Writes both files of a block; of the layout, the shape and the type of its rows count."""
    header = format_header(len(track_id), layout.shape, layout.dtype)
    layout = Layout(len(header), layout.shape, layout.dtype, False, ())
    with atomic(folder / f"{name}.npy", "wb") as file:
        file.write(header)
        layout = _write_rows(file, name, track_id, rows, layout, invalid)
    ids = np.array(track_id, dtype=str)
    _save_record(folder, name, ids, np.isin(ids, [*invalid]), np.arange(len(ids)), layout, spec)


def _write_rows(
    file: IO[bytes],
    name: str,
    track_id: Sequence[str],
    rows: Iterable[np.ndarray],
    layout: Layout,
    invalid: Collection[str],
) -> Layout:
    """Writes rows to where the file stands, and returns the layout with them."""
    digests, silent = ChunkDigests(layout.row_bytes), set(invalid)
    for one, values in zip(track_id, rows, strict=True):
        if values.shape != layout.shape:
            raise ValueError(f"block {name}, track {one}: a row of shape {values.shape}, expected {layout.shape}")
        with np.errstate(over="ignore"):  # told below
            row = np.ascontiguousarray(values, dtype=layout.dtype)
        if one not in silent and not np.isfinite(row).all():
            raise InputError(f"block {name}: track {one} holds NaN or infinity")
        file.write(row.data)
        digests.add(row.reshape(1, *layout.shape))
    return layout._replace(chunks=(*layout.chunks, *digests.close()))


def _save_record(
    folder: Path,
    name: str,
    track_id: np.ndarray,
    invalid: np.ndarray,
    rows: np.ndarray,
    layout: Layout,
    spec: Mapping[str, Any],
) -> None:
    """Writes <name>.json.

    Args:
      track_id, rows: as in `Outline`.
      invalid: (N,) bool.
    """
    record = _BlockRecord(
        format=_FORMAT,
        name=name,
        spec=dict(spec),
        track_id=track_id.tolist(),
        invalid=track_id[invalid].tolist(),
        rows=None if np.array_equal(rows, np.arange(layout.rows)) else rows.tolist(),
        offset=layout.offset,
        shape=layout.shape,
        dtype=layout.dtype.str,
        fortran=layout.fortran,
        chunks=layout.chunks,
    )
    write_record(folder / f"{name}.json", replace(record, digest=_digest_record(record)))


def _digest_record(record: _BlockRecord) -> str:
    return xxh3_128_hexdigest(msgspec.json.encode(replace(record, digest="")))


def remove_block(root: Path, name: str) -> None:
    """Removes both files of a block, where they are."""
    for suffix in (".json", ".npy"):
        (root / f"{name}{suffix}").unlink(missing_ok=True)


def block_names(root: Path) -> list[str]:
    """Names of the blocks of a store, in alphabetical order."""
    return read_settled(root, (), lambda: _find_names(root))


def _find_names(root: Path) -> list[str]:
    folders = [root, root / PENDING] if (root / PENDING / COMPLETE).exists() else [root]
    values, records = (
        {path.stem for folder in folders for path in folder.glob(f"*{suffix}")} for suffix in (".npy", ".json")
    )
    return sorted(values & records)


def load_block(root: Path, name: str) -> Block:
    """Reads a block. Its values are checked by their digests when they are first used in a process.

    A block that another process replaces meanwhile is the one of before or the one of after.

    Values of up to 256 MiB are checked here. They are memory-mapped where the rows of the file are in the order of the
    tracks, and are read where not. Larger ones are `Rows`, which are read and checked when they are indexed.

    Raises:
      InputError: if there is no such block (those that there are, are named), it is damaged or of another format, or a
        valid row of format 1 is not finite.
    """
    return read_settled(root, _list_files(name), lambda: _load_block(root, name))


def _list_files(name: str) -> tuple[str, str]:
    return f"{name}.json", f"{name}.npy"


def _load_block(root: Path, name: str) -> Block:
    outline = _load_outline(root, name)
    return Block(name, outline.track_id, _open_values(root, outline), outline.valid, outline.spec)


def _tell_remedy(outline: Outline) -> str:
    """What the user can do where rows of a block are damaged."""
    if JOINED in outline.spec:
        how = f"preprocessing the store again with `table={outline.spec[JOINED]}` brings them back"
    else:
        how = "preprocessing the store again makes them anew"
    return f"python -m experiments.compact drops them, and {how}"


def _open_values(root: Path, outline: Outline) -> np.ndarray | Rows:
    path, layout = locate(root, f"{outline.name}.npy"), outline.layout
    if not outline.digest:
        broken = outline.track_id[_find_broken(path, identify(path.stat())) & outline.valid]
        if len(broken):
            raise InputError(
                f"{path}: {len(broken)} tracks hold NaN or infinity, the first is {broken[0]}: delete the block and "
                "preprocess again"
            )
    file = RowFile(path, layout, remedy=_tell_remedy(outline))
    size = layout.rows * layout.row_bytes
    if layout.fortran or (outline.is_in_order and 0 < size <= _AT_ONCE):
        file.check()
        return file.map()[: len(outline.rows)]
    rows = Rows(file, outline.rows)
    return np.asarray(rows) if rows.nbytes <= _AT_ONCE else rows


@lru_cache(64)
def _find_broken(path: Path, state: tuple[int, ...]) -> np.ndarray:
    """(N,) bool, the rows of a file of format 1 that are not finite; once for a state of the file."""
    values = np.load(path, mmap_mode="r")
    finite = [np.isfinite(piece.reshape(len(piece), -1)).all(axis=1) for piece in split_rows(values)]
    return ~np.concatenate(finite) if finite else np.zeros(0, bool)


def load_outline(root: Path, name: str) -> Outline:
    """Reads what a block is, and none of its values.

    Raises:
      InputError: if there is no such block (those that there are, are named), or its record is damaged or of another
        format, or its file is cut off.
    """
    return read_settled(root, _list_files(name), lambda: _load_outline(root, name))


def _load_outline(root: Path, name: str) -> Outline:
    if name not in (there := _find_names(root)):
        listed = ", ".join(there) or "none"
        raise InputError(f"{root} has no block {name!r}: choose from {listed}, or preprocess the store again")
    record = read_record(locate(root, f"{name}.json"), _BlockRecord, version=(1, _FORMAT), remedy=_AGAIN)
    path = locate(root, f"{name}.npy")
    try:
        check_regular(path)
        layout = _read_layout(path, record)
        rows = np.arange(len(record.track_id)) if record.rows is None else np.array(record.rows, dtype=np.int64)
        track_id = np.array(record.track_id, dtype=str)
        _check_outline(record, track_id, rows, layout)
    except InputError as error:
        raise InputError(f"{error}: {_AGAIN}") from error
    except (ValueError, OSError) as error:
        raise InputError(f"{root / name}: block is damaged ({error}): {_AGAIN}") from error
    return Outline(name, track_id, ~np.isin(track_id, record.invalid), record.spec, rows, layout, record.digest)


def _read_layout(path: Path, record: _BlockRecord) -> Layout:
    """Raises ValueError: "<fault>"."""
    if record.format == 1:
        try:
            values = np.load(path, mmap_mode="r")
            chunks = chunk_without_digests(values)
            layout = Layout(values.offset, values.shape[1:], values.dtype, is_fortran(values), chunks)
        except Exception as error:  # NumPy's reader of headers raises all kinds
            raise ValueError("its file is no array") from error
        if layout.dtype.kind not in "biuf":
            raise ValueError("its values are no numbers")
        return layout
    if record.digest != _digest_record(record):
        raise ValueError("its record is not as it was written")
    try:
        dtype = np.dtype(record.dtype)
    except (TypeError, ValueError, SyntaxError) as error:
        raise ValueError("its record names no type of numbers") from error
    if dtype.kind not in "biuf":
        raise ValueError("its values are no numbers")
    layout = Layout(record.offset, record.shape, dtype, record.fortran, record.chunks)
    if path.stat().st_size < layout.end:
        raise ValueError("its file is cut off")
    return layout


def _check_outline(record: _BlockRecord, track_id: np.ndarray, rows: np.ndarray, layout: Layout) -> None:
    """Raises ValueError: "<fault>"."""
    if not (track_id[1:] > track_id[:-1]).all():
        raise ValueError("its track ids are not sorted and unique")
    if not set(record.invalid) <= set(record.track_id):
        raise ValueError("tracks that are not valid are not among its tracks")
    if len(rows) != len(track_id) or len(np.unique(rows)) < len(rows) or (rows >= layout.rows).any():
        raise ValueError(f"{len(track_id)} tracks do not fit {layout.rows} rows")
    if record.rows is None and layout.rows != len(rows):
        raise ValueError(f"{len(track_id)} tracks do not fit {layout.rows} rows")
    if layout.fortran and (record.rows is not None or len(layout.chunks) > 1):
        raise ValueError("its file has columns one after the other, and its record speaks of rows")
