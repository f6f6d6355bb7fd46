"""The nearest of many points: exact, however many points and columns there are.

Conventions: distances are Euclidean; z are M points that are asked about, of the same L columns as the P points.

A tree of the points is the faster way where there are few columns. With more of them it looks at nearly every point,
and scikit-learn's blocks of matrix products are faster by far. Squares that nearly cancel in such a product lose their
digits, so the few distances that count are taken again from the differences.
"""

import numpy as np
from scipy.spatial import KDTree
from sklearn.neighbors import NearestNeighbors

# Up to so many points, and with so few columns at any number, scikit-learn chooses the way.
_TREE_POINTS, _TREE_COLUMNS = 20_000, 8
_FEW_PAIRS = 100_000_000  # of points and points that are asked about, up to which a tree is asked alone
_AT_ONCE = 4_096  # points that are asked about together
_THE_SAME = 1e-150  # a distance whose square is just above 0
_ROUNDING = 1e-10  # of the points' largest square, more than what a product of matrices loses


class Nearest:
    """Finds the `count` nearest of `points` (P, L), 1 <= count <= P.

    Example:
      >>> distance, row = Nearest(np.array([[0.0], [1.0], [5.0]]), 2)(np.array([[4.0]]))
      >>> distance.tolist(), row.tolist()
      ([[1.0, 3.0]], [[2, 1]])
    """

    def __init__(self, points: np.ndarray, count: int) -> None:
        if len(points) > _TREE_POINTS and points.shape[1] > _TREE_COLUMNS:
            self._find = _AllDistances(points, count)
        else:
            self._find = NearestNeighbors(n_neighbors=count).fit(points).kneighbors

    def __call__(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the distances (M, count) from z (M, L) to the nearest points, the nearest first, and their rows."""
        return self._find(z)


def query_tree(tree: KDTree, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns what `tree.query(z)` does, the distance (M,) to the nearest point and its row (M,), and sooner if it can.

    Where there are many points and columns, all distances are compared by matrix products. Whatever is so near to a tie
    that these could not tell, is left to the tree.
    """
    if z.shape[1] <= _TREE_COLUMNS or len(z) * tree.n <= _FEW_PAIRS:
        return _ask(tree, z)
    # Points of the tree itself are found at once.
    distance, row = _ask(tree, z, _THE_SAME)
    others = np.flatnonzero(np.isinf(distance))
    if len(others) * tree.n <= _FEW_PAIRS:
        distance[others], row[others] = _ask(tree, z[others])
        return distance, row
    compare = _AllDistances(np.asarray(tree.data), 2)
    near, rows = compare(z[others])
    distance[others], row[others] = near[:, 0], rows[:, 0]
    unsure = others[near[:, 1] ** 2 - near[:, 0] ** 2 <= _ROUNDING * compare.largest_square(z)]
    distance[unsure], row[unsure] = _ask(tree, z[unsure])
    return distance, row


def _ask(tree: KDTree, z: np.ndarray, within: float = np.inf) -> tuple[np.ndarray, np.ndarray]:
    distance, row = tree.query(z, distance_upper_bound=within)
    return np.asarray(distance), np.asarray(row)


class _AllDistances:
    """The nearest by the distances to all points, in blocks: nothing of the size M x P is held."""

    def __init__(self, points: np.ndarray, count: int) -> None:
        self._points, self._mean = points, points.mean(axis=0)  # products lose fewer digits nearer to 0
        self._neighbours = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(points - self._mean)
        self._count = count

    def __call__(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        distance, row = np.empty((len(z), self._count)), np.empty((len(z), self._count), np.int64)
        for start in range(0, len(z), _AT_ONCE):
            part = z[start : start + _AT_ONCE]
            near = self._neighbours.kneighbors(part - self._mean, return_distance=False)
            exact = np.sqrt(((part[:, None] - self._points[near]) ** 2).sum(axis=2))
            order = np.argsort(exact, axis=1, kind="stable")
            distance[start : start + _AT_ONCE] = np.take_along_axis(exact, order, axis=1)
            row[start : start + _AT_ONCE] = np.take_along_axis(near, order, axis=1)
        return distance, row

    def largest_square(self, z: np.ndarray) -> float:
        """The largest squared distance from the mean among points and z."""
        return max(float(((some - self._mean) ** 2).sum(axis=1).max()) for some in (self._points, z))
