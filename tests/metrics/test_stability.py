import time
from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from musiclust.cluster import kmeans
from musiclust.metrics.stability import (
    DISSOLVED,
    STABLE,
    adjust_for_null,
    cluster_stability,
    consensus,
    pairwise_ari,
)


def subsampled(partitions, share, seed):
    """The same with a share of the tracks left in each."""
    return np.where(np.random.default_rng(seed).random(partitions.shape) < share, partitions, -2)


def test_pairwise_ari_is_scikit_learn_s_over_the_tracks_that_both_have():
    rng = np.random.default_rng(0)
    partitions = subsampled(rng.integers(-1, 6, size=(12, 80)), 0.7, seed=1)
    partitions[3] = np.where(partitions[2] >= 0, (partitions[2] + 1) % 6, partitions[2])
    partitions[4] = np.where(partitions[4] > -2, -1, -2)  # all noise
    partitions[5, :] = 3
    partitions[6] = np.arange(80)  # singletons
    found = pairwise_ari(partitions)
    for i in range(12):
        for j in range(12):
            both = (partitions[i] > -2) & (partitions[j] > -2)
            assert found[i, j] == pytest.approx(adjusted_rand_score(partitions[i, both], partitions[j, both])), (i, j)
    assert found[2, 3] == 1


def test_pairwise_ari_by_blocks_is_the_same(monkeypatch):
    partitions = subsampled(np.random.default_rng(0).integers(-1, 6, size=(9, 50)), 0.8, seed=1)
    whole = pairwise_ari(partitions)
    monkeypatch.setattr("musiclust.metrics.stability._CELLS", 100)
    np.testing.assert_array_equal(pairwise_ari(partitions), whole)


def test_pairwise_ari_without_common_tracks_is_not_defined():
    partitions = np.array([[0, 1, 1, -2, -2], [-2, -2, 0, 0, 1]])
    np.testing.assert_array_equal(pairwise_ari(partitions), [[1, np.nan], [np.nan, 1]])


def test_two_hundred_partitions_of_a_thousand_tracks_take_seconds():
    partitions = subsampled(np.random.default_rng(0).integers(-1, 8, size=(200, 1000)), 0.8, seed=1)
    start = time.process_time()
    assert pairwise_ari(partitions).shape == (200, 200)
    assert len(consensus(partitions, k=8, seed=0).clusters) == 1000
    assert time.process_time() - start < 10


def test_cluster_stability_by_hand():
    reference = np.array([0, 0, 0, 0, 1, 1, -1, 2])
    partitions = np.array(
        [
            [3, 3, 3, 3, 1, 1, 0, -2],  # 1, 1; the third has no track here
            [0, 0, 1, 1, 1, -2, 1, -1],  # 2 of 4; 1 of 4 (the others of cluster 1 are of 0 and noise); 0
            [-1, -1, -1, -1, 0, 0, 0, 0],  # noise is no cluster: 0; 2 of 4; 1 of 4
        ]
    )
    expected = [(1 + 2 / 4 + 0) / 3, (1 + 1 / 4 + 2 / 4) / 3, (0 + 1 / 4) / 2]
    np.testing.assert_allclose(cluster_stability(reference, partitions), expected)


def test_cluster_stability_at_the_edges():
    reference = np.array([0, 0, 1, 1])
    assert cluster_stability(reference, np.full((3, 4), -1)).tolist() == [0, 0]
    np.testing.assert_array_equal(cluster_stability(reference, np.array([[0, 0, -2, -2]])), [1, np.nan])
    assert cluster_stability(np.full(4, -1), np.zeros((1, 4), int)).shape == (0,)


def test_a_real_cluster_is_stable_and_a_cut_through_a_cloud_is_dissolved():
    """Hennig's thresholds on what they are for: two tight groups, and a round cloud that k-means cuts in six."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(400, 6)) * np.repeat([1, 0.1], 200)[:, None] + np.repeat([0, 5, -5], [200, 100, 100])[:, None]
    reference = kmeans(z, k=8, seed=0).clusters
    partitions = np.full((20, 400), -2)
    for b, partition in enumerate(partitions):
        rows = rng.choice(400, 200, replace=False)
        partition[rows] = kmeans(z[rows], k=8, seed=b).clusters
    found = cluster_stability(reference, partitions)
    real = [reference[200], reference[300]]
    assert (found[real] > STABLE).all()
    assert np.delete(found, real).mean() < DISSOLVED


@pytest.mark.parametrize("seed", range(5))
def test_consensus_recovers_what_noisy_partitions_have_in_common(seed):
    """Thirty partitions that agree but for 30 % of the tracks each, their clusters renamed, some tracks left out."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.repeat(np.arange(4), [60, 50, 40, 30]))
    partitions = np.stack([rng.permutation(4)[truth] for _ in range(30)])
    wrong = rng.random(partitions.shape) < 0.3
    partitions[wrong] = rng.integers(4, size=wrong.sum())
    found = consensus(subsampled(partitions, 0.8, seed), k=4, seed=0)
    np.testing.assert_array_equal(found.clusters, truth)
    assert found.confidence.mean() == pytest.approx(0.7 + 0.3 / 4, abs=0.03)
    np.testing.assert_allclose(found.votes.sum(axis=1), 1)
    assert (found.second != found.clusters).all()


def test_consensus_does_not_depend_on_names_or_order():
    rng = np.random.default_rng(0)
    partitions = subsampled(
        np.where(rng.random((15, 60)) < 0.8, np.arange(60) // 20, rng.integers(3, size=(15, 60))), 0.9, 1
    )
    first = consensus(partitions, k=3, seed=0)
    names = list(permutations(range(3)))
    renamed = np.stack([np.append(names[i % 6], [-2, -1])[partition] for i, partition in enumerate(partitions)])
    second = consensus(renamed[::-1], k=3, seed=0)
    np.testing.assert_array_equal(first.clusters, second.clusters)
    np.testing.assert_allclose(first.votes, second.votes)


def test_consensus_of_one_partition_is_it_by_size():
    found = consensus(np.array([[5, 5, 2, 2, 2, -1, -2]]), k=2, seed=0)
    assert found.clusters.tolist() == [1, 1, 0, 0, 0, -1, -1]
    assert found.confidence.tolist() == [1, 1, 1, 1, 1, 1, 0]
    assert found.second.tolist() == [-1] * 7
    assert found.clusters.dtype == found.second.dtype == np.int32


def test_noise_may_win_and_a_cluster_without_a_partner_votes_for_none():
    partitions = np.array(
        [
            [0, 0, 0, 1, 1, 1, -1, -2],
            [0, 0, 0, 1, 1, 1, -1, -2],
            [0, 0, 0, 1, 1, 2, 0, 2],  # its cluster 2 has no partner among two
        ]
    )
    found = consensus(partitions, k=2, seed=0)
    assert found.clusters.tolist() == [0, 0, 0, 1, 1, 1, -1, -1]
    np.testing.assert_allclose(found.confidence, [1, 1, 1, 1, 1, 2 / 3, 2 / 3, 0])
    assert found.second.tolist() == [-1] * 6 + [0, -1]
    np.testing.assert_allclose(found.votes[5:], [[0, 2 / 3], [1 / 3, 0], [0, 0]])


@pytest.mark.parametrize("k", [2, 5])
def test_consensus_where_no_partition_has_k_clusters(k):
    truth = np.repeat([0, 1, 2], [30, 20, 10])
    found = consensus(np.stack([truth, truth, (truth + 1) % 3]), k=k, seed=0)
    np.testing.assert_array_equal(found.clusters, np.where(truth < min(k, 3), truth, -1))
    assert found.votes.shape == (60, k)


def test_ties_are_broken_by_the_seed_without_favour():
    """Two partitions, half of the tracks torn between two clusters: neither gets them all, and a seed repeats."""
    first = np.repeat([0, 1], 200)
    second = np.where(np.arange(400) % 2 == 0, first, 1 - first)
    second[:20], second[200:220] = 0, 1  # so that the names are clear
    partitions = np.stack([first, second])
    found = consensus(partitions, k=2, seed=0)
    torn = first != second
    assert 0.4 < (found.clusters[torn] == found.clusters[0]).mean() < 0.6
    assert (found.confidence[torn] == 0.5).all()
    assert (found.second[torn] == 1 - found.clusters[torn]).all()
    np.testing.assert_array_equal(found.clusters, consensus(partitions, k=2, seed=0).clusters)
    assert (found.clusters != consensus(partitions, k=2, seed=1).clusters).any()


def test_adjust_for_null():
    assert adjust_for_null(0.5, [0.1, 0.5, 0.6, 0.0]) == pytest.approx(
        {"value": 0.5, "null": 0.3, "gap": 0.2, "p": 0.6}
    )
    undefined = adjust_for_null(float("nan"), [0.1, 0.2])
    assert undefined["p"] == 1
    assert np.isnan(undefined["gap"])
    assert adjust_for_null(-0.2, [np.nan, np.nan, 0.0], lowest=-1.0)["p"] == 0.5
    assert adjust_for_null(-0.2, [np.nan, np.nan, 0.0], lowest=-1.0)["null"] == pytest.approx(-2 / 3)
    assert adjust_for_null(0.3, [])["p"] == 1


def test_over_splitting_does_not_win_once_held_against_its_null():
    """Four groups on a line, cut in two and in four: a cloud is cut in two as surely, so that two is worth little."""

    def stability(z, k):
        rng = np.random.default_rng(0)
        partitions = np.full((12, len(z)), -2)
        for b, partition in enumerate(partitions):
            rows = rng.choice(len(z), len(z) // 2, replace=False)
            partition[rows] = kmeans(z[rows], k=k, seed=b).clusters
        return np.nanmean(pairwise_ari(partitions)[np.triu_indices(12, 1)])

    rng = np.random.default_rng(1)
    z = rng.normal(size=(200, 1)) + np.repeat([0, 6, 12, 18], 50)[:, None]
    gaps = {}
    for k in (2, 4):
        nulls = [stability(np.random.default_rng(b).normal(size=z.shape), k) for b in range(9)]
        gaps[k] = adjust_for_null(stability(z, k), nulls)["gap"]
    assert stability(z, 2) > 0.9
    assert gaps[4] > gaps[2] + 0.1


def test_bad_partitions_are_named():
    for bad in (np.zeros(4, int), np.zeros((2, 4)), np.full((2, 4), -3)):
        with pytest.raises(ValueError, match="partitions: shape"):
            pairwise_ari(bad)
    with pytest.raises(ValueError, match="reference"):
        cluster_stability(np.zeros(3, int), np.zeros((2, 4), int))
    with pytest.raises(ValueError, match="k = 0"):
        consensus(np.zeros((2, 4), int), k=0, seed=0)
    with pytest.raises(ValueError, match="0 partitions"):
        consensus(np.zeros((0, 4), int), k=2, seed=0)
