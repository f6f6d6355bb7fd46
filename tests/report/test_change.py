"""What is different between two runs: sentences, scores that can and cannot be compared, songs in a telling order."""

import io
import math

import numpy as np
import pytest
from rich.console import Console

from musiclust.metrics.matching import compare_partitions
from musiclust.report.change import (
    Side,
    compare_scores,
    describe_change,
    pair_cells,
    pairs_table,
    rank_moves,
    scores_table,
)

SCORES = {"silhouette": 0.3, "silhouette_null": 0.2, "reference_silhouette": 0.1, "ari": 0.4, "n_clusters": 3.0}


def side(name="a", store="s", classes="genre", names=(), **scores):
    row = {"name": f"vae of {name}", "flags": [], "total_kl": 12.345, "scores": SCORES | scores}
    corpus = {"store": store, "tracks": 8, "classes": classes, "class_names": ["x", "y"]}
    return Side(name, {"rows": [{}, row], "chosen": 1, "corpus": corpus}, dict(enumerate(names)))


def notes(*args, **options):
    return {line.title: line.note for line in compare_scores(*args, **options)}


def test_scores_of_different_spaces_are_never_compared():
    lines = {line.title: line for line in compare_scores(side(), side("b", silhouette=0.9), same_songs=True)}
    assert (lines["silhouette"].before, lines["silhouette"].after) == ("0.300 (null 0.200)", "0.900 (null 0.200)")
    assert lines["silhouette"].note.startswith("not comparable: each belongs to the space")
    assert lines["reference silhouette"].note == lines["ARI"].note == ""
    assert lines["model"].before == "vae of a"
    assert "NMI" not in lines  # neither has one


def test_scores_of_other_songs_classes_or_stores_are_not_compared():
    found = notes(side(), side("b", store="t", classes="artist"), same_songs=True)
    assert "another store" in found["reference silhouette"]
    assert "other classes" in found["ARI"]
    found = notes(side(), side("b"), same_songs=False)
    assert "songs are not the same" in found["reference silhouette"]
    assert "songs are not the same" in found["ARI"]
    assert found["clusters"] == ""


def test_a_score_that_one_run_lacks_is_a_dash():
    line = next(
        line for line in compare_scores(side(ami=None), side("b", ami=0.5), same_songs=True) if line.title == "AMI"
    )
    assert (line.before, line.after) == ("–", "0.500")  # noqa: RUF001


def test_sentences_say_what_split_merged_and_has_no_partner():
    before = np.repeat([0, 1, 2, -1], [8, 4, 4, 2])
    after = np.repeat([0, 1, 2, -1, 3], [5, 3, 8, 1, 1])
    one, other = side("a", names=("piano", "harp", "lute")), side("b", names=("solo", "duo", "strings", "odd"))
    text = describe_change(compare_partitions(before, after), one, other)
    assert text[0].startswith("Of the 18 songs that both runs have, 8 (44 %) changed their cluster.")
    assert "“0: piano” split: of its 8 songs, 5 in “0: solo” and 3 in “1: duo”." in text
    assert "“1: harp” (4 of 4 songs) and “2: lute” (4 of 4 songs) merged into “2: strings”." in text
    alone = [sentence for sentence in text if sentence.startswith("Without a partner")]
    assert alone[0].endswith("“1: harp” of a.") or alone[0].endswith("“2: lute” of a.")
    assert alone[1] == "Without a partner in the other run: “1: duo” and “3: odd” of b."
    assert text[-1] == "Songs that became noise: 0; that are noise no longer: 1."
    same = describe_change(compare_partitions(before, before), one, one)
    assert "0 (0 %) changed" in same[0]
    assert same[1:] == ["No cluster split, and none merged."]


def test_typical_songs_that_moved_come_first_and_noise_last():
    z = np.array([[0.0], [0.1], [0.2], [5.0], [9.0], [9.1], [9.2], [20.0]])
    before, after = np.array([0, 0, 0, 0, 1, 1, 1, -1]), np.array([0, 1, 0, 1, 1, 0, 1, 1])
    change = compare_partitions(before, after)
    moved = np.flatnonzero(change.moved)
    order = rank_moves(change.moved, before, after, z, z)
    assert sorted(order) == sorted(moved)
    assert order[-1] == 7
    assert list(order).index(5) < list(order).index(3)


def test_tables_pair_the_clusters_and_fit_a_terminal():
    before, after = np.array([0, 0, 0, 1, 1, -1]), np.array([1, 1, 1, 1, 0, -1])
    change = compare_partitions(before, after)
    one, other = side("a", names=("[red]piano", "harp")), side("b")
    cells = [pair_cells(pair, one, other) for pair in change.list_pairs()]
    assert cells == [
        ["0: [red]piano", "3", "cluster 1", "4", "3", "0.75"],
        ["1: harp", "2", "cluster 0", "1", "1", "0.50"],
        ["noise", "1", "noise", "1", "1", "1.00"],
    ]
    out = io.StringIO()
    console = Console(file=out, width=80, markup=False)
    console.print(pairs_table(change, one, other))
    console.print(scores_table(compare_scores(one, other, same_songs=True), "a", "b"))
    assert max(map(len, out.getvalue().splitlines())) <= 80
    assert "not comparable" in out.getvalue()


def test_clusters_without_a_partner_stand_after_the_pairs():
    change = compare_partitions([0, 0, 1, 1], [0, 0, 0, 0])
    cells = [pair_cells(pair, side("a"), side("b")) for pair in change.list_pairs()]
    nothing = "–"  # noqa: RUF001
    assert cells[1] in (
        ["cluster 1", "2", nothing, nothing, nothing, nothing],
        ["cluster 0", "2", nothing, nothing, nothing, nothing],
    )
    assert math.isclose(change.list_pairs()[0].jaccard, 0.5)


@pytest.mark.parametrize("codes", [[0, 0, 0], [-1, -1, -1]])
def test_one_group_alone_can_be_told(codes):
    text = describe_change(compare_partitions(codes, codes), side("a"), side("b"))
    assert "AMI of –" in text[0]  # noqa: RUF001
