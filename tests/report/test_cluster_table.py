"""The clusters as a table and as sentences."""

import io

import pytest
from rich.console import Console

from musiclust.report.cluster_table import cluster_titles, clusters_table, explain, recovery

TAG = {"kind": "tag", "word": "piano", "here": 0.42, "elsewhere": 0.09, "unit": "", "against": ()}
TAG |= {"effect": 4.67, "low": 3.1, "high": 7.04}
WORD = TAG | {"kind": "word", "word": "gott", "elsewhere": 0.0, "effect": 16.2, "low": 12.3, "high": None}
TEMPO = {"kind": "descriptor", "word": "faster", "here": 141.2, "elsewhere": 121.0, "unit": "BPM", "against": ()}
TEMPO |= {"effect": 0.91, "low": 0.52, "high": 1.3}


def cluster(number, name, reasons, size=12, jaccard=0.862):
    songs = [{"track_id": f"t{i}", "title": f"Song [red]{i}"} for i in range(5)]
    return {
        "cluster": number, "name": name, "size": size, "jaccard": jaccard, "reasons": reasons, "typical": songs,
        "oddest": [],
    }  # fmt: skip


def printed(described, width=110):
    out = io.StringIO()
    Console(file=out, width=width, markup=False).print(clusters_table({"clusters": described}))
    return out.getvalue()


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        (TAG, "piano: 42 % here, 9 % elsewhere, 4.7 times as much (3.1 to 7.0)"),
        (
            WORD,
            "\N{LEFT DOUBLE QUOTATION MARK}gott\N{RIGHT DOUBLE QUOTATION MARK}: in 42 % of the songs with words here, "
            "0 % elsewhere, 16 times as much (12 or more)",
        ),
        (TAG | {"against": (2, 5)}, "piano: 42 % here, 9 % in clusters 2 and 5, 4.7 times as much (3.1 to 7.0)"),
        (TAG | {"low": 1.04}, "piano: 42 % here, 9 % elsewhere, 4.7 times as much (1.04 to 7.0)"),
        (TEMPO, "faster: 141 BPM here, 121 BPM elsewhere, 0.9 standard deviations more (0.5 to 1.3)"),
    ],
)
def test_sentences(reason, sentence):
    assert explain(reason) == sentence


def test_the_table_says_name_why_and_who():
    text = " ".join(
        printed([cluster(0, "piano, faster", [TAG, TEMPO], 1200), cluster(1, "no clear character", [])]).split()
    )
    for part in (
        "1,200",
        "0.862",
        "piano, faster",
        "piano 42 % (9 %)",
        "no clear character",
        "Song [red]0; Song [red]1;",
    ):
        assert part in text
    assert "[red]3" not in text
    assert "Song [red]0" in printed([cluster(0, "a, b, c", [TAG])], width=60).replace("\n", " ")


def test_where_nothing_has_a_name_there_is_no_why():
    assert "why" not in printed([cluster(0, "no clear character", [])])


def test_titles():
    assert cluster_titles([cluster(1, "harp", [TAG])], 3) == ["cluster 0", "1: harp", "cluster 2"]


def test_the_table_of_an_earlier_run_does_not_know_what_comes_back():
    old = cluster(0, "harp", [TAG])
    del old["jaccard"]
    assert "0.862" not in printed([old])
    assert "0.862" in printed([cluster(0, "harp", [TAG])])


@pytest.mark.parametrize(
    ("jaccard", "says"),
    [
        (0.75, "comes back (0.75)"),
        (0.74, "comes back in part (0.74)"),
        (0.5, "comes back in part (0.50)"),
        (0.49, "falls apart (0.49)"),
        (None, ""),
        (float("nan"), ""),
    ],
)
def test_what_is_said_of_a_cluster_that_comes_back(jaccard, says):
    """The thresholds are Hennig's (2007)."""
    assert recovery(jaccard) == says
