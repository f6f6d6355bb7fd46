"""Tracks that are there twice, found by their features and by the content of their files.

Duplicates make neighbours look nearer and clusters tighter than they are, and one that is split between training and
test is an answer given away. So they are reported, and `join_groups` puts them into one group, which no split parts.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree
from scipy.special import betainc

from musiclust.points import check_points
from musiclust.types import AnyArray

# A pair is held against the distance to this neighbour, so that it may be there up to nine times.
_NEIGHBOUR = 10
# The probability that a collection without duplicates has any pair that passes for one.
_LEVEL = 0.01
# Neighbours are sought in so many principal components, where they are no farther apart than in all of them.
_SOUGHT_IN = 10
_CANDIDATES = 64  # the nearest of a track there, which are held against it
_STEP = 20_000  # tracks whose candidates are looked for at once
_SAMPLE = 2_000  # rows that the usual distance is measured on


def near_duplicates(x: AnyArray, *, factor: float = 0.1) -> list[tuple[int, int, float]]:
    """Pairs of tracks that are far nearer to each other than tracks usually are.

    Two conditions hold of a pair, the first against tight clusters and the second against chance:
    - its distance is less than `factor` times the usual one, the median over tracks of the distance to the 10th
      neighbour; and
    - by chance no pair of a whole collection would be so near. Where points lie evenly about a track, the distance to
      its j-th neighbour over that to its 10th, to the power of the dimension, is Beta(j, 10 - j). The dimension is
      that of the data, measured by the same law (as Facco et al., Scientific Reports 2017, by the first two
      neighbours). The pair must have a probability below 0.01 over the number of tracks, seen from both of its tracks.

    Args:
      x: (N, D) finite features, standardised: distances are taken as they are.
      factor: above 0 and below 1.

    Returns:
      (i, j, distance), i < j, nearest first; the distance is in units of the usual one, 0 for rows that are the same.
      Rows that are there up to 10 times are told as pairs with the first of them. Rows that are there more often say
      something else (silence, no words) and are no pairs. With 20 tracks or fewer there is no usual distance: only
      rows that are the same are found.

    Raises:
      InputError: if x is not two-dimensional and finite. ValueError: if `factor` is not above 0 and below 1.

    Example:
      >>> x = np.random.default_rng(0).normal(size=(100, 5))
      >>> near_duplicates(np.concatenate([x, x[7:8]]))
      [(7, 100, 0.0)]
    """
    x = check_points(x)
    if not 0 < factor < 1:
        raise ValueError(f"factor={factor}: it must be above 0 and below 1")
    unique, first, same, times = np.unique(x, axis=0, return_index=True, return_inverse=True, return_counts=True)
    same = same.reshape(-1)
    copies = np.flatnonzero((first[same] != np.arange(len(x))) & (times[same] <= _NEIGHBOUR))
    pairs = [(int(first[same[row]]), int(row), 0.0) for row in copies]
    if len(unique) > 2 * _NEIGHBOUR:
        for one, other, distance in _near(unique, factor):
            low, high = sorted((int(first[one]), int(first[other])))
            pairs.append((low, high, distance))
    return sorted(pairs, key=lambda pair: (pair[2], pair[:2]))


def _near(x: np.ndarray, factor: float) -> Iterator[tuple[int, int, float]]:
    """The pairs among rows that all differ."""
    x = x - x.mean(axis=0)
    axes = np.linalg.eigh(x.T @ x)[1][:, ::-1][:, :_SOUGHT_IN]
    sample = np.sort(np.random.default_rng(0).permutation(len(x))[:_SAMPLE])
    distances = _neighbour_distances(x, sample)
    usual = float(np.median(distances[:, -1]))
    half = distances[:, _NEIGHBOUR // 2 - 1]
    # (5th / 10th) ** dimension is Beta(5, 5), whose median is a half. On a lattice both distances may be the same.
    dimension = np.log(2) / max(float(np.median(np.log(distances[:, -1] / half))), 0.01)
    pairs = _pairs_within(x @ axes, factor * usual)
    distance = np.concatenate(
        [
            np.linalg.norm(x[part[:, 0]] - x[part[:, 1]], axis=1)
            for part in np.array_split(pairs, 1 + len(pairs) // 100_000)
        ]
    )
    pairs, distance = pairs[distance < factor * usual], distance[distance < factor * usual]
    rows, place = np.unique(pairs, return_inverse=True)
    about = _neighbour_distances(x, rows)
    chance = np.zeros(len(pairs))
    for end in place.reshape(pairs.shape).T:
        rank = np.maximum(1, (about[end] < distance[:, None] * (1 - 1e-9)).sum(axis=1) + 1)
        share = np.minimum(1, distance / about[end, -1]) ** dimension  # 1, a sure chance, from the 10th neighbour on
        seen = betainc(np.minimum(rank, _NEIGHBOUR - 1), np.maximum(1, _NEIGHBOUR - rank), share)
        chance = np.maximum(chance, seen)
    for (one, other), apart, by_chance in zip(pairs, distance, chance, strict=True):
        if by_chance < _LEVEL / len(x):
            yield int(one), int(other), float(apart / usual)


def _pairs_within(x: np.ndarray, radius: float) -> np.ndarray:
    """(P, 2) pairs of points that are nearer than so much, each with so many of its nearest; in a dense crowd all
    pairs would be the square of it."""
    tree, found = KDTree(x), []
    for start in range(0, len(x), _STEP):
        rows = np.arange(start, min(start + _STEP, len(x)))
        distance, other = tree.query(x[rows], k=_CANDIDATES + 1, distance_upper_bound=radius)
        near = np.isfinite(distance) & (other != rows[:, None])
        found.append(np.stack([np.repeat(rows, near.sum(axis=1)), np.asarray(other)[near]], axis=1))
    return np.unique(np.sort(np.concatenate(found), axis=1), axis=0)


def _neighbour_distances(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(len(rows), 10) the distances of these rows of x (N, D) to their nearest others, nearest first."""
    square = (x**2).sum(axis=1)
    found = np.empty((len(rows), _NEIGHBOUR))
    step = max(1, 20_000_000 // len(x))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        squared = square[part, None] + square - 2 * x[part] @ x.T
        squared[np.arange(len(part)), part] = np.inf
        nearest = np.argpartition(squared, _NEIGHBOUR, axis=1)[:, :_NEIGHBOUR]
        # Squares that nearly cancel lose their digits, so the few that count are taken again from the differences.
        exact = np.linalg.norm(x[part][:, None, :] - x[nearest], axis=2)
        found[start : start + step] = np.sort(exact, axis=1)
    return found


def same_content(digests: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of files with the same content.

    Args:
      digests: N digests of the files, SHA-256 say, "" where there is no file.

    Returns:
      (i, j), i < j: each file that is there again, with the first of its kind.

    Example:
      >>> same_content(["f3a", "90c", "", "f3a", "", "f3a"])
      [(0, 3), (0, 5)]
    """
    places = defaultdict(list)
    for place, digest in enumerate(digests):
        places[digest].append(place)
    places.pop("", None)
    return sorted((first, other) for first, *others in places.values() for other in others)


def join_groups(group: np.ndarray, pairs: Iterable[Sequence[int | float]]) -> np.ndarray:
    """Groups after those that share a pair have become one, which bears the first of their names.

    Args:
      group: (N,) what tracks share, of any kind that can be sorted.
      pairs: (i, j, ...) rows of duplicates, as `near_duplicates` and `same_content` give them.

    Returns:
      (N,) of the same kind as `group`.

    Example:
      >>> join_groups(np.array(["a", "b", "c", "d"]), [(1, 3), (0, 1)])
      array(['a', 'a', 'c', 'a'], dtype='<U1')
    """
    names, code = np.unique(group, return_inverse=True)
    ends = np.array([pair[:2] for pair in pairs], int).reshape(-1, 2)
    links = coo_matrix((np.ones(len(ends)), tuple(code[ends].T)), shape=(len(names), len(names)))
    _, part = connected_components(links, directed=False)
    _, first = np.unique(part, return_index=True)  # names are sorted, so the first of a part is its first name
    return names[first[part[code]]]
