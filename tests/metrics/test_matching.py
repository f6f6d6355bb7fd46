"""Matching of clusters and what changed, against cases that are made by hand and against all permutations."""

from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

from musiclust.metrics.matching import Flow, compare_partitions, match_clusters


def test_renumbered_clusters_are_found_again():
    before = np.array([0, 0, 0, 1, 1, 2, -1])
    after = np.array([2, 2, 2, 0, 0, 1, -1])
    assert match_clusters(before, after) == {0: 1, 1: 2, 2: 0}
    change = compare_partitions(before, after)
    assert not change.moved.any()
    assert (change.ari, change.ami, change.splits, change.merges) == (1.0, pytest.approx(1.0), {}, {})
    assert {flow.jaccard for flow in change.flows} == {1.0}


def test_the_matching_is_the_best_of_all():
    rng = np.random.default_rng(0)
    for _ in range(30):
        before, after = rng.integers(-1, 4, 40), rng.integers(-1, 5, 40)
        partner = match_clusters(before, after)
        shared = sum(((after == new) & (before == old)).sum() for new, old in partner.items())
        table = np.array([[((before == old) & (after == new)).sum() for new in range(5)] for old in range(4)])
        assert shared == max(sum(table[range(4), list(columns)]) for columns in permutations(range(5), 4))
        assert len(set(partner.values())) == len(partner)


def test_the_largest_share_is_not_taken_greedily():
    # Greedily 0 -> 0 (3 songs) leaves 1 -> 1 with none; together the others share 4.
    before = np.array([0, 0, 0, 0, 0, 1, 1])
    after = np.array([0, 0, 0, 1, 1, 0, 0])
    assert match_clusters(before, after) == {0: 1, 1: 0}


def test_clusters_that_share_no_song_and_noise_have_no_partner():
    assert match_clusters([0, 0, 1, -1, -1], [0, 0, 0, 1, -1]) == {0: 0}
    assert match_clusters([-1, -1], [0, -1]) == {}
    assert match_clusters(np.zeros(0, int), np.zeros(0, int)) == {}
    assert all(type(code) is int for pair in match_clusters([3], [5]).items() for code in pair)


def test_noise_is_its_own_partner():
    change = compare_partitions([-1, -1, 0, 0, 0], [-1, 0, 0, 0, -1])
    assert change.moved.tolist() == [False, True, False, False, True]
    assert change.sizes_before == {-1: 2, 0: 3}
    assert change.flows[0] == Flow(0, 0, 2, 0.5)


def test_a_song_of_a_cluster_without_partner_has_moved():
    change = compare_partitions([0, 0, 0, 1, 1], [0, 0, 0, 0, 0])
    assert change.moved.tolist() == [False, False, False, True, True]
    assert change.merges == {0: (0, 1)}
    assert change.splits == {}


def test_splits_and_merges():
    before = np.repeat([0, 1, 2, 3], [8, 4, 4, 8])
    after = np.repeat([0, 1, 2, 3, 3, 4], [6, 2, 4, 4, 7, 1])
    change = compare_partitions(before, after)
    assert change.splits == {0: (0, 1)}  # 6 and 2 of 8; of the 8 of cluster 3, one song is no part
    assert change.merges == {3: (2, 3)}
    # Two parts of three songs each, and the rest scattered one by one: half is in the parts.
    assert compare_partitions(np.zeros(12, int), np.r_[[0] * 3, [1] * 3, 2:8]).splits == {0: (0, 1)}
    assert compare_partitions(np.zeros(13, int), np.r_[[0] * 3, [1] * 3, 2:9]).splits == {}
    assert compare_partitions([0, 0, 0], [0, 1, 2]).splits == {}  # single songs are no parts


def test_agreement_is_scikit_learns_with_noise_as_a_group():
    rng = np.random.default_rng(1)
    before = rng.integers(-1, 3, 60)
    after = np.where(rng.random(60) < 0.6, before, rng.integers(-1, 3, 60))
    change = compare_partitions(before, after)
    assert change.ari == pytest.approx(adjusted_rand_score(before, after))
    assert change.ami == pytest.approx(adjusted_mutual_info_score(before, after))
    assert sum(flow.songs for flow in change.flows) == 60
    assert [flow.songs for flow in change.flows] == sorted((flow.songs for flow in change.flows), reverse=True)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ([0, 1], [0], "after: shape"),
        ([[0]], [[0]], "before: shape"),
        ([0.5], [0], "before: shape"),
        ([0, -2], [0, 0], "before: -2"),
    ],
)
def test_what_is_no_pair_of_partitions_is_refused(before, after, message):
    with pytest.raises(ValueError, match=message):
        match_clusters(before, after)
