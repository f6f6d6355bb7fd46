"""VAECluster: what scikit-learn asks of an estimator, and that it is the library's own training and clustering."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

import musiclust as mc

SMALL = {"latent_dim": 2, "model_options": {"hidden": (8,)}, "epochs": 20}
LONGER = {"batch_size": 16, "learning_rate": 1e-2}
CHECKS = list(estimator_checks_generator(mc.VAECluster(3, **SMALL)))


@pytest.fixture(scope="module")
def blobs():
    x, truth = make_blobs(90, n_features=6, centers=3, cluster_std=0.5, random_state=0)
    return x, truth


@pytest.fixture(scope="module")
def fitted(blobs):
    return mc.VAECluster(3, **SMALL, **LONGER, n_replicas=2, random_state=5).fit(blobs[0])


@pytest.mark.slow  # a training each
@pytest.mark.parametrize(("estimator", "check"), CHECKS, ids=[check.func.__name__ for _, check in CHECKS])
def test_scikit_learn_s_own_checks(estimator, check):
    check(estimator)


def test_it_finds_blobs_and_places_new_rows(fitted, blobs):
    x, truth = blobs
    assert adjusted_rand_score(truth, fitted.labels_) == 1.0
    np.testing.assert_array_equal(fitted.predict(x), fitted.labels_)
    np.testing.assert_array_equal(fitted.predict(x[7:8]), fitted.labels_[7:8])
    np.testing.assert_array_equal(fitted.transform(x[::-1])[::-1], fitted.transform(x))
    assert fitted.cluster_centers_.shape == (3, 2)
    assert fitted.seed_ in (5, 6)
    assert fitted.history_.loss.shape == (20,)


def test_it_is_what_the_functions_give(fitted, blobs):
    x = mc.standardise(blobs[0])
    data = mc.Data(x)
    model = mc.VAE(input_shape=(6,), latent_dim=2, hidden=(8,))
    trained = mc.train(model, data, seeds=(5, 6), learning_rates=(1e-2,), epochs=20, recipe=mc.Recipe(batch_size=16))
    chosen = trained.choose(data)
    assert trained.settings[chosen].seed == fitted.seed_
    z = np.asarray(mc.encode(model, trained.replica(chosen), data).mean)
    np.testing.assert_allclose(fitted.transform(blobs[0]), z, rtol=1e-4, atol=1e-5)  # in batches of another size
    np.testing.assert_array_equal(mc.kmeans(z, k=3, seed=fitted.seed_).clusters, fitted.labels_)


def test_a_row_unlike_the_others_scores_low(fitted, blobs):
    x = blobs[0]
    scores = fitted.score_samples(x)
    assert scores.shape == (90,)
    assert fitted.score_samples(x.mean(axis=0, keepdims=True) + 100)[0] < scores.min()
    assert fitted.score(x) == pytest.approx(scores.mean())


def test_it_is_cloned_pickled_and_seeded(fitted, blobs):
    x = blobs[0]
    assert clone(fitted).get_params() == fitted.get_params()
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.transform(x), fitted.transform(x))
    np.testing.assert_array_equal(again.predict(x), fitted.labels_)
    np.testing.assert_array_equal(clone(fitted).fit(x).transform(x), fitted.transform(x))
    other = mc.VAECluster(3, **SMALL, **LONGER, random_state=7).fit(x)
    assert (other.transform(x) != fitted.transform(x)).any()


def test_it_works_in_a_pipeline_and_gives_pandas(blobs):
    pandas = pytest.importorskip("pandas")
    x, truth = blobs
    pipeline = make_pipeline(StandardScaler(), mc.VAECluster(3, **SMALL, **LONGER, scaling="none", random_state=0))
    assert adjusted_rand_score(truth, pipeline.fit_predict(x)) > 0.9
    assert pipeline[-1].get_feature_names_out().tolist() == ["vaecluster0", "vaecluster1"]
    named = pandas.DataFrame(x, columns=[f"mfcc_{i}" for i in range(6)])
    frame = pipeline.set_output(transform="pandas").fit(named).transform(named)
    assert pipeline[0].feature_names_in_.tolist() == list(named.columns)
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == ["vaecluster0", "vaecluster1"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "nonsense"}, "unknown model 'nonsense': choose from vae"),
        ({"model": "cvae"}, "cvae needs a condition"),
        ({"clusterer": "nonsense"}, "unknown clusterer 'nonsense': choose from kmeans"),
        ({"n_clusters": 0}, "n_clusters = 0 for n_samples = 90: choose 1 to 90"),
        ({"n_clusters": 91}, "n_clusters = 91 for n_samples = 90: choose 1 to 90"),
        ({"epochs": 0}, "epochs = 0: choose at least 1"),
        ({"batch_size": 1}, "batch_size = 1: choose at least 2"),
        ({"beta": -1.0}, "a beta is at least 0"),
        ({"scaling": "nonsense"}, "unknown scaling 'nonsense'"),
        ({"learning_rate": 1e18}, "the loss is not finite"),
    ],
)
def test_what_cannot_be_is_a_value_error(blobs, options, message):
    with pytest.raises(ValueError, match=message):
        mc.VAECluster(**{"n_clusters": 3, **SMALL, **options}, random_state=0).fit(blobs[0])
