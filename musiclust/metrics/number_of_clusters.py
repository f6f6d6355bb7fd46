"""How many clusters there are, when nobody has told: by gap, stability and BIC, with "one" among the answers.

Each number k is tried on the points and, in the very same way, on surrogates: structureless versions of them, which the
caller draws (`surrogate`), so that whatever a shapeless cloud of this kind has by itself does not count. Two things are
asked of a k, for either alone is deceived:

- *stability*: whether two thirds of the points give the same clusters as another two thirds, by the mean ARI over the
  points that both have (Ben-Hur, Elisseeff & Guyon 2002). Surrogates have some of it too: a long cloud is cut in the
  same place each time. So it is told as the share of the way from theirs to perfect, as Cohen's kappa tells agreement
  from chance's, and has to be halfway (`HALFWAY`). That is no level of significance but what makes clusters worth their
  names: of what could be more than a surrogate has, more is there than is not. A level of ARI itself would be met by
  shapeless points at two clusters, and missed by true ones at twenty.
- the *gap* (Tibshirani, Walther & Hastie, JRSS B 63, 2001): by how much the clusters are tighter, ln W of the
  surrogates less ln W of the points, W being the sum of squares within clusters.

In both, each of the first 8 surrogates must be reached. Then one test over all k together: of the ks that pass, the
strongest is held against the strongest one of every further surrogate, strength being the gap in its standard
deviations times the stability as above. The first surrogates set the lines and only the further ones count, so that
points and surrogates have the same chances. The test stops once two surrogates have done as well (Besag & Clifford
1991). Only where p is at most 0.05 is k chosen.

"One" says that no other number is better by this test, and not that there are no clusters: those that touch, those of
few tracks among many, and long or bent ones may go unseen. Nor is another number proof of clusters that stand apart: a
bent cloud, a ring or a banana, is cut in the same places each time, and often counts as several.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from musiclust.cluster import one_thread, start_mixture
from musiclust.metrics.stability import pairwise_ari
from musiclust.points import check_points
from musiclust.splits import draw_subsamples
from musiclust.types import AnyArray

SIGNIFICANT = 0.05
# How far from the stability of surrogates to perfect a k has to be.
HALFWAY = 0.5
# Surrogates that set the lines; further ones are the test.
REFERENCES = 8
# Subsamples that are clustered for each k, and their share of the points.
SUBSAMPLES, SHARE = 5, 2 / 3
# Stabilities that differ by less are alike.
_ALIKE = 0.1
# Surrogates that have done as well, after which the test is over.
_ENOUGH = 2
_STARTS, _KEPT, _FIRST_ROUNDS, _ROUNDS = 8, 2, 2, 20
_TINY = np.finfo(float).tiny

Cluster = Callable[..., np.ndarray]


class Choice(NamedTuple):
    """How many clusters there are.

    k: 1 where no other number is better. low, high: the range of ks that are about as good. reason: one sentence.
    p: how often a structureless collection looks as clustered; 1 where no k came so far as to be tested. table: an
    array with a value for each k tried, "k", "stability", "stability_null", "adjusted" (the share of the way from the
    null's stability to perfect), "gap", "gap_sd" and "bic" (lower is better). What the answer did not need was not
    measured and is NaN: of a k whose clusters do not come back the null's stability, and of "one" the BIC.
    """

    k: int
    low: int
    high: int
    reason: str
    p: float
    table: dict[str, np.ndarray]


def quick_kmeans(z: np.ndarray, *, k: int, seed: int) -> np.ndarray:
    """(N,) clusters by k-means: 8 starts by k-means++, the tighter 2 of them after 2 rounds, 20 rounds at most.

    It is for the thousands of small fits behind a choice of k, where scikit-learn spends most of its time on the way
    into its loops, and not for the clusters that are shown.
    """
    # In single precision, about the mean so that nothing is lost by it.
    z = (z - z.mean(axis=0)).astype(np.float32)
    squares = (z**2).sum(axis=1)
    centres = z[_draw_centres(z, squares, k, np.random.default_rng(seed))]
    clusters = within = np.empty(0)
    for rounds in range(_ROUNDS):
        flat = centres.reshape(-1, z.shape[1])
        # Without the points' own squares, which are the same for all centres.
        distance = ((flat**2).sum(axis=1)[:, None] - 2 * flat @ z.T).reshape(len(centres), k, len(z))
        before, clusters = clusters, distance.argmin(axis=1)
        within = np.take_along_axis(distance, clusters[:, None], axis=1).sum(axis=(1, 2))
        if rounds == _FIRST_ROUNDS:
            kept = within.argsort(kind="stable")[:_KEPT]
            centres, clusters, within = centres[kept], clusters[kept], within[kept]
        elif np.array_equal(before, clusters):
            break
        member = (clusters[:, None] == np.arange(k)[:, None]).astype(np.float32)
        count = member.sum(axis=2, keepdims=True)
        sums = (member.reshape(-1, len(z)) @ z).reshape(centres.shape)
        centres = np.where(count > 0, sums / np.maximum(count, 1), centres)
    return clusters[within.argmin()]


def _draw_centres(z: np.ndarray, squares: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """(starts, k) rows of z by k-means++ (Arthur & Vassilvitskii 2007), all starts at once."""

    def distances(rows: np.ndarray) -> np.ndarray:
        return np.maximum(squares[rows, None] + squares - 2 * z[rows] @ z.T, 0)

    rows = np.empty((_STARTS, k), dtype=int)
    rows[:, 0] = rng.integers(len(z), size=_STARTS)
    nearest = distances(rows[:, 0])
    for c in range(1, k):
        # Where all points are on a centre already, any of them.
        reached = np.cumsum(nearest + np.finfo(np.float32).tiny, axis=1)
        drawn = (reached < rng.random((_STARTS, 1), dtype=np.float32) * reached[:, -1:]).sum(axis=1)
        rows[:, c] = np.minimum(drawn, len(z) - 1)
        nearest = np.minimum(nearest, distances(rows[:, c]))
    return rows


def choose_k(
    z: AnyArray,
    *,
    surrogate: Callable[[int], np.ndarray],
    cluster: Cluster = quick_kmeans,
    ks: Iterable[int] = range(1, 21),
    group: np.ndarray | None = None,
    draws: int = 20,
    seed: int = 0,
) -> Choice:
    """Chooses the number of clusters.

    Args:
      z: (N, L) finite points.
      surrogate: b -> (N, L), the b-th structureless version of the points, 0 <= b < draws + 8. Where tracks share
        groups, it must be drawn by groups too. It may take kinds of surrogates in turn: the points have to exceed each.
      cluster: f(z, k=, seed=) -> (N,) clusters, the same for points and surrogates.
      ks: the numbers to try; 1 is always among them, and those above a quarter of the points are left out.
      group: (N,) the song or artist that tracks share. Subsamples are then of whole groups.
      draws: surrogates that points are held against, at most. At least 19, or no k can be beyond chance.
      seed: of the subsamples and the clusterer.

    Raises:
      InputError: if z is not two-dimensional and finite.
      ValueError: if the lengths differ.
    """
    z = check_points(z)
    names = np.arange(len(z)) if group is None else np.asarray(group)
    if names.shape != (len(z),):
        raise ValueError(f"group: shape {names.shape}; expected ({len(z)},), the group of each track")
    tried = np.array(sorted({1, *(k for k in ks if 1 <= k <= len(z) // 4)}))
    table = {"k": tried} | {name: np.full(len(tried), np.nan) for name in _COLUMNS}
    subsamples = np.zeros((0, 0), int)
    if len(tried) > 1:
        subsamples = draw_subsamples(names.astype(str), count=SUBSAMPLES, share=SHARE, seed=seed)

    def look_at(points: np.ndarray) -> _Points:
        return _Points(points, cluster, subsamples, seed)

    with one_thread():
        own = look_at(z)
        table["stability"][:] = [own.stability(int(k)) for k in tried]
        # What surrogates have is at least what chance has, 0: below that line no k can pass.
        if not (table["stability"][1:] >= HALFWAY).any():
            return _one(table, 1.0, "no number gives the same clusters in two thirds of the tracks as in another")
        null = _Null([look_at(check_points(surrogate(b), f"surrogate {b}")) for b in range(REFERENCES)])
        _compare(table, own, null)
        passed = np.array([null.passes(own, k) for k in tried.tolist()])
        if not passed.any():
            return _one(table, 1.0, _why_none(table))
        further = (look_at(check_points(surrogate(b), f"surrogate {b}")) for b in range(REFERENCES, REFERENCES + draws))
        best = max(null.strength(own, k) for k in tried.tolist())
        p = _test(best, further, null, tried.tolist(), draws)
        if p > SIGNIFICANT:
            return _one(table, p, f"structureless data look as clustered in {p:.0%} of cases")
        table["bic"][:] = [_bic(z, own.clusters(int(k))) for k in tried]
    return _choose(table, passed, p)


_COLUMNS = ("stability", "stability_null", "adjusted", "gap", "gap_sd", "bic")


class _Points:
    """Points or a surrogate, each k clustered when somebody asks, and once."""

    def __init__(self, z: np.ndarray, cluster: Cluster, subsamples: np.ndarray, seed: int) -> None:
        self._z, self._cluster, self._subsamples, self._seed = z, cluster, subsamples, seed
        self._clusters: dict[int, np.ndarray] = {}
        self._log_within: dict[int, float] = {}
        self._stability: dict[int, float] = {}

    def clusters(self, k: int) -> np.ndarray:
        if k not in self._clusters:
            one = np.zeros(len(self._z), int)
            self._clusters[k] = one if k == 1 else self._cluster(self._z, k=k, seed=self._seed)
        return self._clusters[k]

    def log_within(self, k: int) -> float:
        """ln of the sum of squares within clusters."""
        if k not in self._log_within:
            self._log_within[k] = math.log(max(_within(self._z, self.clusters(k)), _TINY))
        return self._log_within[k]

    def stability(self, k: int) -> float:
        """Mean ARI of the clusters of any two subsamples; 1 for one cluster, always the same."""
        if k == 1:
            return 1.0
        if k not in self._stability:
            partitions = np.full((len(self._subsamples), len(self._z)), -2)
            for number, (partition, rows) in enumerate(zip(partitions, self._subsamples, strict=True), start=1):
                partition[rows] = self._cluster(self._z[rows], k=k, seed=self._seed + number)
            self._stability[k] = float(np.nanmean(pairwise_ari(partitions)[np.triu_indices(len(partitions), 1)]))
        return self._stability[k]


class _Null:
    """The lines that the first surrogates set."""

    def __init__(self, references: Sequence[_Points]) -> None:
        self._references = references

    def log_within(self, k: int) -> np.ndarray:
        return np.array([one.log_within(k) for one in self._references])

    def _stabilities(self, k: int) -> np.ndarray:
        return np.sort([one.stability(k) for one in self._references])

    def stability(self, k: int) -> float:
        """The mean of the more stable half: of two kinds of surrogates in turn, that of the more stable kind."""
        return max(0.0, float(self._stabilities(k)[len(self._references) // 2 :].mean()))

    def adjust(self, stability: float, k: int) -> float:
        """The share of the way from the null to perfect: 1 perfect, 0 as the null; 0 where the null is perfect."""
        null = self.stability(k)
        return (stability - null) / (1 - null) if null < 1 else 0.0

    def passes(self, points: _Points, k: int) -> bool:
        """Whether k clusters are tighter than those of each reference, as stable as any, and stable enough."""
        return bool(
            k > 1
            and points.log_within(k) < self.log_within(k).min()
            and points.stability(k) >= HALFWAY
            and points.stability(k) >= self._stabilities(k)[-1]
            and self.adjust(points.stability(k), k) >= HALFWAY
        )

    def gap(self, points: _Points, k: int) -> tuple[float, float]:
        """The gap, and its standard deviation (Tibshirani et al. 2001)."""
        log_within = self.log_within(k)
        deviation = float(log_within.std()) * math.sqrt(1 + 1 / len(log_within))
        return float(log_within.mean()) - points.log_within(k), max(deviation, _TINY)

    def strength(self, points: _Points, k: int, least: float = 0.0) -> float:
        """The gap in standard deviations times the adjusted stability; 0 where k does not pass or it is below least."""
        gap, deviation = self.gap(points, k)
        # Stability costs the most and is 1 at most. So most surrogates need none.
        if gap / deviation < least or not self.passes(points, k):
            return 0.0
        return gap / deviation * self.adjust(points.stability(k), k)


def _compare(table: dict[str, np.ndarray], own: _Points, null: _Null) -> None:
    """Fills in what the table says of the first surrogates."""
    for column, k in enumerate(table["k"].tolist()):
        table["gap"][column], table["gap_sd"][column] = null.gap(own, k)
        if k > 1 and own.stability(k) >= HALFWAY:
            table["stability_null"][column] = null.stability(k)
            table["adjusted"][column] = null.adjust(own.stability(k), k)


def _test(best: float, surrogates: Iterable[_Points], null: _Null, ks: Sequence[int], draws: int) -> float:
    """How often a surrogate has a k as strong as the best of the points."""
    reached = 0
    for drawn, one in enumerate(surrogates, start=1):
        reached += any(null.strength(one, k, best) >= best for k in ks)
        if reached == _ENOUGH:
            return reached / drawn
    return (1 + reached) / (1 + draws)


def _one(table: dict[str, np.ndarray], p: float, why: str) -> Choice:
    return Choice(1, 1, 1, f"one: no number of clusters is better by this test, for {why}", p, table)


def _why_none(table: dict[str, np.ndarray]) -> str:
    adjusted = table["adjusted"]
    best = int(np.nanargmax(adjusted))
    if adjusted[best] >= HALFWAY:
        return f"{table['k'][best]} clusters come back in subsamples, but structureless data have some as tight"
    return "clusters come back in subsamples little more than those of structureless data do"


def _choose(table: dict[str, np.ndarray], passed: np.ndarray, p: float) -> Choice:
    """The middle one of what gap, stability and BIC say of the ks that pass, and the range of the three."""
    several = {name: column[passed] for name, column in table.items()}
    ks, gap = several["k"], several["gap"]
    # The fewest clusters from which the next number is no gain beyond one standard error (Tibshirani et al. 2001).
    enough = np.append(gap[:-1] >= gap[1:] - several["gap_sd"][1:], True)
    by_gap = int(ks[enough.argmax()])
    # The fewest that are about as stable as the most stable ones: one more or less is within what subsamples do.
    adjusted = several["adjusted"]
    by_stability = int(ks[(adjusted >= adjusted.max() - _ALIKE).argmax()])
    by_bic = int(ks[several["bic"].argmin()])
    low, k, high = sorted((by_gap, by_stability, by_bic))
    says = f"the gap says {by_gap}, stability {by_stability}, BIC {by_bic}"
    if low == high:
        says = "gap, stability and BIC agree"
    reason = f"{k}: {says}; structureless data look as clustered in at most {p:.0%} of cases"
    return Choice(k, low, high, reason, p, table)


def _within(z: np.ndarray, clusters: np.ndarray) -> float:
    """Sum of squared distances to the cluster's mean; noise to the mean of all."""
    total = 0.0
    for c in np.unique(clusters):
        own = z[clusters == c]
        total += ((own - (own.mean(axis=0) if c >= 0 else z.mean(axis=0))) ** 2).sum()
    return float(total)


def _bic(z: np.ndarray, clusters: np.ndarray) -> float:
    """BIC (Schwarz 1978) of a mixture of Gaussians that starts from clusters, noise in none of them; lower is better.

    Of full and diagonal covariances the better one counts, as in mclust; full ones only where there are five points for
    each of a cluster's columns, as in `cluster.gmm`.
    """
    numbers = np.unique(clusters[clusters >= 0])
    floor = 1e-4 * z.var(axis=0).max() or 1.0
    own = [z[clusters == c] for c in numbers]
    kinds = ("full", "diag") if len(z) >= 5 * len(own) * z.shape[1] else ("diag",)
    return min(float(start_mixture(own, kind, floor, max_iter=50, tol=1e-2).fit(z).bic(z)) for kind in kinds)
