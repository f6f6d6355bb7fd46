"""`python -m experiments.study` on a tiny store: it measures, writes its page, and goes on where it was broken off."""

import json

import numpy as np
import pytest
from command_line import script
from conftest import make_store

from experiments.study import models
from musiclust import store
from musiclust.errors import InputError
from musiclust.report.which_model import page

EFFORT = ("--seeds=2", "--subsamples=2", "--epochs=2", "--most=20")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    make_store(root / "mine", n=30, lyrics=False)
    return root


def study(place, *args):
    return script(place, "study", f"--store={place / 'mine'}", *EFFORT, f"--out={place / 'out'}", *args)


def read(place):
    return json.loads((place / "out" / "which-model.json").read_text())


@pytest.fixture(scope="module")
def begun(place):
    """A study of one of two models: what there is after it was broken off."""
    code, out, err = study(place, "--models=vae")
    assert code == 0, err
    return read(place), out


def test_each_row_is_crossed_with_seeds_and_subsamples(begun):
    facts, _ = begun
    assert facts["effort"] == {"seeds": 2, "subsamples": 2, "share": 0.8, "most": 20, "epochs": 2}
    mine = facts["collections"]["mine"]
    assert (mine["tracks"], mine["drawn"], mine["classes"]) == (30, 20, "genre")
    assert [(row["name"], row["kind"]) for row in mine["rows"]] == [
        *((name, "baseline") for name in ("features", "unit_features", "pca", "tsne")), ("vae", "model"),
    ]  # fmt: skip
    for row in mine["rows"]:
        assert row["features"] == "mfcc_mean"
        for measure in models.MEASURES:
            assert np.array(row[measure]).shape == (2, 2)
    features, vae = mine["rows"][0], mine["rows"][-1]
    assert np.ptp(features["ari"], axis=0).max() < 0.2  # its seeds are those of k-means alone
    assert np.mean(features["ari"]) > 0.8  # three classes lie far apart
    assert len(np.unique(vae["reference_silhouette"])) > 1
    assert 0 <= vae["low_information"] <= 1
    assert vae["mask_seen"] is False


@pytest.mark.slow
def test_it_goes_on_without_measuring_again(place, begun):
    facts, _ = begun
    mark = facts["collections"]["mine"]["rows"][-1]
    mark["stability"] = 0.12345  # a figure that no measurement gives
    (place / "out" / "which-model.json").write_text(json.dumps(facts))
    code, out, err = study(place, "--models=vae,cvae,autoencoder")
    assert code == 0, err
    mine = read(place)["collections"]["mine"]
    assert mine["rows"][: len(facts["collections"]["mine"]["rows"])] == facts["collections"]["mine"]["rows"]
    assert [row["name"] for row in mine["rows"]][-2:] == ["vae", "autoencoder"]
    assert mine["left_out"] == {"cvae": "it is told which blocks a track has, and all tracks have the same"}
    text = (place / "out" / "which-model.md").read_text()
    assert text == page(read(place))
    assert "cvae was not measured" in text
    assert "0.123" in text
    assert f"written: {place / 'out' / 'which-model.md'}" in out.replace("\n", "")


def test_what_was_measured_with_another_effort_is_kept_apart(place, begun):
    before = read(place)
    code, _, err = study(place, "--models=autoencoder", "--epochs=1")
    assert code == 1
    assert "--epochs=2: give these, name another --out" in " ".join(err.split())
    assert read(place) == before


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--models=vea",), "--models=vea: choose from vae"),
        (("--store={place}/mine:colour",), "there is no block colour; there are melspec, mfcc_mean, mfcc_stats"),
        (("--store=/nowhere",), "/nowhere is not a store"),
    ],
)
def test_bad_input_gets_one_line(place, args, message):
    code, _, err = script(place, "study", *(arg.format(place=place) for arg in args), f"--out={place / 'no'}")
    assert code == 1
    assert message in " ".join(err.split())
    assert len([line for line in err.splitlines() if line.startswith("error")]) == 1


def test_a_store_without_classes_cannot_compare_models(tmp_path):
    make_store(tmp_path / "mine", n=30, classes=1, lyrics=False)
    code, _, err = script(
        tmp_path, "study", f"--store={tmp_path / 'mine'}", *EFFORT, "--models=vae", f"--out={tmp_path / 'out'}"
    )
    assert code == 1
    assert "knows no classes, so that models cannot be compared by them" in " ".join(err.split())


def test_blocks_by_name_take_the_place_of_the_models_own(place):
    given = models.read_collection(f"{place / 'mine'}:mfcc_stats+mfcc_mean")
    assert (given.name, given.features) == ("mine", ("mfcc_stats", "mfcc_mean"))
    effort = models.Effort(3, 2, 0.8, 20, 5)
    config = models.configure("vae", given, effort)
    assert (config.features, config.seed, config.epochs, config.controls) == (given.features, (0, 1, 2), 5, ())
    assert store.block_names(given.root)
    with pytest.raises(InputError, match="there is no block chroma"):
        models.read_collection(f"{place / 'mine'}:chroma")
