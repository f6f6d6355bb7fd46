"""Blocks put into the order of tracks, by track_id and never by position."""

from collections.abc import Sequence

import numpy as np

from musiclust.errors import InputError
from musiclust.rows import select_rows
from musiclust.types import Block, Tracks


def align(tracks: Tracks, blocks: Sequence[Block]) -> list[Block]:
    """Puts the rows of each block into the order of `tracks` and drops the surplus ones.

    Raises:
      InputError: if a block lacks a track; it names the block, how many are lacking and the first few.
    """
    aligned = []
    for block in blocks:
        lacking = np.setdiff1d(tracks.track_id, block.track_id)
        if len(lacking):
            first = ", ".join(lacking[:3])
            raise InputError(
                f"block {block.name} lacks {len(lacking)} of {len(tracks)} tracks ({first}, ...): preprocess again"
            )
        rows = np.searchsorted(block.track_id, tracks.track_id)
        if len(rows) < len(block.track_id):
            values, valid = select_rows(block.values, rows), block.valid[rows]
            block = Block(block.name, tracks.track_id, values, valid, block.spec)
        aligned.append(block)
    return aligned


def fit_to_tracks(tracks: Tracks, block: Block) -> Block:
    """Returns the block (N, *D) for these tracks; those that it lacks are zeros and not valid. `align` refuses them."""
    row_of = {track_id: row for row, track_id in enumerate(block.track_id.tolist())}
    rows = np.array([row_of.get(track_id, -1) for track_id in tracks.track_id.tolist()])
    valid = rows >= 0
    valid[valid] = block.valid[rows[valid]]
    values = select_rows(block.values, np.where(valid, rows, -1))
    return Block(block.name, tracks.track_id, values, valid, block.spec)
