"""The most typical and the oddest songs of clusters, against distances by hand."""

import numpy as np

from musiclust.report import typical
from musiclust.report.typical import find_examples


def test_typical_songs_are_medoids_and_odd_ones_far():
    rng = np.random.default_rng(0)
    z = np.r_[rng.normal(size=(30, 3)), [[6, 6, 6]], rng.normal(20, 1, (10, 3)), [[0, 0, 0]]]
    clusters = np.r_[np.zeros(31, int), np.ones(10, int), -1]
    first, second = find_examples(z, clusters, typical=4, oddest=2)
    distance = np.linalg.norm(z[:31, None] - z[None, :31], axis=2).mean(axis=1)
    assert first.typical == np.argsort(distance)[:4].tolist()
    assert first.oddest[0] == 30
    assert first.distance[0] == round(distance[30] / np.median(distance), 2) > 2
    assert first.distance == sorted(first.distance, reverse=True)
    assert (first.cluster, second.cluster) == (0, 1)
    assert all(31 <= row < 41 for row in second.typical + second.oddest)


def test_the_hollow_middle_of_a_ring_is_not_needed():
    """A mean of a half ring lies outside it; the medoid does not."""
    angle = np.linspace(0, np.pi, 21)
    (ring,) = find_examples(np.column_stack([np.cos(angle), np.sin(angle)]), np.zeros(21, int), typical=1)
    assert ring.typical == [10]


def test_one_song_of_a_group():
    z = np.r_[np.linspace(0, 1, 12), 5, 5.1][:, None]
    group = np.array([*"aaaabbbbcccc", "far", "far"])
    (one,) = find_examples(z, np.zeros(14, int), group=group, typical=8, oddest=3)
    assert sorted(group[one.typical]) == ["a", "b", "c", "far"]
    assert one.oddest == []  # each group is shown already
    (one,) = find_examples(z, np.zeros(14, int), group=group, typical=2, oddest=3)
    assert one.oddest == [13, *one.oddest[1:]]
    assert len(set(group[one.typical + one.oddest])) == len(one.typical + one.oddest)


def test_few_songs_and_songs_at_one_place():
    assert find_examples(np.zeros((1, 2)), np.zeros(1, int))[0].typical == [0]
    alike = find_examples(np.zeros((5, 2)), np.zeros(5, int))[0]
    assert (alike.typical, alike.oddest) == ([0, 1, 2, 3, 4], [])
    assert find_examples(np.zeros((3, 2)), np.full(3, -1)) == []


def test_large_clusters_are_compared_with_some_of_their_songs(monkeypatch):
    z = np.random.default_rng(0).normal(size=(400, 2))
    whole = find_examples(z, np.zeros(400, int), typical=10)[0]
    monkeypatch.setattr(typical, "MOST_COMPARED", 50)
    some = find_examples(z, np.zeros(400, int), typical=10)[0]
    assert set(some.oddest) == set(whole.oddest)
    assert len(set(some.typical) & set(whole.typical)) >= 3
    assert np.linalg.norm(z[some.typical], axis=1).max() < 0.7
