import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sk

from musiclust.cluster import kmeans
from musiclust.errors import InputError
from musiclust.metrics import partition
from musiclust.metrics.partition import agreement_with_mask, ami, chance, nmi, purity, score, silhouette

KEYS = {
    *("silhouette", "calinski_harabasz", "davies_bouldin", "ari", "nmi", "ami", "purity"),
    *("coverage", "n_clusters", "nmi_chance", "nmi_p", "purity_chance"),
}


def codes(n, most, least=-1):
    return arrays(np.int32, n, elements=st.integers(least, most))


def test_six_points_by_hand():
    z = np.array([[0.0], [1], [2], [10], [11], [12]])
    clusters = np.array([0, 0, 0, 1, 1, 1])
    truth = np.array([0, 0, 1, 1, 1, 1])
    scores = score(z, clusters, truth)
    # Silhouette: (b - a) / max(a, b), a and b: 1.5, 11 / 1, 10 / 1.5, 9 and mirrored.
    assert scores["silhouette"] == pytest.approx((9.5 / 11 + 9 / 10 + 7.5 / 9) / 3)
    # Between: 6 x 5^2 = 150 over k - 1 = 1; within: 4 over N - k = 4.
    assert scores["calinski_harabasz"] == pytest.approx(150)
    # Mean distance to the centre: 2 / 3 each; centres 10 apart.
    assert scores["davies_bouldin"] == pytest.approx(4 / 3 / 10)
    # Pairs: together in both 1 + 3 = 4; in clusters 6, in truth 1 + 6 = 7, of 15: expected 42 / 15.
    assert scores["ari"] == pytest.approx((4 - 2.8) / (6.5 - 2.8))
    groups, classes = np.log(2), -(np.log(1 / 3) / 3 + np.log(2 / 3) * 2 / 3)
    joint = -(np.log(1 / 3) / 3 + np.log(1 / 6) / 6 + np.log(1 / 2) / 2)
    assert scores["nmi"] == pytest.approx(2 * (groups + classes - joint) / (groups + classes))
    assert scores["purity"] == pytest.approx(5 / 6)
    assert scores["coverage"] == 1
    assert scores["n_clusters"] == 2


def test_against_scikit_learn_with_noise_and_unknown_truth():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(200, 4)) * 3 + 100
    clusters, truth = rng.integers(-1, 5, size=200), rng.integers(-1, 3, size=200)
    scores = score(z, clusters, truth)
    clustered, known = clusters >= 0, truth >= 0
    for name, theirs in [
        ("silhouette", sk.silhouette_score),
        ("calinski_harabasz", sk.calinski_harabasz_score),
        ("davies_bouldin", sk.davies_bouldin_score),
    ]:
        assert scores[name] == pytest.approx(theirs(z[clustered], clusters[clustered]), abs=1e-9), name
    assert scores["ari"] == pytest.approx(sk.adjusted_rand_score(truth[known], clusters[known]))
    assert scores["nmi"] == pytest.approx(sk.normalized_mutual_info_score(truth[known], clusters[known]))
    assert scores["ami"] == pytest.approx(sk.adjusted_mutual_info_score(truth[known], clusters[known]))
    assert scores["coverage"] == clustered.mean()
    assert scores["n_clusters"] == 5


@pytest.mark.parametrize("seed", range(3))
def test_a_line_without_clusters_scores_what_the_report_s_best_row_does(seed):
    """Published: silhouette 0.5264, Davies-Bouldin 0.5314, Calinski-Harabasz 12,275, for 3,081 tracks and k = 8.

    A Gaussian line gives 0.526, 0.527, 12,574; the tolerances are three times what 12 seeds strayed.
    """
    z = np.random.default_rng(seed).normal(size=(3081, 1))
    scores = score(z, kmeans(z, k=8, seed=seed).clusters)
    assert scores["silhouette"] == pytest.approx(0.526, abs=0.015)
    assert scores["davies_bouldin"] == pytest.approx(0.527, abs=0.015)
    assert scores["calinski_harabasz"] == pytest.approx(12_574, abs=800)


def test_shuffled_labels_score_what_the_report_s_rows_do():
    """Published for the best row: ARI -0.0003, NMI 0.0032, purity 0.1477."""
    z = np.random.default_rng(0).normal(size=(3081, 1))
    clusters = kmeans(z, k=8, seed=0).clusters
    truth = np.random.default_rng(1).permutation(np.arange(3081) % 8)
    scores = score(z, clusters, truth)
    assert scores["ari"] == pytest.approx(0, abs=0.001)
    assert scores["nmi"] == pytest.approx(0.0035, abs=0.0015)
    assert scores["purity"] == pytest.approx(0.148, abs=0.006)
    assert scores["nmi_chance"] == pytest.approx(0.0035, abs=0.0005)
    assert scores["purity_chance"] == pytest.approx(0.148, abs=0.003)


@pytest.mark.parametrize(
    ("clusters", "truth"),
    [
        ([0] * 6, [0, 0, 0, 1, 1, 1]),
        ([-1] * 6, [0, 0, 0, 1, 1, 1]),
        ([0, 0, 0, 1, 1, 1], None),
        ([0, 0, 0, 1, 1, 1], [-1] * 6),
        ([0, 0, 0, 1, 1, 1], [2] * 6),
        ([0, 1, 2, 3, 4, 5], [0, 0, 0, 1, 1, 1]),
        ([0, -1, -1, -1, -1, 1], [0, 0, -1, 1, 1, 1]),
    ],
    ids=["one cluster", "all noise", "no truth", "truth unknown", "one class", "singletons", "two singletons"],
)
def test_always_the_same_keys_and_nan_where_undefined(clusters, truth):
    z = np.random.default_rng(0).normal(size=(6, 2))
    scores = score(z, np.array(clusters), None if truth is None else np.array(truth))
    assert scores.keys() == KEYS
    assert all(type(value) is float for value in scores.values())
    internal, external = (
        [scores[name] for name in names]
        for names in (
            ("silhouette", "calinski_harabasz", "davies_bouldin"),
            ("ari", "nmi", "ami", "purity", "nmi_chance", "purity_chance"),
        )
    )
    assert np.isnan(internal).all() == (clusters != [0, 0, 0, 1, 1, 1])
    assert np.isnan(external).all() == (truth is None or len({code for code in truth if code >= 0}) < 2)
    assert not np.isnan([scores["coverage"], scores["n_clusters"]]).any()


def test_all_noise_scores_nothing():
    scores = score(np.eye(6), np.full(6, -1), np.array([0, 0, 0, 1, 1, 1]))
    assert [scores[name] for name in ("ari", "nmi", "ami", "purity", "purity_chance", "coverage")] == [0] * 6
    assert scores["n_clusters"] == 0


def test_throwing_the_hard_tracks_away_does_not_pay():
    truth = np.repeat([0, 1], 50)
    clusters = np.full(100, -1)
    clusters[:5], clusters[-5:] = 0, 1  # ten easy tracks, all right; ninety not even tried
    z = truth[:, None] + np.random.default_rng(0).normal(size=(100, 1))
    scores = score(z, clusters, truth)
    assert sk.adjusted_rand_score(truth[clusters >= 0], clusters[clusters >= 0]) == 1
    assert scores["ari"] < 0.05
    assert scores["nmi"] < 0.2
    assert scores["purity"] == 0.1
    assert scores["coverage"] == 0.1


@given(clusters=codes(30, 3), truth=codes(30, 2), thrown=st.lists(st.integers(0, 29)))
def test_purity_never_rises_by_noise(clusters, truth, thrown):
    fewer = clusters.copy()
    fewer[thrown] = -1
    if (truth >= 0).any():
        assert purity(fewer, truth) <= purity(clusters, truth)


@given(clusters=codes(24, 4), truth=codes(24, 3), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=50)
def test_names_of_clusters_and_classes_do_not_matter_and_ranges_hold(clusters, truth, seed):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(24, 2))
    names, classes = np.append(rng.permutation(9), -1), np.append(rng.permutation(5), -1)
    first, second = score(z, clusters, truth), score(z, names[clusters], classes[truth])
    for name in KEYS - {"nmi_chance", "nmi_p", "purity_chance"}:
        assert first[name] == pytest.approx(second[name], nan_ok=True), name
    for name, low, high in [("silhouette", -1, 1), ("ari", -0.5, 1), ("nmi", 0, 1), ("purity", 0, 1)]:
        assert np.isnan(first[name]) or low <= first[name] <= high + 1e-12, name
    assert first["coverage"] == np.mean(clusters >= 0)
    assert first["n_clusters"] == len(set(clusters) - {-1})


@given(scale=st.floats(1e-6, 1e6), shift=st.floats(-100, 100))
@settings(deadline=None, max_examples=30)
def test_scores_of_shape_do_not_change_with_scale_and_place(scale, shift):
    rng = np.random.default_rng(0)
    z, clusters = rng.normal(size=(40, 3)), rng.integers(0, 4, size=40)
    first, second = score(z, clusters), score(scale * (z + shift), clusters)
    assert first == pytest.approx(second, rel=1e-6, nan_ok=True)


def test_points_in_one_place_have_no_shape():
    scores = score(np.ones((10, 3)), np.arange(10) % 2)
    assert np.isnan([scores[name] for name in ("silhouette", "calinski_harabasz", "davies_bouldin")]).all()


def test_division_by_zero_is_nan_and_not_a_good_score():
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    rings = score(np.append(ring, 5 * ring, axis=0), np.repeat([0, 1], 20))
    assert sk.davies_bouldin_score(np.append(ring, 5 * ring, axis=0), np.repeat([0, 1], 20)) == 0  # the best there is
    assert np.isnan(rings["davies_bouldin"])
    points = score(np.repeat(np.eye(3), 5, axis=0), np.repeat(np.arange(3), 5))
    assert np.isnan(points["calinski_harabasz"])
    assert points["davies_bouldin"] == 0
    assert points["silhouette"] == 1


def test_silhouette_of_many_points_is_estimated_with_every_cluster_in(monkeypatch):
    rng = np.random.default_rng(0)
    clusters = np.repeat([0, 1, 2], [1500, 1490, 10])
    z = rng.normal(size=(3000, 3)) + 3 * np.eye(3)[clusters]
    exact = silhouette(z, clusters)
    assert exact == pytest.approx(sk.silhouette_score(z, clusters))
    monkeypatch.setattr(partition, "SILHOUETTE_LIMIT", 600)
    estimate = silhouette(z, clusters, seed=1)
    assert estimate == pytest.approx(exact, abs=0.02)
    assert estimate != exact
    assert estimate == silhouette(z, clusters, seed=1) != silhouette(z, clusters, seed=2)


def test_agreement_of_few_tracks_may_be_chance():
    """Ten tracks, seven genres, three clusters: an NMI of 0.5 is nothing; a perfect one is."""
    truth = np.array([0, 0, 1, 1, 2, 3, 3, 4, 5, 6])
    rng = np.random.default_rng(1)
    p = [chance(rng.permutation(np.arange(10) % 3), truth, seed=i)["nmi_p"] for i in range(60)]
    assert np.mean(np.array(p) <= 0.05) < 0.15
    assert chance(truth, truth)["nmi_p"] < 0.05


def test_chance_is_the_mean_over_shuffles():
    rng = np.random.default_rng(0)
    clusters, truth = rng.integers(-1, 4, size=60), rng.integers(-1, 3, size=60)
    known = truth >= 0
    draws = np.random.default_rng(7)
    shuffled = [draws.permutation(truth[known]) for _ in range(5)]
    expected = np.mean([sk.normalized_mutual_info_score(t, clusters[known]) for t in shuffled])
    found = chance(clusters, truth, seed=7, draws=5)
    assert found["nmi_chance"] == pytest.approx(expected)
    assert found["purity_chance"] == pytest.approx(np.mean([purity(clusters[known], t) for t in shuffled]))
    assert found != chance(clusters, truth, seed=8, draws=5)


def songs_of(sizes):
    return np.repeat(np.arange(len(sizes)), sizes)


FOUR = songs_of([4] * 40)
TEN = songs_of([10] * 25)
UNEQUAL = songs_of(np.random.default_rng(0).integers(1, 9, size=40))  # few of any one size
LONG_TAILED = songs_of(np.minimum(60, np.random.default_rng(1).pareto(1.2, size=60).astype(int) + 1))


@pytest.mark.parametrize("loyalty", [1.0, pytest.param(0.7, marks=pytest.mark.slow)], ids=["by song", "partly by song"])
@pytest.mark.parametrize("song", [FOUR, TEN, UNEQUAL, LONG_TAILED], ids=["four", "ten", "unequal", "long tailed"])
def test_clusters_and_classes_by_song_that_have_nothing_to_do_with_each_other_are_at_chance(song, loyalty):
    """Taken for independent tracks they were beyond chance in 15 to 100 % of trials."""
    rng = np.random.default_rng(0)
    trials, by_track, by_song = 200, 0, 0
    for trial in range(trials):
        clusters, truth = rng.integers(5, size=song[-1] + 1)[song], rng.integers(6, size=song[-1] + 1)[song]
        astray = rng.random(len(song)) > loyalty
        clusters[astray] = rng.integers(5, size=astray.sum())
        by_song += chance(clusters, truth, group=song, seed=trial, draws=40)["nmi_p"] <= 0.05
        if trial < 40:
            by_track += chance(clusters, truth, seed=trial, draws=40)["nmi_p"] <= 0.05
    assert by_song / trials <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / trials)
    assert by_track / 40 > 0.15


@pytest.mark.parametrize("song", [FOUR, UNEQUAL], ids=["four", "unequal"])
def test_agreement_that_songs_do_not_explain_is_still_found(song):
    rng = np.random.default_rng(0)
    truth = rng.integers(4, size=song[-1] + 1)[song]
    clusters = np.where(rng.random(len(song)) < 0.7, truth, rng.integers(4, size=len(song)))
    assert chance(clusters, truth, group=song)["nmi_p"] == pytest.approx(1 / 101)


def test_groups_of_one_change_no_digit_and_names_of_groups_do_not_matter():
    rng = np.random.default_rng(0)
    z, clusters, truth = rng.normal(size=(60, 2)), rng.integers(-1, 4, size=60), rng.integers(-1, 3, size=60)
    alone = np.array([f"song {i}" for i in rng.permutation(60)])
    assert score(z, clusters, truth, group=alone, seed=3) == score(z, clusters, truth, seed=3)
    song = rng.integers(12, size=60)
    known = truth >= 0
    grouped = chance(clusters, truth, group=song, seed=3)
    assert grouped == chance(clusters, truth, group=np.array([f"song {i:02d}" for i in song]), seed=3)
    assert grouped == chance(clusters[known], truth[known], group=song[known], seed=3)
    assert score(z, clusters, truth, group=song, seed=3)["nmi_chance"] == grouped["nmi_chance"]
    assert grouped != chance(clusters, truth, seed=3)


def test_whole_groups_move_in_their_order():
    """Fifteen songs of three clips: each shuffle gives a song the three classes of some song, every song's once."""
    song = np.random.default_rng(0).permutation(np.repeat(np.arange(15), 3))
    truth = np.empty(45, int)
    for member in range(15):
        truth[song == member] = 10 * member + np.arange(3)
    shuffles = list(partition._shuffled_groups(truth, song, np.random.default_rng(1), 3))
    for shuffled in shuffles:
        of_song = [shuffled[song == member] for member in range(15)]
        assert sorted(row[0] for row in of_song) == [10 * member for member in range(15)]
        assert all((np.diff(row) == 1).all() for row in of_song)
    assert (shuffles[0] != shuffles[1]).any()


def test_groups_of_many_sizes_keep_their_mixture():
    song = songs_of([2, 4, 8])
    truth = np.array([0, 1, 2, 2, 3, 3, *[4, 4, 5, 5] * 2])
    seen = set()
    for shuffled in partition._shuffled_groups(truth, song, np.random.default_rng(0), 50):
        rows = [np.bincount(shuffled[song == member], minlength=6) for member in range(3)]
        for row in rows:
            pair = np.flatnonzero(row)
            assert pair.max() // 2 == pair.min() // 2, "the classes of one song"
        assert rows[2][rows[2] > 0].tolist() == [4, 4], "repeated, the mixture stays"
        seen.add(tuple(np.flatnonzero(row)[0] // 2 for row in rows))
    assert len(seen) == 6


def test_agreement_with_a_mask():
    rng = np.random.default_rng(0)
    mask = rng.integers(2, size=200)
    truth = np.where(rng.random(200) < 0.9, mask, 1 - mask)
    truth[:20] = -1
    clusters = rng.integers(-1, 4, size=200)
    found = agreement_with_mask(clusters, truth, mask)
    assert found["mask_nmi_clusters"] == pytest.approx(sk.normalized_mutual_info_score(mask, clusters))
    assert found["mask_nmi_classes"] == pytest.approx(sk.normalized_mutual_info_score(mask[20:], truth[20:]))
    assert found["mask_nmi_classes"] > 0.4 > 0.1 > found["mask_nmi_clusters"]
    assert np.isnan(agreement_with_mask(clusters, None, mask)["mask_nmi_classes"])


def test_nothing_known():
    unknown = np.full(3, -1)
    assert np.isnan(purity(np.zeros(3, int), unknown))
    assert np.isnan(nmi(np.zeros(3, int), unknown))
    assert np.isnan(ami(np.zeros(3, int), unknown))


def test_bad_input_is_named():
    z = np.zeros((4, 2))
    with pytest.raises(ValueError, match=r"clusters: shape \(3,\)"):
        score(z, np.zeros(3, int))
    with pytest.raises(ValueError, match=r"clusters: .* float64"):
        score(z, np.zeros(4))
    with pytest.raises(ValueError, match="truth"):
        score(z, np.zeros(4, int), np.array([0, 1, -2, 0]))
    with pytest.raises(ValueError, match=r"group: shape \(3,\)"):
        score(z, np.zeros(4, int), group=np.zeros(3))
    z[2] = np.nan
    with pytest.raises(InputError, match="row 2"):
        score(z, np.zeros(4, int))
