"""Odd-one-out trials: balance, groups, checks; and scores of answers against hand-made cases and simulated guessing."""

import json
from collections import Counter

import numpy as np
import pytest

from musiclust.errors import InputError
from musiclust.listening.odd_one_out import (
    Answers,
    Trial,
    draw_trials,
    make_key,
    read_answers,
    read_key,
    score_answers,
    wilson_interval,
    write_key,
)

CLUSTERS = np.repeat([0, 1, 2, 3, -1], [40, 30, 20, 10, 12])


def answers(trials, right, name="Ada"):
    """Answers of which the trials in `right` are right and the others wrong."""
    places = {one.trial: one.odd if one.trial in right else (one.odd + 1) % 3 for one in trials}
    return Answers(name, places, dict.fromkeys(places, 4.0))


def spread(counts):
    return max(counts.values()) - min(counts.values())


@pytest.mark.parametrize("seed", range(5))
def test_trials_are_what_they_say_and_balanced(seed):
    trials = draw_trials(CLUSTERS, seed=seed, trials=60)
    checks, real = ([one for one in trials if one.check is check] for check in (True, False))
    assert (len(checks), len(real)) == (12, 48)
    for one in trials:
        codes = CLUSTERS[list(one.songs)]
        assert len(set(one.songs)) == 3
        assert codes[one.odd] == one.odd_cluster
        assert set(np.delete(codes, one.odd)) == {one.cluster}
        assert (one.cluster == one.odd_cluster) == one.check
    assert min(CLUSTERS[song] for one in trials for song in one.songs) == 0  # no noise
    assert Counter(one.cluster for one in real) == dict.fromkeys(range(4), 12)
    assert spread(Counter(one.odd_cluster for one in real)) <= 1
    assert Counter(one.odd for one in real) == dict.fromkeys(range(3), 16)
    assert Counter(one.odd for one in checks) == dict.fromkeys(range(3), 4)
    assert Counter(one.cluster for one in checks) == dict.fromkeys(range(4), 3)
    # Each cluster's odd songs stand everywhere, and it meets every other cluster.
    assert all(spread(Counter(one.odd for one in real if one.cluster == code)) <= 2 for code in range(4))
    assert len({(one.cluster, one.odd_cluster) for one in real}) == 12
    used = Counter(song for one in trials for song in one.songs if CLUSTERS[song] == 0)
    assert max(used.values()) <= 2  # 40 songs, about 45 places
    assert [one.trial for one in trials] == [f"{number:02d}" for number in range(1, 61)]


def test_checks_are_spread_among_the_others():
    places = [i for i, one in enumerate(draw_trials(CLUSTERS, seed=0, trials=100)) if one.check]
    assert 20 < np.mean(places) < 80
    assert np.ptp(places) > 50


def test_the_seed_decides():
    assert draw_trials(CLUSTERS, seed=3, trials=20) == draw_trials(CLUSTERS, seed=3, trials=20)
    assert draw_trials(CLUSTERS, seed=3, trials=20) != draw_trials(CLUSTERS, seed=4, trials=20)


def test_songs_of_one_group_never_meet():
    artist = np.array([f"artist {i % 5}" for i in range(len(CLUSTERS))])
    trials = draw_trials(CLUSTERS, seed=0, trials=80, group=artist)
    assert all(len({artist[song] for song in one.songs}) == 3 for one in trials)
    # Two groups in each cluster, one of them shared: the odd song must leave the pair its two.
    clusters, group = np.repeat([0, 1], 4), np.array([0, 0, 1, 1, 1, 1, 2, 2])
    for one in draw_trials(clusters, seed=0, trials=30, group=group):
        assert len({group[song] for song in one.songs}) == 3
        assert not one.check


@pytest.mark.parametrize(
    ("clusters", "group"),
    [
        (np.zeros(9, int), None),
        (np.full(9, -1), None),
        (np.arange(9), None),
        (np.repeat([0, 1], 5), np.zeros(10, int)),
        (np.repeat([0, 1], 4), np.array([0, 0, 1, 1, 1, 1, 0, 0])),
        (np.zeros(0, int), None),
    ],
)
def test_where_no_trial_can_be_made_one_line_says_so(clusters, group):
    with pytest.raises(InputError, match="no listening test can be made: it needs a cluster with two songs"):
        draw_trials(clusters, seed=0, trials=5, group=group)
    with pytest.raises(InputError, match="of 0 trials"):
        draw_trials(CLUSTERS, seed=0, trials=0)


def test_wilson_is_that_of_the_paper():
    # By the formula: (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n).
    z, n, p = 1.959963984540054, 30, 0.5
    middle, reach = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    expected = (middle - reach) / (1 + z**2 / n), (middle + reach) / (1 + z**2 / n)
    assert wilson_interval(15, 30) == pytest.approx(expected)
    assert np.isnan(wilson_interval(0, 0)).all()
    assert wilson_interval(0, 5)[0] == 0


def test_scores_by_cluster_and_listener():
    trials = draw_trials(CLUSTERS, seed=0, trials=60)
    real = [one for one in trials if not one.check]
    ada = answers(trials, {one.trial for one in real if one.cluster != 3})
    scores = score_answers(trials, [ada])
    assert (scores.overall.found, scores.overall.answers) == (36, 48)
    assert (scores.overall.low, scores.overall.high) == wilson_interval(36, 48)
    assert scores.overall == scores.by_listener["Ada"]
    assert {code: rate.accuracy for code, rate in scores.by_cluster.items()} == {0: 1.0, 1: 1.0, 2: 1.0, 3: 0.0}
    assert scores.by_cluster[3].answers == 12
    assert scores.heard == [0, 1, 2]
    assert scores.together == scores.overall
    assert (scores.checks["Ada"].found, scores.checks["Ada"].answers) == (0, 12)
    assert scores.suspicious == []
    assert scores.seconds == {"Ada": 4.0}


def test_several_listeners_have_an_interval_over_listeners():
    trials = draw_trials(CLUSTERS, seed=0, trials=60)
    ids = [one.trial for one in trials if not one.check]
    several = [answers(trials, set(ids[:right]), f"listener {right}") for right in (22, 24, 26)]
    rate = score_answers(trials, several).overall
    assert (rate.found, rate.answers, rate.accuracy) == (72, 144, 0.5)
    reach = 4.302652729911275 * (2 / 48) / np.sqrt(3)  # Student's t with 2 degrees of freedom; deviation 2 / 48
    assert (rate.low, rate.high) == pytest.approx((0.5 - reach, 0.5 + reach))
    far = [answers(trials, set(ids[:right]), f"listener {right}") for right in (0, 48)]
    assert score_answers(trials, far).overall[3:] == (0.0, 1.0)
    # Listeners who happen to agree are no surer than their answers.
    same = [answers(trials, set(ids[:24]), name) for name in ("a", "b")]
    rate = score_answers(trials, same).overall
    assert (rate.low, rate.high) == wilson_interval(48, 96)


def test_a_listener_who_has_the_key_is_suspected_and_guessing_is_not():
    trials = draw_trials(CLUSTERS, seed=0, trials=60)
    thief = answers(trials, {one.trial for one in trials}, "thief")
    rng = np.random.default_rng(0)
    guesses = [Answers(f"guess {i}", {one.trial: int(rng.integers(3)) for one in trials}, {}) for i in range(200)]
    scores = score_answers(trials, [thief, *guesses])
    assert "thief" in scores.suspicious
    assert len(scores.suspicious) - 1 <= 0.05 * 200 + 6
    heard = [score_answers(trials, [one]).overall.audible for one in guesses]
    assert np.mean(heard) <= 0.06
    assert score_answers(trials, guesses).overall.accuracy == pytest.approx(1 / 3, abs=0.02)
    assert not score_answers(trials, guesses).overall.audible


def test_trials_without_an_answer_do_not_count():
    trials = draw_trials(CLUSTERS, seed=0, trials=20)
    first = next(one for one in trials if not one.check)
    scores = score_answers(trials, [Answers("Ada", {first.trial: first.odd}, {})])
    assert (scores.overall.found, scores.overall.answers) == (1, 1)
    assert np.isnan(scores.checks["Ada"].accuracy)
    assert np.isnan(scores.seconds["Ada"])
    with pytest.raises(InputError, match="no answer to a trial"):
        score_answers(trials, [Answers("Ada", {}, {})])
    with pytest.raises(InputError, match="two files of answers are of 'Ada'"):
        score_answers(trials, [Answers("Ada", {first.trial: 0}, {})] * 2)


def test_the_key_comes_back_and_names_its_test(tmp_path):
    ids = np.array([f"song {i}" for i in range(len(CLUSTERS))])
    trials = draw_trials(CLUSTERS, seed=0, trials=20)
    key = make_key(trials, ids, {0: "piano", 1: "[b]\ud800", 9: "unused"})
    write_key(tmp_path / "key.json", key, ids)
    assert read_key(tmp_path / "key.json") == key
    assert key.names == {0: "piano", 1: "[b]\ud800", 2: "", 3: ""}
    assert make_key(draw_trials(CLUSTERS, seed=1, trials=20), ids, {}).test != key.test
    assert make_key(trials, ids[::-1], {}).test != key.test
    assert isinstance(read_key(tmp_path / "key.json").trials[0], Trial)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"format": 9}', "format 9, this version reads 1"),
        ('{"format": 1, "test": "x", "clusters": [], "trials": [{"trial": "1", "songs": [1, 2]}]}', "damaged"),
        ("[" * 100_000, "damaged"),
    ],
)
def test_a_damaged_key_gets_one_line(tmp_path, text, message):
    (tmp_path / "key.json").write_text(text)
    with pytest.raises(InputError, match=message):
        read_key(tmp_path / "key.json")
    with pytest.raises(InputError, match="is not there"):
        read_key(tmp_path / "none.json")


def test_answers_are_read_and_foreign_ones_refused(tmp_path):
    trials = draw_trials(CLUSTERS, seed=0, trials=20)
    key = make_key(trials, list(map(str, range(len(CLUSTERS)))), {})
    path = tmp_path / "answers.json"
    one = {"trial": trials[0].trial, "answer": 2, "seconds": 3.5}
    record = {"test": key.test, "listener": " Ada \n L ", "answers": [one]}

    def read(**changes):
        path.write_text(json.dumps(record | changes))
        return read_answers(path, key)

    assert read() == Answers("Ada L", {trials[0].trial: 2}, {trials[0].trial: 3.5})
    assert read(listener=" ").listener == "answers"
    for changes, message in (
        ({"test": "another"}, "answers to another listening test"),
        ({"listener": 5}, "is damaged"),
        ({"answers": [one | {"answer": 3}]}, "answer 3 to trial"),
        ({"answers": [one | {"answer": True}]}, "is damaged"),
        ({"answers": [one | {"answer": "1"}]}, "is damaged"),
        ({"answers": [one | {"trial": "x"}]}, "which the test cannot have"),
        ({"answers": [one | {"seconds": None}]}, "is damaged"),
        ({"answers": [one, one]}, "answers a trial twice"),
        ({"answers": {}}, ""),
    ):
        if message:
            with pytest.raises(InputError, match=message):
                read(**changes)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="is damaged"):
        read_answers(path, key)
    with pytest.raises(InputError, match="is not there"):
        read_answers(tmp_path / "none.json", key)


def test_of_many_clusters_none_is_heard_by_guessing():
    clusters = np.repeat(np.arange(20), 6)
    trials = draw_trials(clusters, seed=0, trials=150)
    rng = np.random.default_rng(1)
    guesses = [Answers("x", {one.trial: int(rng.integers(3)) for one in trials}, {}) for _ in range(100)]
    assert sum(bool(score_answers(trials, [one]).heard) for one in guesses) <= 8
