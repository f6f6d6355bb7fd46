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
from musiclust.report.tables import results_sheet, results_table, summary_sheet, summary_table

SCORES = {
    "silhouette": 0.312,
    "calinski_harabasz": 12275.12,
    "davies_bouldin": 0.5314,
    "ari": 0.21,
    "ami": 0.27,
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


def row(name="cvae + kmeans", kind="model", seed=0, beta=1.0, flags=(), informative_units=7, **scores):
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
        "active_units": 9 if model else None,
        "informative_units": informative_units if model else None,
        "total_kl": 3.21 if model else None,
        "negative_elbo": 15.0 + seed if model else None,  # as every figure, no setting
        "scores": SCORES | scores,
    }


def evidence(structured=True, how="latents"):
    tight, steady = (0.312, 0.91) if structured else (0.222, 0.41)
    measures = {"silhouette": (tight, 0.221), "reference_silhouette": (0.12, 0.032), "stability": (steady, 0.402)}
    return {
        "how": how,
        "draws": 19,
        "structured": structured,
        **{name: {"value": value, "null": null, "p": 0.05} for name, (value, null) in measures.items()},
    }


def results(*rows, classes="repertory", chosen=0, weighed=None):
    corpus = {"name": "demo", "tracks": 320, "classes": classes}
    trust = {"evidence": weighed or evidence()}
    return {"corpus": corpus, "model": {"latent_dim": 32}, "rows": list(rows), "chosen": chosen, "trust": trust}


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
            seed=seed, beta=beta, reference_silhouette=0.1 + seed / 100 + beta / 1000, flags=["mask-seen"] * (beta == 8)
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
        row(flags=["mask-seen"], reference_silhouette=0.8),
        row(reference_silhouette=0.1),
        row(reference_silhouette=None),
        row(reference_silhouette=0.2),
        row(flags=["mask-seen", "class-seen"], reference_silhouette=0.95),
        row(flags=["degenerate"], reference_silhouette=0.85),
    ]
    assert ranked(rows) == [4, 2, 3, 6, 1, 5, 0]


def test_a_code_that_tells_little_is_ranked_like_any_other():
    """Its means are what is clustered: four far apart were flagged as collapsed at an ARI of 1."""
    rows = [row(flags=["low-information"], reference_silhouette=0.8, ari=1.0), row(reference_silhouette=0.1)]
    assert ranked(rows) == [0, 1]
    sheet = results_sheet(results(*rows))
    titles = [header.text for header in sheet.headers]
    assert sheet.rows[0][0].below == "low-information"
    assert all(sheet.rows[0][titles.index(title)].best for title in ("reference\nsilhouette", "ARI"))


def test_summary_is_students_t_by_setting():
    values = [0.10, 0.14, 0.15]
    entries = summary(
        results(
            *(row(seed=seed, silhouette=value) for seed, value in enumerate(values)),
            row(seed=3, beta=2.0, reference_silhouette=0.5, flags=["mask-seen"]),
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
    assert entries[2]["flags"] == {"mask-seen": 1}


def test_summary_counts_flags_and_leaves_undefined_seeds_out():
    rows = [
        row(seed=0, flags=["low-information"], silhouette=None),
        row(seed=1, silhouette=math.nan),
        row(seed=2),
        row(seed=3, silhouette=0.412),
    ]
    entry = summary(results(*rows))[0]
    assert entry["flags"] == {"low-information": 1}
    assert (entry["n"], entry["scores"]["silhouette"]["n"]) == (4, 2)
    np.testing.assert_allclose(entry["scores"]["silhouette"]["mean"], 0.362)
    # Two values count for two, not for the four seeds there are.
    np.testing.assert_allclose(entry["scores"]["silhouette"]["interval"], stats.t.ppf(0.975, 1) * 0.05, rtol=1e-6)
    text = render(summary_table(results(*rows)), 200)[1]
    assert "low-information 1/4" in text
    assert "0.362 ± 0.635 (2 of 4)" in text


def test_what_no_seed_changes_has_no_interval():
    """Ten seeds of k-means on the features, all the same, had an interval of ± 0.000."""
    entry = summary(results(*(row("features + kmeans", "baseline", seed=seed) for seed in range(10))))[0]
    assert entry["n"] == 10
    assert all(math.isnan(value["interval"]) for value in entry["scores"].values())
    sheet = summary_sheet(results(*(row(seed=seed) for seed in range(10))))
    assert "±" not in "".join(cell.text for cell in sheet.rows[0])


@pytest.mark.parametrize("width", [120, 100, 80, 60])
@pytest.mark.parametrize("make", [results_table, summary_table])
def test_tables_fit_and_cut_no_number(make, width):
    table = make(SWEEP)
    assert isinstance(table, Table)
    _, text = render(table, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert "0.131" in text
    assert "mask-seen" in text
    for header, value in (("CH", "12,275"), ("purity", "0.520"), ("AMI", "0.270"), ("in use", "3.21")):
        assert (header in text.split("─")[0]) == (value in text)
        assert header in text  # as a column, or named among those left out
    assert ("Left out" in " ".join(text.split())) == (width < 120)


def test_best_is_bold_only_without_a_flag():
    rows = [
        row(reference_silhouette=0.111, ami=0.2),
        row(seed=1, reference_silhouette=0.109, ami=0.3),
        row(seed=2, reference_silhouette=0.999, ami=0.9, flags=["class-seen"]),
        row(seed=3, reference_silhouette=0.998, ami=0.8, flags=["mask-seen"]),
    ]
    sheet = results_sheet(results(*rows))
    titles = [header.text for header in sheet.headers]
    reference, ami = titles.index("reference\nsilhouette"), titles.index("AMI")
    assert [(line[reference].text, line[reference].best) for line in sheet.rows] == [
        ("0.111", True),
        ("0.109", False),
        ("0.998", False),
        ("0.999", False),
    ]
    assert [line[ami].best for line in sheet.rows] == [False, True, False, False]
    assert [line[0].below for line in sheet.rows] == ["", "", "mask-seen", "class-seen"]
    assert sheet.rows[0][0].text == "▸ cvae + kmeans"
    ansi, _ = render(results_table(results(*rows)), 120)
    assert "\x1b[1;32m0.111" in ansi
    assert "\x1b[1;32m0.999" not in ansi


def test_nothing_is_bold_that_belongs_to_the_space_of_a_row():
    """Silhouettes, CH and DB of different spaces cannot be compared, and were set in bold."""
    rows = [row(), row("pca + kmeans", "baseline", silhouette=0.9, calinski_harabasz=9e4, davies_bouldin=0.1)]
    sheet = results_sheet(results(*rows))
    own = [i for i, header in enumerate(sheet.headers) if header.text in ("silhouette", "CH", "DB", "units\nin use")]
    assert len(own) == 4
    assert not any(line[i].best for line in sheet.rows for i in own)


def test_controls_and_baselines_are_told_as_such():
    rows = [row(), row("cvae, sound only + kmeans", "control"), row("pca + kmeans", "baseline", flags=["mask-seen"])]
    below = {line[0].text: line[0].below for line in results_sheet(results(*rows)).rows}
    assert below == {"▸ cvae + kmeans": "", "cvae, sound only + kmeans": "control", "pca + kmeans": "mask-seen"}


def test_an_approximate_row_is_ranked_and_explained():
    rows = [row(reference_silhouette=0.1), row("vae + hdbscan", reference_silhouette=0.2, flags=["approximate"])]
    sheet = results_sheet(results(*rows))
    assert [line[0].below for line in sheet.rows] == ["approximate", ""]
    assert sheet.rows[0][[header.text for header in sheet.headers].index("reference\nsilhouette")].best
    assert "Approximate: with so many tracks this clusterer does not look at all pairs of them." in sheet.caption
    assert "Approximate" not in results_sheet(results(rows[0])).caption
    best = row("pca + hdbscan", "baseline", reference_silhouette=0.9, flags=["approximate"])
    assert "does not beat the best baseline, pca + hdbscan" in reading(results(row(), best))


def test_columns_that_say_nothing_are_not_there():
    none = dict.fromkeys(("ari", "ami", "purity", "nmi_chance", "nmi_p", "purity_chance")) | {"nmi": math.nan}
    sheet = results_sheet(results(row(**none), row("pca + kmeans", "baseline", **none), classes=None))
    titles = {header.text for header in sheet.headers}
    assert not titles & {"ARI", "AMI", "NMI", "purity", "seed", "beta", "learning\nrate"}
    assert "beta" in {header.text for header in results_sheet(SWEEP).headers}


def test_markup_in_names_is_text():
    _, text = render(results_table(results(row("[red]x[/red] + kmeans"))), 120)
    assert "[red]x[/red]" in text


def test_many_replicas_are_summarised_and_capped():
    rows = [row(seed=seed, beta=float(beta), ari=0.2 + seed / 1000) for beta in range(1, 31) for seed in range(2)]
    _, text = render(results_table(results(*rows)), 120)
    assert text.count("cvae + kmeans") == tables.MAX_ROWS
    assert "10 more rows not shown" in text
    assert "± 0.006" in text


def test_reading_of_a_plain_run():
    assert reading(results(row(), row("pca + kmeans", "baseline", reference_silhouette=0.08))) == (
        "320 tracks fall into 8 clusters, tighter and more stable than a structureless cloud of the same shape as the "
        "latents (silhouette 0.312, null 0.221; stability 0.910, null 0.402), and agreeing in part with the repertory "
        "classes, beyond chance (NMI 0.310, chance 0.048; ARI 0.210). cvae + kmeans beats the best baseline, pca + "
        "kmeans, in the reference space (0.120 against 0.080)."
    )


@pytest.mark.parametrize(
    ("weighed", "words"),
    [
        (evidence(False), "not more tight and stable than a structureless cloud of the same shape as the latents (sil"),
        (evidence(True, "pipeline"), ", tighter and more stable than structureless songs that were trained on and clu"),
        (evidence(False, "pipeline"), ", not more tight and stable than structureless songs that were trained on and "),
    ],
)
def test_reading_rests_on_the_evidence(weighed, words):
    assert words in reading(results(row(), weighed=weighed))


@pytest.mark.parametrize("trust", [None, {}, {"evidence": None}])
def test_reading_of_what_was_never_weighed(trust):
    """By the silhouette beside its null alone nothing is claimed: a run of an earlier version has no more."""
    text = reading(results(row()) | {"trust": trust})
    assert text.startswith("320 tracks fall into 8 clusters, not held against structureless data, and agreeing")


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ({"silhouette": 0.22, "reference_silhouette": None}, "8 clusters, tighter and more stable"),  # as weighed
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
    assert "does not beat" in reading(few)


def test_reading_without_classes():
    assert ", with no classes to check them against." in reading(results(row(nmi=None, ari=None), classes=None))


def test_reading_warns_of_flags():
    baseline = row("pca + kmeans", "baseline", reference_silhouette=0.01)
    little = reading(results(row(flags=["low-information"]), baseline))
    assert "The code keeps next to nothing of a song (3.21 nats of KL)." in little
    assert "cloud, not of the music" not in little  # its clusters stand all the same
    assert "beats the best baseline" in little
    cloud = reading(results(row(flags=["low-information"]), baseline, weighed=evidence(False)))
    assert "So the silhouette shows the shape of the cloud, not of the music." in cloud
    seen = reading(results(row(flags=["class-seen"], nmi=0.95, ari=0.9), baseline))
    assert "the model was given the repertory classes" in seen
    assert "shows nothing" in seen
    assert "beyond chance" not in seen
    masked = reading(results(row(flags=["mask-seen"]), baseline))
    assert "It is not ranked, because it can see which songs lack a block, such as words." in masked
    both = reading(results(row(flags=["low-information", "class-seen"]), baseline))
    assert "shows nothing" in both
    assert "next to nothing" in both
    for text in (seen, masked, both):
        assert "beats" not in text
    degenerate = reading(results(row(flags=["degenerate"], n_clusters=1.0, silhouette=None), baseline))
    assert degenerate.startswith("320 tracks fall into 1 cluster: a degenerate partition")


def test_reading_does_not_say_what_is_not_won():
    level = reading(results(row(), row("pca + kmeans", "baseline", reference_silhouette=0.11)))
    assert "does not beat the best baseline, pca + kmeans" in level
    flagged = row("autoencoder + kmeans", "baseline", reference_silhouette=0.9, flags=["mask-seen"])
    undefined = row("pca + kmeans", "baseline", reference_silhouette=None)
    assert "baseline" not in reading(results(row(), flagged, undefined))


def test_tables_need_neither_jax_nor_the_drawing_libraries():
    program = (
        "import sys\n"
        "for name in ('matplotlib', 'jinja2', 'jax', 'flax'): sys.modules[name] = None\n"
        "import musiclust.report.tables\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
