"""What the songs of a cluster have more of than the rest of the collection, with intervals that count groups.

Conventions: N songs, T columns. Songs that share a group (the clips of one song, the songs of one artist) are not
independent, so every variance is that of the jackknife that leaves out a whole group (Efron and Stein, 1981; for
clustered samples Bell and McCaffrey, 2002), and the degrees of freedom are those of Welch and Satterthwaite with
Kish's effective number of groups, (sum of sizes)^2 / (sum of squared sizes). A cluster with fewer than MIN_GROUPS
such groups has an interval from nothing to infinity: so few cannot be told from chance.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix
from scipy.special import betaincinv, stdtrit

MIN_GROUPS = 4
FLOOR = 1e-3  # of a share: below it a tagger's figures say nothing, and a quotient of two such figures less


class Contrast(NamedTuple):
    """A cluster against the rest, column by column.

    Attributes:
      here: (T,) mean, or share, in the cluster.
      elsewhere: (T,) the same over all other songs.
      effect: (T,) how much more the cluster has; what it is measured in is told by the function that returns it.
      low: (T,) lower end of the interval of the effect.
      high: (T,) upper end of it.
    """

    here: np.ndarray
    elsewhere: np.ndarray
    effect: np.ndarray
    low: np.ndarray
    high: np.ndarray


def lift(values: np.ndarray, inside: np.ndarray, group: np.ndarray, alpha: float) -> Contrast:
    """Compares the means of shares or probabilities by their quotient, which is 1 where nothing differs.

    The interval is one of the logarithm of the quotient. Means below FLOOR count as FLOOR.

    Args:
      values: (N, T) in [0, 1].
      inside: (N,) bool, the songs of the cluster; neither none nor all of them.
      group: (N,) codes of the groups, from 0 on.
      alpha: the interval misses with this probability, in (0, 1).

    Example:
      >>> piano = np.repeat([0.8, 0.9, 0.7, 0.8, 0.1, 0.2, 0.3, 0.2], 5)[:, None]
      >>> found = lift(piano, np.arange(40) < 20, np.arange(40), alpha=0.05)
      >>> [round(float(value[0]), 2) for value in found]
      [0.8, 0.2, 4.0, 3.36, 4.76]
    """
    here, elsewhere = (_mean_without_each(values, rows, group) for rows in (inside, ~inside))
    means = [np.maximum(side.mean, FLOOR) for side in (here, elsewhere)]
    effect = np.log(means[0]) - np.log(means[1])
    half = _half_width(here, elsewhere, means[0], means[1], alpha)
    with np.errstate(over="ignore"):  # an interval without an upper end
        return Contrast(here.mean, elsewhere.mean, *(np.exp(value) for value in (effect, effect - half, effect + half)))


def difference(values: np.ndarray, inside: np.ndarray, group: np.ndarray, alpha: float) -> Contrast:
    """Compares means by their difference in standard deviations of the collection, 0 where nothing differs.

    Args:
      values: (N, T), any unit.
      inside: (N,) bool, the songs of the cluster; neither none nor all of them.
      group: (N,) codes of the groups, from 0 on.
      alpha: the interval misses with this probability, in (0, 1).
    """
    here, elsewhere = (_mean_without_each(values, rows, group) for rows in (inside, ~inside))
    scale = values.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)  # a column that never varies makes no difference
    effect = (here.mean - elsewhere.mean) / scale
    half = _half_width(here, elsewhere, scale, scale, alpha)
    return Contrast(here.mean, elsewhere.mean, effect, effect - half, effect + half)


def lift_of_counts(present: csr_matrix, inside: np.ndarray, group: np.ndarray, alpha: float) -> Contrast:
    """Compares how many groups have something, by the quotient of the two shares.

    It is for what most songs lack, such as a word: a word that is nowhere else has no variance there. So the interval
    is made of the exact limits of the two shares (Clopper and Pearson, 1934), each of which misses with half of
    alpha. In the quotient itself a half is added to each count (Walter, 1975), so that it is finite.

    Args:
      present: (N, T) sparse, 1 where a song has it.
      inside: (N,) bool, the songs of the cluster; neither none nor all of them.
      group: (N,) codes of the groups, from 0 on.
      alpha: the interval misses with this probability, in (0, 1).
    """
    counts, sizes = [], []
    for rows in (inside, ~inside):
        codes, local = np.unique(group[rows], return_inverse=True)
        member = csr_matrix((np.ones(len(local)), (local, np.arange(len(local)))), shape=(len(codes), len(local)))
        counts.append(np.asarray((member @ present[rows] > 0).sum(axis=0)).ravel().astype(float))
        sizes.append(len(codes))
    effect = (counts[0] + 0.5) / (sizes[0] + 0.5) / ((counts[1] + 0.5) / (sizes[1] + 0.5))
    (low, high), (low_elsewhere, high_elsewhere) = (
        _exact_limits(count, size, alpha / 2) for count, size in zip(counts, sizes, strict=True)
    )
    with np.errstate(divide="ignore"):
        return Contrast(counts[0] / sizes[0], counts[1] / sizes[1], effect, low / high_elsewhere, high / low_elsewhere)


def _exact_limits(count: np.ndarray, size: int, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns the limits of the share that gave `count` of `size`, which miss with at most alpha; (T,) each."""
    low = np.where(count > 0, betaincinv(np.maximum(count, 1), size - np.maximum(count, 1) + 1, alpha / 2), 0.0)
    some = np.minimum(count, size - 1)
    return low, np.where(count < size, betaincinv(some + 1, size - some, 1 - alpha / 2), 1.0)


class _Side(NamedTuple):
    """mean (T,); pulls (G, T): by how much each group moves it; groups: the effective number of them."""

    mean: np.ndarray
    pulls: np.ndarray
    groups: float


def _mean_without_each(values: np.ndarray, rows: np.ndarray, group: np.ndarray) -> _Side:
    own, count = group[rows], int(rows.sum())
    n_groups = int(group.max()) + 1
    mean = values[rows].mean(axis=0, dtype=np.float64)
    member = csr_matrix((np.full(count, 1 / count), (own, np.arange(count))), shape=(n_groups, count))
    sizes = np.bincount(own, minlength=n_groups)
    share, groups = sizes / count, float(count**2 / (sizes**2).sum())
    # Without group g the mean would be lower by its summed deviations over 1 - share.
    rest = np.where(share < 1, 1 - share, 1.0)[:, None]
    pulls = (member @ (values[rows] - mean)) / rest * np.sqrt(1 - 1 / groups)
    return _Side(mean, pulls, groups)


def _half_width(
    here: _Side, elsewhere: _Side, here_scale: np.ndarray, elsewhere_scale: np.ndarray, alpha: float
) -> np.ndarray:
    """Returns (T,) the half-width of the interval of here / here_scale - elsewhere / elsewhere_scale."""
    if min(here.groups, elsewhere.groups) < MIN_GROUPS:
        return np.full(len(here.mean), np.inf)
    parts = [
        ((side.pulls / scale) ** 2).sum(axis=0) for side, scale in ((here, here_scale), (elsewhere, elsewhere_scale))
    ]
    # Few songs are alike by chance now and then, and would look certain: they count as scattered as the rest is.
    lent = np.maximum(parts[1] * (elsewhere_scale / here_scale) ** 2 * elsewhere.groups / here.groups - parts[0], 0)
    freedom = here.groups - 1, elsewhere.groups - 1
    total = parts[0] + lent + parts[1]
    below = (parts[0] + lent) ** 2 / freedom[0] + parts[1] ** 2 / freedom[1]
    degrees = np.where(below > 0, total**2 / np.where(below > 0, below, 1.0), min(freedom))
    # A group that is on both sides moves both means, and what it moves alike cancels out.
    pulls = here.pulls / here_scale - elsewhere.pulls / elsewhere_scale
    return -stdtrit(degrees, alpha / 2) * np.sqrt((pulls**2).sum(axis=0) + lent)
