"""Intervals that say of what: over seeds, which is another training, and over songs, which is another collection.

A score is measured with S seeds on B subsamples of the songs, each seed on each subsample: values (S, B), NaN where it
is not defined. The S x B values are not independent: all seeds of one subsample share its songs, and all subsamples
share most of their songs with each other. Pooled, their interval would shrink to nothing as subsamples are added, which
bring no new songs. So the layout is taken apart into seeds, subsamples and rest by the two-way analysis of variance
(Searle, Casella & McCulloch 1992), and what the subsamples say is brought to the size of the whole collection:

  variance over collections = share / (1 - share) x variance over subsamples.

That is the delete-d jackknife (Shao & Wu, Annals of Statistics 17, 1989; its factor is (N - d) / d, and N - d =
share x N are kept) in its subsampling form (Politis, Romano & Wolf, Subsampling, 1999): two subsamples of 80 % differ
less than two collections of that size, by the factor 0.2, and collections of the full size vary 0.8 times as much. It
is right for scores that are smooth in the songs, like means, ARI and NMI.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

LEVEL = 0.95
# Where the subsamples drown in the rest, Satterthwaite's degrees of freedom go to 0 and the interval to infinity. With
# this floor it covers 0.89 to 1 in the simulations of the tests.
_LEAST_FREEDOM = 2.0


class Interval(NamedTuple):
    """A mean and its 95 % interval. n: what it rests on, seeds or subsamples, those with a value. of: what is drawn
    anew in thought, "another training" or "another collection". low and high are NaN where nothing can be said."""

    mean: float
    low: float
    high: float
    n: int
    of: str


class Difference(NamedTuple):
    """A mean difference, its interval and its two-sided p, both for as many comparisons as were made."""

    mean: float
    low: float
    high: float
    p: float


def over_seeds(values: ArrayLike, *, deterministic: bool = False) -> Interval:
    """What another training on the same songs would give: Student's t over the means of the seeds.

    Args:
      values: (S,) or (S, B), NaN where not defined. A seed without any value does not count.
      deterministic: whether the seed plays no part. Then, or if all seeds have the very same values, there is nothing
        to be said of another training: n is 1 and there is no interval.

    Example:
      >>> found = over_seeds(np.array([0.2, 0.3, 0.4, np.nan]))
      >>> round(found.mean, 3), round(found.low, 3), round(found.high, 3), found.n, found.of
      (0.3, 0.052, 0.548, 3, 'another training')
      >>> over_seeds(np.array([0.25, 0.25, 0.25])).n
      1
    """
    values = np.asarray(values, dtype=np.float64)
    values = values.reshape(len(values), -1)
    values = values[np.isfinite(values).any(axis=1)]
    means = np.array([row[np.isfinite(row)].mean() for row in values])
    if not len(means):
        return Interval(float("nan"), float("nan"), float("nan"), 0, "another training")
    mean = float(means.mean())
    if deterministic or len(means) == 1 or np.ptp(means) <= 1e-12 * max(1.0, abs(mean)):
        return Interval(mean, float("nan"), float("nan"), 1, "another training")
    reach = _reach(means.var(ddof=1) / len(means), len(means) - 1.0)
    return Interval(mean, mean - reach, mean + reach, len(means), "another training")


def over_songs(values: ArrayLike, share: float, *, full: ArrayLike | None = None) -> Interval:
    """What another collection of this size and kind, trained anew, would give.

    With s, c, e the variances of seeds, subsamples and rest, the variance of the mean is
    c (share / (1 - share) + 1 / B) + s / S + e / (S B), or c share / (1 - share) + (s + e) / S about the values of the
    full data. Degrees of freedom are Satterthwaite's (1946). More subsamples or seeds make it surer, not narrower than
    what the songs themselves allow.

    Args:
      values: (S, B), NaN where not defined. Seeds and subsamples are left out, the emptiest first, until none is.
      share: of the songs in each subsample, drawn without replacement, 0 to 1 exclusive.
      full: (S,) the same score of the full data, which is then the mean that the interval lies about.

    Returns:
      The `Interval`; n counts the subsamples that were used. No interval with fewer than two of them.

    Raises:
      ValueError: if the shapes or the share cannot be.

    Example:
      >>> songs = np.random.default_rng(0).normal(size=100)  # the score is their mean, standard error 0.095
      >>> rng = np.random.default_rng(1)
      >>> values = np.array([[rng.choice(songs, 80, replace=False).mean() for _ in range(200)]])
      >>> found = over_songs(values, share=0.8)
      >>> round((found.high - found.low) / 2 / 1.96, 2), found.n
      (0.09, 200)
    """
    values = _complete(values, share)
    if full is None:
        centre = values
    else:
        centre = np.asarray(full, dtype=np.float64)
        if centre.ndim != 1:
            raise ValueError(f"full: shape {centre.shape}; expected (S,)")
        centre = centre[np.isfinite(centre)]
    mean = float(centre.mean()) if centre.size else float("nan")
    variance, freedom = _variance(values, share, full=full is not None)
    reach = _reach(variance, freedom)
    return Interval(mean, mean - reach, mean + reach, values.shape[1], "another collection")


def paired_difference(a: ArrayLike, b: ArrayLike, share: float, comparisons: int = 1) -> Difference:
    """How much higher a than b is for another collection, both measured with the same seeds on the same subsamples.

    What both share, an easy or a hard set of songs, falls out of the difference, so that it is much surer than two
    intervals side by side. It is `over_songs` of a - b.

    Args:
      a, b: (S, B), NaN where not defined.
      share: of the songs in each subsample.
      comparisons: how many rows are compared in one table, >= 1. By Bonferroni the interval's level is
        1 - 0.05 / comparisons, and p is multiplied by them. (`holm` of single p values is a little sharper.)

    Raises:
      ValueError: if the shapes differ, or an argument cannot be.
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape or comparisons < 1:
        raise ValueError(
            f"a {a.shape} and b {b.shape} with {comparisons} comparison(s); expected one shape, at least 1"
        )
    values = _complete(a - b, share)
    mean = float(values.mean()) if values.size else float("nan")
    variance, freedom = _variance(values, share)
    reach = _reach(variance, freedom, 1 - (1 - LEVEL) / comparisons)
    if np.isnan(reach):
        return Difference(mean, float("nan"), float("nan"), float("nan"))
    if variance > 0:
        p = float(min(1.0, 2 * student.sf(abs(mean) / np.sqrt(variance), freedom) * comparisons))
    else:
        p = float(mean == 0)
    return Difference(mean, mean - reach, mean + reach, p)


def holm(p_values: ArrayLike) -> np.ndarray:
    """p values of several comparisons, adjusted so that one false claim among all is rarer than each says (Holm 1979).

    Args:
      p_values: (M,), NaN where no comparison was made; such do not count.

    Returns:
      (M,) 0 to 1, NaN where it was.

    Example:
      >>> holm(np.array([0.01, 0.04, 0.03])).round(2).tolist()
      [0.03, 0.06, 0.06]
    """
    adjusted = np.array(p_values, dtype=np.float64)
    made = np.flatnonzero(np.isfinite(adjusted))
    order = made[np.argsort(adjusted[made], kind="stable")]
    times = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(adjusted[order] * times), 1.0)
    return adjusted


def _complete(values: ArrayLike, share: float) -> np.ndarray:
    """(S', B') the values without the seeds and subsamples that lack some; the emptiest go first."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or not 0 < share < 1:
        raise ValueError(f"values: shape {values.shape}, share {share}; expected (S, B) and a share between 0 and 1")
    while np.isnan(values).any():
        seeds, subsamples = np.isnan(values).mean(axis=1), np.isnan(values).mean(axis=0)
        if seeds.max() > subsamples.max():
            values = np.delete(values, seeds.argmax(), axis=0)
        else:
            values = np.delete(values, subsamples.argmax(), axis=1)
    return values


def _variance(values: np.ndarray, share: float, *, full: bool = False) -> tuple[float, float]:
    """The variance of the mean over collections and trainings, and its degrees of freedom; NaN where there is none."""
    seeds, subsamples = values.shape
    if subsamples < 2 or not seeds:
        return float("nan"), float("nan")
    grand, of_seed, of_subsample = values.mean(), values.mean(axis=1, keepdims=True), values.mean(axis=0)
    columns = seeds * of_subsample.var(ddof=1)
    # With one seed the rest cannot be told from the subsamples and is counted to them.
    rows = subsamples * of_seed.var(ddof=1) if seeds > 1 else 0.0
    free = (seeds - 1) * (subsamples - 1)
    rest = ((values - of_seed - of_subsample + grand) ** 2).sum() / free if free else 0.0
    # Where the subsamples differ no more than the rest explains, they are taken as one more measure of the rest.
    songs = max(columns - rest, 0.0) / seeds * (share / (1 - share))
    if full:
        trainings = (max(rows - rest, 0.0) / subsamples + rest) / seeds
    else:
        trainings = max(rows, rest) / (seeds * subsamples) + max(columns - rest, 0.0) / (seeds * subsamples)
    variance = songs + trainings
    if variance <= 0:
        return 0.0, float(subsamples - 1)
    # The variance is a sum of mean squares with these coefficients. What was subtracted makes it less sure, not more.
    times = share / (1 - share) / seeds
    spread = (times * columns) ** 2 / (subsamples - 1) + trainings**2 / max(seeds - 1, 1)
    spread += (times * rest) ** 2 / max(free, 1)
    freedom = max(variance**2 / spread, _LEAST_FREEDOM)
    return float(variance), float(freedom)


def _reach(variance: float, freedom: float, level: float = LEVEL) -> float:
    return float(student.ppf((1 + level) / 2, freedom) * np.sqrt(variance)) if np.isfinite(variance) else float("nan")
