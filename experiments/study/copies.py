"""Songs that are there several times: as copies of a file, or as one recording in several encodings."""

from contextlib import suppress
from typing import NamedTuple

import numpy as np

from experiments.cli.progress import Report
from experiments.study.songs import Songs
from musiclust.listening.content import content_key, nominate_copies
from musiclust.stretches import split_stretch

_PLACES = 3  # of a file that are looked at to know it again: a silent middle is no song


class Nominated(NamedTuple):
    """pairs: (P, 2) rows of songs that may be one recording. keys: what their files are known by, by row."""

    pairs: np.ndarray
    keys: dict[int, str]


def nominate(songs: Songs, there: np.ndarray, copy_of: np.ndarray, *, shortest: float, report: Report) -> Nominated:
    """The songs whose sound has to be compared.

    Of copies of one file the first stands for all. A stretch of a file is known by its file alone: stretches of one
    song are alike and none is a copy of another.

    Args:
      there: (N,) bool, whose files are there. copy_of: (N,) int, of `find_copies`.
      shortest: seconds that a song must last.
    """
    whole = np.array([split_stretch(path)[1] is None for path in songs.path.tolist()], dtype=bool)
    first = copy_of == np.arange(len(copy_of))
    rows = np.flatnonzero(whole & there & first & (songs.seconds >= shortest))
    pairs = rows[nominate_copies(songs.z[rows], songs.seconds[rows], title=[songs.song[row].called for row in rows])]
    keys: dict[int, str] = {}
    nominated = np.unique(pairs).tolist()
    for done, row in enumerate(nominated, 1):
        with suppress(OSError):  # one that cannot be read is no copy of any
            keys[row] = content_key(songs.song[row].path, places=_PLACES)
        report("looking for songs that may be copies", done, len(nominated))
    return Nominated(pairs[np.isin(pairs, list(keys)).all(axis=1)], keys)


def name_copies(songs: Songs, copy_of: np.ndarray) -> list[str]:
    """The track_id of the first song that each is a copy of, "" where it is none.

    A stretch of a file is a copy of the same stretch of another file alone.
    """
    first: dict[tuple[int, str], int] = {}
    names: list[str] = []
    for row, path in enumerate(songs.path.tolist()):
        fragment = path[len(split_stretch(path)[0]) :]
        original = first.setdefault((int(copy_of[row]), fragment), row)
        names.append(str(songs.track_id[original]) if songs.song[original].path != songs.song[row].path else "")
    return names
