"""Words of lyrics: what is one, and c-TF-IDF by hand."""

import numpy as np
import pytest

from musiclust.report.words import count_words, split_words, weigh_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ach Gott, vom Himmel sieh darein", ["gott", "himmel", "sieh", "darein"]),
        ("Don\N{RIGHT SINGLE QUOTATION MARK}t know why 1999", ["know"]),
        ("Cruda Amarilli, che col nome ancora", ["cruda", "amarilli", "col", "nome", "ancora"]),
        ("", []),
        ("la la la", []),
    ],
)
def test_words(text, words):
    assert split_words(text) == words


def test_weights_are_those_of_the_formula():
    counts, words = count_words(["gott gott himmel", "himmel", "liebe liebe liebe herz", "noise noise"])
    weights = weigh_words(counts, np.array([0, 0, 1, -1]))
    assert weights.shape == (2, 5)
    # Eight words in two clusters: A = 4. "gott" is 2 of 4 words of cluster 0, and 2 in all.
    assert weights[0, words.index("gott")] == pytest.approx(2 / 4 * np.log(1 + 4 / 2))
    assert weights[1, words.index("liebe")] == pytest.approx(3 / 4 * np.log(1 + 4 / 3))
    assert weights[:, words.index("noise")].tolist() == [0, 0]


def test_no_words_at_all():
    counts, words = count_words(["", "und"])
    assert counts.shape == (2, 0)
    assert words == ()
    assert weigh_words(counts, np.array([0, 1])).shape == (2, 0)
