"""What `experiments.organize --tags` does: the name of a song's cluster as the grouping tag of its file.

tags.csv            what would change, or has: the grouping of each file now and then, and why a file is not written
tags-backup.jsonl   what was written, so that it can be undone
"""

import csv
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from experiments.cli.console import print_line
from experiments.cli.progress import show_progress
from experiments.study.lists import cluster_names
from experiments.study.songs import Songs
from musiclust.files import atomic
from musiclust.listening.playlists import one_line
from musiclust.listening.tagging import Change, propose, undo_tags, write_tags
from musiclust.report.names import NO_CHARACTER
from musiclust.spreadsheet import plain_cell

WAYS = ("propose", "write", "undo")

_BACKUP = "tags-backup.jsonl"
_REPORT = "tags.csv"
_COLUMNS = ("path", "grouping_now", "grouping_proposed", "not_written")


def tag_files(out: Path, songs: Songs, allowed: np.ndarray, *, write: bool) -> None:
    """Writes tags.csv, and the tags too if that is asked for.

    Songs without a cluster get no tag, nor do those of a cluster without a name of its own, or a file whose stretches
    are in several clusters.

    Args:
      allowed: (N,) bool, which songs' files may be written.
    """
    names = cluster_names(songs)
    clusters: dict[Path, set[int]] = defaultdict(set)
    for song, cluster in zip(songs.song, songs.clusters.tolist(), strict=True):
        clusters[song.path].add(cluster)
    wanted = {
        songs.song[row].path: names[int(songs.clusters[row])]
        for row in np.flatnonzero(allowed & (songs.clusters >= 0)).tolist()
        if len(clusters[songs.song[row].path]) == 1 and not names[int(songs.clusters[row])].startswith(NO_CHARACTER)
    }
    with show_progress() as report:
        changes = propose(list(wanted), list(wanted.values()), backup=out / _BACKUP, report=report)
    _write_report(out / _REPORT, changes)
    for reason, count in Counter(change.refused for change in changes if change.refused).most_common():
        print_line(f"{count} files are not written: {reason}")
    due = sum(change.due for change in changes)
    if not write:
        print_line(f"{due} of {len(changes)} files would change, and none has: see {out / _REPORT}")
        return
    with show_progress() as report:
        outcome = write_tags(changes, out / _BACKUP, report=report)
    _tell_left(outcome.left)
    print_line(f"{len(outcome.done)} files have a new tag; --tags=undo takes it back, by {out / _BACKUP}")


def undo_files(out: Path) -> None:
    """Undoes all tags that were written."""
    with show_progress() as report:
        outcome = undo_tags(out / _BACKUP, report=report)
    _tell_left(outcome.left)
    print_line(f"{len(outcome.done)} files are as they were before their tags were written")


def _write_report(path: Path, changes: list[Change]) -> None:
    with atomic(path) as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for one in changes:
            cells = (str(one.path), one_line(one.now), one_line(one.wanted), one.refused)
            writer.writerow([plain_cell(cell.encode("utf-8", "replace").decode()) for cell in cells])


def _tell_left(left: list[tuple[Path, str]]) -> None:
    for path, reason in left:
        print_line(f"{one_line(str(path))} is left as it is: {reason}")
