"""What `experiments.study` makes of a collection and a model: settings, who is left out, and scores that compare."""

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_store

from experiments.study import inputs, models
from experiments.study.models import Collection, Effort

EFFORT = Effort(seeds=2, subsamples=2, share=0.8, most=40, epochs=2)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("compared")
    make_store(root / "sung")
    make_store(root / "deaf", n=30, lyrics=False)
    return root


def test_a_model_that_takes_words_takes_them_beside_the_blocks_of_a_collection(place):
    named = Collection("sung", place / "sung", ("mfcc_stats",))
    assert models.configure("vae", named, EFFORT).features == ("mfcc_stats",)
    cvae = models.configure("cvae", named, EFFORT)
    assert cvae.features == ("mfcc_stats", "lyrics")  # the words are what it is for
    assert (cvae.seed, cvae.epochs, cvae.k, cvae.controls) == ((0, 1), 2, 3, ())


def test_a_model_that_a_collection_gives_nothing_to_do_is_left_out_and_why(place):
    deaf, sung = (Collection(name, place / name, ()) for name in ("deaf", "sung"))

    def reason(name, collection):
        config = models.configure(name, collection, EFFORT)
        return models.why_not(config, inputs.load(config, collection.root))

    assert reason("vae", deaf) == reason("cvae", sung) == reason("poe_vae", sung) == ""
    assert reason("cvae", deaf) == "it is told which blocks a track has, and all tracks have the same"
    assert reason("poe_vae", deaf) == "it has an encoder for each block, and there is one block"


def test_a_baseline_that_no_seed_changes_is_the_same_for_every_seed_but_not_for_every_subsample(place):
    collection = Collection("sung", place / "sung", ("mfcc_mean",))
    config = models.configure("vae", collection, EFFORT)
    given = inputs.load(config, collection.root)
    # Classes that are no clusters, so that a score depends on the tracks.
    given = given._replace(truth=np.random.default_rng(0).permutation(given.truth))
    found = models.measure_baseline("features", config, given, EFFORT)
    scores = np.array(found["ari"])
    assert scores.shape == (2, 2)
    np.testing.assert_array_equal(scores[0], scores[1])
    assert scores[0, 0] != scores[0, 1]
    assert found["low_information"] == 0
    assert found["stability"] > 0.9


def test_each_replica_sees_the_tracks_of_its_subsample_alone(place):
    """Those of another subsample can be anything."""
    collection = Collection("sung", place / "sung", ("mfcc_mean",))
    effort = EFFORT._replace(most=20)
    config = replace(
        models.configure("vae", collection, effort), latent_dim=2, neighbours=0.0, options=(("hidden", (8,)),)
    )
    given = inputs.load(config, collection.root)
    lines = models.draw_lines(given, effort)
    only = np.setdiff1d(lines[1], lines[0])
    assert len(only)
    x = given.data.x.copy()
    x[only] = np.random.default_rng(0).normal(size=(len(only), x.shape[1])) * 3
    told = []
    ours = models.measure_model(config, given, effort, lambda *step: told.append(step))
    theirs = models.measure_model(config, given._replace(data=given.data._replace(x=x)), effort, lambda *step: None)
    for measure in models.MEASURES:
        one, other = np.array(ours[measure]), np.array(theirs[measure])
        np.testing.assert_array_equal(one[:, 0], other[:, 0])
    assert (np.array(ours["ari"])[:, 1] != np.array(theirs["ari"])[:, 1]).any()
    assert told[-1] == ("scoring vae", 4, 4)
    assert 0 <= ours["low_information"] <= 1
