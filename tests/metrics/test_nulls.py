"""Surrogates: what they keep of the data, and that nothing else stays."""

import numpy as np
import pytest

from musiclust.errors import InputError
from musiclust.metrics.nulls import HOW, Surrogates, draw_surrogate


@pytest.fixture(params=[(60, 4), (30, 50)], ids=["more tracks", "more columns"])
def data(request):
    n, d = request.param
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)


@pytest.mark.parametrize("how", ["gaussian", "elliptical"])
def test_a_surrogate_has_the_mean_and_covariance_of_the_data(data, how):
    (drawn,) = Surrogates([data], how=how).draw(3)
    np.testing.assert_allclose(drawn.mean(axis=0), data.mean(axis=0), atol=1e-8)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(data.T), atol=1e-6 * data.var())
    assert np.abs(drawn - data).max() > 0.1


@pytest.mark.parametrize("shape", ["shell", "core and tails"])
def test_an_elliptical_surrogate_has_the_distances_of_the_data(shape):
    rng = np.random.default_rng(1)
    data = rng.normal(size=(400, 3))
    if shape == "shell":
        data *= 1 / np.linalg.norm(data, axis=1, keepdims=True)
    else:
        data /= np.sqrt(rng.chisquare(3, size=(400, 1)) / 3)
    data = data @ rng.normal(size=(3, 3)) + [1, 2, 3]

    def distances(x):
        centred = x - x.mean(axis=0)
        return np.sqrt(np.sum(centred @ np.linalg.inv(np.cov(x.T)) * centred, axis=1))

    drawn = draw_surrogate(data, how="elliptical", seed=0)
    np.testing.assert_allclose(np.sort(distances(drawn)), np.sort(distances(data)), atol=0.15)
    assert abs(np.corrcoef(distances(drawn), distances(data))[0, 1]) < 0.2
    gaussian = draw_surrogate(data, how="gaussian", seed=0)
    assert np.abs(np.sort(distances(gaussian)) - np.sort(distances(data))).max() > 0.5


def test_a_copula_surrogate_has_the_values_of_each_column_and_its_correlations():
    rng = np.random.default_rng(1)
    normal = rng.multivariate_normal([0, 0, 0], [[1, 0.8, 0], [0.8, 1, 0], [0, 0, 1]], 2000)
    data = np.exp(normal)
    drawn = draw_surrogate(data, seed=0)
    np.testing.assert_array_equal(np.sort(drawn, axis=0), np.sort(data, axis=0))
    ranks = np.corrcoef(np.argsort(np.argsort(drawn, axis=0), axis=0).T)
    assert ranks[0, 1] == pytest.approx(0.786, abs=0.03)  # the rank correlation of a normal correlation of 0.8
    assert abs(ranks[0, 2]) < 0.06


@pytest.mark.parametrize("how", HOW)
def test_clusters_do_not_survive(how):
    rng = np.random.default_rng(2)
    data = rng.normal(size=(300, 2)) + 12 * rng.integers(0, 2, 300)[:, None]
    assert np.abs(data @ [1, 1] - 12).min() > 4  # a wide gap between two clusters
    drawn = draw_surrogate(data, how=how, seed=0)
    if how != "copula":
        assert np.sum(np.abs(drawn @ [1, 1] - data.mean(axis=0) @ [1, 1]) < 4) > 20
    else:  # the values have a gap in each column still; that both jump together is gone for some
        assert np.any((drawn[:, 0] > 6) != (drawn[:, 1] > 6))


@pytest.mark.parametrize("how", HOW)
def test_clips_of_a_song_stay_alike(how):
    rng = np.random.default_rng(3)
    song = np.repeat(np.arange(80), 4)
    data = rng.normal(size=(80, 3))[song] + rng.normal(0, 0.2, (320, 3))

    def share_within(x):
        means = np.stack([x[song == one].mean(axis=0) for one in range(80)])
        return ((x - means[song]) ** 2).sum() / ((x - x.mean(axis=0)) ** 2).sum()

    grouped = draw_surrogate(data, how=how, seed=0, group=song)
    assert share_within(grouped) == pytest.approx(share_within(data), rel=0.25)
    assert share_within(draw_surrogate(data, how=how, seed=0)) > 0.5


def test_blocks_of_one_draw_belong_together_and_a_mask_stays():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(400, 2))
    there = np.arange(400) % 2 == 0
    words = np.where(there[:, None], x[:, :1] + 0.1 * rng.normal(size=(400, 1)), 0.0)
    for how in HOW:
        drawn, sung = Surrogates([x, words], how=how, valid=[np.ones(400, bool), there]).draw(0)
        assert not sung[~there].any()
        assert np.corrcoef(drawn[there, 0], sung[there, 0])[0, 1] == pytest.approx(0.7, abs=0.08)  # half have words
        assert sung[there].std() == pytest.approx(words[there].std(), rel=0.15)


def test_a_draw_is_a_function_of_its_number():
    data = np.random.default_rng(5).normal(size=(20, 2))
    surrogates = Surrogates([data])
    np.testing.assert_array_equal(surrogates.draw(1)[0], surrogates.draw(1)[0])
    assert (surrogates.draw(1)[0] != surrogates.draw(2)[0]).any()


def test_images_keep_their_shape_and_type():
    images = np.random.default_rng(6).normal(size=(10, 4, 5)).astype(np.float32)
    (drawn,) = Surrogates([images]).draw(0)
    assert drawn.shape == images.shape
    assert drawn.dtype == np.float32


def test_bad_input_is_named():
    with pytest.raises(InputError, match="unknown kind of surrogate 'box': choose from gaussian, elliptical, copula"):
        Surrogates([np.zeros((5, 2))], how="box")
    with pytest.raises(InputError, match="not finite"):
        Surrogates([np.full((5, 2), np.nan)], how="gaussian")
    with pytest.raises(InputError, match="give 3 or more"):
        Surrogates([np.zeros((2, 2))])
