"""Places on the map: neighbours are kept, and odd latents neither fail nor warn."""

import warnings

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from musiclust import embedding


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_embedding_keeps_neighbours_and_is_deterministic(rng):
    centres = rng.normal(size=(4, 60)) * 3
    z = centres[np.arange(120) % 4] + rng.normal(size=(120, 60))
    xy = embedding.embed_2d(z, seed=3)
    assert trustworthiness(z, xy, n_neighbors=10) > 0.8
    np.testing.assert_array_equal(xy, embedding.embed_2d(z, seed=3))


@pytest.mark.parametrize(
    "z",
    [
        np.zeros((0, 3)),
        np.ones((1, 3)),
        np.eye(4),
        np.eye(5),
        np.zeros((40, 8)),
        np.arange(30.0)[:, None],
        np.repeat(np.eye(3), 20, axis=0),
        np.random.default_rng(0).normal(size=(30, 4)) * [1e-7, 1e-12, 0, 0],
        np.random.default_rng(0).normal(size=(12, 300)).astype(np.float32),
    ],
    ids=["none", "one", "four", "five", "collapsed", "line", "duplicates", "nearly-collapsed", "wide"],
)
def test_embedding_of_odd_latents(z):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xy = embedding.embed_2d(z, seed=0)
    assert xy.shape == (len(z), 2)
    assert np.isfinite(xy).all()


def test_embedding_of_many_tracks_goes_by_landmarks(rng, monkeypatch):
    monkeypatch.setattr(embedding, "_TSNE_MAX", 150)
    monkeypatch.setattr(embedding, "_LANDMARKS", 100)
    group = np.arange(300) % 3
    z = 10 * np.eye(3)[group] + rng.normal(size=(300, 3))
    xy = embedding.embed_2d(z, seed=0)
    centres = np.array([xy[group == g].mean(axis=0) for g in range(3)])
    nearest = np.linalg.norm(xy[:, None] - centres, axis=2).argmin(axis=1)
    assert (nearest == group).mean() > 0.98


def test_trustworthiness_is_scikit_learns(rng):
    z = rng.normal(size=(90, 6))
    xy = z[:, :2] + 0.5 * rng.normal(size=(90, 2))
    measured = embedding.trustworthiness(z, xy, seed=0)
    assert measured == pytest.approx(trustworthiness(z, xy, n_neighbors=10), abs=1e-12)
    assert 0.6 < measured < 0.9
    assert embedding.trustworthiness(z[:7], xy[:7], seed=0) == pytest.approx(
        trustworthiness(z[:7], xy[:7], n_neighbors=2)
    )


def test_trustworthiness_of_many_is_estimated_by_some(rng):
    z = rng.normal(size=(3000, 4))
    measured = embedding.trustworthiness(z, z[:, :2], seed=0)
    assert measured == pytest.approx(trustworthiness(z, z[:, :2], n_neighbors=10), abs=0.01)
    assert measured == embedding.trustworthiness(z, z[:, :2], seed=0)


def test_trustworthiness_of_too_few_is_not_known():
    assert np.isnan(embedding.trustworthiness(np.eye(3), np.zeros((3, 2)), seed=0))
    with pytest.raises(ValueError, match="4 points and 3 places"):
        embedding.trustworthiness(np.eye(4), np.zeros((3, 2)), seed=0)
