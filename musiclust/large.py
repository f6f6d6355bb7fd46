"""Forms of the clusterers for more points than have a matrix of distances.

Each takes memory linear in N. Ward's method and HDBSCAN are approximate here: `python -m benchmarks.clustering`
measures how far they agree with the exact ones. DBSCAN's clusters are the exact ones.
"""

import warnings

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import pairwise_distances_argmin_min

from musiclust.nearest import Nearest

CORESET = 4_000  # centres that stand for all points in Ward's method
_PER_CLUSTER = 4  # centres for each cluster, at least
_CORESET_ROUNDS = 10
GRAPH_NEIGHBOURS = 32  # of each point in the graph of HDBSCAN, itself among them
_ENDS = 1_000  # points of a part of the graph that a link to the others is sought from
_ROUNDING = 1e-6  # of the points' spread, below which distances are rounding


def summarise(z: np.ndarray, *, centres: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A few centres that stand for all points, and how many points each stands for: (C, L) float64 and (C,) int.

    They are those of 10 rounds of k-means (Lloyd 1982) from distinct points drawn at random.

    Args:
      z: (N, L) finite points.
      centres: how many, at most as many as there are distinct points.
      seed: of the drawing.
    """
    z = z.astype(np.float32)
    places = np.unique(z, axis=0)
    start = places[np.random.default_rng(seed).choice(len(places), centres, replace=False)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # places that differ by rounding may become one
        found = KMeans(centres, init=start, n_init=1, max_iter=_CORESET_ROUNDS).fit(z)  # pyright: ignore[reportArgumentType]
    weights = np.bincount(np.asarray(found.labels_), minlength=centres)
    return found.cluster_centers_[weights > 0].astype(np.float64), weights[weights > 0]


def coreset_size(k: int) -> int:
    """How many centres stand for all points where k clusters are wanted."""
    return max(CORESET, _PER_CLUSTER * k)


def cluster_weighted(points: np.ndarray, weights: np.ndarray, k: int) -> np.ndarray:
    """Ward's hierarchical clustering (Ward 1963) of points that stand for several each, cut at k clusters: (C,) int.

    Two clusters are joined whose union raises the sum of squares least: w v / (w + v) times the squared distance of
    their means, w and v being what they weigh. Chains of nearest neighbours (Murtagh 1983) find the same hierarchy as
    a search among all pairs, in time O(C^2 L) and memory O(C L).

    Args:
      points: (C, L). weights: (C,) above 0. k: 1 to C.

    Example:
      >>> cluster_weighted(np.array([[0.0], [1.0], [9.0]]), np.array([1, 5, 2]), 2).tolist()
      [0, 0, 1]
    """
    count = len(points)
    centre, weight = points - points.mean(axis=0), weights.astype(np.float64)
    square = (centre**2).sum(axis=1)
    gone = np.zeros(count)  # infinite for what has been joined to another
    joined, height = np.empty((count - 1, 2), int), np.empty(count - 1)
    chain: list[int] = []
    rises: list[float] = []  # what it costs to join each of the chain with the one before; they fall along the chain
    for step in range(count - 1):
        if not chain:
            chain, rises = [int(gone.argmin())], [np.inf]
        while True:
            last = chain[-1]
            apart = np.maximum(square + square[last] - 2 * (centre @ centre[last]), 0)
            rise = weight * (weight[last] / (weight + weight[last])) * apart + gone
            rise[last] = np.inf
            nearest = int(rise.argmin())
            # Then the last two are each other's nearest. What rounding makes a little nearer is in the chain already.
            if rise[nearest] >= rises[-1] or nearest in chain:
                break
            chain.append(nearest)
            rises.append(float(rise[nearest]))
        one, other = chain.pop(), chain.pop()
        joined[step], height[step] = (one, other), rises.pop()
        rises.pop()
        both = weight[one] + weight[other]
        centre[other] = (weight[one] * centre[one] + weight[other] * centre[other]) / both
        weight[other], square[other], gone[one] = both, (centre[other] ** 2).sum(), np.inf
    lowest = joined[np.argsort(height, kind="stable")[: count - k]]
    return _components(lowest, count)[1]


def cluster_by_graph(z: np.ndarray, *, min_cluster_size: int, min_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """HDBSCAN (Campello et al., PAKDD 2013) on the graph of each point's nearest neighbours.

    The hierarchy is that of the graph's minimum spanning tree by mutual reachability. The tree of all pairs has hardly
    an edge that is not between near neighbours. Parts of the graph that have no edge between them are joined by the
    nearest pair that is found from 1,000 points of each.

    Args:
      z: (N, L) finite points.
      min_cluster_size, min_samples: as for `cluster.hdbscan`.

    Returns:
      clusters: (N,) int, -1 noise.
      core: (N,) the distance from each point to its min_samples-th neighbour, itself counted.
    """
    z = z - z.mean(axis=0)
    neighbours = min(max(GRAPH_NEIGHBOURS, 2 * min_samples), len(z))
    distance, row = Nearest(z, neighbours)(z)
    core = distance[:, min_samples - 1]
    edges = np.column_stack([np.repeat(np.arange(len(z)), neighbours), row.ravel()])
    links = _join_parts(z, _components(edges, len(z))[1])
    apart = np.append(distance.ravel(), np.linalg.norm(z[links[:, 0]] - z[links[:, 1]], axis=1))
    edges = np.sort(np.concatenate([edges, links]), axis=1)
    key, first = np.unique(edges[:, 0] * len(z) + edges[:, 1], return_index=True)
    one, other = np.divmod(key, len(z))
    others = one != other
    one, other, apart = one[others], other[others], apart[first][others]
    # An edge of length 0 would be none.
    least = _ROUNDING * np.sqrt(z.var(axis=0).sum()) or 1.0
    reach = np.maximum.reduce([apart, core[one], core[other], np.full(len(one), least)])
    ends = np.concatenate([one, other]), np.concatenate([other, one])
    graph = coo_array((np.concatenate([reach, reach]), ends), shape=(len(z), len(z))).tocsr()
    # The core distances are in the edges already: with one sample, scikit-learn leaves these as they are.
    found = HDBSCAN(min_cluster_size, 1, metric="precomputed", copy=True).fit(graph)  # pyright: ignore[reportArgumentType]
    return found.labels_, core


def connect_cores(core: np.ndarray, eps: float) -> np.ndarray:
    """The clusters of DBSCAN's core points (P, L): those within eps of each other, directly or by others: (P,) int.

    It goes from the points reached last to all not yet reached, so that no pairs are held.

    Example:
      >>> connect_cores(np.array([[0.0], [9.0], [1.0], [2.0]]), 1.0).tolist()
      [0, 1, 0, 0]
    """
    if len(core):
        core = core - core.mean(axis=0)  # products of matrices lose fewer digits nearer to 0
    clusters = np.full(len(core), -1)
    left, reached, number = np.arange(len(core)), np.zeros(0, int), -1
    while len(left):
        if len(reached):
            near = pairwise_distances_argmin_min(core[left], core[reached])[1] <= eps
        else:
            number += 1
            near = left == left[0]
        left, reached = left[~near], left[near]
        clusters[reached] = number
    return clusters


def _join_parts(z: np.ndarray, part: np.ndarray) -> np.ndarray:
    """(E, 2) rows whose links make one of all parts (N,) of a graph: each part is linked with what is nearest to it,
    until there is one (Boruvka 1926)."""
    links = np.empty((0, 2), int)
    while (parts := int(part.max()) + 1) > 1:
        found = np.empty((parts, 2), int)
        for number in range(parts):
            inside, outside = np.flatnonzero(part == number), np.flatnonzero(part != number)
            some = inside[np.linspace(0, len(inside) - 1, min(len(inside), _ENDS)).round().astype(int)]
            nearest, distance = pairwise_distances_argmin_min(z[some], z[outside])
            best = int(distance.argmin())
            found[number] = some[best], outside[nearest[best]]
        links = np.concatenate([links, found])
        part = _components(part[found], parts)[1][part]
    return links


def _components(edges: np.ndarray, count: int) -> tuple[int, np.ndarray]:
    """How many parts a graph of edges (E, 2) between `count` nodes has, and the part of each node."""
    graph = coo_array((np.ones(len(edges), np.int8), (edges[:, 0], edges[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)
