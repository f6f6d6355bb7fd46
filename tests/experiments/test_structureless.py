"""The whole null: structureless collections of the same shape are scaled, trained on and clustered alike."""

import numpy as np
import pytest
from conftest import make_store

from experiments.configs import Config
from experiments.study import inputs, structureless
from experiments.study.job import build_model
from experiments.study.scoring import make_judge
from experiments.study.structureless import weigh_pipeline
from musiclust import checkpoint
from musiclust.fit import fit
from musiclust.sweep import prepare, product
from musiclust.training import Recipe

pytestmark = pytest.mark.slow  # a minute of compilation


def quiet(stage, done, total):
    pass


class Place:
    """A tiny run whose model is trained, and its null."""

    def __init__(self, root):
        self.root = root
        self.config = Config(
            "vae", ("mfcc_mean",), latent_dim=2, epochs=4, k=3, scaling="unit", options={"hidden": (8,)}
        )
        self.inputs = inputs.load(self.config, make_store(root / "store", n=30, lyrics=False))
        model = build_model(self.config, self.inputs.fusion, self.inputs.data.x.shape[1:])
        ready = prepare(
            model, Recipe(batch_size=16), self.inputs.data, settings=product((3, 4), (1.0,), (1e-2,)), epochs=4
        )
        meta = {"config": self.config.to_json()}
        self.model = fit(ready, fusion=self.inputs.fusion, root=root / "model", meta=meta).checkpoint
        self.judge = make_judge(self.config, self.inputs)

    def weigh(self, name, report=quiet, **more):
        given = {"root": self.root / name, "report": report, "draws": 2} | more
        return weigh_pipeline(self.config, self.inputs, self.model, 1, self.judge, **given)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("null"))


@pytest.fixture(scope="module")
def whole(place):
    return place.weigh("whole")


def test_the_songs_are_held_against_two_kinds_of_structureless_ones(whole):
    assert (whole.how, whole.draws) == ("pipeline", 2)
    assert set(whole.tests) == {"silhouette", "reference_silhouette", "stability"}
    for test in whole.tests.values():
        assert set(test) == {"elliptical", "copula"}
        assert all(np.isfinite(list(one.values())).all() for one in test.values())
    assert not whole.structured  # of two draws the smallest p is 1/3
    assert whole.value("reference_silhouette") > whole.null("reference_silhouette")  # three classes lie far apart


def test_each_structureless_collection_is_a_replica_with_the_setting_that_is_shown(place, whole):
    trained = checkpoint.restore(place.root / "whole" / "0")
    assert [setting[:3] for setting in trained.settings] == [place.model.settings[1][:3]] * 4
    assert [setting.rows for setting in trained.settings] == [0, 1, 2, 3]
    assert trained.epoch == 4


def test_a_killed_null_goes_on_to_the_same_evidence(place, whole, monkeypatch):
    """In batches of three, the last one filled up, it is the same as all at once."""
    monkeypatch.setattr(structureless, "_BYTES", 3 * place.inputs.data.x.nbytes)
    said = []

    def stop(stage, done, total):
        said.append(stage)
        if stage.startswith("judging") and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        place.weigh("killed", stop)
    assert "training on structureless data x 3" in said
    assert sorted(path.name for path in (place.root / "killed").iterdir()) == ["0"]
    again = place.weigh("killed", resume=True)
    for measure, kinds in whole.tests.items():
        for kind, test in kinds.items():
            assert again.tests[measure][kind] == pytest.approx(test, abs=1e-6)
