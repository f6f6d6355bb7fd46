"""The page on what the reports show, made by its command on a small store."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import script
from conftest import make_store
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from musiclust.report import lessons

pytestmark = pytest.mark.slow  # half a minute of training


def make_page(place: Path, *args: str) -> tuple[int, str, str]:
    return script(place, "lessons", "--quick", *args)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("collapse")
    make_store(root / "store", n=48, lyrics=False)
    code, _, err = make_page(root, f"--store={root / 'store'}", f"--out={root / 'docs'}")
    assert code == 0, err
    return root


@pytest.fixture
def facts(place):
    return json.loads((place / "docs" / "figures" / "collapse.json").read_text())


@pytest.fixture(scope="module")
def page(place):
    return (place / "docs" / lessons.PAGE).read_text()


def test_a_line_has_the_silhouette_of_the_best_row(facts):
    line = facts["gaussian"]["by_dimension"][0]
    assert line["dimension"] == 1
    assert 0.51 < line["silhouette"]["mean"] < 0.54
    assert facts["gaussian"]["published_dimension"]["Beta-VAE"]["silhouette"] == pytest.approx(1, abs=0.1)
    z = np.random.default_rng([0, 1]).normal(size=(3081, 1))
    clusters = KMeans(8, n_init=1, random_state=1).fit_predict(z)  # pyright: ignore[reportArgumentType]
    assert line["silhouette"]["low"] - 0.01 < silhouette_score(z, clusters) < line["silhouette"]["high"] + 0.01


def test_shuffled_classes_agree_by_chance_alone_and_joined_ones_do_not(facts):
    agreement = facts["agreement"]
    assert abs(agreement["balanced"]["ari"]["mean"]) < 5e-4
    # Of independent partitions, N times twice the mutual information is chi-squared with (8 - 1)^2 degrees of freedom.
    assert agreement["balanced"]["nmi"]["mean"] == pytest.approx(49 / (2 * 3081 * np.log(8)), rel=0.1)
    assert abs(agreement["shuffled"]["ari"]["mean"]) < 0.03
    assert agreement["joined"]["ari"]["low"] > 0.5  # the store's three classes lie far apart


def test_beta_squeezes_the_latents(facts):
    rows = facts["beta"]["by_beta"]
    assert [row["beta"] for row in rows] == [0.2, 1.0, 4.0]
    kl = [row["total_kl"]["mean"] for row in rows]
    assert kl == sorted(kl, reverse=True)
    assert all(1 <= row["effective_dimensions"]["low"] <= row["effective_dimensions"]["high"] <= 32 for row in rows)
    change = facts["beta"]["change"]["total_kl"]["mean"]
    assert change == pytest.approx(kl[-1] - kl[0])


def test_five_odd_points_make_a_second_cluster(facts):
    outliers = facts["outliers"]
    assert outliers["n_clusters"]["mean"] == 2
    assert outliers["smallest"]["mean"] == 5
    assert outliers["silhouette"]["low"] > 0.4


def test_the_page_says_what_the_json_holds(page, facts):
    table = {line.split(" | ")[0].removeprefix("| "): line for line in page.splitlines() if line.startswith("| ")}
    for row in facts["beta"]["by_beta"]:
        line = table[f"{row['beta']:g}"]
        for key in ("silhouette", "reference_silhouette", "ari", "nmi"):
            assert f"{row[key]['mean']:.3f} ± {row[key]['interval']:.3f}".replace("-0.000 ", "0.000 ") in line
        assert f"| {row['total_kl']['mean']:.2f} |" in line
    for row in facts["gaussian"]["by_dimension"]:
        assert f"{row['silhouette']['mean']:.3f} in {row['dimension']}" in page
    for key in ("ari", "nmi", "purity"):
        assert f"{facts['agreement']['joined'][key]['mean']:.4f}" in page
    assert f"{facts['outliers']['calinski_harabasz']['mean']:.1f}" in page
    assert facts["command"] in page
    assert "quick run" in page
    assert not {"{{", "{%", "None", "nan"} & set(page.split())


def test_the_pages_figures_are_there(page, place):
    names = [part.split(")")[0] for part in page.split("](")[1:]]
    assert {"figures/null-by-dimension.png", "figures/beta.png", "figures/classes.png"} < set(names)
    for name in names:
        content = (place / "docs" / name).read_bytes()
        assert content.startswith(b"\x89PNG" if name.endswith(".png") else b"{")


def measured(mean: float, interval: float) -> dict[str, float]:
    ends = {"low": mean - interval, "high": mean + interval, "lower": mean - interval, "upper": mean + interval}
    return {"mean": mean, "interval": interval, **ends}


@pytest.mark.parametrize(
    ("silhouette", "nmi", "says"),
    [
        (measured(0.1, 0.02), measured(-0.1, 0.02), "agree less"),
        (measured(0.1, 0.02), measured(0.01, 0.02), "without the partition agreeing any better"),
        (measured(0.1, 0.02), measured(0.1, 0.02), "pointed the right way"),
        (measured(0.01, 0.02), measured(-0.1, 0.02), "did not rise"),
        (measured(-0.1, 0.02), measured(0.1, 0.02), "did not rise"),
    ],
)
def test_conclusions_follow_the_numbers(facts, silhouette, nmi, says):
    facts["beta"]["change"] |= {"silhouette": silhouette, "nmi": nmi}
    assert says in lessons.conclusions(facts)["beta"]


def test_a_claim_about_the_published_rows_is_made_only_where_it_holds(facts):
    said = lessons.conclusions(facts)
    line, published = facts["gaussian"]["by_dimension"][0], facts["published"]["rows"]["Beta-VAE"]
    for key in ("silhouette", "davies_bouldin", "calinski_harabasz"):
        line[key] |= {"low": published[key] - 1, "high": published[key] - 0.5}
    facts["agreement"]["balanced"]["nmi"] |= {"lower": 0.5, "upper": 0.6}
    facts["agreement"]["joined"]["ari"]["low"] = -1.0
    then = lessons.conclusions(facts)
    assert then["inside"] == []
    assert then["within"] <= said["within"]
    assert then["within"] <= 10
    assert "ari" in said["joined"]
    assert "ari" not in then["joined"]


def test_a_store_without_classes_gets_one_line(tmp_path):
    make_store(tmp_path / "store", n=12, classes=1, lyrics=False)
    code, _, err = make_page(tmp_path, f"--store={tmp_path / 'store'}", f"--out={tmp_path / 'docs'}")
    assert code == 1
    assert err.count("\n") == 1
    assert "no two classes" in err
    assert not (tmp_path / "docs").exists()
