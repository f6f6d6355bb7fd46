"""metrics.json: what is written is read, also where an earlier version wrote it."""

import json
import math
from pathlib import Path

import pytest

from experiments.configs import Config
from experiments.study.plan import Plan, read_plan, write_plan
from experiments.study.run_files import FORMAT, read_chosen, read_metrics, replace_nan, write_metrics
from musiclust.digests import forget_digests
from musiclust.errors import InputError

BEFORE = {
    "format": 1,
    "corpus": {"name": "demo", "label": "repertory", "classes": ["fiddle", "chorale"]},
    "rows": [{"name": "cvae + kmeans", "flags": ["collapsed", "label-seen"], "scores": {"ari": 0.5, "nmi_p": 0.01}}],
}


def test_results_are_read_as_written(tmp_path):
    results = {"format": FORMAT, "rows": [{"name": "vae", "flags": [], "scores": {"ari": math.nan, "nmi": 0.1}}]}
    write_metrics(tmp_path, results)
    assert read_metrics(tmp_path) == replace_nan(results)
    assert replace_nan(results)["rows"][0]["scores"] == {"ari": None, "nmi": 0.1}


def test_results_of_an_earlier_version_are_read_in_todays_words(tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps(BEFORE))
    results = read_metrics(tmp_path)
    assert results["format"] == FORMAT
    assert results["corpus"] == {"name": "demo", "classes": "repertory", "class_names": ["fiddle", "chorale"]}
    assert results["rows"][0]["flags"] == ["class-seen"]
    assert results["rows"][0]["scores"] == {"ari": 0.5}  # chance was of clips, not of songs


def test_what_format_2_held_against_a_plain_gaussian_is_left_out(tmp_path):
    scores = dict.fromkeys(
        ("silhouette", "silhouette_null", "reference_null", "nmi", "nmi_chance", "purity_chance"), 0.1
    )
    rows = [{"name": "vae", "flags": ["collapsed", "degenerate"], "scores": scores}]
    (tmp_path / "metrics.json").write_text(json.dumps({"format": 2, "corpus": {"classes": "genre"}, "rows": rows}))
    results = read_metrics(tmp_path)
    assert results["format"] == FORMAT == 3
    assert results["corpus"] == {"classes": "genre"}
    assert results["rows"] == [{"name": "vae", "flags": ["degenerate"], "scores": {"silhouette": 0.1, "nmi": 0.1}}]


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"format": 99}', '{"format": 1, "corpus": {}}'])
def test_a_damaged_file_is_one_line(tmp_path, content):
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(InputError, match=r"metrics\.json is damaged or of another version .*: delete it, or run anew"):
        read_metrics(tmp_path)


def test_a_configuration_that_names_bootstrap_resamples_is_read_where_there_were_none():
    record = Config("vae", ("mfcc_mean",)).to_json()
    del record["subsamples"]
    assert Config.from_json(record | {"bootstrap": [0]}) == Config("vae", ("mfcc_mean",))
    with pytest.raises(ValueError, match="names bootstrap resamples, which are no more"):
        Config.from_json(record | {"bootstrap": [0, 1]})


def test_a_configuration_of_an_earlier_version_is_read_in_todays_words():
    record = Config("cvae", ("mfcc_mean",), condition="class:code", classes="genre").to_json()
    record["label"] = record.pop("classes")
    record["condition"] = "label:code"
    assert Config.from_json(record) == Config("cvae", ("mfcc_mean",), condition="class:code", classes="genre")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"model": "vea"}, "its model is 'vea', which is unknown"),
        ({"clusterer": ["kmeens"]}, "its clusterer is 'kmeens'"),
        ({"epochs": 0}, "its epochs is 0"),
        ({"epochs": "30"}, r"Expected `int`, got `str` - at `\$.epochs`"),
        ({"seed": []}, "names no seed"),
        ({"seed": [2**31]}, "out of range"),
        ({"learning_rate": [0.0]}, "learning rate not above 0"),
        ({"beta": None}, "got `null`"),
        ({"options": [["hidden"]]}, "Expected `array` of length 2"),
        ({"temperature": 1.0}, "unknown field `temperature`"),
    ],
)
def test_a_configuration_that_no_run_has_is_one_line(tmp_path, change, fault):
    write_plan(Plan(Config("vae", ("mfcc_mean",)), tmp_path / "store", tmp_path, "run"))
    record = json.loads((tmp_path / "config.json").read_text())
    record["config"] |= change
    (tmp_path / "config.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"config\.json is not as it was written .*: start the run anew"):
        read_plan(tmp_path)
    forget_digests(tmp_path)
    with pytest.raises(
        InputError, match=f"config.json is damaged or of another version .*{fault}.*: start the run anew"
    ):
        read_plan(tmp_path)


def test_a_plan_comes_back_with_names_that_are_no_utf8(tmp_path):
    plan = Plan(
        Config("conv_vae", ("melspec",), options=(("channels", (16, 32)),), beta=(1.0, 4.0)),
        Path("/music/\udcff"),
        tmp_path,
        "python -m experiments.run --store=/music/\udcff",
        fingerprint={"tracks.csv": "12ab"},
    )
    write_plan(plan)
    assert read_plan(tmp_path) == plan


def test_metrics_that_show_no_replica_are_one_line(tmp_path):
    row = {"name": "vae", "flags": [], "scores": {}}
    write_metrics(tmp_path, {"format": FORMAT, "rows": [row, row], "chosen": 1})
    assert read_chosen(tmp_path, 2) == 1
    with pytest.raises(InputError, match="names none of the 1 replicas"):
        read_chosen(tmp_path, 1)
    write_metrics(tmp_path, {"format": FORMAT, "rows": [row, row], "chosen": 2})
    with pytest.raises(InputError, match="of 2 rows, number 2 is said to be shown"):
        read_metrics(tmp_path)
    write_metrics(tmp_path, {"format": FORMAT, "rows": [row]})
    with pytest.raises(InputError, match="names none"):
        read_chosen(tmp_path, 2)
