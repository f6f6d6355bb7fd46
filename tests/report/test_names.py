"""Names of clusters: none for clusters drawn by lot, the planted one where one was planted, never one twice."""

import numpy as np
import pytest

from musiclust.errors import InputError
from musiclust.report.names import DESCRIPTORS, NO_CHARACTER, name_clusters, quote

TAGS = [f"{which}:tag {i}" for which in ("mtt", "msd") for i in range(40)]
WORDS = np.array(
    [a + b for a in ("lo", "mi", "sa", "ru", "ta", "ve") for b in ("ren", "lin", "mar", "tos", "gar", "vel")]
)


def collection(rng, groups, each):
    """Tags that go together, descriptors and lyrics of songs, `each` clips of a song."""
    group = np.repeat(np.arange(groups), each)
    factors = rng.normal(size=(groups, 4)) @ rng.normal(size=(4, len(TAGS)))
    logit = -2.5 + factors + rng.normal(size=(groups, len(TAGS)))
    tags = 1 / (1 + np.exp(-(logit[group] + rng.normal(0, 0.6, (len(group), len(TAGS))))))
    scales = {"tempo": (110, 0.3), "centroid_mean": (1500, 0.5), "rms_mean": (0.1, 0.7)}
    descriptors = {
        name: middle * np.exp(spread * rng.normal(size=groups))[group] for name, (middle, spread) in scales.items()
    }
    often = 1 / np.arange(1, len(WORDS) + 1)
    sung = [" ".join(rng.choice(WORDS, rng.integers(5, 40), p=often / often.sum())) for _ in range(groups)]
    texts = np.where(rng.random(groups) < 0.6, sung, "")[group].tolist()
    return {"tags": tags, "tag_names": TAGS, "descriptors": descriptors, "texts": texts, "group": group}


@pytest.mark.parametrize(
    ("groups", "each", "whole"),
    [(240, 1, False), (60, 5, False), (60, 5, True), (60, 1, False)],
    ids=["songs", "clips by lot", "whole songs by lot", "few songs"],
)
def test_clusters_drawn_by_lot_have_no_character(groups, each, whole):
    """At most one in twenty, and no more of the collections have any."""
    named, clusters_in_all, collections = 0, 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        known = collection(rng, groups, each)
        weights = rng.dirichlet(np.full(8, 2.0))
        clusters = (
            rng.choice(8, groups, p=weights)[known["group"]] if whole else rng.choice(8, groups * each, p=weights)
        )
        found = [one.name != NO_CHARACTER for one in name_clusters(clusters, **known)]
        named, clusters_in_all, collections = named + sum(found), clusters_in_all + len(found), collections + any(found)
    assert named <= 0.05 * clusters_in_all
    assert collections <= 7  # 3 are promised at most


def test_what_was_planted_is_found():
    rng = np.random.default_rng(0)
    known = collection(rng, 100, 3)
    clusters = np.arange(100)[known["group"]] % 5
    known["tags"][clusters == 1, 7] = rng.uniform(0.5, 0.9, 60)
    known["descriptors"]["tempo"][clusters == 2] *= 1.8
    known["texts"] = [f"{text} Halleluja" if c == 3 else text for text, c in zip(known["texts"], clusters, strict=True)]
    found = name_clusters(clusters, **known)
    assert [one.name for one in found] == [NO_CHARACTER, "tag 7", "faster", quote("halleluja"), NO_CHARACTER]
    assert [one.size for one in found] == [60] * 5
    (reason,) = found[1].reasons
    here, elsewhere = (
        np.maximum(known["tags"][:, 7], known["tags"][:, 47])[rows].mean() for rows in (clusters == 1, clusters != 1)
    )
    assert (reason.kind, reason.here, reason.elsewhere) == ("tag", pytest.approx(here), pytest.approx(elsewhere))
    assert 1 < reason.low < reason.effect < reason.high
    assert reason.effect == pytest.approx(here / elsewhere)
    assert found[2].reasons[0].unit == "BPM"


def planted(rows, n=40):
    """A column a row: songs of which cluster have the tag."""
    rng = np.random.default_rng(1)
    clusters = np.repeat(np.arange(max(max(row) for row in rows) + 1), n)
    values = [np.isin(clusters, row) * 0.6 + rng.uniform(0.02, 0.1, len(clusters)) for row in rows]
    return clusters, np.column_stack(values)


def test_no_two_clusters_have_one_name():
    # 0 and 1 share three tags and differ in the fourth; 2 and 3 share all of theirs; 4 has none.
    clusters, values = planted([[0, 1], [0, 1], [0, 1], [0], [2, 3], [2, 3], [4]])
    values[:, 3] *= 0.3  # the weakest of the reasons of 0
    found = name_clusters(clusters, tags=values[:, :6], tag_names=["harp", "solo", "folk", "flute", "metal", "rock"])
    names = [one.name for one in found]
    assert set(names[0].split(", ")) == {"harp", "solo", "folk", "flute"}
    assert set(names[1].split(", ")) == {"harp", "solo", "folk"}
    assert set(names[2].split(", ")) == {"metal", "rock"}
    assert names[3].endswith(" (2)")
    assert names[4] == NO_CHARACTER
    assert len(set(names)) == 5


def test_clusters_of_one_name_are_told_by_what_tells_them_from_each_other():
    clusters, values = planted([[0, 1], [0, 1], [2, 3, 4]])
    rng = np.random.default_rng(2)
    # All have some of it, so that 0 has no more than the rest; but it has more than 1.
    horn = np.array([0.4, 0.2, 0.4, 0.4, 0.4])[clusters] + rng.uniform(-0.03, 0.03, len(clusters))
    found = name_clusters(clusters, tags=np.column_stack([values, horn]), tag_names=["harp", "solo", "metal", "horn"])
    assert sorted(found[0].name.split(", ")) == ["harp", "more horn", "solo"]
    assert sorted(found[1].name.split(", ")) == ["harp", "solo"]
    told = found[0].reasons[-1]
    assert (told.word, told.against, told.here, told.elsewhere) == (
        "horn", (1,), pytest.approx(horn[clusters == 0].mean()), pytest.approx(horn[clusters == 1].mean()),
    )  # fmt: skip
    assert len({one.name for one in found}) == 5  # 2, 3 and 4 are numbered


def test_one_thing_is_said_once_and_not_denied():
    clusters, values = planted([[0]] * 5 + [[1]])
    names = ["mtt:female vocal", "mtt:woman", "msd:female vocalists", "mtt:slow", "mtt:no vocals", "mtt:rock"]
    values[:, 4] *= 0.8
    tempo = np.where(clusters == 0, 60.0, 120.0) + np.arange(80) % 7
    (first, _) = name_clusters(clusters, tags=values, tag_names=names, descriptors={"tempo": tempo})
    assert sorted(first.name.split(", ")) == ["female voice", "slow"]  # neither "slower" nor "instrumental"


def test_a_difference_that_no_ear_hears_is_none():
    clusters = np.repeat([0, 1], 30)
    jitter = np.random.default_rng(0).normal(0, 0.001, 60)
    loud = {"rms_mean": 0.1 + 0.003 * clusters + jitter}
    assert [one.name for one in name_clusters(clusters, descriptors=loud)] == [NO_CHARACTER] * 2
    loud = {"rms_mean": 0.1 + 0.05 * clusters + jitter}
    assert [one.name for one in name_clusters(clusters, descriptors=loud)] == ["quieter", "louder"]


def test_noise_is_not_named_and_nothing_known_is_no_character():
    clusters = np.r_[np.full(10, -1), np.zeros(20, int), np.ones(20, int)]
    assert [(one.cluster, one.name, one.reasons) for one in name_clusters(clusters)] == [
        (0, NO_CHARACTER, ()), (1, NO_CHARACTER, ()),
    ]  # fmt: skip
    assert name_clusters(np.full(5, -1), tags=np.ones((5, 1)), tag_names=["harp"]) == []
    whole = name_clusters(np.zeros(9, int), tags=np.linspace(0, 1, 9)[:, None], tag_names=["harp"])
    assert whole[0].name == NO_CHARACTER  # there is no rest


def test_songs_that_were_not_heard_are_left_out():
    clusters, values = planted([[0]])
    clusters, values = np.r_[clusters, 0, 0], np.r_[values, [[np.nan], [np.nan]]]
    found = name_clusters(np.where(np.arange(42) < 20, 0, 1), tags=values, tag_names=["harp"])
    assert np.isfinite(found[0].reasons[0].here if found[0].reasons else 0.0)
    unheard = name_clusters(clusters, tags=np.full((42, 1), np.nan), tag_names=["harp"])
    assert unheard[0].name == NO_CHARACTER


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"tags": np.ones((3, 1)), "tag_names": ["harp"]}, "tags has 3 rows for 4 songs"),
        ({"texts": ["a"]}, "texts has 1 rows for 4 songs"),
        ({"group": np.arange(5)}, "group has 5 rows for 4 songs"),
        ({"descriptors": {"tempo": np.ones(2)}}, "tempo has 2 rows for 4 songs"),
        ({"tags": np.ones((4, 2)), "tag_names": ["harp"]}, "give a name for each column"),
        ({"tags": np.full((4, 1), 1.5), "tag_names": ["harp"]}, "outside"),
    ],
)
def test_bad_input_is_named(known, message):
    with pytest.raises(InputError, match=message):
        name_clusters(np.array([0, 0, 1, 1]), **known)


def test_descriptors_are_columns_of_the_block_spectral():
    from musiclust.preprocess.audio.features import BLOCKS

    assert set(DESCRIPTORS) <= set(BLOCKS["spectral"].columns)
