"""The tables of a report from one command, on a small store."""

import csv
import json

import pytest
from command_line import script
from conftest import make_store


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("reproduce")
    make_store(root / "store")
    return root


def reproduce(place, *args):
    return script(place, "reproduce", f"--store={place / 'store'}", f"--out={place / 'out'}", "--quick", *args)


def table(place, report):
    with open(place / "out" / f"{report}.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_one_level_runs_is_written_and_is_not_run_twice(place):
    code, out, err = reproduce(place, "--report=fma", "--level=easy")
    assert code == 0, err
    lines = table(place, "fma")
    vae = {line["figure"]: line for line in lines if line["row"] == "VAE + K-Means"}
    silhouette = next(line for figure, line in vae.items() if figure.startswith("silhouette"))
    assert silhouette["published"] == "0.0717"
    assert "not the report's tracks: 60 of store" in silhouette["note"]
    (run,) = (place / "out" / "runs").iterdir()
    rows = json.loads((run / "metrics.json").read_text())["rows"]
    measured = [row["scores"]["ari"] for row in rows if row["name"] == "vae + kmeans"]
    assert float(vae["ARI"]["measured"]) == pytest.approx(sum(measured) / len(measured))
    assert vae["ARI"]["n"] == "2"
    text = (place / "out" / "fma.md").read_text()
    assert "QUICK" in text
    assert "epoch 10" in text
    before = (run / "metrics.json").stat().st_mtime_ns
    code, out, err = reproduce(place, "--report=fma", "--level=easy")
    assert code == 0, err
    assert (run / "metrics.json").stat().st_mtime_ns == before
    assert "training" not in out


def test_what_the_store_lacks_is_named_not_run(place):
    code, _, err = reproduce(place, "--report=gtzan", "--level=easy")
    assert code == 0, err
    lines = table(place, "gtzan")
    assert {line["note"] for line in lines if line["row"] == "Raw MFCC + KMeans"} == {
        "not run: the store has no mfcc40"
    }
    published = {line["figure"]: line["published"] for line in lines if line["row"] == "Raw MFCC + KMeans"}
    assert published["NMI"] == "0.10"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "name the report: --report=fma or --report=gtzan"),
        (("--report=fma", "--level=simple"), "--level=simple: choose from easy, medium, hard"),
        (("--report=fma", "--seed=x"), "--seed: 'x' is not a number"),
    ],
)
def test_a_wrong_command_gets_one_line(place, args, message):
    code, _, err = reproduce(place, *args)
    assert code == 1
    assert message in err


@pytest.mark.slow
def test_every_level_of_both_reports(place):
    for report in ("fma", "gtzan"):
        code, _, err = reproduce(place, f"--report={report}")
        assert code == 0, err
    lines = table(place, "fma")
    fused = {line["row"]: line for line in lines if line["table"] == "Task 3: fusion of latents"}
    assert "was given the classes" in fused["With Genre Info"]["note"]
    assert all(line["measured"] for line in fused.values())
    alone = [line for line in lines if line["row"] == "Words alone" and line["measured"]]
    assert alone
    conv = [line for line in table(place, "gtzan") if line["row"] == "Conv-VAE + KMeans"]
    assert all(line["n"] == "1" for line in conv)
