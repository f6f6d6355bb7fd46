"""What CLAP heard of a run's songs, by which they can be asked for in words."""

from pathlib import Path

import numpy as np

from experiments.study.new_stores import find_stores
from experiments.study.songs import Songs
from musiclust import store
from musiclust.types import Block


def read_heard(run_dir: Path, songs: Songs, home: Path) -> Block | None:
    """What CLAP heard of the songs, a row for each of `songs`, valid where it heard it.

    None where the run's store, `home`, has no such block, or is not there. New songs have some where the run was
    trained on CLAP's block, for only then are they heard by it.
    """
    if not (home / "tracks.csv").exists() or "clap" not in store.block_names(home):
        return None
    own = store.load_block(home, "clap")
    values = np.zeros((len(songs.song), *own.values.shape[1:]))
    valid = np.zeros(len(songs.song), bool)
    row_of = {track_id: row for row, track_id in enumerate(songs.track_id.tolist())}
    for root in [home, *find_stores(run_dir)]:
        if "clap" not in store.block_names(root):
            continue
        tracks, block = store.load_tracks(root), store.load_block(root, "clap")
        called = tracks.track_id if root == home else tracks.path  # as `new_songs` has it
        names = dict(zip(tracks.track_id.tolist(), called.tolist(), strict=True))
        for track_id, row, known in zip(block.track_id.tolist(), block.values, block.valid, strict=True):
            if known and (place := row_of.get(names.get(track_id, ""))) is not None:
                values[place], valid[place] = row, True
    return Block("clap", songs.track_id, values, valid, own.spec)
