"""Whether clusters come back: agreement between partitions, each cluster's recovery, and the consensus of all.

Partitions are of the same N tracks in the same order, (P, N) integers: -2 where a track is not in that partition (it
was not drawn into that subsample), -1 where it is noise, else its cluster. What is said of two partitions is said over
the tracks that both have.

Stability alone proves nothing. One cluster of everything comes back always, and k-means cuts an elongated cloud without
any clusters in the same place each time. So a stability is read beside the one that the same way gives on structureless
data of the same shape: `adjust_for_null`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

# Mean Jaccard of a cluster, by Hennig (Computational Statistics & Data Analysis 52, 2007): from the first on it is a
# valid, stable cluster; under the second it is dissolved.
STABLE, DISSOLVED = 0.75, 0.5
_ABSENT, _NOISE = -2, -1
# Cells of contingency tables held at once, 8 bytes each.
_CELLS = 2**24
_ROUNDS = 20


class Consensus(NamedTuple):
    """The partition that many partitions agree on, and how sure each track's place is.

    clusters: (N,) int32, -1 noise, numbered by size. votes: (N, k) float, the share of the partitions that have the
    track and put it into that cluster. confidence: (N,) the share that the track's cluster (or noise) has, 0 to 1.
    second: (N,) int32, the other cluster with the most votes, -1 where no other has any.
    """

    clusters: np.ndarray
    votes: np.ndarray
    confidence: np.ndarray
    second: np.ndarray


def pairwise_ari(partitions: ArrayLike) -> np.ndarray:
    """Adjusted Rand index (Hubert & Arabie 1985) of every two partitions, over the tracks that both have.

    Args:
      partitions: (P, N) int, -2 not in that partition, -1 noise, which is one group.

    Returns:
      (P, P), -0.5 to 1, symmetric, 1 on the diagonal; NaN where two have fewer than two tracks in common.

    Example:
      >>> pairwise_ari(np.array([[0, 0, 1, 1], [1, 1, 0, 0], [0, 1, 0, -2]])).round(2).tolist()
      [[1.0, 1.0, -0.5], [1.0, 1.0, -0.5], [-0.5, -0.5, 1.0]]
    """
    codes = np.stack([_compact(partition) for partition in _check_partitions(partitions)])
    count, most = len(codes), codes.max(initial=0) + 1
    ari = np.empty((count, count))
    for i in range(count):
        rows = codes[i] >= 0
        mine, groups = codes[i, rows], codes[i].max(initial=0) + 1
        step = max(1, _CELLS // (most * groups))
        for start in range(i, count, step):
            others = codes[start : start + step][:, rows]
            cell = (np.arange(len(others))[:, None] * most + others) * groups + mine
            tables = np.bincount(cell[others >= 0], minlength=len(others) * most * groups)
            ari[i, start : start + step] = _ari(tables.reshape(-1, most, groups))
    upper = np.triu_indices(count, 1)
    ari[upper[::-1]] = ari[upper]
    return ari


def cluster_stability(reference: ArrayLike, partitions: ArrayLike) -> np.ndarray:
    """How well each cluster of one partition comes back in others: its mean Jaccard with the cluster most like it.

    By Hennig (2007), whose verdicts are `STABLE` and `DISSOLVED`. A cluster is compared over the tracks that the other
    partition has; a partition that has none of its tracks does not count for it. Noise is no cluster.

    Args:
      reference: (N,) int, -1 noise.
      partitions: (P, N) int, -2 not in that partition, -1 noise.

    Returns:
      (k,) 0 to 1, k one more than the largest cluster; NaN for a cluster that no partition has a track of.

    Example:
      >>> cluster_stability(np.array([0, 0, 0, 1, 1]), np.array([[1, 1, 1, 0, 0], [0, 0, 1, 1, -2]])).round(3).tolist()
      [0.833, 0.75]
    """
    reference, partitions = np.asarray(reference), _check_partitions(partitions)
    if reference.shape != partitions.shape[1:] or reference.dtype.kind not in "iu" or reference.min(initial=0) < _NOISE:
        raise ValueError(f"reference: {reference.shape} {reference.dtype}; expected {partitions.shape[1:]} from -1 up")
    k = int(reference.max(initial=-1)) + 1
    jaccard = np.full((len(partitions), k), np.nan)
    for row, partition in zip(jaccard, partitions, strict=True):
        here = partition > _ABSENT
        overlap = _overlaps(reference[here], partition[here], k)
        mine, theirs = (
            _sizes(codes[here], number) for codes, number in ((reference, k), (partition, overlap.shape[1]))
        )
        union = mine[:, None] + theirs - overlap
        row[mine > 0] = (overlap / np.maximum(union, 1)).max(axis=1, initial=0.0)[mine > 0]
    counted = np.isfinite(jaccard)
    return np.where(counted, jaccard, 0).sum(axis=0) / np.where(counted.any(axis=0), counted.sum(axis=0), np.nan)


def consensus(partitions: ArrayLike, *, k: int, seed: int) -> Consensus:
    """The partition that the others vote for, with each track's share of the votes.

    It starts from the partition with the highest mean ARI to the others among those with k clusters (among all where
    none has k; of more than k clusters, the k largest count). Each partition is laid over the consensus by the optimal
    matching of clusters (Kuhn 1955, as in the voting of Dimitriadou, Weingessel & Hornik 2002), each track goes where
    most partitions put it, and this is repeated until nothing changes, at most 20 times. A cluster without a partner
    votes for none: its tracks are less sure then.

    Args:
      partitions: (P, N) int, -2 not in that partition, -1 noise. P >= 1.
      k: clusters, >= 1. Fewer come back where no track has any of them for its first choice.
      seed: of the choice between clusters with the same number of votes.

    Returns:
      The `Consensus`. Where noise has the most votes, the track is noise and its confidence the share of noise; a
      track that is in no partition, or whose clusters have no partner, is -1 with confidence 0.

    Example:
      >>> found = consensus(np.array([[0, 0, 1, 1], [1, 1, 0, 0], [0, 0, 0, 1]]), k=2, seed=0)
      >>> found.clusters.tolist(), found.confidence.round(2).tolist(), found.second.tolist()
      ([0, 0, 1, 1], [1.0, 1.0, 0.67, 1.0], [-1, -1, 0, -1])
    """
    partitions = _check_partitions(partitions)
    if k < 1 or not len(partitions):
        raise ValueError(f"consensus of {len(partitions)} partitions with k = {k}; expected at least 1 and 1")
    present = np.maximum((partitions > _ABSENT).sum(axis=0), 1)
    noise = (partitions == _NOISE).sum(axis=0) / present
    # Shares differ by 1 / P at least. What is added is less, and the same in every round, so that ties do not swing.
    ties = np.random.default_rng(seed).random((partitions.shape[1], k)) / (2 * len(partitions))
    current, votes = _start(partitions, k), np.zeros((partitions.shape[1], k))
    for _ in range(_ROUNDS):
        votes = sum(_aligned_votes(current, partition, k) for partition in partitions) / present[:, None]
        best = (votes + ties).argmax(axis=1)
        chosen = np.where((votes.max(axis=1) >= noise) & (votes.max(axis=1) > 0), best, _NOISE)
        if np.array_equal(chosen, current):
            break
        current = chosen
    order = _by_size(current, k)
    votes, ties, clusters = votes[:, order], ties[:, order], np.append(np.argsort(order), _NOISE)[current]
    tracks = np.arange(len(clusters))
    confidence = np.where(clusters >= 0, votes[tracks, clusters], noise)
    others = votes.copy()
    others[tracks[clusters >= 0], clusters[clusters >= 0]] = 0
    second = np.where(others.max(axis=1) > 0, np.where(others > 0, others + ties, 0).argmax(axis=1), -1)
    return Consensus(clusters.astype(np.int32), votes, confidence, second.astype(np.int32))


def adjust_for_null(
    observed: float, null_values: Sequence[float] | ArrayLike, *, lowest: float = 0.0
) -> dict[str, float]:
    """A score beside what structureless data have of it, drawn B times.

    Args:
      observed: the score, the higher the better; NaN where it is not defined.
      null_values: (B,) the same score of B surrogates, made by the very same way.
      lowest: what a surrogate counts whose score is not defined (no clusters were found): the lowest value that the
        score can take, or higher to be careful. 0 is what no agreement, no recovery and one cluster are worth.

    Returns:
      "value": the score. "null": the mean of the surrogates'. "gap": the first less the second. "p": how often a
      surrogate reaches the score, (1 + r) / (1 + B) (Phipson & Smyth 2010), 1 where the score is NaN.

    Example:
      >>> adjust_for_null(0.75, [0.25, 0.5, 0.0])
      {'value': 0.75, 'null': 0.25, 'gap': 0.5, 'p': 0.25}
    """
    null = np.asarray(null_values, dtype=np.float64)
    null = np.where(np.isnan(null), lowest, null)
    mean = float(null.mean()) if len(null) else float("nan")
    # Where both say the very same of different numbers, rounding must not decide.
    reached = len(null) if np.isnan(observed) else int(np.count_nonzero(null >= observed - 1e-9))
    return {"value": float(observed), "null": mean, "gap": float(observed) - mean, "p": (1 + reached) / (1 + len(null))}


def _check_partitions(partitions: ArrayLike) -> np.ndarray:
    partitions = np.asarray(partitions)
    if partitions.ndim != 2 or partitions.dtype.kind not in "iu" or partitions.min(initial=0) < _ABSENT:
        raise ValueError(
            f"partitions: shape {partitions.shape}, {partitions.dtype}; expected (P, N) integers from -2 up"
        )
    return partitions.astype(np.int64)


def _compact(partition: np.ndarray) -> np.ndarray:
    """(N,) codes 0 ... groups - 1, noise among them, and -1 where the track is not in the partition."""
    here = partition > _ABSENT
    codes = np.full(len(partition), -1)
    codes[here] = np.unique(partition[here], return_inverse=True)[1]
    return codes


def _ari(tables: np.ndarray) -> np.ndarray:
    """(T,) from contingency tables (T, groups, groups)."""
    n = tables.sum(axis=(1, 2)).astype(np.float64)
    both, first, second = (
        (t * (t - 1.0) / 2).reshape(len(tables), -1).sum(axis=1)
        for t in (tables, tables.sum(axis=1), tables.sum(axis=2))
    )
    pairs = n * (n - 1) / 2
    most, expected = (first + second) / 2, first * second / np.maximum(pairs, 1)
    # Two partitions that are all one group, or all singletons, are the same.
    same = (both == first) & (both == second)
    ari = np.where(same, 1.0, (both - expected) / np.where(same, 1.0, most - expected))
    return np.where(n < 2, np.nan, ari)


def _overlaps(reference: np.ndarray, partition: np.ndarray, k: int) -> np.ndarray:
    """(k, clusters of the partition) counts of the tracks that are in both; noise left out."""
    width = int(partition.max(initial=-1)) + 1
    both = (reference >= 0) & (partition >= 0)
    return np.bincount(reference[both] * width + partition[both], minlength=k * width).reshape(k, width)


def _sizes(codes: np.ndarray, number: int) -> np.ndarray:
    return np.bincount(codes[codes >= 0], minlength=number)


def _by_size(clusters: np.ndarray, k: int) -> np.ndarray:
    """(k,) the clusters from the largest down; of equals, the one whose first track comes first; empty ones last."""
    first = np.full(k, len(clusters))
    names, index = np.unique(clusters[clusters >= 0], return_index=True)
    first[names] = np.flatnonzero(clusters >= 0)[index]
    return np.lexsort((first, -_sizes(clusters, k)))


def _start(partitions: np.ndarray, k: int) -> np.ndarray:
    """(N,) the partition to start from, its k largest clusters 0 ... k - 1, the rest noise."""
    found = np.array([len(np.unique(partition[partition >= 0])) for partition in partitions])
    candidates = np.flatnonzero(found == k) if (found == k).any() else np.arange(len(partitions))
    # Two that share no track say nothing of each other.
    agreement = np.nan_to_num(pairwise_ari(partitions)).sum(axis=1)
    start = partitions[candidates[np.argmax(agreement[candidates])]]
    number = np.full(start.max(initial=-1) + 3, _NOISE)  # its last two entries serve -2 and -1
    largest = _by_size(start, len(number) - 2)[:k]
    number[largest] = np.arange(len(largest))
    return number[start]


def _aligned_votes(current: np.ndarray, partition: np.ndarray, k: int) -> np.ndarray:
    """(N, k) 1 where the partition, its clusters named by those of `current` that they match, puts the track."""
    overlap = _overlaps(current, partition, k)
    rows, columns = linear_sum_assignment(overlap, maximize=True)
    partners = overlap[rows, columns] > 0
    number = np.full(overlap.shape[1] + 2, _NOISE)  # its last two entries serve -2 and -1
    number[columns[partners]] = rows[partners]
    votes = np.zeros((len(partition), k))
    named = number[partition]
    votes[np.flatnonzero(named >= 0), named[named >= 0]] = 1
    return votes
