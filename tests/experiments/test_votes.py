"""The facts of what clusters are worth: votes, the numbers of a consensus, controls that are credited or not."""

import numpy as np
import pytest

from experiments.study.trust import _controls, _numbered_alike, count_votes
from musiclust.metrics.judge import Judge
from musiclust.metrics.stability import consensus


@pytest.fixture(scope="module")
def blobs():
    rng = np.random.default_rng(0)
    truth = np.arange(60) % 3
    return rng.normal(size=(3, 4))[truth] * 8 + rng.normal(size=(60, 4)), truth


def test_a_consensus_has_the_numbers_of_the_clusters_shown():
    shown = np.array([2, 2, 2, 0, 0, 0, 1, 1, 1, -1], np.int32)
    same = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, -1])  # the same groups by other numbers
    other = np.array([0, 0, 1, 1, 1, 1, 2, 2, 2, -1])  # one song is elsewhere
    agreed = consensus(np.stack([same, same, same, other]), k=3, seed=0)
    found = _numbered_alike(agreed, shown)
    np.testing.assert_array_equal(found.clusters, shown)
    assert found.clusters.dtype == np.int32
    np.testing.assert_allclose(found.votes[2], [0.25, 0, 0.75])
    assert found.second[2] == 0
    np.testing.assert_array_equal(found.confidence, agreed.confidence)
    assert found.second[0] == -1  # no song but that one has a second
    np.testing.assert_allclose(found.votes.sum(axis=1)[:9], 1.0)


def test_a_consensus_may_have_more_or_fewer_clusters_than_are_shown():
    shown = np.repeat([1, 0], 5).astype(np.int32)
    three = np.repeat([0, 1, 2], (5, 3, 2))
    found = _numbered_alike(consensus(np.stack([three] * 3), k=3, seed=0), shown)
    np.testing.assert_array_equal(found.clusters[:8], shown[:8])
    assert set(found.clusters[8:].tolist()) == {2}
    one = np.zeros(10, int)
    found = _numbered_alike(consensus(np.stack([one] * 3), k=2, seed=0), shown)
    assert len(set(found.clusters.tolist())) == 1
    assert found.votes.shape[0] == 10


def test_clusters_that_are_there_come_back_and_all_songs_are_sure(blobs):
    x, _ = blobs
    judge = Judge(x, k=3)
    clusters = judge.clusterer("kmeans", 0).whole(x)
    votes = count_votes(judge, x, clusters, [clusters, clusters], None)
    assert votes.how == "latents"
    assert votes.partitions.shape == (12, 60)  # two seeds, ten halves
    assert ((votes.partitions[2:] == -2).sum(axis=1) == 30).all()
    np.testing.assert_array_equal(votes.consensus.clusters, clusters)
    assert votes.jaccard.min() > 0.95
    assert votes.jaccard_null < 0.9  # of a hollow cloud, which is cut in three in the same places now and then
    assert votes.consensus.confidence.min() > 0.9


def test_clusters_of_a_cloud_fall_apart_and_songs_are_unsure():
    z = np.random.default_rng(1).normal(size=(80, 6))
    judge = Judge(z, k=6)
    clusters = judge.clusterer("kmeans", 0).whole(z)
    seeds = [judge.clusterer("kmeans", seed).whole(z) for seed in range(3)]
    votes = count_votes(judge, z, clusters, seeds, None)
    assert votes.jaccard.mean() < 0.6
    assert votes.jaccard.mean() == pytest.approx(votes.jaccard_null, abs=0.15)  # as of any cloud
    assert np.mean(votes.consensus.confidence >= 0.75) < 0.7


def test_partitions_by_training_on_subsamples_take_the_place_of_halves(blobs):
    x, truth = blobs
    parts = np.tile(truth, (4, 1))
    parts[:, :12] = -2
    swapped = np.where(parts == 0, 1, np.where(parts == 1, 0, parts))  # each training has its own numbers
    votes = count_votes(Judge(x, k=3), x, truth, [truth], np.concatenate([parts, swapped]))
    assert votes.how == "training"
    assert votes.partitions.shape == (9, 60)
    np.testing.assert_allclose(votes.jaccard, 1.0)
    np.testing.assert_array_equal(votes.consensus.clusters, truth)


@pytest.mark.filterwarnings("error")
def test_a_cloud_without_any_cluster_does_not_spoil_the_null():
    """A density clusterer calls all of one cloud noise, and the mean over the others was not defined."""
    z = np.random.default_rng(0).normal(size=(40, 3))
    judge = Judge(z, clusterers=("hdbscan",), k=3)
    noise = np.full(40, -1)
    votes = count_votes(judge, z, noise, [noise], None)
    assert votes.jaccard.shape == (0,)
    assert 0 < votes.jaccard_null < 1


def test_halves_are_whole_songs(blobs):
    x, truth = blobs
    song = np.array([f"{i:02d}" for i in np.arange(60) // 4])
    votes = count_votes(Judge(x, k=3, group=song), x, truth, [truth], None)
    for one in votes.partitions[1:]:
        there = one > -2
        assert len(set(song[there]) & set(song[~there])) <= 1  # but the one that fills a half up


def rows(ours, controls, clusterer="kmeans"):
    """The shown setting, a setting of another beta that is much better, and controls, each with ARI by seed."""

    def row(kind, seed, ari, **more):
        settings = {"clusterer": clusterer, "beta": 1.0, "learning_rate": 1e-3}
        return {"kind": kind, "seed": seed, "scores": {"ari": ari}, **settings, **more}

    made = [row("model", seed, ari) for seed, ari in enumerate(ours)]
    made += [row("model", seed, 0.9, beta=4.0) for seed in range(len(ours))]
    made += [row("model", seed, 0.9, clusterer="gmm") for seed in range(len(ours))]
    for name, values in controls.items():
        made += [row("control", seed, ari, control=name) for seed, ari in enumerate(values)]
        made += [row("control", seed, 0.0, control=name, clusterer="gmm") for seed in range(len(values))]
    return made


def test_what_a_control_equals_is_not_credited():
    """Words shuffled were as good as words: the mask was what helped."""
    ours = [0.28, 0.27, 0.29]
    controls = {"words_shuffled": [0.29, 0.27, 0.28], "sound_only": [0.20, 0.19, 0.21], "mask only": [0.13, 0.13, 0.13]}
    found = {one["what"]: one for one in _controls(rows(ours, controls), 0)}
    assert {name: one["credited"] for name, one in found.items()} == {
        "the words shuffled among the songs that have any": False,
        "the sound alone": True,
        "nothing but which songs have words": True,
    }
    sound = found["the sound alone"]
    assert (sound["ours"], sound["ari"]) == (pytest.approx(0.28), pytest.approx(0.20))
    assert sound["difference"]["mean"] == pytest.approx(0.08)


def test_a_difference_that_seeds_may_undo_is_not_credited():
    (one,) = _controls(rows([0.40, 0.10, 0.30], {"sound_only": [0.20, 0.20, 0.20]}), 0)
    assert one["difference"]["mean"] > 0
    assert not one["credited"]


@pytest.mark.parametrize(("ari", "credited"), [(0.25, True), (0.27, False)])
def test_of_one_seed_a_difference_under_the_margin_is_none(ari, credited):
    (one,) = _controls(rows([0.28], {"sound_only": [ari]}), 0)
    assert one["credited"] is credited


def test_without_classes_or_controls_nothing_is_held_against_another():
    assert _controls(rows([0.3], {}), 0) == []
    assert _controls(rows([np.nan], {"sound_only": [np.nan]}), 0) == []
