"""Points in, a partition out, and a way to place points that come later.

Every clusterer is `f(z (N, L), *, k, seed) -> Clustering`. Conventions:
- Clusters are int32: -1 is noise, the others are numbered by size, the largest 0 (of equals, the one whose first point
  comes first), so that a number means the same from run to run.
- Points are rounded to float32, which is what encoders give, and worked on in float64. What a checkpoint has to keep
  of a clustering (`Clustering.state`) is float32 and int32 as well, and the clusters are made from it: `assigner(name,
  state)` gives every point that was clustered its very cluster, before and after a restore.
- Where there are fewer distinct points than clusters asked for (a collapsed latent space), fewer clusters come back.
- Bad points, or a k that cannot be, raise `InputError`.

kmeans and gmm take time and memory linear in N, the others time O(N^2). Above `EXACT_LIMIT` points, or another number
where the argument `exact_limit` gives one, a clusterer takes a form for many points, with memory linear in N:

- kmeans and gmm try their starts on `_SAMPLE` points drawn at random, and go on from the best with all of them.
- agglomerative is Ward's method on a few thousand centres that stand for all points, and hdbscan that of the graph of
  near neighbours. These two are approximate (`is_approximate`), and tables say so. `python -m benchmarks.clustering`
  measures how far they agree with the exact ones.

dbscan is exact at any number of points; where it would have to hold too many pairs of them, it goes another way.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
from scipy.spatial import KDTree
from sklearn.cluster import DBSCAN, HDBSCAN, AgglomerativeClustering, KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import ThreadpoolController

from musiclust.errors import InputError
from musiclust.large import cluster_by_graph, cluster_weighted, connect_cores, coreset_size, summarise
from musiclust.nearest import Nearest, query_tree
from musiclust.points import check_points
from musiclust.types import AnyArray, Clustering

# 20,000 points have 200 million pairwise distances, 1.6 GB of float64; scipy's linkage holds them twice.
EXACT_LIMIT = 20_000
_APPROXIMATE = ("agglomerative", "hdbscan")  # above that limit
# Pairs of neighbours that scikit-learn's DBSCAN may have to hold, 8 bytes each: 4 GiB.
DBSCAN_PAIRS_LIMIT = 2**29
# Points that starts are tried on where there are more than EXACT_LIMIT; of k-means at least so many for each cluster.
_SAMPLE, _PER_CLUSTER = 10_000, 20
_STARTS, _TIGHTEST = 10, 3
_SAMPLE_STARTS = 40  # they cost less there, and with many points a lucky one is as rare
_SAME_START = 1e-6  # of the sum of squares, up to which two k-means are one
_MOST_ROUNDS = 100  # with all points, from the best start
# The k-distances that no knee is looked for in: beyond _KNEE_REACH times the way from the median to this quantile.
_KNEE_QUANTILE, _KNEE_REACH = 0.98, 3.0
_MIXTURE = ("weights", "means", "precisions_cholesky")


def kmeans(z: AnyArray, *, k: int, seed: int, exact_limit: int = EXACT_LIMIT) -> Clustering:
    """K-means (Lloyd 1982) from 10 starts by k-means++ (Arthur & Vassilvitskii 2007); the tightest is kept.

    Of many points a sample has 40 starts, and all points start from the tightest of its k-means, for 100 rounds at most
    (as Bradley & Fayyad 1998). A new point gets the nearest centre.

    Args:
      z: (N, L) finite points.
      k: clusters, 2 <= k <= N.
      seed: of the starts and the sample.
      exact_limit: points up to which all starts are of all points.

    Raises:
      InputError: if z is not two-dimensional and finite, or k is out of range.
    """
    z = _points(z)
    k = _distinct(z, k)
    some = _sample(z, k, wanted=_PER_CLUSTER * k, seed=seed, exact_limit=exact_limit)
    with one_thread():
        starts = _STARTS if some is z else _SAMPLE_STARTS
        found = KMeans(k, n_init=starts, random_state=seed).fit(some)  # pyright: ignore[reportArgumentType]
        if some is not z:
            found = KMeans(k, init=found.cluster_centers_, n_init=1, max_iter=_MOST_ROUNDS).fit(z)  # pyright: ignore[reportArgumentType]
    centres = np.unique(found.cluster_centers_, axis=0)
    return _by_neighbours(z, points=centres, clusters=np.arange(len(centres)))


def gmm(z: AnyArray, *, k: int, seed: int, exact_limit: int = EXACT_LIMIT) -> Clustering:
    """A mixture of Gaussians fitted by EM; a point gets the component most probable for it.

    Ten k-means are made from a start each, and EM goes on from the three tightest of those that differ; the most likely
    of the three mixtures is kept. Of many points that is done with a sample, of 40 k-means, and EM goes on from the
    mixture with all points, for 100 rounds at most.

    Covariances are full where there are at least 5 L points a component, else diagonal: a full one has L (L + 1) / 2
    parameters, and fewer points fit noise. To every variance 1e-4 of the widest column's is added, so that columns
    without spread (collapsed units) neither make a covariance singular nor decide anything. A component that is the
    most probable for no point is dropped.

    Args, Raises: as for `kmeans`.
    """
    z = _points(z)
    k = _distinct(z, k)
    kind = "full" if len(z) >= 5 * k * z.shape[1] else "diag"
    floor = 1e-4 * z.var(axis=0).max() or 1.0
    some = _sample(z, k, wanted=5 * k * z.shape[1], seed=seed, exact_limit=exact_limit)
    with one_thread():
        starts = _tightest(some, k, count=_STARTS if some is z else _SAMPLE_STARTS, seed=seed)
        mixtures = [start_mixture(start, kind, floor, max_iter=500).fit(some) for start in starts]
        mixture = max(mixtures, key=lambda one: one.lower_bound_)
        if some is not z:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # the rounds are bounded on purpose
                mixture.set_params(
                    weights_init=mixture.weights_,
                    means_init=mixture.means_,
                    precisions_init=mixture.precisions_,
                    max_iter=_MOST_ROUNDS,
                ).fit(z)
    fitted = {name: getattr(mixture, f"{name}_").astype(np.float32) for name in _MIXTURE}
    components = np.arange(len(fitted["weights"]), dtype=np.int32)
    return _numbered("gmm", z, fitted | {"clusters": components})


def agglomerative(z: AnyArray, *, k: int, seed: int, exact_limit: int = EXACT_LIMIT) -> Clustering:
    """Ward's hierarchical clustering (Ward 1963), cut at k clusters.

    A new point gets the cluster of the nearest point that was clustered. It is deterministic, and `seed` is not used,
    up to `exact_limit` points. Of more points, 4,000 centres that stand for all (`large.summarise`) are clustered, each
    with the weight of its points, and a point gets the cluster of the nearest centre; `seed` is that of the centres.

    Args, Raises: as for `kmeans`.
    """
    z = _points(z)
    k = _distinct(z, k)
    if len(z) <= exact_limit:
        return _by_neighbours(z, points=z, clusters=AgglomerativeClustering(k, linkage="ward").fit_predict(z))
    with one_thread():
        centres, weights = summarise(z, centres=_distinct(z, min(coreset_size(k), len(z))), seed=seed)
        clusters = cluster_weighted(centres, weights, min(k, len(centres)))
    return _by_neighbours(z, points=centres, clusters=clusters)


def dbscan(z: AnyArray, *, k: int, seed: int, eps: float | None = None, min_samples: int | None = None) -> Clustering:
    """DBSCAN (Ester et al., KDD 1996). It finds its own number of clusters: `k` and `seed` are not used.

    A point with min_samples points within eps, itself among them, is a core point; core points within eps of each
    other are one cluster. Any other point, old or new, gets the cluster of the nearest core point within eps (in the
    original, of whichever cluster comes upon it first), else it is noise.

    Args:
      z: (N, L) finite points.
      eps: a distance > 0; where not given, `knee_eps`.
      min_samples: 1 to N; where not given, ln N rounded, but at least 4 (Birant & Kut 2007). Not the customary 2 L:
        an encoder's L is a capacity, mostly unused.

    Raises:
      InputError: if z is not two-dimensional and finite, or an option is out of range.
    """
    z = _points(z)
    min_samples = _min_samples(len(z), min_samples)
    if eps is None:
        eps = knee_eps(z, min_samples=min_samples)
    elif not (np.isfinite(eps) and eps > 0):
        raise InputError(f"eps = {eps} is no distance: choose one above 0, or none to have it found")
    eps = float(np.float32(eps))
    if _count_pairs(z, eps) <= DBSCAN_PAIRS_LIMIT:
        found = DBSCAN(eps=eps, min_samples=min_samples).fit(z - z.mean(axis=0))
        core = z[found.core_sample_indices_]
        clusters = found.labels_[found.core_sample_indices_]
    else:
        core = z[_k_distance(z, min_samples) <= eps]
        clusters = connect_cores(core, eps)
    return _by_neighbours(z, points=core, clusters=clusters, reach=eps)


def hdbscan(
    z: AnyArray,
    *,
    k: int,
    seed: int,
    min_cluster_size: int | None = None,
    min_samples: int | None = None,
    exact_limit: int = EXACT_LIMIT,
) -> Clustering:
    """HDBSCAN (Campello et al., PAKDD 2013). It finds its own number of clusters: `k` and `seed` are not used.

    A new point gets the cluster (or the noise) of the nearest point that was clustered, if it lies no farther from it
    than that one's min_samples-th neighbour did; else it is noise. Of more than `exact_limit` points, the hierarchy is
    made of each point's near neighbours alone (`large.cluster_by_graph`).

    Args:
      z: (N, L) finite points.
      min_cluster_size: 2 to N; where not given, a hundredth of the points, but at least 5: less is no playlist.
      min_samples: as for `dbscan`.
      exact_limit: points up to which all pairs of points are looked at.

    Raises:
      InputError: if z is not two-dimensional and finite, or an option is out of range.
    """
    z = _points(z)
    n = len(z)
    min_samples = _min_samples(n, min_samples)
    if min_cluster_size is None:
        min_cluster_size = min(max(5, round(n / 100)), n)
    elif not 2 <= min_cluster_size <= n:
        raise InputError(f"min_cluster_size = {min_cluster_size} is out of range: choose 2 to {n}")
    if n <= exact_limit:
        found = HDBSCAN(min_cluster_size, min_samples, copy=True).fit(z)  # pyright: ignore[reportArgumentType]
        return _by_neighbours(z, points=z, clusters=found.labels_, reach=_k_distance(z, min_samples))
    clusters, reach = cluster_by_graph(z, min_cluster_size=min_cluster_size, min_samples=min_samples)
    return _by_neighbours(z, points=z, clusters=clusters, reach=reach)


def one_cluster(z: AnyArray) -> Clustering:
    """All points in one cluster: the partition that says nothing. It is no clusterer, for those take k >= 2.

    Args: z, (N, L) finite points.
    """
    z = _points(z, at_least=1)
    return _by_neighbours(z, points=z.mean(axis=0, keepdims=True), clusters=np.zeros(1, np.int32))


CLUSTERERS = {"kmeans": kmeans, "gmm": gmm, "agglomerative": agglomerative, "dbscan": dbscan, "hdbscan": hdbscan}
WITHOUT_K = frozenset(("dbscan", "hdbscan"))  # they find the number of clusters themselves, and do not look at k


def is_approximate(name: str, points: int) -> bool:
    """Whether a clusterer's clusters of so many points are only nearly those that it is known for.

    >>> is_approximate("hdbscan", 20_000), is_approximate("hdbscan", 20_001), is_approximate("kmeans", 20_001)
    (False, True, False)
    """
    return name in _APPROXIMATE and points > EXACT_LIMIT


def start_mixture(own: Sequence[np.ndarray], kind: str, floor: float, **options: Any) -> GaussianMixture:
    """A mixture of Gaussians that EM is to start at a partition's weights, means and covariances.

    Args:
      own: the points (n, L) of each cluster, n >= 1.
      kind: "full" or "diag", of the covariances.
      floor: what is added to every variance, above 0.
      options: of scikit-learn's mixture.
    """
    spread = [np.atleast_2d(np.cov(one.T, bias=True)) + floor * np.eye(one.shape[1]) for one in own]
    return GaussianMixture(
        len(own),
        covariance_type=kind,
        reg_covar=floor,
        init_params="random_from_data",  # replaced by what follows
        random_state=0,
        weights_init=np.array([len(one) for one in own]) / sum(map(len, own)),
        means_init=np.array([one.mean(axis=0) for one in own]),
        precisions_init=np.array([np.linalg.inv(one) if kind == "full" else 1 / np.diagonal(one) for one in spread]),
        **options,
    )


def assigner(name: str, state: dict[str, np.ndarray]) -> Callable[[AnyArray], np.ndarray]:
    """`Clustering.assign` made again from the clusterer's name and `Clustering.state`, the points no longer at hand.

    Raises:
      InputError: if there is no such clusterer.
    """
    if name not in CLUSTERERS:
        raise InputError(f"unknown clusterer {name!r}: choose one of {', '.join(CLUSTERERS)}")
    return _most_probable(state) if name == "gmm" else _nearest(state)


def one_thread() -> Any:
    """The context to fit k-means in: its threads wait for each other so often that beside any other busy process two
    take up to fifty times as long as one. One also adds in the same order every time."""
    return _thread_pools().limit(limits=1)


@lru_cache(maxsize=1)
def _thread_pools() -> ThreadpoolController:
    """The libraries that were loaded with this module. To find them takes as long as to group a hundred tracks."""
    return ThreadpoolController()


def knee_eps(z: AnyArray, *, min_samples: int) -> float:
    """The eps at the knee of the sorted k-distance curve (Ester et al. 1996), where it lies farthest from its chord.

    Both axes are scaled to [0, 1] and the knee is the greatest vertical distance below the chord, as in Kneedle
    (Satopaa et al., ICDCSW 2011) without its smoothing and its sensitivity parameter. The chord ends at the largest
    distance, so that a single far point would move it and the knee. Up to 2 % of the distances are therefore cut off:
    those that lie three times as far above the median as the 98 % quantile does. Points without outliers lose none.

    Args: z, (N, L) finite points; min_samples, the k of the k-distance, the point itself counted.

    Returns:
      At least a millionth of the points' spread, below which distances are rounding; 1 where all points are one.
    """
    curve = np.sort(_k_distance(z, min_samples))
    # The lower of two neighbours, so that the largest distance of a few points is no part of its own bound.
    median, high = np.quantile(curve, (0.5, _KNEE_QUANTILE), method="lower")
    if high > median:
        curve = curve[curve <= median + _KNEE_REACH * (high - median)]
    below = np.linspace(0, 1, len(curve)) - (curve - curve[0]) / max(np.ptp(curve), np.finfo(float).tiny)
    spread = np.sqrt(z.var(axis=0).sum())
    return float(max(curve[np.argmax(below)], 1e-6 * spread)) or 1.0


def _points(z: AnyArray, at_least: int = 2) -> np.ndarray:
    """Points checked and rounded to float32, as float64."""
    z = check_points(check_points(z).astype(np.float32))
    if len(z) < at_least:
        raise InputError(f"{len(z)} track(s) cannot be clustered: give at least {at_least}")
    return z


def _distinct(z: np.ndarray, k: int) -> int:
    """k checked, and cut to the number of distinct points: on a grid of 1e-7 of the widest, as k-means tells them."""
    if k < 2:
        raise InputError(f"k = {k} is smaller than 2: choose `k` of 2 to {len(z)}")
    if k > len(z):
        raise InputError(f"k = {k} is larger than the {len(z)} tracks: choose `k` of at most {len(z)}")
    offset = z - z.mean(axis=0)
    return min(k, len(np.unique(np.round(offset / (1e-7 * np.abs(offset).max() or 1.0)), axis=0)))


def _min_samples(n: int, given: int | None) -> int:
    if given is not None and not 1 <= given <= n:
        raise InputError(f"min_samples = {given} is out of range: choose 1 to {n}")
    return given or min(max(4, round(np.log(n))), n)


def _k_distance(z: np.ndarray, k: int) -> np.ndarray:
    """(N,) the distance to each point's k-th neighbour, itself counted."""
    z = z - z.mean(axis=0)  # distances come of dot products: nearer to 0 they lose fewer digits
    return Nearest(z, k)(z)[0][:, -1]


def _sample(z: np.ndarray, k: int, *, wanted: int, seed: int, exact_limit: int) -> np.ndarray:
    """So many points as are wanted, and `_SAMPLE` at least: (n, L). It is z itself where that has no more, up to
    `exact_limit` points, and where a sample would have fewer distinct points than clusters."""
    wanted = max(_SAMPLE, wanted)
    if len(z) <= max(exact_limit, wanted):
        return z
    some = z[np.random.default_rng(seed).choice(len(z), wanted, replace=False)]
    return some if _distinct(some, k) == k else z


def _tightest(z: np.ndarray, k: int, *, count: int, seed: int) -> Iterator[list[np.ndarray]]:
    """The points of each cluster of the tightest k-means of `count` starts, and of the next ones that differ."""
    starts = np.random.default_rng(seed).integers(2**31, size=count).tolist()
    found = [KMeans(k, n_init=1, random_state=start).fit(z) for start in starts]  # pyright: ignore[reportArgumentType]
    told, last = 0, 0.0
    for within, one in sorted(((float(one.inertia_ or 0), one) for one in found), key=lambda pair: pair[0]):
        if not told or (told < _TIGHTEST and within > last * (1 + _SAME_START)):
            told, last = told + 1, within
            clusters = np.asarray(one.labels_)
            yield [z[clusters == c] for c in np.unique(clusters)]


def _count_pairs(z: np.ndarray, eps: float) -> float:
    """About how many pairs of points lie within eps, by 256 evenly spaced points; of few points, all pairs."""
    if len(z) ** 2 <= DBSCAN_PAIRS_LIMIT:
        return float(len(z) ** 2)
    some = z[np.linspace(0, len(z) - 1, 256).astype(int)]
    return len(z) * float(np.mean([np.count_nonzero(((z - point) ** 2).sum(axis=1) <= eps**2) for point in some]))


def _by_neighbours(
    z: np.ndarray, *, points: np.ndarray, clusters: np.ndarray, reach: float | np.ndarray = np.inf
) -> Clustering:
    """The clustering in which a point gets the cluster of the nearest of `points` (P, L), or noise beyond its reach."""
    reach = np.full(len(points), reach, np.float32)
    state = {"points": points.astype(np.float32), "clusters": clusters.astype(np.int32), "reach": reach}
    return _numbered("nearest", z, state)


def _numbered(how: str, z: np.ndarray, state: dict[str, np.ndarray]) -> Clustering:
    """Place z by the state, number the clusters by size, and write the numbers into the state."""
    make = _most_probable if how == "gmm" else _nearest
    raw = make(state)(z)
    names, first, sizes = np.unique(raw[raw >= 0], return_index=True, return_counts=True)
    names = names[np.lexsort((first, -sizes))]
    # What no point of z chose (a component never the most probable) goes; noise stays what it is.
    kept = np.isin(state["clusters"], np.append(names, -1))
    state = {name: array[kept] for name, array in state.items()}
    number = np.full(max(raw.max(), -1) + 2, -1, dtype=np.int32)  # its last entry serves -1
    number[names] = np.arange(len(names))
    state["clusters"] = number[state["clusters"]]
    clusters = number[raw]
    centres = np.stack([z[clusters == c].mean(axis=0) for c in range(len(names))]) if len(names) else z[:0]
    return Clustering(clusters, centres, make(state), state)


# Partial functions of functions of this module, because those can be pickled and closures cannot.
def _nearest(state: dict[str, np.ndarray]) -> Callable[[AnyArray], np.ndarray]:
    points = state["points"]
    return partial(_assign_nearest, state, KDTree(points.astype(np.float64)) if len(points) else None)


def _assign_nearest(state: dict[str, np.ndarray], tree: KDTree | None, z: AnyArray) -> np.ndarray:
    z = _new_points(z, state["points"].shape[1])
    if tree is None:
        return np.full(len(z), -1, dtype=np.int32)
    distance, row = query_tree(tree, z)
    return np.where(distance <= state["reach"][row], state["clusters"][row], -1).astype(np.int32)


def _most_probable(state: dict[str, np.ndarray]) -> Callable[[AnyArray], np.ndarray]:
    return partial(_assign_most_probable, state)


def _assign_most_probable(state: dict[str, np.ndarray], z: AnyArray) -> np.ndarray:
    weights, means, cholesky = (state[name].astype(np.float64) for name in _MIXTURE)
    z = _new_points(z, means.shape[1])
    log_joint = np.empty((len(z), len(weights)))
    for c, (weight, mean, root) in enumerate(zip(weights, means, cholesky, strict=True)):
        diagonal = root if root.ndim == 1 else np.diag(root)
        white = (z - mean) * root if root.ndim == 1 else (z - mean) @ root
        with np.errstate(divide="ignore"):  # a weight of 0 is never the most probable
            log_joint[:, c] = np.log(weight) + np.log(diagonal).sum() - 0.5 * (white**2).sum(axis=1)
    return state["clusters"][log_joint.argmax(axis=1)]


def _new_points(z: AnyArray, width: int) -> np.ndarray:
    z = _points(z, at_least=0)
    if z.shape[1] != width:
        raise ValueError(f"points have {z.shape[1]} columns, the clusters were made of {width}")
    return z
