"""Tags of both sets as one vocabulary, and the strongest of a song."""

import numpy as np

from musiclust.report.tags import NOT_HEARD, OPPOSITES, SYNONYMS, merge_tags, strongest_tags


def test_the_same_word_of_both_sets_is_the_stronger_of_them():
    values, words = merge_tags(np.array([[0.2, 0.6], [0.5, 0.1]]), ["mtt:guitar", "msd:guitar"])
    assert words == ("guitar",)
    assert values[:, 0].tolist() == [0.6, 0.5]


def test_words_are_small_and_sets_are_forgotten():
    assert merge_tags(np.zeros((1, 3)), ["msd:Mellow", "Hip-Hop", "mtt:classic"])[1] == (
        "classical",
        "hip-hop",
        "mellow",
    )
    assert merge_tags(np.zeros((2, 1)), ["msd:80s"])[0].shape == (2, 0)


def test_the_tables_agree_with_each_other():
    said = set(SYNONYMS.values())
    assert not said & set(SYNONYMS)  # no word stands for one that stands for another
    assert not NOT_HEARD & (said | set(SYNONYMS))
    assert not {word for pair in OPPOSITES for word in pair} & set(SYNONYMS)  # opposites are of merged words


def test_strongest_tags_are_few_sure_and_in_agreement():
    words = ["fast", "slow", "piano", "solo", "quiet", "rock"]
    rows = np.array([[0.3, 0.6, 0.9, 0.5, 0.4, 0.2], [0.1, 0.0, 0.1, 0.1, 0.0, 0.14], [np.nan] * 6])
    assert strongest_tags(rows, words) == [[("piano", 0.9), ("slow", 0.6), ("solo", 0.5), ("quiet", 0.4)], [], []]
