"""`python -m experiments.evaluate --listening`: answers of listeners against the key of a run's listening test."""

import json

import numpy as np
import pytest
from command_line import script

from musiclust.listening.odd_one_out import draw_trials, make_key, write_key

CLUSTERS = np.repeat([0, 1, 2], 10)


@pytest.fixture
def place(tmp_path):
    """A run's folder with the key of a test of 50 trials, and two files of answers."""
    ids = [f"t{i:02d}" for i in range(30)]
    trials = draw_trials(CLUSTERS, seed=0, trials=50)
    key = make_key(trials, ids, {0: "[red]piano", 1: "metal"})
    write_key(tmp_path / "run" / "playlists" / "listening_test" / "key.json", key, ids)
    for name, wrong in (("Ada", [2]), ("B\x1bob", [1, 2])):
        answers = [
            {"trial": one.trial, "answer": (one.odd + (one.cluster in wrong or one.check)) % 3, "seconds": 8.0}
            for one in trials
        ]
        record = {"test": key.test, "listener": name, "answers": answers}
        (tmp_path / f"{name[0]}.json").write_text(json.dumps(record))
    return tmp_path


def evaluate(place, *args):
    code, out, err = script(place, "evaluate", *args)
    return code, " ".join(out.split()), " ".join(err.split())


def test_answers_are_scored_by_listener_and_cluster(place):
    code, out, err = evaluate(place, f"--run={place / 'run'}", f"--listening={place / 'A.json'},{place / 'B.json'}")
    assert code == 0, err
    assert "Ada 40 68 % 52 to 80 % 0 of 10" in out
    assert r"B\x1bob 40 35 %" in out  # what steers a terminal is no name
    assert "0: [red]piano 28 100 % 88 to 100 % yes" in out
    assert "cluster 2 26 0 %" in out
    assert "2 listeners found the song of the other cluster in 51 % of the trials (80 answers; 95 % interval" in out
    assert "guessing finds it in 33 %" in out


def test_the_key_may_lie_elsewhere(place):
    key = place / "run" / "playlists" / "listening_test" / "key.json"
    moved = key.rename(place / "moved.json")
    code, out, err = evaluate(place, f"--listening_key={moved}", f"--listening={place / 'A.json'}")
    assert code == 0, err
    assert "One listener found" in out
    code, _, err = evaluate(place, f"--run={place / 'run'}", f"--listening={place / 'A.json'}")
    assert code == 1
    assert "key.json is not there: it is the key of a listening test" in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "give the file of answers that the page of the test let a listener save"),
        ('{"test": "x", "listener": "Ada", "answers": []}', "has answers to another listening test"),
        (None, "is not there: give the file of answers"),
    ],
)
def test_bad_answers_get_one_line(place, text, message):
    path = place / "bad.json"
    if text is not None:
        path.write_text(text)
    code, _, err = evaluate(place, f"--run={place / 'run'}", f"--listening={place / 'A.json'},{path}")
    assert code == 1
    assert message in err
    assert err.count("error:") == 1


def test_what_is_missing_is_named(place):
    assert "--run=runs/..., or its key" in evaluate(place, f"--listening={place / 'A.json'}")[2]
    assert "give the answers too" in evaluate(place, "--listening_key=key.json")[2]
    twice = evaluate(place, f"--run={place / 'run'}", f"--listening={place / 'A.json'},{place / 'A.json'}")[2]
    assert "two files of answers are of 'Ada'" in twice
