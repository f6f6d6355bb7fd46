"""The songs that stand for a cluster, and those that hardly belong to it.

Conventions: N songs at points z (N, L). How near a song is to its cluster is its mean distance to the cluster's songs,
as for a medoid (Kaufman and Rousseeuw, 1990), which needs no centre: the mean of a bent cluster may lie outside it. In
a cluster of more than MOST_COMPARED songs the distance is to as many of them, taken evenly from all through it.
"""

from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

from musiclust.points import check_points
from musiclust.types import AnyArray

MOST_COMPARED = 1000


class Examples(NamedTuple):
    """Songs of a cluster by their row in z.

    Attributes:
      cluster: its number.
      typical: the songs nearest to all the others, the nearest (the medoid) first; each of another group.
      oddest: the songs farthest from the others, the farthest first; each of another group, none of them typical.
      distance: of each of the oddest, its mean distance to the cluster, in multiples of the median song's.
    """

    cluster: int
    typical: list[int]
    oddest: list[int]
    distance: list[float]


def find_examples(
    z: AnyArray, clusters: AnyArray, *, group: AnyArray | None = None, typical: int = 8, oddest: int = 3
) -> list[Examples]:
    """Finds the most typical and the oddest songs of each cluster; noise has none.

    Args:
      z: (N, L) points, such as the means of a model's latent space.
      clusters: (N,) integers, -1 noise.
      group: (N,) what songs share, such as the song that clips are cut from, of which one is shown; by default each
        song is a group of its own.
      typical: the most typical songs to find.
      oddest: the most odd songs to find; only what lies farther out than the median song can be odd.

    Example:
      >>> z = np.array([[0.0], [1.0], [1.5], [2.0], [9.0]])
      >>> find_examples(z, np.zeros(5, int), typical=2, oddest=1)
      [Examples(cluster=0, typical=[2, 1], oddest=[4], distance=[3.0])]
    """
    z, clusters = check_points(z), np.asarray(clusters)
    groups = np.arange(len(z)) if group is None else np.asarray(group)
    found = []
    for number in np.unique(clusters[clusters >= 0]):
        rows = np.flatnonzero(clusters == number)
        some = rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_COMPARED)).round().astype(int)]
        parts = np.array_split(z[rows], len(rows) // MOST_COMPARED + 1)
        distance = np.concatenate([cdist(part, z[some]).mean(axis=1) for part in parts])
        order = np.argsort(distance, kind="stable")
        outer = order[distance[order] > np.median(distance)]
        near = _one_a_group(rows[order], groups, typical)
        far = rows[outer[::-1]]
        odd = _one_a_group(far[~np.isin(groups[far], groups[near])], groups, oddest)
        at = dict(zip(rows.tolist(), distance / max(float(np.median(distance)), 1e-12), strict=True))
        found.append(Examples(int(number), near, odd, [round(float(at[row]), 2) for row in odd]))
    return found


def _one_a_group(rows: np.ndarray, groups: np.ndarray, most: int) -> list[int]:
    """Returns the first `most` of the rows that share no group with one before."""
    first = np.sort(np.unique(groups[rows], return_index=True)[1])
    return rows[first[:most]].tolist()
