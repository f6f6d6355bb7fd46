"""metrics.json: what is written is read, also where an earlier version wrote it."""

import json
import math

import pytest

from experiments.configs import Config
from experiments.study.run_files import FORMAT, read_metrics, replace_nan, write_metrics
from musiclust.errors import InputError

BEFORE = {
    "format": 1,
    "corpus": {"name": "demo", "label": "repertory", "classes": ["fiddle", "chorale"]},
    "rows": [{"name": "cvae + kmeans", "flags": ["collapsed", "label-seen"], "scores": {"ari": 0.5, "nmi_p": 0.01}}],
}


def test_results_are_read_as_written(tmp_path):
    results = {"format": FORMAT, "rows": [{"flags": [], "scores": {"ari": math.nan, "nmi": 0.1}}]}
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
    rows = [{"flags": ["collapsed", "degenerate"], "scores": scores}]
    (tmp_path / "metrics.json").write_text(json.dumps({"format": 2, "corpus": {"classes": "genre"}, "rows": rows}))
    results = read_metrics(tmp_path)
    assert results["format"] == FORMAT == 3
    assert results["corpus"] == {"classes": "genre"}
    assert results["rows"] == [{"flags": ["degenerate"], "scores": {"silhouette": 0.1, "nmi": 0.1}}]


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"format": 99}', '{"format": 1, "corpus": {}}'])
def test_a_damaged_file_is_one_line(tmp_path, content):
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(InputError, match=r"metrics\.json is damaged or of another version .*: delete it, or run anew"):
        read_metrics(tmp_path)


def test_a_configuration_that_names_bootstrap_resamples_is_read_where_there_were_none():
    record = Config("vae", ("mfcc_mean",)).to_json()
    del record["subsamples"]
    assert Config.from_json(record | {"bootstrap": [0]}) == Config("vae", ("mfcc_mean",))
    with pytest.raises(InputError, match="names bootstrap resamples, which are no more: start the run anew"):
        Config.from_json(record | {"bootstrap": [0, 1]})


def test_a_configuration_of_an_earlier_version_is_read_in_todays_words():
    record = Config("cvae", ("mfcc_mean",), condition="class:code", classes="genre").to_json()
    record["label"] = record.pop("classes")
    record["condition"] = "label:code"
    assert Config.from_json(record) == Config("cvae", ("mfcc_mean",), condition="class:code", classes="genre")
