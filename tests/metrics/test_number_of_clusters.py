import numpy as np
import pytest
from scipy.stats import norm
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from benchmarks import shapes
from musiclust.errors import InputError
from musiclust.metrics.number_of_clusters import HALFWAY, REFERENCES, choose_k, quick_kmeans

FEW = (2, 3, 4, 6, 8)


def copula(z, song=None):
    """Surrogates with the ranks of a Gaussian of the same correlations: the marginals stay, clusters go. By song, the
    songs' means are drawn and each song keeps its clips about its mean."""
    if song is not None:
        means = np.stack([z[song == member].mean(axis=0) for member in range(song[-1] + 1)])
        return lambda b: copula(means)(b)[song] + z - means[song]
    n, width = z.shape
    ordered = np.sort(z, axis=0)
    scores = norm.ppf((z.argsort(axis=0).argsort(axis=0) + 0.5) / n)
    root = np.linalg.cholesky(np.corrcoef(scores.T).reshape(width, width) + 1e-9 * np.eye(width))

    def draw(b):
        drawn = np.random.default_rng(1000 + b).normal(size=z.shape) @ root.T
        return np.take_along_axis(ordered, drawn.argsort(axis=0).argsort(axis=0), axis=0)

    return draw


def mixture(k, dimensions, apart, n, seed=0):
    """k Gaussians of unit variance whose centres are at least so far apart."""
    return shapes.mixture(np.random.default_rng(seed), n, k=k, columns=dimensions, apart=apart)


@pytest.mark.parametrize(
    ("k", "dimensions", "apart", "n", "ks"),
    [(3, 2, 6, 300, FEW), (3, 8, 5, 300, FEW), (8, 4, 6, 400, (*FEW, 9, 12)), (8, 16, 6, 300, (*FEW, 9, 12))],
)
def test_right_on_mixtures(k, dimensions, apart, n, ks):
    z = mixture(k, dimensions, apart, n)
    found = choose_k(z, surrogate=copula(z), ks=ks, seed=0)
    assert found.k == k
    assert found.low <= k <= found.high
    assert found.p == pytest.approx(1 / 21)
    assert found.reason.startswith(f"{k}: ")


@pytest.mark.slow
def test_right_on_twenty():
    z = mixture(20, 8, 8, 400)
    found = choose_k(z, surrogate=copula(z), ks=(10, 16, 19, 20, 21, 24), seed=0)
    assert found.low <= 20 <= found.high
    assert abs(found.k - 20) <= 1


def structureless(name, rng, n=300):
    angle = 2 * np.pi * rng.random(n)
    return {
        "gaussian": lambda: rng.normal(size=(n, 4)) * [3, 2, 1, 1],
        "lognormal": lambda: np.exp(rng.normal(size=(n, 4))),
        "square": lambda: rng.random((n, 2)),
        "ring": lambda: np.stack([np.cos(angle), np.sin(angle)], axis=1) + 0.05 * rng.normal(size=(n, 2)),
        "heavy tails": lambda: rng.standard_t(3, size=(n, 4)),
    }[name]()


@pytest.mark.parametrize(
    "name",
    [
        "gaussian",
        "lognormal",
        "ring",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("square", "heavy tails")),
    ],
)
def test_one_on_structureless_data(name):
    z = structureless(name, np.random.default_rng(0))
    found = choose_k(z, surrogate=copula(z), ks=(*FEW, 15, 20), seed=0)
    assert (found.k, found.low, found.high) == (1, 1, 1)
    assert found.reason.startswith("one: no number of clusters is better by this test, for ")


@pytest.mark.slow
def test_clusters_whose_subsamples_agree_by_less_than_an_ari_of_0_8_are_found():
    """Twenty that nearly touch: the stability of no k is what an absolute line would ask for."""
    z = mixture(20, 8, 4, 400, seed=1)
    found = choose_k(z, surrogate=copula(z), ks=(4, 8, 12, 16, 18, 20, 22), seed=0)
    assert found.low <= 20 <= found.high
    assert found.k >= 16
    assert found.table["stability_null"][-1] < 0.5


def test_no_surrogate_is_drawn_where_no_k_can_pass():
    def none(number):
        raise AssertionError(f"surrogate {number} was drawn")

    z = np.random.default_rng(0).normal(size=(200, 16))
    found = choose_k(z, surrogate=none, ks=FEW)
    assert (found.k, found.p) == (1, 1.0)
    assert "no number gives the same clusters in two thirds of the tracks" in found.reason
    assert (found.table["stability"][1:] < HALFWAY).all()
    assert np.isnan(found.table["gap"]).all()


def test_the_test_is_over_once_two_surrogates_are_as_clustered():
    z, drawn = mixture(3, 4, 5, 150), []

    def surrogate(number):
        drawn.append(number)
        return copula(z)(number) if number < REFERENCES else mixture(3, 4, 9, 150, seed=number) / 9

    found = choose_k(z, surrogate=surrogate, ks=(2, 3, 4))
    assert drawn == list(range(REFERENCES + 2))
    assert (found.k, found.p) == (1, 1.0)


def test_what_is_stable_but_no_tighter_is_none():
    """A square is cut into the same four quarters each time, and so is the square that the surrogates are."""
    z = structureless("square", np.random.default_rng(0), n=400)
    found = choose_k(z, surrogate=lambda b: structureless("square", np.random.default_rng(1 + b), n=400), ks=(2, 3, 4))
    assert found.k == 1
    assert found.table["stability"][3] > 0.8
    assert found.table["stability_null"][3] > 0.8


def test_songs_of_four_clips_are_no_clusters():
    """Forty songs in a cloud, four clips each close together: subsamples are of songs, and so are the surrogates."""
    rng = np.random.default_rng(0)
    song = np.repeat(np.arange(40), 4)
    z = rng.normal(size=(40, 4))[song] + 0.05 * rng.normal(size=(160, 4))
    assert choose_k(z, surrogate=copula(z, song), ks=(*FEW, 20, 30, 40), group=song, seed=0).k == 1
    assert choose_k(z, surrogate=copula(z), ks=(*FEW, 20, 30, 40), seed=0).k > 20, "taken as single tracks, songs are"


def test_the_table_has_each_k_and_repeats_itself():
    z = mixture(3, 2, 6, 120)
    first, second = (choose_k(z, surrogate=copula(z), ks=(4, 3, 2, 90), draws=4, seed=1) for _ in range(2))
    assert first.k == 1, "four surrogates cannot be beaten at 5 %"
    assert "structureless data look as clustered in 20% of cases" in first.reason
    assert first.table["k"].tolist() == [1, 2, 3, 4], "1 is always there; more than a quarter of the points is no k"
    names = {"k", "stability", "stability_null", "adjusted", "gap", "gap_sd", "bic"}
    assert first.table.keys() == names
    for name in names:
        np.testing.assert_array_equal(first.table[name], second.table[name])
    assert first.table["gap"][1:].argmax() == 1
    assert first.table["adjusted"][2] > 0.9
    assert np.isnan(first.table["bic"]).all(), "one needs none"


def test_another_clusterer_may_be_given():
    z = mixture(3, 2, 6, 120)
    asked = []

    def cluster(points, *, k, seed):
        asked.append((len(points), k))
        return quick_kmeans(points, k=k, seed=seed)

    choose_k(z, surrogate=copula(z), cluster=cluster, ks=(2, 3), draws=2, seed=0)
    assert set(asked) == {(120, 2), (120, 3), (80, 2), (80, 3)}


def test_quick_kmeans_is_about_as_tight_as_scikit_learn_s():
    z = mixture(5, 4, 6, 200)
    assert adjusted_rand_score(quick_kmeans(z, k=5, seed=0), KMeans(5, n_init=10, random_state=0).fit_predict(z)) == 1
    assert np.unique(quick_kmeans(np.ones((10, 2)), k=3, seed=0)).size == 1


def test_bad_input_is_named():
    z = np.zeros((8, 2))
    with pytest.raises(ValueError, match="group: shape"):
        choose_k(z, surrogate=copula(z), group=np.zeros(3))
    z[2] = np.nan
    with pytest.raises(InputError, match="row 2"):
        choose_k(z, surrogate=lambda b: z)
