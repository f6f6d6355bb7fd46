"""The clusterers' forms for many points, held against the exact algorithms of few."""

import numpy as np
import pytest
from sklearn.cluster import HDBSCAN, AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score

from benchmarks.made_up import COLLECTIONS
from musiclust.large import cluster_by_graph, cluster_weighted, connect_cores, summarise


@pytest.mark.parametrize("weighted", [False, True], ids=["single", "weighted"])
def test_ward_of_weighted_points_is_ward_of_as_many_single_ones(weighted):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(150, 4))
    weights = rng.integers(1, 6, size=150) if weighted else np.ones(150, int)
    for k in (1, 2, 7, 60, 150):
        found = cluster_weighted(points, weights, k)
        single = AgglomerativeClustering(k, linkage="ward").fit_predict(np.repeat(points, weights, axis=0))
        assert len(np.unique(found)) == k
        assert adjusted_rand_score(np.repeat(found, weights), single) == 1


def test_ward_of_points_at_one_place_ends():
    for points in (np.zeros((50, 3)), np.repeat(np.eye(3), 20, axis=0)):
        found = cluster_weighted(points, np.ones(len(points), int), 3)
        assert len(np.unique(found)) == 3
    assert cluster_weighted(np.zeros((1, 2)), np.array([9]), 1).tolist() == [0]


def test_centres_stand_for_all_points():
    z = np.random.default_rng(0).normal(size=(2_000, 3))
    centres, weights = summarise(z, centres=100, seed=0)
    assert weights.sum() == 2_000
    assert len(centres) == len(weights) <= 100
    np.testing.assert_allclose((weights[:, None] * centres).sum(axis=0) / 2_000, z.mean(axis=0), atol=0.02)


@pytest.mark.parametrize("collection", COLLECTIONS)
def test_hdbscan_by_near_neighbours_is_nearly_hdbscan(collection):
    z = COLLECTIONS[collection](1_500)[0].astype(float)
    expected = HDBSCAN(15, 7, copy=True).fit(z).labels_
    found, core = cluster_by_graph(z, min_cluster_size=15, min_samples=7)
    assert adjusted_rand_score(expected, found) > 0.9
    distance = np.sqrt(((z[:50, None] - z[None]) ** 2).sum(axis=2))
    np.testing.assert_allclose(core[:50], np.sort(distance, axis=1)[:, 6])


def test_parts_of_the_graph_that_lie_far_apart_are_joined():
    """Five groups, none of which is among the neighbours of another, in two bundles."""
    rng = np.random.default_rng(0)
    places = np.array([[0.0, 0], [20, 0], [1000, 0], [1020, 0], [1010, 20]])
    truth = np.repeat(np.arange(5), 100)
    z = places[truth] + rng.normal(size=(500, 2))
    found, _ = cluster_by_graph(z, min_cluster_size=50, min_samples=5)
    assert adjusted_rand_score(truth[found >= 0], found[found >= 0]) == 1
    coarse, _ = cluster_by_graph(z, min_cluster_size=150, min_samples=5)
    assert adjusted_rand_score(truth > 1, coarse) > 0.95


def test_cores_that_are_linked_by_others_are_one_cluster():
    line = np.random.default_rng(0).permutation(np.append(np.arange(100.0), np.arange(200.0, 230.0)))[:, None]
    found = connect_cores(line, 1.5)
    assert len(np.unique(found)) == 2
    np.testing.assert_array_equal(found == found[np.argmax(line)], line[:, 0] >= 200)
    assert connect_cores(np.zeros((0, 3)), 1.0).shape == (0,)
