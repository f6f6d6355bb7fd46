"""Compaction: the blocks of a store are checked, and written anew without the rows that no track needs."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from musiclust import store
from musiclust.errors import InputError
from musiclust.preprocess.writing.lock import explain_full_disk, lock_store
from musiclust.preprocess.writing.swap import recover, replace_files
from musiclust.types import JOINED


class Compacted(NamedTuple):
    """What became of a block.

    Attributes:
      rows, rows_before: the number of rows in its file, dead ones with them; 0 where the block was removed.
      size, size_before: bytes of these rows.
      damaged: ids of the tracks whose rows are damaged.
      joined: the table that the block came from, "" for none.
    """

    name: str
    rows: int
    rows_before: int
    size: int
    size_before: int
    damaged: list[str]
    joined: str


def compact_store(root: Path, report: Callable[[str, int, int], None], *, check: bool = False) -> list[Compacted]:
    """Reads and checks each block of a store, drops rows that are dead or damaged, and puts the others in order.

    Blocks come one after the other, so that there need be room for a second copy of the largest only. A process that is
    killed leaves each block old or new. A block whose rows are all damaged is removed.

    Args:
      report: called with (stage, done, total).
      check: whether to write nothing.

    Raises:
      InputError: if there is no store at `root`, another process writes into it, the disk is full, or the record of a
        block is damaged.
    """
    if not store.block_names(root):
        raise InputError(f"{root} has no blocks: name the folder of a store in `store`")
    compacted = []
    with explain_full_disk(root), nullcontext() if check else lock_store(root):
        if not check:
            recover(root)
        names = store.block_names(root)
        for count, name in enumerate(names):
            report("reading blocks", count, len(names))
            before = store.load_outline(root, name)
            after, damaged = before, store.find_damaged(root, name)
            if not check and len(damaged) == len(before.track_id) > 0:
                store.remove_block(root, name)
                after = None
            elif not check:
                with replace_files(root) as folder:
                    store.compact_block(root, folder, name, drop=damaged)
                after = store.load_outline(root, name)
            (rows, size), (rows_before, size_before) = _measure(after), _measure(before)
            compacted.append(
                Compacted(name, rows, rows_before, size, size_before, damaged, before.spec.get(JOINED, ""))
            )
        report("reading blocks", len(names), len(names))
    return compacted


def _measure(block: store.Outline | None) -> tuple[int, int]:
    """Rows, and their bytes."""
    return (0, 0) if block is None else (block.layout.rows, block.layout.rows * block.layout.row_bytes)
