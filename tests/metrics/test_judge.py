"""Judging: the same things for every partition, flags in order, and the replica that is shown."""

import numpy as np
import pytest

from musiclust import cluster
from musiclust.cluster import CLUSTERERS
from musiclust.errors import InputError
from musiclust.metrics.evidence import null_scores, weigh_latents
from musiclust.metrics.judge import Judge, choose_replica, flag_partition, make_cluster
from musiclust.metrics.partition import score
from musiclust.metrics.reference import reference_silhouette, reference_space


@pytest.fixture(scope="module")
def blobs():
    rng = np.random.default_rng(0)
    truth = np.arange(90) % 3
    return rng.normal(size=(3, 4))[truth] * 6 + rng.normal(size=(90, 4)), truth


def test_a_partition_is_scored_in_its_space_and_in_the_reference(blobs):
    x, truth = blobs
    z = 2 * x[:, :2]
    space = reference_space([x])
    judge = Judge(space, truth, clusterers=("kmeans", "agglomerative"), k=3, seed=4)
    judged = judge(z, seed=1)
    assert [one.clusterer for one in judged] == ["kmeans", "agglomerative"]
    for one in judged:
        clusters = CLUSTERERS[one.clusterer](z, k=3, seed=1).clusters
        np.testing.assert_array_equal(one.clustering.clusters, clusters)
        assert one.sizes == np.bincount(clusters).tolist()
        expected = score(z, clusters, truth, seed=4) | {
            "reference_silhouette": reference_silhouette(space, clusters, seed=4)
        }
        expected |= null_scores(z, space, judge.clusterer(one.clusterer, 1), group=judge.group, seed=4)
        assert one.scores == expected


def test_the_null_of_a_row_is_made_by_the_clusterer_of_the_row(blobs):
    """Structureless points were always grouped by k-means, whatever had made the partition."""
    x, _ = blobs
    rows = {one.clusterer: one.scores for one in Judge(x, clusterers=("kmeans", "gmm"), k=3)(x, seed=0)}
    assert rows["kmeans"]["silhouette"] == rows["gmm"]["silhouette"]  # the same clusters
    assert rows["kmeans"]["silhouette_null"] != rows["gmm"]["silhouette_null"]
    assert rows["kmeans"]["reference_null"] != rows["gmm"]["reference_null"]


def test_chance_and_nulls_keep_clips_of_a_song_together():
    """Classes and clusters that are constant by song, and random beyond that, were "beyond chance"."""
    found = {"song": [], "clip": []}
    for seed in range(10):
        rng = np.random.default_rng(seed)
        z = rng.normal(size=(12, 2)).repeat(10, axis=0) + rng.normal(0, 1e-3, (120, 2))
        truth = rng.integers(0, 3, 12).repeat(10)
        song = np.array([f"{i:02d}" for i in range(12)]).repeat(10)
        for name, group in (("song", song), ("clip", None)):
            (judged,) = Judge(z, truth, k=3, seed=seed, group=group)(z, seed=0)
            found[name].append(judged.scores["nmi_p"])
    assert np.mean(np.array(found["clip"]) <= 0.05) > 0.5
    assert np.mean(np.array(found["song"]) <= 0.05) <= 0.2


def test_the_evidence_is_that_of_the_clusterer_and_of_its_k(blobs):
    x, told = blobs[0][:60], []
    judge = Judge(x, clusterers=("kmeans", "agglomerative"), k=3, seed=2)
    found = judge.weigh(x, "agglomerative", seed=1, on_draw=lambda done, total: told.append((done, total)))
    expected = weigh_latents(x, x, make_cluster("agglomerative", 3, 1), group=judge.group, seed=2)
    assert found == expected
    assert found.structured
    assert told[-1] == (38, 38)


def test_k_is_never_more_than_there_are_points(blobs):
    cluster = Judge(blobs[0], k=8).clusterer("kmeans", 0)
    assert cluster.whole(blobs[0]).max() == cluster.part(blobs[0]).max() == 7
    assert cluster.whole(blobs[0][:5]).max() == cluster.part(blobs[0][:5]).max() == 4


def test_without_classes_agreement_is_undefined(blobs):
    (judged,) = Judge(blobs[0], k=3)(blobs[0], seed=0)
    assert np.isnan(judged.scores["ari"])
    assert np.isfinite(judged.scores["reference_silhouette"])


def test_an_unknown_clusterer_is_named(blobs):
    with pytest.raises(InputError, match="unknown clusterer 'means': choose from kmeans"):
        Judge(blobs[0], clusterers=("kmeans", "means"), k=3)


def test_flags_are_told_in_one_order():
    assert flag_partition({"n_clusters": 3.0}) == []
    all_of_them = dict.fromkeys(("low_information", "class_seen", "mask_seen", "approximate"), True)
    found = flag_partition({"n_clusters": 1.0}, **all_of_them)
    assert found == ["low-information", "class-seen", "mask-seen", "degenerate", "approximate"]


def test_a_form_for_many_tracks_is_told(blobs, monkeypatch):
    judge = Judge(blobs[0], clusterers=("kmeans", "agglomerative"), k=3)
    assert [one.approximate for one in judge(blobs[0], seed=0)] == [False, False]
    monkeypatch.setattr(cluster, "EXACT_LIMIT", 50)
    assert [one.approximate for one in judge(blobs[0], seed=0)] == [False, True]


@pytest.mark.parametrize(
    ("bounds", "chosen"), [([-3.0, -1.0, -2.0], 1), ([-2.0, -2.0], 0), ([np.nan, -9.0, np.nan], 1), ([np.nan] * 2, 0)]
)
def test_the_replica_shown_has_the_highest_bound(bounds, chosen):
    """Whatever its code tells: a replica that tells little is not passed over for its k."""
    assert choose_replica(np.array(bounds)) == chosen
