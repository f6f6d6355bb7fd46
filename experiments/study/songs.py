"""The songs of a finished run, as its folder alone tells of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.study.run_files import read_latents, read_metrics, read_tracks
from musiclust.errors import InputError
from musiclust.listening.playlists import Song
from musiclust.stretches import split_stretch


class Songs(NamedTuple):
    """N songs of a run, in its order, and those that came later after them.

    song: what a playlist says of each; a stretch of a file ("song.wav#t=10,20") stands for the file, and a song without
    a file has the path "". path: (N,) str, with the stretch. artist, album: (N,) str, "" where not known; seconds:
    (N,), NaN likewise. track_id: (N,) str. group: (N,) str, what clips of one song share. clusters: (N,) int, -1 noise,
    or a song that came later and fits none. names: of the clusters, by number. z: (N, L) latents. xy: (N, 2) places on
    the map, NaN where none was made. confidence: (N,) 0 to 1, of the cluster. certainty: the same in words. classes:
    (N,) str, "" where not known. tags: "" likewise. later: (N,) bool.
    """

    song: list[Song]
    path: np.ndarray
    artist: np.ndarray
    album: np.ndarray
    seconds: np.ndarray
    track_id: np.ndarray
    group: np.ndarray
    clusters: np.ndarray
    names: dict[int, str]
    z: np.ndarray
    xy: np.ndarray
    confidence: np.ndarray
    certainty: list[str]
    classes: np.ndarray
    tags: list[str]
    later: np.ndarray

    def find(self, wanted: str) -> int:
        """The row of the song with that file, track_id or title.

        Raises:
          InputError: if there is no such song, or several.
        """
        found = self._called(wanted)
        if len(found) == 1:
            return found[0]
        if found:
            some = ", ".join([*(str(self.track_id[row]) for row in found[:3]), *["..."] * (len(found) > 3)])
            raise InputError(f"{wanted!r} is {len(found)} songs of the run ({some}): give the track_id of one")
        raise InputError(f"the run has no song {wanted!r}: give its file, its track_id or its title as in tracks.csv")

    def has(self, wanted: str) -> bool:
        """Whether there is a song with that file, track_id or title."""
        return bool(self._called(wanted))

    def _called(self, wanted: str) -> list[int]:
        path = Path(wanted).expanduser().absolute()
        return (
            [row for row, song in enumerate(self.song) if song.path == path]
            or np.flatnonzero(self.track_id == wanted).tolist()
            or [row for row, song in enumerate(self.song) if wanted in (song.path.name, song.path.stem, song.title)]
        )


def read_songs(run_dir: Path) -> Songs:
    """Reads tracks.csv, latents.npy and metrics.json of a finished run.

    Raises:
      InputError: if the run is not finished, or a file is damaged or of another run.
    """
    for name in ("tracks.csv", "latents.npy", "metrics.json"):
        if not (run_dir / name).exists():
            raise InputError(f"{run_dir} has no {name}: give the folder of a finished run, such as runs/...")
    table, z = read_tracks(run_dir), read_latents(run_dir)
    count = len(table["track_id"])
    if len(z) != count:
        raise InputError(
            f"{run_dir} is damaged or of another version ({count} songs and latents of shape {z.shape}): run anew"
        )
    return _make_songs(table, z, read_metrics(run_dir))


def make_song(path: str, title: str, artist: str, album: str, seconds: float) -> Song:
    """What a playlist says of a track; a stretch of a file stands for the file."""
    return Song(Path(split_stretch(path)[0]), title, artist, album, seconds)


def _make_songs(table: Mapping[str, list[Any]], z: np.ndarray, results: Mapping[str, Any]) -> Songs:
    count = len(z)

    def column(name: str) -> np.ndarray:
        """As text; "" where a run of an earlier version has no such column."""
        return np.array(table.get(name, [""] * count), dtype=str)

    def numbers(name: str) -> np.ndarray:
        return np.array(table.get(name, [np.nan] * count), dtype=np.float64)

    path, artist, album, seconds = column("path"), column("artist"), column("album"), numbers("seconds")
    clusters, confidence = np.array(table["cluster"], dtype=np.int64), numbers("confidence")
    title, track_id = column("title"), column("track_id")
    about = zip(path.tolist(), title.tolist(), artist.tolist(), album.tolist(), seconds.tolist(), strict=True)
    files = np.array([split_stretch(one)[0] for one in path], dtype=str)
    group = np.where(column("group") != "", column("group"), np.where(files != "", files, track_id))
    return Songs(
        song=[make_song(*one) for one in about],
        path=path,
        artist=artist,
        album=album,
        seconds=seconds,
        track_id=track_id,
        group=group,
        clusters=clusters,
        # Runs of version 0.2 and before have clusters without names.
        names={one["cluster"]: one["name"] for one in results.get("clusters", ())},
        z=z,
        xy=np.column_stack([numbers("x"), numbers("y")]),
        confidence=confidence,
        certainty=column("certainty").tolist(),
        classes=column("class"),
        tags=column("tags").tolist(),
        later=np.zeros(count, bool),
    )
