"""The page of a listening test, and its key beside it.

Conventions: the page carries its program (listening_test.js beside this file) and loads nothing but the songs' own
files. It knows of a trial its id and three addresses, and of a song no title and no cluster; the solutions lie in
key.json. What a listener answers stays in the browser until it is saved as a file.
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from urllib.parse import quote_from_bytes

import numpy as np
from rich import box
from rich.table import Table

from musiclust.errors import InputError
from musiclust.files import atomic
from musiclust.listening.odd_one_out import GUESSING, ListeningScores, Rate, draw_trials, make_key, read_key, write_key
from musiclust.listening.playlists import path_from
from musiclust.report.cluster_table import cluster_title
from musiclust.report.names import NO_CHARACTER
from musiclust.report.reading import number
from musiclust.stretches import add_stretch, split_stretch
from musiclust.types import AnyArray

PAGE, KEY = "index.html", "key.json"
CLIP = 30.0  # seconds that are played of a song
TRIALS = 40


def write_listening_test(
    folder: Path,
    *,
    path: Sequence[str] | AnyArray,
    clusters: AnyArray,
    track_id: Sequence[str] | AnyArray,
    seconds: AnyArray,
    names: Mapping[int, str],
    group: Sequence[str] | AnyArray | None = None,
    trials: int = TRIALS,
    seed: int = 0,
    force: bool = False,
) -> Path:
    """Writes index.html, the test, and key.json, its solutions, into a folder.

    Songs without a file there take no part. Of a song longer than 30 s, the middle 30 s are played.

    Args:
      folder: where the two files are to lie. Songs are linked by relative paths.
      path: (N,) str, the audio file of each song, or a stretch of one; "" where there is none.
      clusters: (N,) int, -1 noise.
      track_id: (N,) str.
      seconds: (N,) how long each song is, NaN where not known; such a song is played from its beginning.
      names: of the clusters, by number; they stand in the key alone.
      group: (N,) what songs share that must not meet in a trial, such as the artist, "" where not known; None where
        each is its own. Stretches of one file never meet.
      trials: how many, at least 1; one in five is a check on the listener.
      seed: of the draw. The same songs, seed and number of trials give the same test.
      force: whether to write over another test.

    Returns:
      The path of the page.

    Raises:
      InputError: if no trial can be made of the clusters, or another test lies in the folder.
    """
    paths = list(map(str, path))
    file_of = [split_stretch(one)[0] for one in paths]
    there = {one for one in set(file_of) if one and Path(one).is_file()}
    clusters = np.where([one in there for one in file_of], np.asarray(clusters), -1)
    drawn = draw_trials(clusters, seed=seed, trials=trials, group=_join_groups(file_of, group))
    key = make_key(drawn, track_id, names)
    if (folder / KEY).exists() and not force and read_key(folder / KEY).test != key.test:
        raise InputError(
            f"another listening test lies in {folder}, and without its key its answers cannot be scored: move it away, "
            "or give `force`"
        )
    length = np.asarray(seconds, dtype=np.float64)
    told = [
        {"trial": trial.trial, "clips": [_address(_clip(paths[row], length[row]), folder) for row in trial.songs]}
        for trial in drawn
    ]
    page = Template(_read("listening_test.html")).substitute(
        style=_read("page.css"),
        count=len(drawn),
        # Within a script element only "<" can do harm; everything past ASCII is escaped already.
        data=json.dumps({"test": key.test, "trials": told}).replace("<", "\\u003c"),
        program=_read("listening_test.js"),
    )
    write_key(folder / KEY, key, track_id)
    with atomic(folder / PAGE) as file:
        file.write(page)
    return folder / PAGE


def read_scores(scores: ListeningScores) -> list[str]:
    """Writes plain sentences on what listeners heard, and on who may have seen the key."""
    rate, listeners = scores.overall, len(scores.by_listener)
    whose = "One listener" if listeners == 1 else f"{listeners} listeners"
    kind = "another draw of trials" if listeners == 1 else "another listener"
    found = (
        f"{whose} found the song of the other cluster in {number(rate.accuracy, 'percent')} of the trials "
        f"({rate.answers:,} answers; 95 % interval for {kind} {_interval(rate)}); guessing finds it in "
        f"{number(GUESSING, 'percent')}."
    )
    if rate.audible:
        verdict = "So the clusters can be heard."
    elif scores.together.audible:
        own = _interval(scores.together)
        verdict = f"These listeners hear the clusters ({own} for them); that another one would is not shown."
    elif rate.high < GUESSING:
        verdict = "That is less often than guessing: listeners heard something else than the clusters."
    else:
        verdict = "So it is not shown that the clusters can be heard."
    sentences = [f"{found} {verdict}"]
    for name in scores.suspicious:
        check = scores.checks[name]
        sentences.append(
            f"{name} found {check.found} of {check.answers} odd songs that nobody can hear: has {name} seen the key?"
        )
    return sentences


def listeners_table(scores: ListeningScores) -> Table:
    """Draws a row for each listener: answers, how often the odd song was found, and the checks."""
    table = _table()
    table.add_column("listener", overflow="fold")
    for title in ("answers", "found", "95 % interval", "checks found", "seconds\nan answer"):
        table.add_column(title, justify="right")
    for name, rate in scores.by_listener.items():
        check = scores.checks[name]
        checks = f"{check.found} of {check.answers}" if check.answers else number(None)
        table.add_row(name, *_cells(rate), checks, number(scores.seconds[name], "significant"))
    return table


def heard_clusters_table(scores: ListeningScores, names: Mapping[int, str]) -> Table:
    """Draws a row for each cluster, by the trials in which two songs are of it, the best heard first."""
    table = _table()
    table.add_column("cluster", overflow="fold")
    for title in ("answers", "found", "95 % interval"):
        table.add_column(title, justify="right")
    table.add_column("heard", overflow="fold")
    for cluster, rate in sorted(scores.by_cluster.items(), key=lambda item: -item[1].accuracy):
        heard = "yes" if cluster in scores.heard else "not shown"
        table.add_row(cluster_title(cluster, names.get(cluster) or NO_CHARACTER), *_cells(rate), heard)
    return table


def _cells(rate: Rate) -> list[str]:
    return [f"{rate.answers:,}", number(rate.accuracy, "percent"), _interval(rate)]


def _interval(rate: Rate) -> str:
    return f"{100 * rate.low:.0f} to {100 * rate.high:.0f} %" if math.isfinite(rate.low) else number(None)


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)


def _join_groups(file_of: Sequence[str], group: Sequence[str] | AnyArray | None) -> np.ndarray:
    """(N,) the group of each song; stretches of one file are in one, and where no group is known it is the file."""
    if group is None:
        return np.array([f"file {one}" for one in file_of])
    given = {}
    for one, name in zip(file_of, map(str, group), strict=True):
        given.setdefault(one, f"group {name}" if name else f"file {one}")
    return np.array([given[one] for one in file_of])


def _clip(path: str, seconds: float) -> str:
    """The middle 30 s of a song, or of a stretch."""
    file, stretch = split_stretch(path)
    start, end = stretch or (0.0, seconds)
    if not end - start > CLIP:
        return path
    middle = (start + end) / 2
    return add_stretch(file, round(middle - CLIP / 2, 2), round(middle + CLIP / 2, 2))


def _address(path: str, folder: Path) -> str:
    """The address of a song for a page in `folder`: relative and percent-encoded, with its stretch."""
    file, _ = split_stretch(path)
    fragment = path[len(file) :]
    place = path_from(file, folder)
    address = Path(os.path.abspath(file)).as_uri() if place is None else quote_from_bytes(os.fsencode(place))
    return address + fragment


def _read(name: str) -> str:
    return (files("musiclust.report") / name).read_text(encoding="utf-8")
