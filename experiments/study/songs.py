"""The songs of a finished run, as its folder alone tells of them."""

import csv
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.study.run_files import read_metrics
from musiclust.errors import InputError
from musiclust.listening.playlists import Song
from musiclust.stretches import split_stretch


class Songs(NamedTuple):
    """N songs of a run, in its order.

    song: what a playlist says of each; a stretch of a file ("song.wav#t=10,20") stands for the file, and a song without
    a file has the path "". artist, album: (N,) str, "" where not known; seconds: (N,), NaN likewise. track_id: (N,)
    str. clusters: (N,) int, -1 noise. names: of the clusters, by number. z: (N, L) latents.
    """

    song: list[Song]
    artist: np.ndarray
    album: np.ndarray
    seconds: np.ndarray
    track_id: np.ndarray
    clusters: np.ndarray
    names: dict[int, str]
    z: np.ndarray

    def find(self, wanted: str) -> int:
        """The row of the song with that file, track_id or title.

        Raises:
          InputError: if there is no such song, or several.
        """
        path = Path(wanted).expanduser().absolute()
        for found in (
            [row for row, song in enumerate(self.song) if song.path == path],
            np.flatnonzero(self.track_id == wanted).tolist(),
            [row for row, song in enumerate(self.song) if wanted in (song.path.name, song.path.stem, song.title)],
        ):
            if len(found) == 1:
                return found[0]
            if found:
                some = ", ".join([*(str(self.track_id[row]) for row in found[:3]), *["..."] * (len(found) > 3)])
                raise InputError(f"{wanted!r} is {len(found)} songs of the run ({some}): give the track_id of one")
        raise InputError(f"the run has no song {wanted!r}: give its file, its track_id or its title as in tracks.csv")


def read_songs(run_dir: Path) -> Songs:
    """Reads tracks.csv, latents.npy and metrics.json of a finished run.

    Raises:
      InputError: if the run is not finished, or a file is damaged or of another run.
    """
    for name in ("tracks.csv", "latents.npy", "metrics.json"):
        if not (run_dir / name).exists():
            raise InputError(f"{run_dir} has no {name}: give the folder of a finished run, such as runs/...")
    try:
        with open(run_dir / "tracks.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        z = np.load(run_dir / "latents.npy")
        if z.ndim != 2 or len(z) != len(rows):
            raise ValueError(f"{len(rows)} songs and latents of shape {z.shape}")
        song = [
            Song(
                Path(split_stretch(row["path"])[0]),
                row["title"],
                row["artist"],
                row.get("album", ""),
                float(row.get("seconds") or math.nan),
            )
            for row in rows
        ]
        clusters = np.array([int(row["cluster"]) for row in rows])
        track_id = np.array([row["track_id"] for row in rows])
    except (ValueError, KeyError, TypeError, EOFError) as error:
        raise InputError(f"{run_dir} is damaged or of another version ({error}): run anew") from error
    names = {one["cluster"]: one["name"] for one in read_metrics(run_dir)["clusters"]}
    artist, album, seconds = (np.array(column) for column in list(zip(*song, strict=True))[2:])
    return Songs(song, artist, album, seconds, track_id, clusters, names, z.astype(np.float64))
