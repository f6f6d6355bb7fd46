import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.metrics import adjusted_rand_score

from musiclust.cluster import kmeans
from musiclust.errors import InputError
from musiclust.metrics.latent import (
    active_units,
    information_per_dim,
    informative_units,
    kl_per_dim,
    tells_little,
    total_kl,
)


def posterior(units, latent_dim=32, n=2000, seed=0):
    """An aggregate posterior that matches the prior: each unit of `units` nats has a mean of variance 1 - sigma^2.

    For it KL = -ln sigma, averaged over the tracks.
    """
    variance = np.ones(latent_dim)
    variance[: len(units)] = np.exp(-2 * np.array(units))
    means = np.random.default_rng(seed).normal(size=(n, latent_dim)) * np.sqrt(1 - variance)
    return means, np.tile(np.log(variance), (n, 1))


def test_kl_of_one_gaussian_by_quadrature():
    q, p = norm(0.7, 0.4), norm(0, 1)
    by_hand = quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), -4, 5)[0]
    mean, logvar = np.array([[0.7, 0.0]]), np.array([[2 * np.log(0.4), 0.0]])
    np.testing.assert_allclose(kl_per_dim(mean, logvar), [by_hand, 0], atol=1e-9)
    assert total_kl(mean, logvar) == pytest.approx(by_hand)


def test_kl_is_averaged_over_tracks_and_never_negative():
    rng = np.random.default_rng(0)
    mean, logvar = rng.normal(size=(2, 50, 4)).astype(np.float32)
    each = [kl_per_dim(mean[i : i + 1], logvar[i : i + 1]) for i in range(50)]
    np.testing.assert_allclose(kl_per_dim(mean, logvar), np.mean(each, axis=0))
    assert kl_per_dim(np.zeros((3, 1)), np.full((3, 1), 1e-9)) >= 0  # where exp(v) - 1 - v loses its digits


def test_active_units_counts_variances_of_the_mean():
    mean = np.zeros((4, 4))
    mean[:, 1] = [0.09, -0.09, 0.09, -0.09]  # variance 0.0081
    mean[:, 2] = [0.11, -0.11, 0.11, -0.11]  # variance 0.0121
    mean[:, 3] = 5  # far from the prior, but the same for every track
    assert active_units(mean) == 1
    assert active_units(mean, threshold=0.005) == 2


def one_hot_means():
    """Four means at the corners of a simplex, 0.05 wide, under a posterior as wide as the prior."""
    truth = np.repeat(np.arange(4), 100)
    means = np.eye(4)[truth] + 0.05 * np.random.default_rng(0).normal(size=(400, 4))
    return means, np.zeros((400, 4)), truth


def eight_on_a_line():
    """One dimension with eight clear clusters, the other seven unused."""
    truth = np.repeat(np.arange(8), 50)
    line = np.linspace(-2, 2, 8)[truth] + 0.03 * np.random.default_rng(0).normal(size=400)
    return line[:, None] * np.eye(1, 8), np.tile(np.log([0.01, *[1.0] * 7]), (400, 1)), truth


def test_a_precise_line_with_clear_clusters_is_not_low_in_information():
    mean, logvar, truth = eight_on_a_line()
    assert active_units(mean) == 1  # by which it was "collapsed"
    assert not tells_little(mean, logvar)
    assert informative_units(mean, logvar) == active_units(mean) == 1
    assert adjusted_rand_score(truth, kmeans(mean, k=8, seed=0).clusters) == 1


def test_low_information_is_of_the_code_and_no_verdict_on_clusters():
    """Perfect clusters of means whose code is drowned: the flag holds, and says nothing against them."""
    mean, logvar, truth = one_hot_means()
    assert tells_little(mean, logvar)
    assert adjusted_rand_score(truth, kmeans(mean, k=4, seed=0).clusters) == 1
    # The same means under a posterior that is as narrow as they are: the very same clusters, and no flag.
    assert not tells_little(mean, np.full_like(logvar, 2 * np.log(0.05)))


@pytest.mark.parametrize(
    ("units", "little"),
    [
        ([], True),
        ([0.56], True),  # the published row, all in one unit
        ([0.28, 0.28], True),  # in two
        ([0.5647 / 32] * 32, True),  # spread thin over all
        ([0.5, 0.5], False),
        ([5.0], False),  # a strong line: whether it has gaps is the null's to say
        ([3.5 / 8] * 8, False),  # the report's CVAE: 3.53 nats
    ],
)
def test_what_counts_as_low_information(units, little):
    mean, logvar = posterior(units)
    # For a posterior that matches the prior the bound is the KL.
    np.testing.assert_allclose(information_per_dim(mean, logvar)[: len(units)], units, atol=0.03)
    assert tells_little(mean, logvar) is little


def test_the_bound_lies_between_the_mutual_information_and_the_kl():
    """Four equally likely codes of width 0.3 on a line, by quadrature: 0 <= I(track; code) <= bound <= KL."""
    centres, width = np.array([-1.5, -0.4, 0.6, 1.9]), 0.3

    def mixture(z):
        return norm.pdf(z, centres, width).mean()

    entropy = quad(lambda z: -mixture(z) * np.log(mixture(z)), -4, 5, limit=200)[0]
    mutual = entropy - 0.5 * np.log(2 * np.pi * np.e * width**2)
    mean, logvar = centres[:, None], np.full((4, 1), 2 * np.log(width))
    bound = information_per_dim(mean, logvar).item()
    assert mutual == pytest.approx(np.log(4), rel=0.15)
    assert mutual < bound < kl_per_dim(mean, logvar).item()


def test_the_bound_does_not_see_what_all_tracks_share_nor_the_scale():
    rng = np.random.default_rng(0)
    mean, logvar = rng.normal(size=(200, 3)), rng.normal(size=(200, 3)) - 1
    expected = information_per_dim(mean, logvar)
    np.testing.assert_allclose(information_per_dim(100 * mean + 7, logvar + 2 * np.log(100)), expected)
    assert (expected <= kl_per_dim(mean, logvar)).all()
    assert total_kl(np.full((9, 2), 3.0), np.full((9, 2), -4.0)) > 10
    assert tells_little(np.full((9, 2), 3.0), np.full((9, 2), -4.0))


def test_informative_units_set_the_means_against_the_noise():
    """A variance of 0.0121 is active by Burda's count and tells 0.006 nats; under a narrow posterior it tells 0.4."""
    mean = np.array([0.11, -0.11])[:, None].repeat(2, axis=1)
    logvar = np.log([[1, 0.01]] * 2)
    assert active_units(mean) == 2
    np.testing.assert_allclose(information_per_dim(mean, logvar), 0.5 * np.log([1.0121, 2.21]))
    assert informative_units(mean, logvar) == 1
    assert informative_units(mean, logvar, threshold=0.005) == 2
    assert informative_units(*posterior([0.5647 / 32] * 32)) == 0 < active_units(posterior([0.5647 / 32] * 32)[0])


def test_bad_posteriors_are_named():
    with pytest.raises(ValueError, match=r"means \(2, 3\), log-variances \(2, 2\)"):
        kl_per_dim(np.zeros((2, 3)), np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"means \(2, 3\), log-variances \(2, 2\)"):
        tells_little(np.zeros((2, 3)), np.zeros((2, 2)))
    with pytest.raises(InputError, match="row 1 of the posterior log-variances"):
        tells_little(np.ones((2, 1)) * [[0], [1]], np.array([[0], [np.nan]]))
