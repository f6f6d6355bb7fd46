"""Tables and the reading: order, flags, intervals, widths, and every branch of the sentence."""

import io
import math
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table
from scipy import stats

from musiclust.report import tables
from musiclust.report.reading import number, ranked, reading
from musiclust.report.summary import summary
from musiclust.report.tables import results_sheet, results_table, summary_table

SCORES = {
    "silhouette": 0.312,
    "calinski_harabasz": 12275.12,
    "davies_bouldin": 0.5314,
    "ari": 0.21,
    "nmi": 0.31,
    "purity": 0.52,
    "coverage": 1.0,
    "n_clusters": 8.0,
    "nmi_chance": 0.048,
    "nmi_p": 0.0099,
    "purity_chance": 0.211,
    "silhouette_null": 0.221,
    "reference_silhouette": 0.12,
    "reference_null": 0.032,
}


def row(name="cvae + kmeans", kind="model", seed=0, beta=1.0, flags=(), active_units=7, **scores):
    model = kind == "model"
    return {
        "name": name,
        "kind": kind,
        "seed": seed if model else None,
        "beta": beta if model else None,
        "learning_rate": 1e-3 if model else None,
        "flags": list(flags),
        "loss": 15.2 if model else None,
        "reconstruction": 14.0 if model else None,
        "active_units": active_units if model else None,
        "total_kl": 3.21 if model else None,
        "negative_elbo": 15.0 + seed if model else None,  # as every figure, no setting
        "scores": SCORES | scores,
    }


def results(*rows, classes="repertory", chosen=0):
    corpus = {"name": "demo", "tracks": 320, "classes": classes}
    return {"corpus": corpus, "model": {"latent_dim": 32}, "rows": list(rows), "chosen": chosen}


def render(table, width):
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(table)
    ansi = console.file.getvalue()
    plain = Console(width=width, file=io.StringIO())
    plain.print(table)
    return ansi, plain.file.getvalue()


SWEEP = results(
    *(
        row(
            seed=seed, beta=beta, reference_silhouette=0.1 + seed / 100 + beta / 1000, flags=["collapsed"] * (beta == 8)
        )
        for beta in (1.0, 8.0)
        for seed in (0, 1, 2)
    ),
    row("autoencoder + agglomerative", "baseline", reference_silhouette=0.09),
    row("pca + kmeans", "baseline", reference_silhouette=0.131),
)


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (None, "fixed", "\u2013"),
        (math.nan, "significant", "\u2013"),
        (math.inf, "significant", "\u2013"),
        (-0.0003, "fixed", "0.000"),
        (-0.0123, "fixed", "-0.012"),
        (12275.12, "significant", "12,275"),
        (39.8, "significant", "39.8"),
        (1.878, "significant", "1.88"),
        (0.5314, "significant", "0.531"),
        (8.0, "count", "8"),
        (7.3333, "count", "7.3"),
        (1.0, "percent", "100 %"),
        (0.998, "percent", "99.8 %"),
        (0.93, "percent", "93 %"),
        (1e-3, "setting", "0.001"),
        (4.0, "setting", "4"),
    ],
)
def test_number(value, form, text):
    assert number(value, form) == text


def test_ranked_puts_flags_last_and_class_seen_after_all():
    rows = [
        row(flags=["class-seen"], reference_silhouette=0.9),
        row(flags=["collapsed"], reference_silhouette=0.8),
        row(reference_silhouette=0.1),
        row(reference_silhouette=None),
        row(reference_silhouette=0.2),
        row(flags=["collapsed", "class-seen"], reference_silhouette=0.95),
    ]
    assert ranked(rows) == [4, 2, 3, 1, 5, 0]


def test_summary_is_students_t_by_setting():
    values = [0.10, 0.14, 0.15]
    entries = summary(
        results(
            *(row(seed=seed, silhouette=value) for seed, value in enumerate(values)),
            row(seed=3, beta=2.0, reference_silhouette=0.5, flags=["collapsed"]),
            row("pca + kmeans", "baseline", ari=None),
        )
    )
    assert [(entry["name"], entry["beta"], entry["n"]) for entry in entries] == [
        ("cvae + kmeans", 1.0, 3),
        ("pca + kmeans", None, 1),
        ("cvae + kmeans", 2.0, 1),  # flagged, so last though its reference silhouette is the highest
    ]
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    silhouette = entries[0]["scores"]["silhouette"]
    np.testing.assert_allclose(silhouette["mean"], np.mean(values))
    np.testing.assert_allclose(silhouette["interval"], (high - low) / 2)
    assert math.isnan(entries[1]["scores"]["silhouette"]["interval"])
    assert math.isnan(entries[1]["scores"]["ari"]["mean"])
    assert entries[2]["flags"] == {"collapsed": 1}


def test_summary_counts_flags_and_leaves_undefined_seeds_out():
    entry = summary(results(row(seed=0, flags=["collapsed"], silhouette=None), row(seed=1), row(seed=2)))[0]
    assert entry["flags"] == {"collapsed": 1}
    np.testing.assert_allclose(entry["scores"]["silhouette"]["mean"], SCORES["silhouette"])
    assert "collapsed 1/3" in render(summary_table(results(row(flags=["collapsed"]), row(seed=1), row(seed=2))), 120)[1]


@pytest.mark.parametrize("width", [120, 100, 80, 60])
@pytest.mark.parametrize("make", [results_table, summary_table])
def test_tables_fit_and_cut_no_number(make, width):
    table = make(SWEEP)
    assert isinstance(table, Table)
    _, text = render(table, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert "0.131" in text
    assert "collapsed" in text
    for header, value in (("CH", "12,275"), ("purity", "0.520"), ("active", "3.21")):
        assert (header in text.split("─")[0]) == (value in text)
        assert header in text  # as a column, or named among those left out
    assert ("Left out" in " ".join(text.split())) == (width < 120)


def test_best_is_bold_only_without_a_flag():
    rows = [
        row(reference_silhouette=0.111, davies_bouldin=2.0),
        row(seed=1, reference_silhouette=0.109, davies_bouldin=1.5),
        row(seed=2, reference_silhouette=0.999, davies_bouldin=0.1, flags=["class-seen"]),
    ]
    sheet = results_sheet(results(*rows))
    titles = [header.text for header in sheet.headers]
    reference, bouldin = titles.index("reference\nsilhouette"), titles.index("DB")
    assert [(line[reference].text, line[reference].best) for line in sheet.rows] == [
        ("0.111", True),
        ("0.109", False),
        ("0.999", False),
    ]
    assert [line[bouldin].best for line in sheet.rows] == [False, True, False]
    assert [line[0].below for line in sheet.rows] == ["", "", "class-seen"]
    assert sheet.rows[0][0].text == "▸ cvae + kmeans"
    ansi, _ = render(results_table(results(*rows)), 120)
    assert "\x1b[1;32m0.111" in ansi
    assert "\x1b[1;32m0.999" not in ansi


def test_columns_that_say_nothing_are_not_there():
    none = {"ari": None, "nmi": math.nan, "purity": None, "nmi_chance": None, "nmi_p": None, "purity_chance": None}
    sheet = results_sheet(results(row(**none), row("pca + kmeans", "baseline", **none), classes=None))
    titles = {header.text for header in sheet.headers}
    assert not titles & {"ARI", "NMI", "purity", "seed", "beta", "learning\nrate"}
    assert "beta" in {header.text for header in results_sheet(SWEEP).headers}


def test_markup_in_names_is_text():
    _, text = render(results_table(results(row("[red]x[/red] + kmeans"))), 120)
    assert "[red]x[/red]" in text


def test_many_replicas_are_summarised_and_capped():
    rows = [row(seed=seed, beta=float(beta)) for beta in range(1, 31) for seed in range(2)]
    _, text = render(results_table(results(*rows)), 120)
    assert text.count("cvae + kmeans") == tables.MAX_ROWS
    assert "10 more rows not shown" in text
    assert "± 0.000" in text


def test_reading_of_a_plain_run():
    assert reading(results(row(), row("pca + kmeans", "baseline", reference_silhouette=0.08))) == (
        "320 tracks fall into 8 clusters, tighter than structureless data of that shape (silhouette 0.312, null 0.221; "
        "in the reference space 0.120, null 0.032), and agreeing in part with the repertory classes, beyond chance "
        "(NMI 0.310, chance 0.048; ARI 0.210). cvae + kmeans beats the best baseline, pca + kmeans, in the reference "
        "space (0.120 against 0.080)."
    )


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ({"silhouette": 0.22}, "only in the reference space (silhouette 0.220"),
        ({"reference_silhouette": 0.03}, "only in their own space (silhouette 0.312"),
        ({"silhouette": 0.22, "reference_silhouette": 0.03}, "no tighter than structureless data"),
        ({"silhouette": None, "reference_silhouette": 0.12}, "clusters, tighter than structureless data"),
        ({"silhouette": None, "reference_silhouette": None}, "not to be compared with structureless data"),
        ({"nmi_p": 0.2}, "no better than chance (NMI 0.310, chance 0.048"),
        ({"ari": 0.0}, "no better than chance"),
        ({"ari": 0.05}, "agreeing a little with"),
        ({"ari": 0.7}, "agreeing largely with"),
        ({"coverage": 0.93}, "8 clusters (93 % of them; the rest is noise), tighter"),
    ],
)
def test_reading_of_scores(scores, words):
    text = reading(results(row(**scores)))
    assert words in text
    assert text.count(". ") <= 1
    assert "baseline" not in text  # there is none


def test_few_tracks_prove_little():
    few = results(row(), row("pca + kmeans", "baseline", reference_silhouette=0.08))
    few["corpus"]["tracks"] = 10
    text = reading(few)
    assert "10 tracks fall into 8 clusters, no tighter than structureless data" in text
    assert "does not beat" in text


def test_reading_without_classes():
    assert ", with no classes to check them against." in reading(results(row(nmi=None, ari=None), classes=None))


def test_reading_warns_of_flags():
    baseline = row("pca + kmeans", "baseline", reference_silhouette=0.01)
    collapsed = reading(results(row(flags=["collapsed"], active_units=1), baseline))
    assert "Warning: the posterior has collapsed (1 of 32 latent dimensions active, 3.21 nats of KL)" in collapsed
    seen = reading(results(row(flags=["class-seen"], nmi=0.95, ari=0.9), baseline))
    assert "the model was given the repertory classes" in seen
    assert "shows nothing" in seen
    assert "beyond chance" not in seen
    both = reading(results(row(flags=["collapsed", "class-seen"]), baseline))
    assert "shows nothing" in both
    assert "Warning" in both
    for text in (collapsed, seen, both):
        assert "beats" not in text
    degenerate = reading(results(row(flags=["degenerate"], n_clusters=1.0, silhouette=None), baseline))
    assert degenerate.startswith("320 tracks fall into 1 cluster: a degenerate partition")


def test_reading_does_not_say_what_is_not_won():
    level = reading(results(row(), row("pca + kmeans", "baseline", reference_silhouette=0.11)))
    assert "does not beat the best baseline, pca + kmeans" in level
    flagged = row("autoencoder + kmeans", "baseline", reference_silhouette=0.9, flags=["collapsed"])
    undefined = row("pca + kmeans", "baseline", reference_silhouette=None)
    assert "baseline" not in reading(results(row(), flagged, undefined))


def test_tables_need_neither_jax_nor_the_drawing_libraries():
    program = (
        "import sys\n"
        "for name in ('matplotlib', 'plotly', 'jinja2', 'jax', 'flax'): sys.modules[name] = None\n"
        "import musiclust.report.tables\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
