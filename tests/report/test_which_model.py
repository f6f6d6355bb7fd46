"""Which model to use, on made-up facts: better, worse, neither, and rows that no seed changes."""

import numpy as np
import pytest

from musiclust.report.which_model import differences, page, write_study

SEEDS, SUBSAMPLES = 20, 10
EFFORT = {"seeds": SEEDS, "subsamples": SUBSAMPLES, "share": 0.8, "most": 200, "epochs": 100}


def row(name, kind, gain=0.0, spread=0.01, *, seeded=True, number=0, **more):
    """A row of which each value is that of the subsample, and `gain` more."""
    easy = 0.3 + 0.03 * np.random.default_rng(0).normal(size=SUBSAMPLES)
    seeds = np.random.default_rng(1 + number).normal(size=(SEEDS, 1 if seeded else 0)).sum(axis=1)
    values = easy + gain + spread * seeds[:, None]
    return {
        "name": name,
        "kind": kind,
        "features": "mfcc",
        "scaling": "unit",
        "k": 8,
        **dict.fromkeys(("ari", "ami", "reference_silhouette"), values.tolist()),
        "stability": 0.61,
        "low_information": 0.25,
    } | more


def collection(*models, classes="genre"):
    features = row("features", "baseline", seeded=False)
    return {"tracks": 250, "drawn": 200, "classes": classes, "left_out": {}, "rows": [features, *models]}


def facts(**collections):
    return {"effort": EFFORT, "command": "python -m experiments.study", "collections": collections}


BETTER, WORSE, SAME = row("vae", "model", 0.1), row("cvae", "model", -0.1, number=1), row("conv_vae", "model", number=2)


def test_a_model_that_is_better_is_advised():
    text = page(facts(demo=collection(BETTER, WORSE, SAME), gtzan=collection(BETTER, SAME)))
    assert (
        "**Take `vae`.** It agrees with the classes better than k-means on the same features on 2 of 2 collections"
        in text
    )
    assert "(demo, gtzan), by +0.1" in text
    assert "Worse somewhere: cvae (demo)." in text
    assert (
        "Better than the features: vae. Not told apart from the features: conv_vae. Worse than the features: cvae."
        in text
    )
    assert "The highest mean has vae on mfcc" in text


def test_a_model_is_held_against_what_it_was_given():
    """Rows of unit length are better than plain ones here; so that is no gain of the model's."""
    given = collection(BETTER, row("conv_vae", "model", 0.1, number=2, scaling="balanced"))
    given["rows"].append(row("unit_features", "baseline", 0.1, seeded=False))
    found = differences(given)
    assert abs(found["vae"].mean) < 0.01
    assert found["conv_vae"].mean == pytest.approx(0.1, abs=0.01)


def test_where_none_is_better_that_is_the_answer():
    text = page(facts(demo=collection(WORSE, SAME)))
    assert "**None is shown to be better than k-means on the features** on any of 1 collections" in text
    assert "No model is better than the features here." in text
    assert "**Take" not in text


def test_a_model_that_is_better_here_and_worse_there_is_not_advised():
    there = row("vae", "model", -0.1)
    text = page(facts(demo=collection(BETTER, SAME), gtzan=collection(there, SAME)))
    assert "**No model is both better than the features somewhere and worse nowhere.**" in text
    assert "Better: vae (demo). Worse: vae (gtzan)." in text


def test_what_another_choice_of_songs_may_undo_is_no_difference():
    """Pooled, 200 values make a difference of songs sure that ten subsamples of the same songs cannot."""
    noise = 0.05 * np.random.default_rng(5).normal(size=SUBSAMPLES)
    lucky = row("vae", "model", spread=0.001)
    lucky["ari"] = (np.array(lucky["ari"]) + 0.02 + noise - noise.mean()).tolist()
    given = collection(lucky)
    found = differences(given)["vae"]
    difference = np.array(lucky["ari"]) - np.array(given["rows"][0]["ari"])
    pooled = 1.96 * difference.std(ddof=1) / np.sqrt(difference.size)
    assert difference.mean() - pooled > 0
    assert found.low < 0 < found.high
    assert found.mean == pytest.approx(0.02, abs=0.005)
    assert "Not told apart from the features: vae." in page(facts(demo=given))


def test_the_interval_allows_for_the_number_of_models():
    one = differences(collection(BETTER))["vae"]
    many = differences(collection(BETTER, *(row(f"m{i}", "model", number=i) for i in range(9))))["vae"]
    assert many.mean == one.mean
    assert many.high - many.low > one.high - one.low


def test_a_row_that_no_seed_changes_has_no_interval_of_another_training():
    """Ten seeds of the same k-means had ± 0.000; of another collection there is one all the same."""
    lines = page(facts(demo=collection(BETTER))).splitlines()
    features = next(line for line in lines if line.startswith("| features |")).split(" | ")
    model = next(line for line in lines if line.startswith("| vae |")).split(" | ")
    assert features[3].strip() == ""
    assert " to " in features[4]
    assert " to " in model[3]
    assert features[5].strip() == ""  # it is what the others are held against
    assert model[5].startswith("+0.1")
    assert (model[8].strip(" |"), features[8].strip(" |")) == ("25 %", "")


def test_a_model_without_its_features_row_is_held_against_nothing():
    alone = row("vae", "model", 0.1, features="msd")
    assert differences(collection(alone)) == {}
    assert "No model is better than the features here." in page(facts(demo=collection(alone)))


def test_rows_that_know_the_mask_and_models_left_out_are_named():
    given = collection(BETTER | {"mask_seen": True})
    given["left_out"] = {"poe_vae": "there is one block"}
    text = page(facts(demo=given))
    assert "| vae (mask-seen) | mfcc |" in text
    assert "250 tracks, 200 in a subsample, classes: genre. poe_vae was not measured: there is one block." in text


def test_a_score_that_is_not_defined_is_left_out():
    holes = row("vae", "model", 0.1)
    holes["ari"][3][2] = float("nan")
    text = page(facts(demo=collection(holes)))
    assert "nan" not in text
    assert "Better than the features: vae." in text


def test_the_page_is_written(tmp_path):
    path = write_study(tmp_path, facts(demo=collection(BETTER)))
    assert path.name == "which-model.md"
    assert path.read_text(encoding="utf-8") == page(facts(demo=collection(BETTER)))
