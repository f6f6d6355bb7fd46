import numpy as np
import pytest

from musiclust.baselines import BASELINES, UNSEEDED, features, pca, pca_reconstruction, tsne, unit_features
from musiclust.cluster import CLUSTERERS
from musiclust.embedding import embed_2d
from musiclust.errors import InputError


@pytest.fixture
def x():
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 12)) @ rng.normal(size=(12, 12)) + 3


def test_features_are_the_flattened_matrix(x):
    z = features(x.reshape(60, 3, 4), latent_dim=2, seed=0)
    np.testing.assert_array_equal(z, x.astype(np.float32))


def test_pca_by_singular_vectors(x):
    z = pca(x, latent_dim=5, seed=0)
    u, s, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(z), np.abs(u[:, :5] * s[:5]), atol=1e-4)


@pytest.mark.parametrize(("shape", "width"), [((60, 12), 12), ((8, 12), 8), ((8, 3, 2), 6)])
def test_pca_is_cut_to_what_there_is(shape, width):
    z = pca(np.random.default_rng(0).normal(size=shape), latent_dim=32, seed=0)
    assert z.shape == (shape[0], width)
    assert np.isfinite(z).all()


@pytest.mark.filterwarnings("error")
def test_pca_of_constant_features_is_zero():
    np.testing.assert_array_equal(pca(np.ones((9, 4)), latent_dim=2, seed=0), np.zeros((9, 2)))


def test_unit_features_are_directions_from_the_mean(x):
    z = unit_features(x.reshape(60, 3, 4), latent_dim=2, seed=0).astype(np.float64)
    centred = x - x.mean(axis=0)
    np.testing.assert_allclose(z, centred / np.linalg.norm(centred, axis=1, keepdims=True), atol=1e-6)
    far = x.copy()
    far[7] = x.mean(axis=0)  # then the mean of the others is the mean of all
    others = np.delete(far, 7, axis=0)
    others += far[7] - others.mean(axis=0)
    assert not unit_features(np.vstack([others, far[7]]), latent_dim=2, seed=0)[-1].any()


def test_unit_features_do_not_see_how_loud_a_cluster_is():
    rng = np.random.default_rng(0)
    truth = np.arange(200) % 2
    loud = np.repeat(np.exp(rng.normal(0, 1.5, 100)), 2)[:, None]  # alike in both clusters
    x = np.where(truth == 0, 1, -1)[:, None] * loud * [1.0, 1.0] + rng.normal(0, 0.05, (200, 2))

    def found(z):
        clusters = CLUSTERERS["kmeans"](z, k=2, seed=0).clusters
        return max((clusters == truth).mean(), (clusters != truth).mean())

    assert found(unit_features(x, latent_dim=2, seed=0)) > 0.97
    assert found(features(x, latent_dim=2, seed=0)) < 0.97


def test_tsne_is_that_of_the_map(x):
    z = tsne(x.reshape(60, 3, 4), latent_dim=8, seed=5)
    assert z.shape == (60, 2)
    np.testing.assert_array_equal(z, embed_2d(x, seed=0).astype(np.float32))


@pytest.mark.parametrize("name", BASELINES)
def test_what_is_computed_once_is_the_same_for_every_seed(name):
    wide = np.random.default_rng(0).normal(size=(600, 700))
    first, second = (BASELINES[name](wide, latent_dim=8, seed=seed) for seed in (1, 2))
    assert np.array_equal(first, second) is (name in UNSEEDED)


@pytest.mark.parametrize("name", BASELINES)
def test_same_seed_same_result(name):
    wide = np.random.default_rng(0).normal(size=(300, 700))  # wide enough for the randomised solver
    first, second = (BASELINES[name](wide, latent_dim=8, seed=1) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.dtype == np.float32


@pytest.mark.parametrize("name", BASELINES)
def test_bad_features_are_named(name):
    with pytest.raises(InputError, match="row 1 of the features"):
        BASELINES[name](np.array([[1.0, 2], [np.nan, 0]]), latent_dim=1, seed=0)


def test_pca_to_nothing_is_refused(x):
    with pytest.raises(InputError, match="`latent_dim` of at least 1"):
        pca(x, latent_dim=0, seed=0)


def test_the_reconstruction_of_pca_is_of_tracks_that_it_was_not_fitted_on():
    """Against the projection written out, with the mean and the axes of the training part."""
    rng = np.random.default_rng(0)
    train, held = rng.normal(size=(50, 4, 2)), rng.normal(size=(20, 4, 2)) + 1.0
    flat, other = train.reshape(50, 8), held.reshape(20, 8)
    axes = np.linalg.svd(flat - flat.mean(axis=0))[2][:3]
    centred = other - flat.mean(axis=0)
    expected = np.square(centred - centred @ axes.T @ axes).sum(axis=1).mean()
    assert pca_reconstruction(train, held, 3) == pytest.approx(expected)
    with pytest.raises(InputError, match="choose `latent_dim` of at least 1"):
        pca_reconstruction(train, held, 0)
