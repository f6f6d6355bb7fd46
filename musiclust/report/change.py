"""What is different between two runs, as sentences and as tables for the terminal.

Conventions: the first run is "before", the second "after", whichever was made earlier. Only songs that both runs have
are compared, by `metrics.matching`; `results` is the dict of a run's metrics.json, and its chosen row has the scores.
A cluster is called by its number in its own run and its name.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from rich import box
from rich.table import Table

from musiclust.metrics.matching import NOISE, Change, Pair
from musiclust.report.cluster_table import cluster_title
from musiclust.report.names import NO_CHARACTER, quote
from musiclust.report.reading import number
from musiclust.report.tables import SCORES, Score
from musiclust.report.typical import find_examples
from musiclust.types import AnyArray

# What makes a score of two runs comparable.
_OWN_SPACE = ("silhouette", "calinski_harabasz", "davies_bouldin")
_OF_CLASSES = ("ari", "ami", "nmi", "purity")
_REFERENCE = "reference_silhouette"


class Side(NamedTuple):
    """One of the two runs.

    Attributes:
      name: what it is called, such as the name of its folder.
      results: what its metrics.json holds.
      names: names of its clusters by number; noise has none.
    """

    name: str
    results: Mapping[str, Any]
    names: Mapping[int, str]

    def title(self, cluster: int) -> str:
        """Returns what a cluster of this run is called."""
        return cluster_title(cluster, self.names.get(cluster, NO_CHARACTER))


class ScoreLine(NamedTuple):
    """A score of both runs as text, and why the two cannot be compared; "" where they can."""

    title: str
    before: str
    after: str
    note: str


def compare_scores(before: Side, after: Side, *, same_songs: bool) -> list[ScoreLine]:
    """Lays the scores of the chosen rows of two runs side by side, with the reasons why some cannot be compared.

    same_songs: whether the two runs have the very same songs.
    """
    both = before.results, after.results
    rows = [results["rows"][results["chosen"]] for results in both]
    corpora = [results["corpus"] for results in both]
    songs = "" if same_songs else "not comparable: the songs are not the same"
    classes = songs or ("" if _same(corpora, "classes", "class_names") else "not comparable: other classes")
    space = songs or ("" if _same(corpora, "store") else "not comparable: the reference space is another store's")
    notes = dict.fromkeys(_OWN_SPACE, "not comparable: each belongs to the space that was clustered")
    notes |= dict.fromkeys(_OF_CLASSES, classes) | {_REFERENCE: space}
    lines = [
        _line("model", [str(row["name"]) for row in rows]),
        _line("flags", [", ".join(row["flags"]) or "none" for row in rows]),
        _line("songs", [f"{corpus['tracks']:,}" for corpus in corpora]),
    ]
    for score in SCORES:
        values = [_value(row, score.key) for row in rows]
        if not any(map(math.isfinite, values)):
            continue
        lows = [_value(row, score.below) for row in rows]
        texts = [_text(value, low, score) for value, low in zip(values, lows, strict=True)]
        lines.append(_line(score.title.replace("\n", " "), texts, notes.get(score.key, "")))
    return lines


def describe_change(change: Change, before: Side, after: Side) -> list[str]:
    """Writes plain sentences: how many songs moved, how much the partitions agree, what split, merged and is gone."""
    songs, moved = len(change.moved), int(change.moved.sum())
    share = f" ({number(moved / songs, 'percent')})" if songs else ""
    sentences = [
        f"Of the {songs:,} songs that both runs have, {moved:,}{share} changed their cluster. The two partitions agree "
        f"to an ARI of {number(change.ari)} and an AMI of {number(change.ami)}: 1 is the same, 0 is chance."
    ]
    held = {(flow.before, flow.after): flow.songs for flow in change.flows}
    for old, parts in change.splits.items():
        where = [f"{held[old, new]:,} in {quote(after.title(new))}" for new in parts]
        size = change.sizes_before[old]
        sentences.append(f"{quote(before.title(old))} split: of its {size:,} songs, {_join(where)}.")
    for new, parts in change.merges.items():
        whence = [
            f"{quote(before.title(old))} ({held[old, new]:,} of {change.sizes_before[old]:,} songs)" for old in parts
        ]
        sentences.append(f"{_join(whence)} merged into {quote(after.title(new))}.")
    if not change.splits and not change.merges:
        sentences.append("No cluster split, and none merged.")
    pairs = change.list_pairs()
    gone = [quote(before.title(one.before)) for one in pairs if one.after is None and one.before not in (None, NOISE)]
    new = [quote(after.title(one.after)) for one in pairs if one.before is None and one.after not in (None, NOISE)]
    for side, alone in ((before, gone), (after, new)):
        if alone:
            sentences.append(f"Without a partner in the other run: {_join(alone)} of {side.name}.")
    lost = sum(flow.songs for flow in change.flows if flow.after == NOISE != flow.before)
    gained = sum(flow.songs for flow in change.flows if flow.before == NOISE != flow.after)
    if lost or gained:
        sentences.append(f"Songs that became noise: {lost:,}; that are noise no longer: {gained:,}.")
    return sentences


def rank_moves(moved: AnyArray, before: AnyArray, after: AnyArray, z_before: AnyArray, z_after: AnyArray) -> np.ndarray:
    """Orders the songs that moved, the most telling first: those that are typical of their cluster in both runs.

    A song at the edge of its cluster moves when a border shifts a little. One from the middle of a cluster that is in
    the middle of another now is heard as something else. How typical a song is, is its rank in its cluster
    (`typical.find_examples`) over the cluster's size; noise is typical of nothing. The two ranks are added.

    Args:
      moved: (N,) bool.
      before, after: (N,) int, the clusters in both runs, -1 noise.
      z_before, z_after: (N, L) the points of both runs; L can differ.

    Returns:
      (M,) the rows of the songs that moved.

    Example:
      >>> z, before, after = np.array([[0.0], [1.0], [9.0], [4.0]]), np.array([0, 0, 0, 0]), np.array([0, 1, 1, 1])
      >>> rank_moves(np.array([False, True, True, True]), before, after, z, z).tolist()
      [3, 1, 2]
    """
    moved = np.asarray(moved)
    edge = _rank_in_cluster(np.asarray(z_before), np.asarray(before))
    edge = edge + _rank_in_cluster(np.asarray(z_after), np.asarray(after))
    rows = np.flatnonzero(moved)
    return rows[np.argsort(edge[rows], kind="stable")]


def scores_table(lines: Sequence[ScoreLine], before: str, after: str) -> Table:
    """Draws the scores of both runs for the terminal; before, after: names of the runs."""
    table = _table()
    for title in ("score", before, after, ""):
        table.add_column(title, overflow="fold")
    for line in lines:
        table.add_row(*line)
    return table


def pairs_table(change: Change, before: Side, after: Side) -> Table:
    """Draws the clusters of both runs, partners side by side, for the terminal."""
    table = _table()
    table.add_column(f"cluster of {before.name}", overflow="fold", ratio=1)
    table.add_column("songs", justify="right")
    table.add_column(f"cluster of {after.name}", overflow="fold", ratio=1)
    for title in ("songs", "shared", "Jaccard"):
        table.add_column(title, justify="right")
    for pair in change.list_pairs():
        table.add_row(*pair_cells(pair, before, after))
    return table


def pair_cells(pair: Pair, before: Side, after: Side) -> list[str]:
    """Returns the cells of a row of `pairs_table`: a cluster, its songs, its partner, its songs, shared, Jaccard."""
    nothing = number(None)
    first = [nothing, nothing] if pair.before is None else [before.title(pair.before), f"{pair.songs_before:,}"]
    second = [nothing, nothing] if pair.after is None else [after.title(pair.after), f"{pair.songs_after:,}"]
    both = [nothing, nothing] if None in (pair.before, pair.after) else [f"{pair.shared:,}", f"{pair.jaccard:.2f}"]
    return [*first, *second, *both]


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)


def _line(title: str, values: Sequence[str], note: str = "") -> ScoreLine:
    return ScoreLine(title, values[0], values[1], note)


def _text(value: float, low: float, score: Score) -> str:
    """A score with what stands below it in the other tables, where that is known."""
    form = {"coverage": "percent", "total_kl": "significant"}.get(score.below, "fixed")
    text = number(value, score.form)
    return f"{text} ({score.below_title} {number(low, form)})" if math.isfinite(low) else text


def _value(row: Mapping[str, Any], key: str) -> float:
    """A figure of a row, NaN where it has none: an earlier version may not have measured it."""
    value = {**row, **row["scores"]}.get(key)
    return math.nan if value is None else float(value)


def _same(corpora: Sequence[Mapping[str, Any]], *keys: str) -> bool:
    return all(corpora[0].get(key) == corpora[1].get(key) for key in keys)


def _join(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def _rank_in_cluster(z: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """(N,) 0 for the most typical song of a cluster, below 1 for the least; 1 for noise."""
    rank = np.ones(len(z))
    for one in find_examples(z, clusters, typical=len(z), oddest=0):
        rank[one.typical] = np.arange(len(one.typical)) / len(one.typical)
    return rank
