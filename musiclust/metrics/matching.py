"""Which clusters of one partition are those of another: the optimal matching, the songs that moved, splits and merges.

Two partitions of the same N songs, "before" and "after", say two runs. Clusters are integers, -1 noise; their numbers
mean nothing from one partition to the other. Each cluster after gets at most one partner before, so that the songs
which partners share are as many as they can be (the assignment problem, Kuhn 1955). Noise is not matched: it is its own
partner. What splits and what merges is told by the shares of MONIC (Spiliopoulou, Ntoutsi, Theodoridis & Schult, KDD
2006): a cluster that is found again has half of its songs in one place, and a part of a split has a quarter of them.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

from musiclust.metrics.partition import ami
from musiclust.metrics.stability import pairwise_ari

NOISE = -1
PART = 0.25  # share of a cluster from which on what is elsewhere is a part of a split
MOST = 0.5  # share of a cluster from which on the cluster as a whole is there
_FEWEST = 2  # songs of a part


class Flow(NamedTuple):
    """Songs that were in one cluster before and are in one after; -1 is noise.

    Attributes:
      before, after: the two clusters.
      songs: how many songs, at least 1.
      jaccard: songs of both clusters over songs of either, above 0 and at most 1; 1 where they are the same.
    """

    before: int
    after: int
    songs: int
    jaccard: float


class Pair(NamedTuple):
    """A cluster before and its partner after, or one of the two that has no partner.

    Attributes:
      before, after: the clusters, -1 noise; None where there is no partner.
      songs_before, songs_after: how many songs each has, 0 for one that is not there.
      shared: songs that are in both.
      jaccard: shared over songs of either, 0 to 1.
    """

    before: int | None
    after: int | None
    songs_before: int
    songs_after: int
    shared: int
    jaccard: float


class Change(NamedTuple):
    """What changed between two partitions of the same N songs.

    Attributes:
      partner: cluster after -> its cluster before, as `match_clusters` gives it.
      moved: (N,) bool, whether a song is in another cluster than its old one's partner; noise is its own partner.
      flows: between all clusters that share a song, noise among them, the largest first.
      sizes_before, sizes_after: songs of each cluster, noise among them.
      splits: cluster before -> the clusters after, two or more, that each hold a quarter of its songs or more, and
        half of them together.
      merges: cluster after -> the clusters before, two or more, that each have half of their songs in it or more.
      ari: adjusted Rand index of the two partitions, -0.5 to 1, noise as one group; NaN with fewer than two songs.
      ami: adjusted mutual information, at most 1, likewise; NaN where both are one group.
    """

    partner: dict[int, int]
    moved: np.ndarray
    flows: list[Flow]
    sizes_before: dict[int, int]
    sizes_after: dict[int, int]
    splits: dict[int, tuple[int, ...]]
    merges: dict[int, tuple[int, ...]]
    ari: float
    ami: float

    def stays(self, flow: Flow) -> bool:
        """Tells whether the songs of a flow are still with their cluster: the two are partners, or both noise."""
        return flow.before == flow.after == NOISE or self.partner.get(flow.after) == flow.before != NOISE

    def list_pairs(self) -> list[Pair]:
        """Lists the partners by size before, then clusters without a partner, those before first, then the noise."""
        kept = {flow.before: flow for flow in self.flows if self.stays(flow)}
        pairs = []
        for before, songs in sorted(self.sizes_before.items(), key=lambda item: -item[1]):
            if (flow := kept.get(before)) is not None:
                after = self.sizes_after[flow.after]
                pairs.append(Pair(before, flow.after, songs, after, flow.songs, flow.jaccard))
            else:
                pairs.append(Pair(before, None, songs, 0, 0, 0.0))
        found = {pair.after for pair in pairs}
        alone = sorted(self.sizes_after.items(), key=lambda item: -item[1])
        pairs += [Pair(None, after, 0, songs, 0, 0.0) for after, songs in alone if after not in found]
        return sorted(pairs, key=lambda pair: (NOISE in (pair.before, pair.after), not pair.shared))


def match_clusters(before: ArrayLike, after: ArrayLike) -> dict[int, int]:
    """Finds for each cluster of a partition the cluster of an earlier one that it continues.

    Args:
      before, after: (N,) int, the clusters of the same N songs, -1 noise.

    Returns:
      cluster after -> cluster before, in the order of the clusters after. No cluster before is there twice. A cluster
      that has no partner, or shares no song with the one that is left for it, is not there, and noise never is.

    Raises:
      ValueError: if the two are not (N,) integers from -1 up.

    Example:
      >>> match_clusters([0, 0, 0, 1, 1, -1], [1, 1, 0, 0, 0, 0])
      {0: 1, 1: 0}
    """
    before, after = _check(before, after)
    olds, news, songs = _count(before, after)
    rows, columns = np.flatnonzero(olds != NOISE), np.flatnonzero(news != NOISE)
    songs = songs[np.ix_(rows, columns)]
    chosen = zip(*linear_sum_assignment(songs, maximize=True), strict=True)
    found = {int(news[columns[column]]): int(olds[rows[row]]) for row, column in chosen if songs[row, column]}
    return dict(sorted(found.items()))


def compare_partitions(before: ArrayLike, after: ArrayLike) -> Change:
    """Compares two partitions of the same songs.

    Args:
      before, after: (N,) int, the clusters of the same N songs, -1 noise.

    Returns:
      The `Change`.

    Raises:
      ValueError: if the two are not (N,) integers from -1 up.

    Example:
      >>> change = compare_partitions([0, 0, 0, 0, 0, 1], [2, 2, 2, 0, 0, 1])
      >>> change.partner, change.splits, change.moved.tolist()
      ({1: 1, 2: 0}, {0: (0, 2)}, [False, False, False, True, True, False])
      >>> change.flows[0]
      Flow(before=0, after=2, songs=3, jaccard=0.6)
    """
    before, after = _check(before, after)
    olds, news, songs = _count(before, after)
    partner = match_clusters(before, after)
    continues = np.array([NOISE if new == NOISE else partner.get(int(new), NOISE - 1) for new in news], dtype=np.int64)
    moved = continues[np.searchsorted(news, after)] != before if len(before) else np.zeros(0, bool)
    sizes_before, sizes_after = songs.sum(axis=1), songs.sum(axis=0)
    flows = [
        Flow(
            int(olds[row]),
            int(news[column]),
            int(songs[row, column]),
            float(songs[row, column] / (sizes_before[row] + sizes_after[column] - songs[row, column])),
        )
        for row, column in np.argwhere(songs)
    ]
    return Change(
        partner,
        moved,
        sorted(flows, key=lambda flow: -flow.songs),
        dict(zip(olds.tolist(), sizes_before.tolist(), strict=True)),
        dict(zip(news.tolist(), sizes_after.tolist(), strict=True)),
        _find_splits(olds, news, songs),
        _find_merges(olds, news, songs),
        float(pairwise_ari(np.stack([before, after]))[0, 1]),
        # Of the truth -1 is unknown there, and here it is a group.
        ami(before, after + 1),
    )


def _check(before: ArrayLike, after: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    both = np.asarray(before), np.asarray(after)
    for name, clusters in zip(("before", "after"), both, strict=True):
        if clusters.shape != both[0].shape or clusters.ndim != 1 or (len(clusters) and clusters.dtype.kind not in "iu"):
            raise ValueError(f"{name}: shape {clusters.shape}, {clusters.dtype}; expected {both[0].shape} integers")
        if clusters.min(initial=NOISE) < NOISE:
            raise ValueError(f"{name}: {clusters.min()}; expected clusters from 0 up, and -1 for noise")
    return both[0].astype(np.int64), both[1].astype(np.int64)


def _count(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The clusters before (A,) and after (B,) in order, and (A, B) how many songs are in both."""
    olds, row = np.unique(before, return_inverse=True)
    news, column = np.unique(after, return_inverse=True)
    counts = np.bincount(row * len(news) + column, minlength=len(olds) * len(news))
    return olds, news, counts.reshape(len(olds), len(news))


def _find_splits(olds: np.ndarray, news: np.ndarray, songs: np.ndarray) -> dict[int, tuple[int, ...]]:
    found = {}
    for old, row in zip(olds.tolist(), songs, strict=True):
        parts = (row >= PART * row.sum()) & (row >= _FEWEST) & (news != NOISE)
        if old != NOISE and parts.sum() > 1 and row[parts].sum() >= MOST * row.sum():
            found[old] = tuple(news[parts].tolist())
    return found


def _find_merges(olds: np.ndarray, news: np.ndarray, songs: np.ndarray) -> dict[int, tuple[int, ...]]:
    found = {}
    for new, column in zip(news.tolist(), songs.T, strict=True):
        wholes = (column >= MOST * songs.sum(axis=1)) & (column >= _FEWEST) & (olds != NOISE)
        if new != NOISE and wholes.sum() > 1:
            found[new] = tuple(olds[wholes].tolist())
    return found
