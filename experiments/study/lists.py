"""Which songs of a run each playlist takes, and in which order."""

from typing import NamedTuple

import numpy as np

from experiments.cli.progress import Report
from experiments.study.songs import Songs
from musiclust.errors import InputError
from musiclust.listening.sequencing import find_path, order_smoothly, rank_alike, take
from musiclust.types import Block

FEW = 30  # songs of a playlist that is asked for, where nobody says how many
UNPLACED = "fits no cluster"


class Limits(NamedTuple):
    """What a playlist holds at most: songs, minutes, songs of one artist and of one album; 0 is no limit. apart: other
    songs between two of one artist, where there are enough."""

    songs: int
    minutes: float
    per_artist: int
    per_album: int
    apart: int


class Choice(NamedTuple):
    """allowed: (N,) bool, the songs that may be taken. copy_of: (N,) int, the row of the first song that is the same
    file, has the same bytes or is the same recording: of these one is taken."""

    allowed: np.ndarray
    copy_of: np.ndarray


def list_clusters(songs: Songs, choice: Choice, limits: Limits, report: Report) -> dict[str, list[int]]:
    """Rows by the name of each cluster that has any; of several with one name, the later ones have their number too.

    Songs that came later and fit none are a list of their own. Copies that lie in different clusters are in one list.
    """
    listed = np.flatnonzero(choice.allowed & ((songs.clusters >= 0) | songs.later))
    once = np.isin(np.arange(len(songs.song)), _once(choice, listed))
    lists: dict[str, list[int]] = {}
    names = cluster_names(songs)
    for done, (number, name) in enumerate(names.items()):
        report("ordering", done, len(names))
        rows = np.flatnonzero((songs.clusters == number) & once)
        # Those at the heart of the cluster first, so that limits keep them.
        heart = rows[np.argsort(((songs.z[rows] - songs.z[rows].mean(axis=0)) ** 2).sum(axis=1), kind="stable")]
        lists[name] = _smooth(songs, _limited(songs, heart, limits), limits)
    report("ordering", len(names), len(names))
    strangers = np.flatnonzero((songs.clusters < 0) & once)
    lists[UNPLACED] = _smooth(songs, _limited(songs, strangers, limits), limits)
    return {name: rows for name, rows in lists.items() if rows}


def cluster_names(songs: Songs) -> dict[int, str]:
    """The name of each cluster by its number, none of them twice."""
    names: dict[int, str] = {}
    for number in range(int(songs.clusters.max(initial=-1)) + 1):
        name = songs.names.get(number) or f"cluster {number}"
        names[number] = name if name not in names.values() else f"{name} ({number})"
    return names


def list_alike(
    songs: Songs,
    choice: Choice,
    limits: Limits,
    wanted: list[str],
    words: Block | None = None,
    words_weight: float = 0.0,
) -> dict[str, list[int]]:
    """The songs that are wanted and those nearest to them.

    Args:
      words: vectors of what is sung, a row for each song, valid where there are words. words_weight: as for
        `rank_alike`.

    Raises:
      InputError: if one is no song of the run, has no file here, or has no words where words count.
    """
    seeds = [_find(songs, choice, one) for one in wanted]
    sung = None if words is None else np.where(words.valid[:, None], words.values, 0.0)
    for name, seed in zip(wanted, seeds, strict=True):
        if sung is not None and not sung[seed].any():
            raise InputError(f"{name!r} has no words that others could be like: leave out --words_weight")
    alike = rank_alike(songs.z, seeds, words=sung, words_weight=words_weight)
    order = [*seeds, *(row for row in alike if choice.allowed[row])]
    rows = _once(choice, np.array(order))
    taken = _limited(songs, rows, limits._replace(songs=limits.songs or FEW))
    return {f"like {' and '.join(songs.song[seed].called for seed in seeds)}": _smooth(songs, taken, limits)}


def list_by_words(songs: Songs, choice: Choice, limits: Limits, words: str, order: np.ndarray) -> dict[str, list[int]]:
    """The first songs of an order in which those come first that fit the words best; as they come, not smoothed."""
    rows = _once(choice, order[choice.allowed[order]])
    return {words: _limited(songs, rows, limits._replace(songs=limits.songs or FEW))}


def list_path(songs: Songs, choice: Choice, limits: Limits, start: str, end: str) -> dict[str, list[int]]:
    """The songs from one to another, in even steps.

    Raises:
      InputError: if one of the two is no song of the run, has no file here, or both are one.
    """
    ends = [_find(songs, choice, one) for one in (start, end)]
    rows = _once(choice, np.union1d(ends, np.flatnonzero(choice.allowed)))
    first, last = (int(np.flatnonzero(choice.copy_of[rows] == choice.copy_of[one])[0]) for one in ends)
    path = rows[find_path(songs.z[rows], first, last, min(limits.songs or FEW, len(rows)))]
    name = f"from {songs.song[ends[0]].called} to {songs.song[ends[1]].called}"
    return {name: _limited(songs, path, limits)}


def _find(songs: Songs, choice: Choice, wanted: str) -> int:
    row = songs.find(wanted)
    if not songs.song[row].path.is_file():
        raise InputError(f"{wanted!r} is a song of the run, but its file {songs.song[row].path} is not there")
    return row


def _once(choice: Choice, rows: np.ndarray) -> np.ndarray:
    """The rows without further copies of a song that is there already."""
    return rows[np.sort(np.unique(choice.copy_of[rows], return_index=True)[1])]


def _limited(songs: Songs, rows: np.ndarray, limits: Limits) -> list[int]:
    return take(
        rows.tolist(),
        artist=songs.artist,
        album=songs.album,
        seconds=songs.seconds,
        songs=limits.songs,
        minutes=limits.minutes,
        per_artist=limits.per_artist,
        per_album=limits.per_album,
    )


def _smooth(songs: Songs, rows: list[int], limits: Limits) -> list[int]:
    if len(rows) < 2:
        return rows
    order = order_smoothly(songs.z[rows], artist=songs.artist[rows], apart=limits.apart)
    return [rows[place] for place in order]
