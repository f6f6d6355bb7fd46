import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_score
from sklearn.preprocessing import StandardScaler

from musiclust.cluster import kmeans
from musiclust.errors import InputError
from musiclust.metrics.partition import silhouette
from musiclust.metrics.reference import reference_silhouette, reference_space, silhouette_null


def correlated(n, d, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)


@pytest.mark.parametrize("n", [200, 25], ids=["more tracks", "more columns"])
def test_one_block_is_standardised_pca(n):
    x = correlated(n, 40)
    theirs = PCA(16).fit_transform(StandardScaler().fit_transform(x)) / np.sqrt(40)
    space = reference_space([x])
    np.testing.assert_allclose(np.abs(space), np.abs(theirs[:, : space.shape[1]]), atol=1e-9)


def test_as_many_components_as_hold_the_variance():
    axes = np.random.default_rng(0).normal(size=(500, 3))
    x = np.repeat(axes, [10, 6, 4], axis=1) + 0.01 * np.random.default_rng(1).normal(size=(500, 20))
    space = reference_space([x])  # shares of 0.5, 0.3 and 0.2: two hold 0.8, three all
    assert space.shape == (500, 3)
    np.testing.assert_allclose(space.var(axis=0), [0.5, 0.3, 0.2], atol=0.02)
    assert reference_space([np.random.default_rng(2).normal(size=(500, 100))]).shape == (500, 16)
    assert reference_space([axes[:, :1]]).shape == (500, 1)


def test_blocks_weigh_the_same_whatever_their_width_and_units():
    rng = np.random.default_rng(0)
    narrow, wide = rng.normal(size=(400, 1)), np.repeat(rng.normal(size=(400, 1)), 300, axis=1)
    space = reference_space([narrow * 1e4, wide * 1e-3 + 7])
    assert space.shape == (400, 2)
    np.testing.assert_allclose(space.var(axis=0).sum(), 2)
    np.testing.assert_allclose(space.var(axis=0), 1, atol=0.15)


def test_units_constant_columns_and_shape_do_not_matter():
    x = correlated(100, 12)
    scaled = x * np.geomspace(1e-3, 1e3, 12) + 5
    widened = np.append(scaled, np.full((100, 3), 0.1), axis=1)
    np.testing.assert_allclose(reference_space([widened]), reference_space([x]), atol=1e-9)
    np.testing.assert_array_equal(reference_space([x.reshape(100, 3, 4)]), reference_space([x]))
    np.testing.assert_array_equal(reference_space([x, np.zeros((100, 5))]), reference_space([x]))


def test_bad_features_are_named():
    x = correlated(10, 3)
    with pytest.raises(ValueError, match="10, 9"):
        reference_space([x, x[:9]])
    with pytest.raises(ValueError, match="one length"):
        reference_space([])
    with pytest.raises(InputError, match="the same for all tracks"):
        reference_space([np.ones((10, 3))])
    x[6, 1] = np.inf
    with pytest.raises(InputError, match="row 6 of feature block 1"):
        reference_space([np.ones((10, 2)), x])


def test_a_collapsed_latent_space_is_at_its_null():
    """The report's best row: 0.5264 for 3,081 tracks and k = 8. Its null has the same, so it says nothing."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(3081, 32)) * np.append(0.7, np.full(31, 1e-3))
    own = silhouette(z, kmeans(z, k=8, seed=0).clusters)
    null = silhouette_null(z, k=8, seed=0)
    assert null == pytest.approx(0.526, abs=0.015)
    assert own == pytest.approx(null, abs=0.02)


def test_clusters_stand_above_the_null():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(600, 4)) + 8 * np.eye(3, 4)[rng.integers(3, size=600)]
    assert silhouette(z, kmeans(z, k=3, seed=0).clusters) > silhouette_null(z, k=3, seed=0) + 0.2


def test_the_null_is_a_gaussian_of_the_covariance_of_the_points():
    x = np.random.default_rng(0).uniform(size=(500, 3)) @ np.array([[4, 1, 0], [0, 2, 1], [0, 0, 0.3]]) + 9
    found = silhouette_null(x, k=4, seed=0, draws=8)
    rng = np.random.default_rng(1)
    draws = [rng.multivariate_normal(x.mean(axis=0), np.cov(x.T), size=500) for _ in range(8)]
    expected = np.mean([silhouette_score(g, kmeans(g, k=4, seed=0).clusters) for g in draws])
    assert found == pytest.approx(expected, abs=0.015)
    assert found == silhouette_null(x, k=4, seed=0, draws=8)
    assert found != silhouette_null(x, k=4, seed=1, draws=8)


def test_the_null_of_more_columns_than_tracks():
    assert -1 <= silhouette_null(correlated(20, 200), k=3, seed=0) <= 1


@pytest.mark.parametrize("k", [0, 1, 10, 11])
def test_no_null_where_there_is_no_silhouette(k):
    assert np.isnan(silhouette_null(np.random.default_rng(0).normal(size=(10, 2)), k=k, seed=0))


def test_no_null_of_a_point():
    assert np.isnan(silhouette_null(np.ones((10, 2)), k=2, seed=0))


def test_a_partition_in_the_reference_space():
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=400)
    space = reference_space([rng.normal(size=(400, 6)) + 6 * np.eye(3, 6)[truth]])
    assert reference_silhouette(space, truth) == pytest.approx(silhouette_score(space, truth))
    assert reference_silhouette(space, truth) > silhouette_null(space, k=3, seed=0)
    assert reference_silhouette(space, rng.permutation(truth)) < 0.01


def test_noise_counts_nothing_in_the_reference_space():
    space = np.array([[0.0], [1], [10], [11], [5]])
    clusters = np.array([0, 0, 1, 1, -1])
    assert reference_silhouette(space, clusters) == pytest.approx(silhouette_score(space[:4], clusters[:4]) * 4 / 5)
    assert np.isnan(reference_silhouette(space, np.full(5, -1)))
