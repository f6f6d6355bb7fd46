"""What the clusters of a run are worth, in answers: each part has its verdict, and what was not measured no word."""

import math

import pytest

from musiclust.report.trust import answers

CHOICE = {"k": 4, "low": 3, "high": 5, "reason": "4 is the most stable"}
PROBES = {
    "features": {"linear": 0.61, "knn": 0.55, "chance": 0.125, "p": 0.01},
    "latents": {"linear": 0.52, "knn": 0.5, "chance": 0.125, "p": 0.01},
}


def evidence(structured=True, how="latents"):
    measured = {"value": 0.31, "null": 0.22, "p": 0.05 if structured else 0.4}
    steady = {"value": 0.9, "null": 0.4, "p": 0.05}
    return {"how": how, "draws": 19, "structured": structured, "silhouette": measured, "stability": steady}


def told(kind="model", **trust):
    """The one answer of a run of which one thing was measured."""
    (answer,) = answers(results(kind, trust))
    return answer


def results(kind, trust):
    return {
        "rows": [{"kind": "baseline"}, {"kind": kind}],
        "chosen": 1,
        "model": {"latent_dim": 32},
        "corpus": {"classes": "repertory"},
        "trust": trust,
    }


@pytest.mark.parametrize("trust", [None, {}, {"evidence": None, "mask": None, "controls": [], "duplicates": []}])
def test_what_was_not_measured_is_not_spoken_of(trust):
    assert answers(results("model", trust)) == []
    without = results("model", trust)
    del without["trust"]
    assert answers(without) == []


def test_parts_of_which_nothing_is_asked_have_no_answer():
    assert answers(results("model", {"reference": ["mfcc_stats"]})) == []


@pytest.mark.parametrize(
    ("kind", "structured", "how", "verdict"),
    [
        ("model", True, "pipeline", "yes"),
        ("model", False, "pipeline", "no"),
        # Training draws structureless songs together too, and the quick form has not tried it.
        ("model", True, "latents", "not known"),
        ("model", False, "latents", "no"),
        ("baseline", True, "latents", "yes"),
    ],
)
def test_groups_are_there_where_the_whole_way_was_tried(kind, structured, how, verdict):
    answer = told(kind, evidence=evidence(structured, how))
    assert (answer.question, answer.verdict) == ("Are there groups at all?", verdict)
    assert "the silhouette is 0.310 and theirs 0.220" in answer.text
    assert "agree with the whole to 0.900, theirs to 0.400 (p 0.05)" in answer.text
    assert ("trained on and clustered in the same way" in answer.text) == (how == "pipeline")
    assert ("Nothing here shows more than chance would" in answer.text) == (not structured)
    assert ("was not tried" in answer.text) == (verdict == "not known")


@pytest.mark.parametrize(
    ("jaccard", "verdict", "says"),
    [
        ([0.9, 0.75], "yes", "2 of 2 clusters came back each time or nearly so. 60 %"),
        ([0.9, 0.74, 0.3], "partly", "1 of 3 clusters came back each time or nearly so, and 1 fell apart. 60 %"),
        ([0.6, 0.4], "no", "0 of 2 clusters came back each time or nearly so, and 1 fell apart."),
        ([0.9, math.nan], "yes", "1 of 1 clusters"),  # a cluster that no part of the songs held
        ([0.9, None], "yes", "1 of 1 clusters"),  # the same, out of metrics.json
        ([], "no", "0 of 0 clusters"),
    ],
)
def test_groups_come_back_by_their_jaccard(jaccard, verdict, says):
    answer = told(recovery={"how": "latents", "partitions": 11, "jaccard": jaccard, "sure": 0.6})
    assert answer.verdict == verdict
    assert says in answer.text
    assert answer.text.startswith("The songs were grouped 11 times, half of them at a time")


def test_groups_that_came_back_after_training_anew_are_told_as_such():
    answer = told(recovery={"how": "training", "partitions": 40, "jaccard": [0.9], "sure": 0.6})
    assert answer.text.startswith("The model was trained 40 times, on four fifths of the songs and with other seeds.")


@pytest.mark.parametrize(
    ("source", "k", "verdict", "says"),
    [
        ("given", 4, "yes", "There are 4 clusters because so many were asked for."),
        ("given", 8, "no", "There are 8 clusters because so many were asked for."),
        ("classes", 8, "no", "because there are so many classes (an oracle k: other collections have no classes)"),
        ("classes", 5, "yes", "By the features alone: 4 is the most stable; the range is 3 to 5."),
        ("suggested", 4, "yes", "There are 4 clusters because the features suggest it."),
    ],
)
def test_the_number_of_groups_is_held_against_the_features(source, k, verdict, says):
    answer = told(k={"k": k, "source": source, "suggested": CHOICE})
    assert answer.verdict == verdict
    assert says in answer.text


def test_a_clusterer_that_finds_the_number_is_named():
    answer = told(k={"k": 2, "source": "found", "clusterer": "dbscan", "suggested": CHOICE})
    assert (answer.verdict, answer.text[:53]) == ("no", "There are 2 clusters because dbscan found so many. By")


def test_a_null_that_is_not_defined_is_no_number():
    """HDBSCAN, say, finds no cluster in any structureless cloud."""
    found = evidence(True, "latents")
    answer = told(evidence={**found, "silhouette": {**found["silhouette"], "null": -1.0}})
    assert "the silhouette is 0.310 and theirs not defined, for there are no two clusters (p 0.05)" in answer.text


def test_one_group_is_an_answer():
    one = {"k": 1, "low": 1, "high": 1, "reason": "one: no clusters here"}
    answer = told(k={"k": 8, "source": "suggested", "suggested": one})
    assert answer.verdict == "no"
    assert answer.text == (
        "The features suggest one: no clusters here. The 8 groups are shelves to find one's way by, not kinds."
    )
    asked = told(k={"k": 8, "source": "given", "suggested": one})
    assert asked.verdict == "no"
    assert asked.text.endswith("By the features alone: one: no clusters here.")


def test_a_code_that_keeps_little_is_told_with_its_remedies():
    little = told(information={"nats": 0.31, "units": 1, "low": True})
    assert little.verdict == "no"
    assert "0.310 nats at most, in 1 of 32 dimensions" in little.text
    for remedy in ("beta", "free_bits", "capacity"):
        assert f"`{remedy}`" in little.text
    much = told(information={"nats": 4.2, "units": 9, "low": False, "held_out": None})
    assert (much.verdict, much.text) == ("yes", "The code tells 4.20 nats at most, in 9 of 32 dimensions.")
    held = {"tracks": 32, "reconstruction": 8.1, "pca": 9.4, "iwae": -41.0}
    apart = told(information={"nats": 4.2, "units": 9, "low": False, "held_out": held})
    assert "On 32 songs kept out of training its reconstruction is off by 8.10" in apart.text
    assert "the same number: 9.40" in apart.text
    assert "log p is at least -41.0 nats" in apart.text


@pytest.mark.parametrize(
    ("seen", "untold", "verdict"),
    [(["jazz", "folk"], [], "yes"), (["jazz"], ["rock", "pop"], "partly"), ([], ["rock"], "no")],
)
def test_classes_that_no_probe_tells_are_named(seen, untold, verdict):
    answer = told(classes={"told": seen, "untold": untold, "spaces": PROBES})
    assert (answer.question, answer.verdict) == ("Do the features know the repertory classes?", verdict)
    assert f"{len(seen)} of {len(seen) + len(untold)} repertory classes can be told" in answer.text
    assert "features: 0.610 by a linear map, 0.550 by neighbours, chance 0.125" in answer.text
    assert (f"No probe can tell {', '.join(untold)}:" in answer.text) == bool(untold)


@pytest.mark.parametrize(
    ("nmi", "classes", "verdict"), [(0.41, 0.37, "partly"), (0.05, 0.37, "no"), (0.41, None, "partly")]
)
def test_who_has_words_may_be_all_there_is(nmi, classes, verdict):
    answer = told(mask={"what": "lyrics", "clusters": nmi, "classes": classes})
    assert (answer.question, answer.verdict) == ("Is it only who has words?", verdict)
    assert f"an NMI of {nmi:.3f} with the clusters" in answer.text
    assert ("with the classes" in answer.text) == (classes is not None)


@pytest.mark.parametrize(
    ("credited", "verdict"), [((True, True), "yes"), ((True, False), "partly"), ((False, False), "no")]
)
def test_what_a_control_reaches_is_not_credited(credited, verdict):
    found = [
        {"what": what, "ours": 0.28, "ari": 0.24, "credited": one}
        for what, one in zip(("the words shuffled", "the sound alone"), credited, strict=True)
    ]
    answer = told(controls=found)
    assert (answer.question, answer.verdict) == ("Does what was added help?", verdict)
    for what, one in zip(("the words shuffled", "the sound alone"), credited, strict=True):
        assert f"{'more than' if one else 'no more than'} with {what} (0.280 against 0.240)" in answer.text


@pytest.mark.parametrize(
    ("ends", "verdict", "says"),
    [
        ([0.11, 0.35], "yes", "another collection of this size and kind 0.110 to 0.350"),
        ([-0.02, 0.35], "not known", "kind -0.020 to 0.350"),
        ([math.nan, math.nan], "not known", "kind not known"),
        ([None, None], "not known", "kind not known"),
    ],
)
def test_agreement_is_claimed_for_another_collection(ends, verdict, says):
    answer = told(agreement={"ari": 0.23, "training": [0.21, 0.25], "collection": ends})
    assert answer.verdict == verdict
    assert "Another training on these songs would give 0.210 to 0.250" in answer.text
    assert says in answer.text


def test_songs_that_are_there_twice_are_named():
    pairs = [{"first": f"a{i}", "second": f"b{i}", "distance": 0.0} for i in range(7)]
    one, many = told(duplicates=pairs[:1]), told(duplicates=pairs)
    assert one.text == "1 pair is the same recording by their features: a0 and b0."
    assert many.text.startswith("7 pairs are the same recording by their features: a0 and b0, a1 and b1,")
    assert many.text.endswith("a4 and b4 and 2 more pairs.")


def test_answers_come_in_the_order_in_which_they_matter():
    found = answers(
        results(
            "model",
            {
                "duplicates": [{"first": "a", "second": "b", "distance": 0.0}],
                "classes": {"told": ["jazz"], "untold": [], "spaces": PROBES},
                "k": {"k": 4, "source": "given", "suggested": CHOICE},
                "evidence": evidence(),
            },
        )
    )
    assert [one.question for one in found] == [
        "Are there groups at all?",
        "Is that the right number of groups?",
        "Do the features know the repertory classes?",
        "Is a song there twice?",
    ]
