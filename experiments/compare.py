"""Compares two finished runs: which songs moved, which clusters belong together.

Examples:
  python -m experiments.compare runs/a runs/b
  python -m experiments.compare runs/a runs/b --out=runs/a-and-b
  python -m experiments.compare runs/a runs/b --songs=50

Songs are joined by track_id. It prints the scores side by side, the clusters of
both runs as the optimal matching pairs them, what split and merged, and songs
that moved, and writes comparison.csv and comparison.html.
"""

import csv
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from absl import flags

from experiments.cli.console import console, print_line
from experiments.cli.program import run
from experiments.cli.progress import Report, show_progress
from experiments.study.run_files import read_metrics
from experiments.study.songs import Songs, read_songs
from musiclust.errors import InputError
from musiclust.files import atomic, remove_temporary
from musiclust.metrics.matching import Change, compare_partitions
from musiclust.report.change import (
    Side,
    compare_scores,
    describe_change,
    pairs_table,
    rank_moves,
    scores_table,
)
from musiclust.report.flow import MovedSong, write_comparison
from musiclust.spreadsheet import plain_cell

_OUT = flags.DEFINE_string("out", None, "Folder to write; by default compared/<first run>/ in the second run.")
_SONGS = flags.DEFINE_integer("songs", 10, "Songs that moved to print, the most telling first.", 0)
FLAG_GROUPS = {"Output": ("out", "songs")}
_HEADER = (
    *("track_id", "title", "artist", "cluster_a", "name_a", "matched_in_b"),
    *("cluster_b", "name_b", "moved"),
)


def main(argv: list[str]) -> int:
    if len(argv) != 3:
        raise InputError(f"give the folders of two finished runs, not {len(argv) - 1}: runs/a runs/b")
    folders = [Path(name).expanduser() for name in argv[1:]]
    with show_progress() as report:
        return _compare(folders, report)


def _compare(folders: Sequence[Path], report: Report) -> int:
    report("comparing", 0, 3)
    a, b = map(read_songs, folders)
    report("comparing", 1, 3)
    before, after = (_read_side(folder, songs) for folder, songs in zip(folders, (a, b), strict=True))
    if before.name == after.name:
        before, after = before._replace(name=f"{before.name} (a)"), after._replace(name=f"{after.name} (b)")
    rows = [_row_of(songs, folder) for songs, folder in zip((a, b), folders, strict=True)]
    shared = [track_id for track_id in rows[0] if track_id in rows[1]]
    if not shared:
        raise InputError(
            f"{folders[0]} and {folders[1]} have no song in common: the track_ids of their tracks.csv differ, as those "
            "of two stores with other folders do"
        )
    here, there = (np.array([of[track_id] for track_id in shared]) for of in rows)
    only_a = [row for track_id, row in rows[0].items() if track_id not in rows[1]]
    only_b = [row for track_id, row in rows[1].items() if track_id not in rows[0]]
    change = compare_partitions(a.clusters[here], b.clusters[there])
    order = rank_moves(change.moved, a.clusters[here], b.clusters[there], a.z[here], b.z[there])
    report("comparing", 2, 3)
    moved = [
        MovedSong(a.song[here[i]].called, a.song[here[i]].artist, int(a.clusters[here[i]]), int(b.clusters[there[i]]))
        for i in order
    ]
    scores = compare_scores(before, after, same_songs=not only_a and not only_b)
    out = Path(_OUT.value or folders[1] / "compared" / folders[0].resolve().name).expanduser()
    remove_temporary(out)
    _write_csv(out / "comparison.csv", change, a, b, here, there, only_a, only_b)
    if find_spec("jinja2"):
        write_comparison(
            out / "comparison.html",
            change,
            before,
            after,
            scores=scores,
            moved=moved,
            only_before=_called(a, only_a),
            only_after=_called(b, only_b),
        )

    report("comparing", 3, 3)
    console.print(scores_table(scores, before.name, after.name))
    console.print(pairs_table(change, before, after))
    for sentence in describe_change(change, before, after):
        console.print(sentence)
    for side, rest in ((before, only_a), (after, only_b)):
        if rest:
            console.print(f"Songs that only {side.name} has: {len(rest):,} (comparison.csv names them).")
    for song in moved[: _SONGS.value]:
        by = f" by {song.artist}" if song.artist else ""
        console.print(f"  {song.title}{by}: from {before.title(song.before)} to {after.title(song.after)}")
    print_line(f"written: {out}" if find_spec("jinja2") else f"written: {out} (no page: pip install 'musiclust[viz]')")
    return 0


def _read_side(folder: Path, songs: Songs) -> Side:
    results = read_metrics(folder)
    try:
        results["rows"][results["chosen"]], results["corpus"]["tracks"]
    except (KeyError, IndexError, TypeError) as error:
        raise InputError(f"{folder / 'metrics.json'} is damaged (no chosen row): run anew") from error
    return Side(folder.resolve().name, results, songs.names)


def _row_of(songs: Songs, folder: Path) -> dict[str, int]:
    """Rows by track_id."""
    rows = {track_id: row for row, track_id in enumerate(songs.track_id.tolist())}
    if len(rows) != len(songs.track_id):
        raise InputError(f"{folder / 'tracks.csv'} is damaged (a track_id is there twice): run anew")
    return rows


def _called(songs: Songs, rows: Sequence[int]) -> list[tuple[str, str]]:
    return [(songs.song[row].called, songs.song[row].artist) for row in rows]


def _write_csv(
    path: Path,
    change: Change,
    a: Songs,
    b: Songs,
    here: np.ndarray,
    there: np.ndarray,
    only_a: Sequence[int],
    only_b: Sequence[int],
) -> None:
    """Writes a line for each song: those of both runs, then those of one alone."""
    continued = {before: after for after, before in change.partner.items()} | {-1: -1}

    def line(songs: Songs, row: int, before: list, after: list, moved: str) -> list:
        about = songs.track_id[row], songs.song[row].title, songs.song[row].artist
        return [*(plain_cell(str(text)) for text in about), *before, *after, moved]

    def place(songs: Songs, row: int) -> list:
        cluster = int(songs.clusters[row])
        return [cluster, plain_cell(songs.names.get(cluster, ""))]

    with atomic(path) as file:
        writer = csv.writer(file)
        writer.writerow(_HEADER)
        for one, other, moved in zip(here, there, change.moved, strict=True):
            before = [*place(a, one), continued.get(int(a.clusters[one]), "")]
            writer.writerow(line(a, one, before, place(b, other), "yes" if moved else "no"))
        for row in only_a:
            before = [*place(a, row), continued.get(int(a.clusters[row]), "")]
            writer.writerow(line(a, row, before, ["", ""], "only in a"))
        for row in only_b:
            writer.writerow(line(b, row, ["", "", ""], place(b, row), "only in b"))


if __name__ == "__main__":
    run(main, groups=FLAG_GROUPS, takes_arguments=True)
