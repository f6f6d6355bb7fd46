import numpy as np
import pytest

from musiclust.preprocess.demo.factors import describe_excerpt, find_mode
from musiclust.preprocess.demo.musicxml import NOTE


def excerpt(pitches, every, parts=1, seconds=10.0):
    """The pitches over and over, one every so many seconds, the same in all parts."""
    onsets = np.arange(0, seconds, every)
    rows = [
        (onset, every, pitches[i % len(pitches)], 80, part) for i, onset in enumerate(onsets) for part in range(parts)
    ]
    return np.array(rows, NOTE)


C_MAJOR = (60, 64, 67, 62, 65, 59, 60, 69, 67, 60)
A_MINOR = (69, 72, 76, 71, 74, 68, 69, 77, 76, 69)


@pytest.mark.parametrize("tonic", range(12))
def test_mode_of_a_scale_on_any_tonic(tonic):
    for pitches, mode in ((C_MAJOR, "major"), (A_MINOR, "minor")):
        assert describe_excerpt(excerpt(np.array(pitches) + tonic, 0.5), [73], 10.0)["mode"] == mode


def test_what_is_neither_major_nor_minor():
    assert find_mode(np.ones(12)) == "other"
    assert find_mode(np.array([1.0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0])) == "other"  # whole tones
    assert find_mode(np.zeros(12)) == "other"


@pytest.mark.parametrize(
    ("every", "tempo"), [(1.0, "slow"), (0.55, "slow"), (0.48, "moderate"), (0.26, "moderate"), (0.24, "fast")]
)
def test_tempo_counts_moments_not_notes(every, tempo):
    assert describe_excerpt(excerpt(C_MAJOR, every, parts=4), [48], 10.0)["tempo"] == tempo


@pytest.mark.parametrize(("parts", "voices"), [(1, "1"), (2, "2"), (3, "3"), (4, "4 or more"), (6, "4 or more")])
def test_voices(parts, voices):
    assert describe_excerpt(excerpt(C_MAJOR, 0.5, parts), [48], 10.0)["voices"] == voices


def test_register_weighs_notes_by_what_is_heard_of_them():
    for pitch, register in ((59, "low"), (60, "middle"), (71, "middle"), (72, "high")):
        assert describe_excerpt(excerpt([pitch], 0.5), [73], 10.0)["register"] == register
    notes = np.array([(0, 1, 80, 80, 0), (1, 8.9, 48, 80, 0), (9.9, 100, 90, 80, 0)], NOTE)  # the last is cut
    assert describe_excerpt(notes, [73], 10.0)["register"] == "low"
