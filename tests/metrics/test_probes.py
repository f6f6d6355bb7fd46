import numpy as np
import pytest

from musiclust.errors import InputError
from musiclust.metrics import probes
from musiclust.metrics.probes import probe


def apart(truth, distance, columns=10, seed=0):
    """Points with a centre a class, `distance` standard deviations from each other."""
    rng = np.random.default_rng(seed)
    centres = np.eye(truth.max() + 1, columns) * distance / np.sqrt(2)
    return rng.normal(size=(len(truth), columns)) + centres[truth]


def test_classes_that_are_apart_are_told_by_both():
    truth = np.random.default_rng(0).permutation(np.repeat(np.arange(5), 40))
    found = probe(apart(truth, 6), truth)
    assert (found["tracks"], found["folds"], found["left_out"]) == (200, 5, [])
    for name, best in (("knn", 1 / 200), ("linear", 1 / 40)):
        assert found[name]["balanced_accuracy"] > 0.95
        assert found[name]["chance"] == pytest.approx(0.2, abs=0.03)
        assert found[name]["p"] == pytest.approx(best)
        assert all(one["told"] and one["recall"] > 0.8 for one in found[name]["per_class"].values())
    assert found["told"] == dict.fromkeys(range(5), True)


@pytest.mark.parametrize(("name", "draws"), [("knn", 99), pytest.param("linear", 19, marks=pytest.mark.slow)])
def test_shuffled_classes_are_at_chance(monkeypatch, name, draws):
    monkeypatch.setattr(probes, "SHUFFLES", dict.fromkeys(probes.SHUFFLES, 1) | {name: draws})
    beyond = told = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        truth = np.repeat(np.arange(3), [20, 20, 2])
        found = probe(rng.standard_t(3, size=(42, 6)), rng.permutation(truth), seed=seed)[name]
        beyond += found["p"] <= 0.05
        told += any(one["told"] for one in found["per_class"].values())
    assert beyond <= 5  # more than 5 of 40 at a level of 0.05 have a probability of 0.014
    assert told <= 4  # and more than 4 at a level of 0.025 one of 0.003


def test_clips_of_one_song_help_only_where_the_group_is_not_told():
    rng = np.random.default_rng(0)
    song = np.repeat(np.arange(40), 5)
    x = (rng.normal(size=(40, 8)) * 3)[song] + rng.normal(size=(200, 8))
    truth = rng.permutation(np.arange(40) % 4)[song]  # classes that mean nothing, the same for all clips of a song
    naive, aware = probe(x, truth), probe(x, truth, group=song)
    assert naive["knn"]["balanced_accuracy"] > 0.6
    assert naive["knn"]["p"] == 1 / 200
    for name in ("knn", "linear"):
        assert aware[name]["balanced_accuracy"] < 0.4
        assert aware[name]["p"] > 0.05
    assert not any(aware["told"].values())


def test_classes_with_clips_are_still_told():
    song = np.repeat(np.arange(40), np.tile([1, 3, 6, 2], 10))
    truth = (np.arange(40) % 3)[song]
    found = probe(apart(truth, 5), truth, group=np.array([f"song {i}" for i in song]))
    assert found["told"] == dict.fromkeys(range(3), True)
    assert found["knn"]["p"] == 1 / 200


def test_one_class_of_random_tracks_among_real_ones_is_caught():
    rng = np.random.default_rng(1)
    truth = np.repeat(np.arange(5), 40)
    x = apart(truth, 6)
    truth[rng.choice(200, 40, replace=False)] = 5  # a class whose tracks come from all the others
    told = probe(x, truth)["told"]
    assert told == {0: True, 1: True, 2: True, 3: True, 4: True, 5: False}


def test_misjoined_classes_are_at_chance():
    truth = np.random.default_rng(0).permutation(np.repeat(np.arange(5), 40))
    found = probe(apart(truth, 6), np.roll(truth, 1))
    assert not any(found["told"].values())
    assert min(found["knn"]["p"], found["linear"]["p"]) > 0.05


def test_small_classes_and_unknown_tracks_are_left_out_and_named():
    truth = np.repeat([0, 1, 7, 9, -1], [30, 30, 1, 3, 10])
    x = apart(np.maximum(truth, 0), 6)
    group = np.arange(74)
    group[61:64] = 61  # three clips of one song
    found = probe(x, truth, group=group)
    assert found["left_out"] == [7, 9]
    assert found["tracks"] == 60
    assert set(found["told"]) == {0, 1}
    assert probe(x, truth)["folds"] == 3  # the rarest class has three tracks


def test_a_class_of_two_songs_can_be_told():
    truth = np.repeat([0, 1, 2], [60, 60, 2])
    found = probe(apart(truth, 40), truth)
    assert found["folds"] == 2
    assert found["knn"]["per_class"][2]["recall"] == 1


def test_large_collections_are_drawn_from_and_keep_their_small_classes(monkeypatch):
    monkeypatch.setattr(probes, "LIMIT", 120)
    truth = np.random.default_rng(0).permutation(np.repeat(np.arange(3), [900, 300, 20]))
    song = np.arange(1220) // 2
    found = probe(apart(truth, 6), truth, group=song)
    assert 100 <= found["tracks"] <= 200
    assert found["told"] == dict.fromkeys(range(3), True)


def test_what_cannot_be_asked_is_nan():
    for truth in (np.zeros(20, int), np.full(20, -1), np.arange(20)):
        found = probe(np.random.default_rng(0).normal(size=(20, 2)), truth)
        assert found["folds"] == 0
        assert found["told"] == found["knn"]["per_class"] == {}
        assert np.isnan(found["linear"]["balanced_accuracy"])
    assert probe(np.ones((20, 2)), np.arange(20) % 2)["folds"] == 0  # nothing varies


def test_units_constant_columns_and_seeds():
    truth = np.arange(90) % 3
    x = apart(truth, 3)
    found = probe(x, truth, seed=3)
    again = probe(np.append(x * np.geomspace(1e-3, 1e3, 10) + 7, np.full((90, 1), 0.1), axis=1), truth, seed=3)
    assert again["knn"] == found["knn"]
    assert again["linear"]["balanced_accuracy"] == pytest.approx(found["linear"]["balanced_accuracy"])


def test_more_columns_than_tracks():
    truth = np.arange(60) % 3
    x = apart(truth, 6) @ np.random.default_rng(1).normal(size=(10, 300))
    found = probe(x, truth)
    assert found["linear"]["balanced_accuracy"] > 0.95
    assert found["told"] == dict.fromkeys(range(3), True)
    assert not any(probe(x, np.random.default_rng(2).permutation(truth))["told"].values())


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="truth: shape"):
        probe(np.zeros((4, 2)), np.zeros(3, int))
    with pytest.raises(ValueError, match="integers from -1 up"):
        probe(np.zeros((4, 2)), np.full(4, -2))
    with pytest.raises(ValueError, match="group: shape"):
        probe(np.zeros((4, 2)), np.zeros(4, int), group=np.zeros(3, int))
    with pytest.raises(InputError, match="row 1"):
        probe(np.array([[0.0], [np.nan]]), np.zeros(2, int))
