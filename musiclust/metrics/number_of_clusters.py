"""How many clusters there are, when nobody has told: by gap, stability and BIC, with "one" among the answers.

Each number k is tried on the points and, in the very same way, on surrogates: structureless versions of them, which the
caller draws (`surrogate`), so that whatever a shapeless cloud of this kind has by itself does not count. Two things are
asked of the points, and both must exceed what surrogates have:

- the *gap* (Tibshirani, Walther & Hastie, JRSS B 63, 2001): by how much the clusters are tighter, ln W of the
  surrogates less ln W of the points, W being the sum of squares within clusters. Alone it takes a bent cloud, a ring
  say, for clusters;
- the *stability*: whether halves of the points give the same clusters, by mean ARI over the points two halves share
  (Ben-Hur, Elisseeff & Guyon 2002). Alone it takes a long cloud, which is cut in the same place each time, for two.

Whether there are clusters at all is one test over all k whose halves agree by an ARI of 0.8 (`STABLE`; a ring reaches
0.77 at some k, groups that stand apart 0.85 and more): at the best of them the weaker sign must exceed what the best k
of every surrogate reaches. Of 20 surrogates that makes a false alarm in at most 1 of 21 structureless collections, if
the surrogates are right. Only then is k chosen. Clusters that touch, or of ten tracks and fewer, may go unseen.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from sklearn.mixture import GaussianMixture

from musiclust.cluster import one_thread
from musiclust.metrics.stability import pairwise_ari
from musiclust.points import check_points
from musiclust.types import AnyArray

SIGNIFICANT = 0.05
# The mean ARI of halves from which a k counts as an answer.
STABLE = 0.8
# Halves of the points that are clustered for each k.
HALVES = 4
_STARTS, _ROUNDS = 2, 20


class Choice(NamedTuple):
    """How many clusters there are.

    k: 1 where there is no sign of clusters. low, high: the range of ks that are about as good. reason: one sentence.
    p: how often a structureless collection looks as clustered. table: "k", "stability", "stability_null",
    "stability_p", "gap", "gap_sd" and "bic" (lower is better), an array with a value for each k tried.
    """

    k: int
    low: int
    high: int
    reason: str
    p: float
    table: dict[str, np.ndarray]


def quick_kmeans(z: np.ndarray, *, k: int, seed: int) -> np.ndarray:
    """(N,) clusters by k-means, the tighter of 2 starts by k-means++, at most 20 rounds.

    It is for the thousands of small fits behind a choice of k, where scikit-learn spends most of its time on the way
    into its loops, and not for the clusters that are shown.
    """
    rng, squares = np.random.default_rng(seed), (z**2).sum(axis=1)
    centres = np.empty((_STARTS, k, z.shape[1]))
    for start in centres:
        start[0] = z[rng.integers(len(z))]
        nearest = ((z - start[0]) ** 2).sum(axis=1)
        for c in range(1, k):
            # Where all points are on a centre already, any of them.
            reached = np.cumsum(nearest + np.finfo(float).tiny)
            start[c] = z[min(np.searchsorted(reached, rng.random() * reached[-1]), len(z) - 1)]
            nearest = np.minimum(nearest, ((z - start[c]) ** 2).sum(axis=1))
    clusters = np.full((_STARTS, len(z)), -1)
    for _ in range(_ROUNDS):
        flat = centres.reshape(-1, z.shape[1])
        # Without the points' own squares, which are the same for all centres.
        distance = ((flat**2).sum(axis=1)[:, None] - 2 * flat @ z.T).reshape(_STARTS, k, len(z))
        before, clusters = clusters, distance.argmin(axis=1)
        if np.array_equal(before, clusters):
            break
        member = (clusters[:, None] == np.arange(k)[:, None]).astype(np.float64)
        count = member.sum(axis=2, keepdims=True)
        sums = (member.reshape(-1, len(z)) @ z).reshape(centres.shape)
        centres = np.where(count > 0, sums / np.maximum(count, 1), centres)
    within = (np.take_along_axis(distance, clusters[:, None], axis=1)[:, 0] + squares).sum(axis=1)
    return clusters[within.argmin()]


def choose_k(
    z: AnyArray,
    *,
    surrogate: Callable[[int], np.ndarray],
    cluster: Callable[..., np.ndarray] = quick_kmeans,
    ks: Iterable[int] = range(1, 21),
    group: np.ndarray | None = None,
    draws: int = 20,
    seed: int = 0,
) -> Choice:
    """Chooses the number of clusters.

    Args:
      z: (N, L) finite points.
      surrogate: b -> (N, L), the b-th structureless version of the points, 0 <= b < draws. Where tracks share groups,
        it must be drawn by groups too.
      cluster: f(z, k=, seed=) -> (N,) clusters, the same for points and surrogates.
      ks: the numbers to try; 1 is always among them, and those above a quarter of the points are left out.
      group: (N,) the song or artist that tracks share. Halves are then halves of the groups.
      draws: surrogates. At least 19, or no k can be beyond chance.
      seed: of the halves and the clusterer.

    Raises:
      InputError: if z is not two-dimensional and finite.
      ValueError: if the lengths differ.
    """
    z = check_points(z)
    members = np.arange(len(z)) if group is None else np.unique(np.asarray(group), return_inverse=True)[1]
    if members.shape != (len(z),):
        raise ValueError(f"group: shape {members.shape}; expected ({len(z)},), the group of each track")
    tried = np.array(sorted({1, *(k for k in ks if 1 <= k <= len(z) // 4)}))
    halves = _halves(members, seed)
    sets = [z, *(check_points(surrogate(b), f"surrogate {b}") for b in range(draws))]
    with one_thread():
        measured = np.array([_measure(points, tried, cluster, halves, seed) for points in sets])
    log_within, stability = measured[:, 0], measured[:, 1]
    gap = log_within[1:].mean(axis=0) - log_within[0]
    gap_sd = log_within[1:].std(axis=0) * np.sqrt(1 + 1 / draws)
    reached = (stability[1:] >= stability[0] - 1e-9).sum(axis=0)
    bic = np.array([_bic(z, int(k), seed) for k in tried])
    table = {
        "k": tried,
        "stability": stability[0],
        "stability_null": stability[1:].mean(axis=0),
        "stability_p": (1 + reached) / (1 + draws),
        "gap": gap,
        "gap_sd": gap_sd,
        "bic": bic,
    }
    # The weaker of two signs at each k, standardised over points and surrogates alike, so that all are on a par.
    signs = np.minimum(_standardised(-log_within), _standardised(stability))[:, 1:]
    best = np.where(stability[:, 1:] >= STABLE, signs, -np.inf).max(axis=1, initial=-np.inf)
    p = float((1 + (best[1:] >= best[0] - 1e-9).sum()) / (1 + draws))
    if p > SIGNIFICANT:
        why = f"structureless data look as clustered in {p:.0%} of cases"
        if best[0] == -np.inf:
            why = "no k gives the same clusters in half of the tracks as in another half"
        return Choice(1, 1, 1, f"one: no clusters here, for {why}", p, table)
    return _choose(tried, table, p)


def _choose(tried: np.ndarray, table: dict[str, np.ndarray], p: float) -> Choice:
    """The middle one of what gap, stability and BIC say of the ks that are stable, and the range of the three."""
    several = {name: column[(tried > 1) & (table["stability"] >= STABLE)] for name, column in table.items()}
    ks, gap = several["k"], several["gap"]
    # The fewest clusters whose gap is within one standard error of the largest (Tibshirani et al. 2001).
    by_gap = int(ks[gap >= gap.max() - several["gap_sd"][gap.argmax()]][0])
    by_stability = int(ks[(several["stability"] - several["stability_null"]).argmax()])
    by_bic = int(ks[several["bic"].argmin()])
    low, k, high = sorted((by_gap, by_stability, by_bic))
    says = f"the gap says {by_gap}, stability {by_stability}, BIC {by_bic}"
    if low == high:
        says = "gap, stability and BIC agree"
    reason = f"{k}: {says}; structureless data look as clustered in at most {p:.0%} of cases"
    return Choice(k, low, high, reason, p, table)


def _halves(members: np.ndarray, seed: int) -> list[np.ndarray]:
    """Rows of random halves of the groups (N,) 0 ... G - 1."""
    rng, groups = np.random.default_rng(seed), members.max(initial=0) + 1
    return [np.flatnonzero(np.isin(members, rng.permutation(groups)[: (groups + 1) // 2])) for _ in range(HALVES)]


def _measure(
    z: np.ndarray, tried: np.ndarray, cluster: Callable[..., np.ndarray], halves: list[np.ndarray], seed: int
) -> np.ndarray:
    """(2, K) ln of the sum of squares within clusters, and stability, for each k; 1 for k = 1, always the same."""
    measured = np.empty((2, len(tried)))
    upper = np.triu_indices(len(halves), 1)
    for column, k in enumerate(tried):
        if k == 1:
            measured[:, column] = np.log(max(_within(z, np.zeros(len(z), int)), np.finfo(float).tiny)), 1.0
            continue
        clusters = cluster(z, k=int(k), seed=seed)
        measured[0, column] = np.log(max(_within(z, clusters), np.finfo(float).tiny))
        partitions = np.full((len(halves), len(z)), -2)
        for number, (partition, rows) in enumerate(zip(partitions, halves, strict=True)):
            partition[rows] = cluster(z[rows], k=int(k), seed=seed + number)
        measured[1, column] = np.nanmean(pairwise_ari(partitions)[upper])
    return measured


def _within(z: np.ndarray, clusters: np.ndarray) -> float:
    """Sum of squared distances to the cluster's mean; noise to the mean of all."""
    total = 0.0
    for c in np.unique(clusters):
        own = z[clusters == c]
        total += ((own - (own.mean(axis=0) if c >= 0 else z.mean(axis=0))) ** 2).sum()
    return float(total)


def _standardised(values: np.ndarray) -> np.ndarray:
    spread = values.std(axis=0)
    return (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)


def _bic(z: np.ndarray, k: int, seed: int) -> float:
    """BIC (Schwarz 1978) of a mixture of k Gaussians, full or diagonal as in `cluster.gmm`; lower is better."""
    covariance = "full" if len(z) >= 5 * k * z.shape[1] else "diag"
    floor = 1e-4 * z.var(axis=0).max() or 1.0
    with one_thread():
        mixture = GaussianMixture(
            k, covariance_type=covariance, reg_covar=floor, max_iter=50, tol=1e-2, random_state=seed
        )
        return float(mixture.fit(z).bic(z))
