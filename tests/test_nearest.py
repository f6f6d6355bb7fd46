"""The nearest of many points, found in two ways."""

import numpy as np
import pytest
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from musiclust import nearest
from musiclust.nearest import Nearest, query_tree


@pytest.mark.parametrize("many", [False, True], ids=["few points", "many points"])
def test_the_nearest_are_those_by_all_distances(many, monkeypatch):
    if many:
        monkeypatch.setattr(nearest, "_TREE_POINTS", 100)
    rng = np.random.default_rng(0)
    points, z = 1000 + rng.normal(size=(400, 12)), 1000 + rng.normal(size=(5_000, 12))
    distance, row = Nearest(points, 7)(z)
    exact = cdist(z, points)
    np.testing.assert_array_equal(row, np.argsort(exact, axis=1)[:, :7])
    np.testing.assert_allclose(distance, np.sort(exact, axis=1)[:, :7], rtol=1e-9)
    itself = Nearest(points, 1)(points)
    np.testing.assert_array_equal(itself[1][:, 0], np.arange(400))
    if many:
        assert not itself[0].any()  # to the last digit


def test_a_tree_of_many_points_is_asked_sooner_with_the_same_answer(monkeypatch):
    rng = np.random.default_rng(0)
    points = rng.integers(0, 3, size=(300, 10)).astype(float)  # on a grid: many are the same, and many as near
    points[::2] += rng.normal(size=(150, 10))
    z = np.concatenate([points[:40], rng.integers(0, 3, size=(200, 10)), rng.normal(size=(200, 10))])
    tree = KDTree(points)
    expected = tree.query(z)
    for pairs in (0, 20 * 300, 10**9):
        monkeypatch.setattr(nearest, "_FEW_PAIRS", pairs)
        distance, row = query_tree(tree, z)
        np.testing.assert_allclose(distance, expected[0], rtol=1e-12)
        np.testing.assert_array_equal(row, expected[1])
