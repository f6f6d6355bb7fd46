"""Published beside measured, as text."""

import csv

import numpy as np
import pytest

from experiments.published import REPORTS, RUNS, tables
from experiments.published.rows import LATENT_FUSIONS, LATENTS, Row, ScoreTable
from musiclust.report.comparison import Comparison, Line, Measured, markdown, page, write
from musiclust.report.summary import MEASURED, summary

LINES = [
    Line("Beta | VAE", "silhouette", "0.5264", Measured(0.25, 0.01, 10), "0.1 (null 0.2)", "low information"),
    Line("Beta | VAE", "Calinski-Harabasz", "12,275.12", Measured(81.234, np.nan, 1, "significant"), "0.1 (null 0.2)"),
    Line("<b>CVAE</b>", "silhouette", "", None, "", "not run: the store has no lyrics"),
]
TABLES = [Comparison("Task 3", "What to know.", LINES)]


def test_markdown_says_what_repeats_once_and_keeps_its_columns():
    text = markdown("Title", ["Preface."], TABLES)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows[2] == r"| Beta \| VAE | silhouette | 0.5264 | 0.250 ± 0.010 | 0.1 (null 0.2) | low information |"
    assert rows[3] == "|  | Calinski-Harabasz | 12,275.12 | 81.2 |  |  |"
    assert rows[4].split("|")[3:5] == [" – ", " – "]  # noqa: RUF001
    assert text.startswith("# Title\n\nPreface.\n\n## Task 3\n\nWhat to know.\n\n")


def test_the_page_escapes_what_it_shows():
    text = page("A & B", [], TABLES)
    assert "<b>CVAE" not in text
    assert "&lt;b&gt;CVAE" in text
    assert "<title>A &amp; B</title>" in text


def test_the_csv_has_a_line_a_figure_in_plain_numbers(tmp_path):
    write(tmp_path, "fma", "Title", [], TABLES)
    with open(tmp_path / "fma.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["published"] for row in rows] == ["0.5264", "12275.12", ""]
    assert [float(row["measured"] or "nan") for row in rows[:2]] == [0.25, 81.234]
    assert [(row["interval"], row["n"]) for row in rows] == [("0.01", "10"), ("", "1"), ("", "")]
    assert rows[2]["note"] == "not run: the store has no lyrics"


def test_every_published_row_names_a_run_and_a_row_of_it():
    for report in REPORTS.values():
        for table in report.scores:
            for row in table.rows:
                if row.run == LATENTS:
                    assert row.of in LATENT_FUSIONS
                else:
                    assert row.clusterer in RUNS[row.run].clusterer
                    assert row.of in ("model", "features", "pca", "autoencoder")
                assert set(row.printed) <= set(tables.SCORES)
            assert {name for name, _ in table.gains} <= {row.name for row in table.rows[1:]}


def test_the_gains_in_print_follow_from_the_scores_in_print():
    """What is typed in from the report agrees with itself."""
    for report in REPORTS.values():
        for table in report.scores:
            printed = {row.name: row.printed for row in table.rows}
            for (name, key), gain in table.gains.items():
                ours, theirs = (float(printed[row][key]) for row in (table.rows[0].name, name))
                assert abs(100 * (ours / theirs - 1) - float(gain)) < 0.2


def outcome(silhouettes, *, flags=(), corpus="demo"):
    """Results of a run with that silhouette for each seed."""
    keys = (*tables.SCORES, "silhouette_null", "reference_silhouette", "reference_null", "coverage", "n_clusters")
    undefined = dict.fromkeys((*MEASURED, "learning_rate", "beta"))
    rows = []
    for seed, value in enumerate(silhouettes):
        scores = dict.fromkeys((*keys, "nmi_chance", "purity_chance"), 0.5) | {"silhouette": value, "coverage": 1.0}
        row = {"name": "vae + kmeans", "kind": "model", "seed": seed, "flags": list(flags), "scores": scores}
        rows.append(row | undefined)
    return {"rows": rows, "model": {"name": "vae"}, "corpus": {"name": corpus, "tracks": 320}}


def test_a_row_says_why_it_cannot_be_compared():
    table = ScoreTable(
        "t",
        "easy",
        (Row("ours", "a", printed={"silhouette": "0.1"}), Row("theirs", "b", printed={"silhouette": "0.2"})),
    )
    outcomes = {"a": outcome([0.2, 0.4], flags=["low-information"]), "b": "not run: the store has no lyrics"}
    lines = tables.scores(REPORTS["fma"], table, outcomes).lines
    assert str(lines[0].measured) == "0.300 ± 1.271"  # Student's t with one degree of freedom: 12.706 x 0.1
    assert "low information: the code cannot tell one half" in lines[0].note
    assert "not the report's tracks: 320 of demo" in lines[0].note
    assert lines[-1] == Line("theirs", "silhouette", "0.2", None, "", "not run: the store has no lyrics")


@pytest.mark.parametrize(
    ("flag", "best"),
    [("class-seen", "other"), ("mask-seen", "other"), ("degenerate", "other"), ("low-information", "flagged")],
)
def test_the_best_is_no_row_with_a_flag_that_bars_it(flag, best):
    report = REPORTS["fma"]._replace(scores=(ScoreTable("t", "easy", (Row("flagged", "a"), Row("other", "b"))),))
    outcomes = {"a": outcome([0.9, 0.9], flags=[flag]), "b": outcome([0.1, 0.1])}
    silhouette = tables.best(report, outcomes, ["easy"]).lines[0]
    assert silhouette.published == "0.5264 (Beta-VAE)"
    assert f"({best})" in str(silhouette.measured)
    assert tables.caveats(report, Row("flagged", "a"), summary(outcomes["a"])[0], outcomes["a"])  # each in words
