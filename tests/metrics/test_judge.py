"""Judging: the same things for every partition, flags in order, and the replica that is shown."""

import numpy as np
import pytest

from musiclust.cluster import CLUSTERERS
from musiclust.errors import InputError
from musiclust.metrics.judge import Judge, choose_replica, flag_partition
from musiclust.metrics.partition import score
from musiclust.metrics.reference import reference_silhouette, reference_space, silhouette_null


@pytest.fixture(scope="module")
def blobs():
    rng = np.random.default_rng(0)
    truth = np.arange(90) % 3
    return rng.normal(size=(3, 4))[truth] * 6 + rng.normal(size=(90, 4)), truth


def test_a_partition_is_scored_in_its_space_and_in_the_reference(blobs):
    x, truth = blobs
    z = 2 * x[:, :2]
    space = reference_space([x])
    judged = Judge(space, truth, clusterers=("kmeans", "agglomerative"), k=3, seed=4)(z, seed=1)
    assert [one.clusterer for one in judged] == ["kmeans", "agglomerative"]
    for one in judged:
        clusters = CLUSTERERS[one.clusterer](z, k=3, seed=1).clusters
        np.testing.assert_array_equal(one.clustering.clusters, clusters)
        assert one.sizes == np.bincount(clusters).tolist()
        expected = score(z, clusters, truth, seed=4) | {
            "silhouette_null": silhouette_null(z, k=3, seed=4),
            "reference_silhouette": reference_silhouette(space, clusters, seed=4),
            "reference_null": silhouette_null(space, k=3, seed=4),
        }
        assert one.scores == expected


def test_nulls_are_drawn_once_for_each_number_of_clusters(blobs, monkeypatch):
    x, _ = blobs
    drawn = []
    monkeypatch.setattr(
        "musiclust.metrics.judge.silhouette_null", lambda z, *, k, seed: drawn.append((z.shape, k)) or 0.0
    )
    judge = Judge(x, clusterers=("kmeans", "gmm"), k=3)
    judge(x[:, :2], seed=0)
    judge(x[:, :3], seed=0)
    assert drawn == [((90, 2), 3), ((90, 4), 3), ((90, 3), 3)]


def test_without_classes_agreement_is_undefined(blobs):
    (judged,) = Judge(blobs[0], k=3)(blobs[0], seed=0)
    assert np.isnan(judged.scores["ari"])
    assert np.isfinite(judged.scores["reference_silhouette"])


def test_an_unknown_clusterer_is_named(blobs):
    with pytest.raises(InputError, match="unknown clusterer 'means': choose from kmeans"):
        Judge(blobs[0], clusterers=("kmeans", "means"), k=3)


def test_flags_are_told_in_one_order():
    assert flag_partition({"n_clusters": 3.0}) == []
    found = flag_partition({"n_clusters": 1.0}, collapsed=True, class_seen=True)
    assert found == ["collapsed", "class-seen", "degenerate"]


@pytest.mark.parametrize(
    ("bounds", "collapsed", "chosen"),
    [
        ([3.0, 1.0, 2.0], [False, False, False], 1),
        ([3.0, 1.0, 2.0], [False, True, False], 2),
        ([3.0, 1.0, 2.0], [True, True, True], 1),
        ([2.0, 2.0], [False, False], 0),
    ],
)
def test_the_replica_shown_has_the_lowest_bound_of_those_not_collapsed(bounds, collapsed, chosen):
    assert choose_replica(np.array(bounds), np.array(collapsed)) == chosen
