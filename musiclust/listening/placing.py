"""Songs that come later: which cluster each belongs to, how sure that is, and whether it fits any.

Nothing is trained again. A song's place is told by its nearest songs of the collection in the latent space.
"""

from typing import NamedTuple

import numpy as np
from sklearn.neighbors import NearestNeighbors

from musiclust.cluster import one_thread
from musiclust.errors import InputError
from musiclust.points import check_points
from musiclust.types import AnyArray

REFUSED = 0.05  # share of the collection's own songs that would fit none, each left out
_NEAR = 5  # songs of a cluster that say how far a song is from it
_VOTERS = 10


class Reach(NamedTuple):
    """How far the songs of a collection are from others of their cluster.

    points: (N, L) the latents. clusters: (N,) int, -1 noise. scale: (k,) the usual distance in each cluster, its
    median; NaN where a cluster has too few songs to say. limit: in units of it, beyond which a song fits none.
    """

    points: np.ndarray
    clusters: np.ndarray
    scale: np.ndarray
    limit: float


class Placed(NamedTuple):
    """Where M new songs belong.

    clusters: (M,) int32, -1 where a song fits none. nearest_cluster: (M,) int32, where it would belong. distance: (M,)
    from the 5 nearest songs of that cluster, in units of what is usual there; beyond `Reach.limit` it fits none.
    confidence: (M,) 0 to 1, the share of that cluster among the 10 nearest songs. neighbours: (M, 10) rows of the
    collection, the nearest first; of fewer songs, all.
    """

    clusters: np.ndarray
    nearest_cluster: np.ndarray
    distance: np.ndarray
    confidence: np.ndarray
    neighbours: np.ndarray


def measure_reach(z: AnyArray, clusters: np.ndarray, *, group: np.ndarray | None = None) -> Reach:
    """Measures how far a song of each cluster is from the others of it, clips of one song not counted.

    The limit is the distance that 5 % of the collection's own songs exceed, each being left out when it is measured, so
    that a new song of the same kind is refused with that chance (split conformal prediction, Vovk et al. 2005, but for
    the limit being taken from songs that also made the clusters).

    Args:
      z: (N, L) latents. clusters: (N,) int, -1 noise. group: (N,) what clips of a song share; None where each track is
        its own.

    Raises:
      InputError: if z is not two-dimensional and finite, or no cluster has two songs.
      ValueError: if the lengths differ.
    """
    z = check_points(z)
    clusters = np.asarray(clusters)
    group = np.arange(len(z)) if group is None else np.asarray(group)
    if clusters.shape != (len(z),) or group.shape != (len(z),):
        raise ValueError(f"clusters {clusters.shape}, group {group.shape}: expected one of each for {len(z)} tracks")
    own = np.full(len(z), np.nan)
    scale = np.full(int(clusters.max(initial=-1)) + 1, np.nan)
    for c in range(len(scale)):
        rows = np.flatnonzero(clusters == c)
        own[rows] = _far_from_others(z[rows], group[rows])
        if np.isfinite(own[rows]).any():
            # Songs that are there many times have distance 0, but a scale has to be above it.
            scale[c] = max(float(np.nanmedian(own[rows])), np.finfo(np.float32).tiny)
    ratio = own[clusters >= 0] / scale[clusters[clusters >= 0]]
    ratio = np.sort(ratio[np.isfinite(ratio)])
    if not len(ratio):
        raise InputError(
            "no cluster has songs of two groups, so what is near to it cannot be said: ask for fewer clusters"
        )
    limit = float(ratio[min(int(np.ceil((1 - REFUSED) * (len(ratio) + 1))) - 1, len(ratio) - 1)])
    return Reach(z, clusters, scale, limit)


def place(reach: Reach, z: AnyArray, assigned: np.ndarray) -> Placed:
    """Places new songs.

    Args:
      z: (M, L) their latents. assigned: (M,) int, the cluster that the clusterer gives each (`Clustering.assign`), -1
        where it calls it noise.

    Raises:
      InputError: if z is not finite or has other columns than the collection.
      ValueError: if the lengths differ.
    """
    z = check_points(z, "the new songs")
    if z.shape[1] != reach.points.shape[1]:
        raise InputError(f"the new songs have {z.shape[1]} latents, the collection {reach.points.shape[1]}")
    if np.shape(assigned) != (len(z),):
        raise ValueError(f"assigned: {np.shape(assigned)}; expected ({len(z)},)")
    count = min(_VOTERS, len(reach.points))
    neighbours = _nearest(reach.points, z, count)[1]
    votes = reach.clusters[neighbours]
    nearest = np.asarray(assigned).astype(np.int32)
    noise = nearest < 0
    # What a density clusterer calls noise would belong where the nearest song does.
    nearest[noise] = votes[noise, 0]
    distance = np.full(len(z), np.inf)
    for c in np.unique(nearest[nearest >= 0]):
        rows, members = nearest == c, reach.clusters == c
        if np.isfinite(reach.scale[c]):
            near = _nearest(reach.points[members], z[rows], min(_NEAR, int(members.sum())))[0]
            distance[rows] = near.mean(axis=1) / reach.scale[c]
    fits = (distance <= reach.limit) & ~noise
    confidence = (votes == nearest[:, None]).mean(axis=1)
    return Placed(np.where(fits, nearest, -1).astype(np.int32), nearest, distance, confidence, neighbours)


def _far_from_others(z: np.ndarray, group: np.ndarray) -> np.ndarray:
    """(n,) the mean distance of each from the `_NEAR` nearest of other groups, or of as many as there are; else NaN."""
    _, member, sizes = np.unique(group, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        return np.full(len(z), np.nan)
    found, rows = _nearest(z, z, min(len(z), _NEAR + int(sizes.max())))
    other = member[rows] != member[:, None]
    counted = other & (np.cumsum(other, axis=1) <= _NEAR)
    return np.where(counted, found, 0.0).sum(axis=1) / counted.sum(axis=1)


def _nearest(points: np.ndarray, z: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    with one_thread():
        return NearestNeighbors(n_neighbors=count).fit(points).kneighbors(z)
