import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import multivariate_normal
from sklearn.cluster import DBSCAN, KMeans
from sklearn.metrics import adjusted_rand_score

from benchmarks.made_up import mixture
from musiclust import cluster, large
from musiclust.cluster import CLUSTERERS, assigner, knee_eps
from musiclust.errors import InputError
from musiclust.points import check_points


@pytest.fixture
def blobs():
    """Four Gaussians of 100, 80, 60 and 40 points, far apart in 8 dimensions; rows shuffled."""
    rng = np.random.default_rng(0)
    truth = rng.permutation(np.repeat(np.arange(4), [100, 80, 60, 40]))
    return (4 * np.eye(4, 8)[truth] + 0.3 * rng.normal(size=(280, 8))).astype(np.float32), truth


@pytest.fixture(params=CLUSTERERS)
def name(request):
    return request.param


def test_blobs_are_found_and_numbered_by_size(name, blobs):
    z, truth = blobs
    found = CLUSTERERS[name](z, k=4, seed=0)
    clustered = found.clusters >= 0
    np.testing.assert_array_equal(found.clusters[clustered], truth[clustered])
    assert clustered.mean() > 0.95
    assert found.clusters.dtype == np.int32
    assert found.centres.shape == (4, 8)
    np.testing.assert_allclose(found.centres[2], z[found.clusters == 2].mean(axis=0, dtype=np.float64), atol=1e-6)


def test_assign_repeats_the_labels_before_and_after_a_restore(name, blobs, tmp_path):
    z = np.random.default_rng(1).normal(size=(300, 5))  # no gaps: many points between clusters
    found = CLUSTERERS[name](z, k=6, seed=0)
    np.testing.assert_array_equal(found.assign(z), found.clusters)

    assert {array.dtype for array in found.state.values()} <= {np.dtype(np.float32), np.dtype(np.int32)}
    np.savez(tmp_path / "state.npz", **found.state)
    restored = assigner(name, dict(np.load(tmp_path / "state.npz")))
    new = np.random.default_rng(2).normal(size=(200, 5)) * 2
    np.testing.assert_array_equal(restored(z), found.clusters)
    np.testing.assert_array_equal(restored(new), found.assign(new))
    assert restored(new).dtype == np.int32
    assert restored(new[:0]).shape == (0,)


def test_same_seed_same_result(name):
    z = np.random.default_rng(1).normal(size=(300, 5))
    first, second = (CLUSTERERS[name](z, k=6, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.clusters, second.clusters)
    for key in first.state:
        np.testing.assert_array_equal(first.state[key], second.state[key])


def test_the_caller_s_points_are_left_alone(name, blobs):
    z = blobs[0].copy()
    CLUSTERERS[name](z, k=4, seed=0)
    np.testing.assert_array_equal(z, blobs[0])


@pytest.mark.parametrize(
    ("z", "at_most"),
    [
        (np.ones((50, 32)), 1),
        (np.zeros((50, 2)), 1),
        (np.repeat(np.random.default_rng(0).normal(size=(5, 32)), 20, axis=0), 5),
        (np.random.default_rng(0).normal(size=(300, 1)) * np.eye(1, 32), 8),
        (np.random.default_rng(0).normal(size=(300, 4)) * 1e-12, 8),
        (np.append(np.random.default_rng(0).normal(size=(300, 2)) * 1e-6, [[1e8, 1e8]], axis=0), 2),
        (np.array([[0.0], [1.0], [1.0]]), 2),
    ],
    ids=["one point", "zeros", "five points", "a line", "tiny", "outlier", "three"],
)
def test_collapsed_points_give_fewer_clusters_without_a_warning(name, z, at_most):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = CLUSTERERS[name](z, k=min(8, len(z)), seed=0)
        np.testing.assert_array_equal(found.assign(z), found.clusters)
    clusters = np.unique(found.clusters[found.clusters >= 0])
    np.testing.assert_array_equal(clusters, np.arange(len(found.centres)))
    if name != "hdbscan":  # its clusters are not k; it may split what is one point to the others, or see noise only
        assert 1 <= len(clusters) <= at_most or name == "dbscan"


def test_bad_points_are_named(name):
    z = np.zeros((10, 3))
    z[4, 1], z[7, 0] = np.nan, np.inf
    with pytest.raises(InputError, match=r"row 4 of the points is not finite \(2 of 10"):
        CLUSTERERS[name](z, k=2, seed=0)
    with pytest.raises(InputError, match=r"shape \(10,\)"):
        CLUSTERERS[name](np.zeros(10), k=2, seed=0)
    with pytest.raises(InputError, match="at least 2"):
        CLUSTERERS[name](np.zeros((1, 3)), k=2, seed=0)


@pytest.mark.parametrize("name", ["kmeans", "gmm", "agglomerative"])
def test_an_impossible_k_is_refused(name):
    z = np.random.default_rng(0).normal(size=(20, 3))
    with pytest.raises(InputError, match="k = 50 is larger than the 20 tracks: choose `k` of at most 20"):
        CLUSTERERS[name](z, k=50, seed=0)
    with pytest.raises(InputError, match="k = 1 is smaller than 2: choose `k` of 2 to 20"):
        CLUSTERERS[name](z, k=1, seed=0)
    assert len(CLUSTERERS[name](z, k=20, seed=0).centres) == 20


def test_assign_refuses_bad_points(name, blobs):
    assign = CLUSTERERS[name](blobs[0], k=4, seed=0).assign
    with pytest.raises(ValueError, match="7 columns, the clusters were made of 8"):
        assign(np.zeros((2, 7)))
    with pytest.raises(InputError, match="row 1"):
        assign(np.array([[0.0] * 8, [np.nan] * 8]))


def test_unknown_clusterer_lists_the_choices():
    with pytest.raises(InputError, match="unknown clusterer 'kmean': choose one of kmeans, gmm"):
        assigner("kmean", {})


def test_kmeans_is_scikit_learn_s():
    z = np.random.default_rng(5).normal(size=(400, 6)).astype(np.float32)
    found = cluster.kmeans(z, k=7, seed=2)
    with cluster.one_thread():
        theirs = KMeans(7, n_init=10, random_state=2).fit(z.astype(float))
    assert adjusted_rand_score(found.clusters, theirs.labels_) == 1
    assert np.all(np.diff(np.bincount(found.clusters)) <= 0)
    new = np.random.default_rng(6).normal(size=(100, 6))
    np.testing.assert_array_equal(found.assign(new), cdist(new, found.centres).argmin(axis=1))


@pytest.mark.parametrize(("n", "shape"), [(600, (3, 4, 4)), (40, (3, 4))], ids=["full", "diagonal"])
def test_gmm_assigns_by_the_posterior(n, shape):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(n, 4)) @ np.diag([3, 1, 1, 0.2]) + 4 * np.eye(4)[rng.integers(3, size=n)]
    found = cluster.gmm(z, k=3, seed=0)
    state = found.state
    assert state["precisions_cholesky"].shape == shape
    new = rng.normal(size=(200, 4)) * 3
    log_joint = [
        np.log(w) + multivariate_normal(m, np.linalg.inv(p @ p.T)).logpdf(new)
        for w, m, p in zip(
            state["weights"],
            state["means"],
            (np.diag(c) if c.ndim == 1 else c for c in state["precisions_cholesky"].astype(float)),
            strict=True,
        )
    ]
    np.testing.assert_array_equal(found.assign(new), state["clusters"][np.argmax(log_joint, axis=0)])


def test_gmm_finds_what_kmeans_cannot():
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], 400)
    z = rng.normal(size=(800, 2)) * np.where(truth, 0.2, 2)[:, None] + [4, 0] * truth[:, None]  # a cloud, a speck
    assert adjusted_rand_score(truth, cluster.gmm(z, k=2, seed=0).clusters) > 0.9
    assert adjusted_rand_score(truth, cluster.kmeans(z, k=2, seed=0).clusters) < 0.8


@pytest.mark.parametrize("n", [600, 30], ids=["full", "diagonal"])
def test_gmm_ignores_what_a_collapsed_column_says(n):
    rng = np.random.default_rng(0)
    hidden = rng.permutation(np.arange(n) % 2)
    z = np.stack([rng.normal(size=n), *(1e-4 * (hidden + 0.01 * rng.normal(size=(4, n))))], axis=1)
    assert adjusted_rand_score(hidden, cluster.gmm(z, k=2, seed=0).clusters) < 0.2
    assert adjusted_rand_score(hidden, cluster.gmm(z / [1, *[1e-4] * 4], k=2, seed=0).clusters) > 0.9


def test_agglomerative_gives_a_new_point_its_nearest_neighbour_s_label():
    z = np.random.default_rng(0).normal(size=(150, 3)).astype(np.float32)
    found = cluster.agglomerative(z, k=5, seed=0)
    new = np.random.default_rng(1).normal(size=(80, 3)).astype(np.float32)
    np.testing.assert_array_equal(found.assign(new), found.clusters[cdist(new, z).argmin(axis=1)])


@pytest.mark.parametrize(
    ("name", "n"), [("kmeans", 12_000), ("gmm", 12_000), ("agglomerative", 3_000), ("hdbscan", 2_000)]
)
def test_the_forms_for_many_points_find_blobs_and_place_new_points(name, n, monkeypatch):
    monkeypatch.setattr(large, "CORESET", 500)
    rng = np.random.default_rng(0)
    truth = np.sort(rng.choice(4, n, p=[0.4, 0.3, 0.2, 0.1]))
    z = 4 * np.eye(4, 8)[truth] + 0.3 * rng.normal(size=(n, 8))
    first, second = (CLUSTERERS[name](z, k=4, seed=1, exact_limit=100) for _ in range(2))
    clustered = first.clusters >= 0
    np.testing.assert_array_equal(first.clusters[clustered], truth[clustered])
    assert clustered.mean() > 0.95
    np.testing.assert_array_equal(first.clusters, second.clusters)
    np.testing.assert_array_equal(first.assign(z), first.clusters)
    np.testing.assert_array_equal(assigner(name, first.state)(z[::7]), first.clusters[::7])
    np.testing.assert_array_equal(first.assign(4 * np.eye(4, 8)), [0, 1, 2, 3])
    if name == "agglomerative":
        assert first.state["points"].shape == (500, 8)


@pytest.mark.parametrize("name", ["kmeans", "gmm", "agglomerative", "hdbscan"])
@pytest.mark.parametrize("rare", [0, 20], ids=["three places", "and a few points"])
def test_many_collapsed_points_give_clusters_without_a_warning(name, rare):
    times = 4_000 if name in ("kmeans", "gmm") else 400  # more than are drawn for the starts
    z = np.repeat(np.random.default_rng(0).normal(size=(3, 6)), times, axis=0)
    z = np.append(z, np.random.default_rng(1).normal(size=(rare, 6)), axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = CLUSTERERS[name](z, k=8, seed=0, exact_limit=100)
        np.testing.assert_array_equal(found.assign(z[::100]), found.clusters[::100])
    assert len(np.unique(found.clusters[: 3 * times])) == 3
    if name in ("kmeans", "agglomerative"):
        assert len(found.centres) == (8 if rare else 3)


def test_only_ward_and_hdbscan_are_approximate_and_only_above_the_limit():
    limit = cluster.EXACT_LIMIT
    assert [name for name in CLUSTERERS if cluster.is_approximate(name, limit + 1)] == ["agglomerative", "hdbscan"]
    assert not any(cluster.is_approximate(name, limit) for name in CLUSTERERS)


def test_gmm_starts_from_the_best_k_means():
    """A mixture that k-means from ten starts gets right: from three single starts EM ended at an ARI of 0.73."""
    z, component = mixture(3_000)
    assert adjusted_rand_score(component, cluster.gmm(z, k=8, seed=0).clusters) > 0.99


def test_dbscan_by_hand():
    z = np.array([[0.0], [1], [2], [3.5], [10], [11], [12], [13], [20]])
    found = cluster.dbscan(z, k=2, seed=0, eps=1.6, min_samples=3)
    # Cores: 1, 2 (with 0 and 3.5) and 11, 12. 3.5 and 10, 13 lie within 1.6 of a core; 20 does not.
    np.testing.assert_array_equal(found.clusters, [0, 0, 0, 0, 1, 1, 1, 1, -1])
    np.testing.assert_allclose(found.centres, [[1.625], [11.5]])
    np.testing.assert_array_equal(found.assign(np.array([[4.9], [3.4], [-0.7], [12.9], [13.7]])), [-1, 0, -1, 1, -1])


def test_dbscan_agrees_with_scikit_learn_on_cores_and_noise():
    z = np.random.default_rng(3).normal(size=(500, 2)).astype(np.float32)
    eps = float(np.float32(0.15))
    found = cluster.dbscan(z, k=2, seed=0, eps=eps, min_samples=5)
    theirs = DBSCAN(eps=eps, min_samples=5).fit(z.astype(float))
    core = theirs.core_sample_indices_
    assert adjusted_rand_score(found.clusters[core], theirs.labels_[core]) == 1
    np.testing.assert_array_equal(found.clusters == -1, theirs.labels_ == -1)
    assert 0 < (found.clusters == -1).sum() < 250


def test_dbscan_does_not_depend_on_the_order_of_the_points():
    rng = np.random.default_rng(3)
    z = rng.normal(size=(300, 2))
    order = rng.permutation(300)
    first, second = (cluster.dbscan(x, k=2, seed=0, eps=0.2, min_samples=5).clusters for x in (z, z[order]))
    assert adjusted_rand_score(first[order], second) == 1


def test_dbscan_all_noise():
    z = np.arange(10.0)[:, None]
    found = cluster.dbscan(z, k=2, seed=0, eps=0.5, min_samples=2)
    np.testing.assert_array_equal(found.clusters, np.full(10, -1))
    assert found.centres.shape == (0, 1)
    np.testing.assert_array_equal(found.assign(z), np.full(10, -1))


def test_dbscan_without_pairs_is_dbscan(monkeypatch):
    rng = np.random.default_rng(2)
    z = np.concatenate([rng.normal(size=(300, 3)), 5 + 0.5 * rng.normal(size=(200, 3)), 20 * rng.random((50, 3))])
    z = rng.permutation(z).astype(np.float32)
    for eps in (0.4, 0.7, 100.0):
        monkeypatch.setattr(cluster, "DBSCAN_PAIRS_LIMIT", 2**29)
        expected = cluster.dbscan(z, k=2, seed=0, eps=eps, min_samples=5)
        monkeypatch.setattr(cluster, "DBSCAN_PAIRS_LIMIT", 0)
        found = cluster.dbscan(z, k=2, seed=0, eps=eps, min_samples=5)
        np.testing.assert_array_equal(found.clusters, expected.clusters)
    everything = cluster.dbscan(np.zeros((1_000, 2)), k=2, seed=0, eps=1.0)
    assert (everything.clusters == 0).all()


def test_knee_of_a_curve_with_a_corner():
    # 95 points 1 apart and 5 ever farther: every distance to the nearest neighbour is 1 but for the last five.
    z = np.cumsum(np.append(np.ones(95), [20, 40, 60, 80, 100]))[:, None]
    assert knee_eps(z, min_samples=2) == 1
    assert knee_eps(np.zeros((9, 2)), min_samples=3) == 1  # any eps does; it must not be 0


@pytest.mark.parametrize("share", [None, 0.01], ids=["one outlier", "1 % outliers"])
@pytest.mark.parametrize("times", [10, 100])
@pytest.mark.parametrize(("k", "dimensions", "spread"), [(4, 8, 0.7), (8, 4, 0.25), (3, 2, 0.2)])
def test_outliers_do_not_move_the_knee(share, times, k, dimensions, spread):
    """A point at 10 times the spread moved the chord's end, and with it the ARI by 0.2 and more."""
    rng = np.random.default_rng(0)
    truth = np.arange(400) % k
    z = 2 * rng.normal(size=(k, dimensions))[truth] + spread * rng.normal(size=(400, dimensions))
    away = rng.normal(size=(1 if share is None else round(share * 400), dimensions))
    away *= times * np.sqrt(z.var(axis=0).sum()) / np.linalg.norm(away, axis=1, keepdims=True)
    before = cluster.dbscan(z, k=k, seed=0).clusters
    after = cluster.dbscan(np.append(z, z.mean(axis=0) + away, axis=0), k=k, seed=0).clusters
    assert adjusted_rand_score(truth, after[:400]) == pytest.approx(adjusted_rand_score(truth, before), abs=0.02)
    assert (after[400:] == -1).all()


def test_the_knee_of_points_without_outliers_is_what_it_was():
    """The greatest distance below the chord of the whole curve: no cut where nothing lies far out."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        z = 3 * rng.normal(size=(4, 6))[rng.integers(4, size=300)] + rng.normal(size=(300, 6))
        curve = np.sort(np.sort(cdist(z, z), axis=1)[:, 5])
        below = np.linspace(0, 1, 300) - (curve - curve[0]) / np.ptp(curve)
        assert knee_eps(z, min_samples=6) == pytest.approx(curve[np.argmax(below)])


@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-10, 10))
@settings(max_examples=20, deadline=None)
def test_knee_scales_with_the_points(scale, shift):
    z = np.random.default_rng(0).normal(size=(60, 2))
    expected = scale * knee_eps(z, min_samples=4)
    assert knee_eps(scale * (z + shift), min_samples=4) == pytest.approx(expected, rel=1e-6)


def test_hdbscan_places_new_points(blobs):
    z, truth = blobs
    found = cluster.hdbscan(z, k=2, seed=0)
    centre = z[truth == 3].mean(axis=0, keepdims=True)
    np.testing.assert_array_equal(found.assign(np.append(centre, centre + 50, axis=0)), [3, -1])


@pytest.mark.parametrize(
    ("clusterer", "options", "message"),
    [
        ("dbscan", {"eps": 0.0}, "eps = 0.0"),
        ("dbscan", {"eps": float("nan")}, "eps = nan"),
        ("dbscan", {"min_samples": 21}, "min_samples = 21 is out of range: choose 1 to 20"),
        ("hdbscan", {"min_cluster_size": 1}, "min_cluster_size = 1 is out of range: choose 2 to 20"),
    ],
)
def test_options_out_of_range_are_refused(clusterer, options, message):
    with pytest.raises(InputError, match=message):
        CLUSTERERS[clusterer](np.random.default_rng(0).normal(size=(20, 2)), k=2, seed=0, **options)


def test_check_points_takes_integers_and_names_the_thing():
    assert check_points(np.ones((2, 2), int)).dtype == np.float64
    with pytest.raises(InputError, match=r"the features have shape \(3, 0\)"):
        check_points(np.zeros((3, 0)), "the features")
