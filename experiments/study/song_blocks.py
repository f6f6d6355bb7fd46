"""What the stores of a run and of its new songs hold of each song: what CLAP heard, or the words that are sung."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.study.new_stores import find_stores
from experiments.study.run_store import holds_tracks
from experiments.study.songs import Songs
from musiclust import store
from musiclust.types import Block

# Of a block's spec: what may differ between two stores whose values can be held against each other.
_MEANINGLESS = frozenset({"description", "why", "units"})
_OF_ONE_STORE = "tfidf"  # embedders whose vectors mean something within the store alone that they were fitted to


def read_song_block(run_dir: Path, songs: Songs, home: Path, name: str) -> Block | None:
    """The block of that name, a row for each of `songs`, valid where it tells something of the song. Its ids are the
    numbers of the rows.

    None where the run's store, `home`, has no such block, or is not there. New songs are in it as far as their stores
    have such a block, made as the run's was.
    """
    if not holds_tracks(home) or name not in store.block_names(home):
        return None
    own = store.load_block(home, name)
    values = np.zeros((len(songs.song), *own.values.shape[1:]))
    valid = np.zeros(len(songs.song), bool)
    row_of = {track_id: row for row, track_id in enumerate(songs.track_id.tolist())}
    for root in [home, *find_stores(run_dir)]:
        if name not in store.block_names(root):
            continue
        tracks, block = store.load_tracks(root), store.load_block(root, name)
        if root != home and (differing_keys(own.spec, block.spec) or _is_of_one_store(own.spec)):
            continue
        called = tracks.track_id if root == home else tracks.path  # as `new_songs` has it
        names = dict(zip(tracks.track_id.tolist(), called.tolist(), strict=True))
        for track_id, row, known in zip(block.track_id.tolist(), block.values, block.valid, strict=True):
            if known and (place := row_of.get(names.get(track_id, ""))) is not None:
                values[place], valid[place] = row, True
    # A block's ids ascend, and those of a run with new songs after them do not.
    return Block(name, np.char.zfill(np.arange(len(valid)).astype(str), 9), values, valid, own.spec)


def differing_keys(spec: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """In what two blocks of one name differ that makes their values no longer comparable."""
    return sorted(key for key in spec if key not in _MEANINGLESS and other.get(key) != spec[key])


def _is_of_one_store(spec: Mapping[str, Any]) -> bool:
    return str(spec.get("embedder", "")).startswith(_OF_ONE_STORE)
