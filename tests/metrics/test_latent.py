import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from musiclust.errors import InputError
from musiclust.metrics.latent import active_units, is_collapsed, kl_per_dim, total_kl


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


@pytest.mark.parametrize(
    ("units", "collapsed"),
    [
        ([0.56], True),  # the published row, all in one unit
        ([0.28, 0.28], True),  # in two
        ([0.5647 / 32] * 32, True),  # spread thin over all: 32 active units by Burda's count
        ([5.0], True),  # a strong line is a line
        ([0.5, 0.5], True),  # two units used weakly
        ([], True),
        ([0.6] * 8, False),
        ([3.5 / 8] * 8, False),  # the report's CVAE: 3.53 nats
        ([1.5, 1.5], False),
    ],
)
def test_what_counts_as_collapsed(units, collapsed):
    mean, logvar = posterior(units)
    assert total_kl(mean, logvar) == pytest.approx(sum(units), abs=0.05)
    assert is_collapsed(mean, logvar) is collapsed


def test_collapse_depends_on_the_number_of_clusters():
    mean, logvar = posterior([0.5, 0.5])
    assert not is_collapsed(mean, logvar, k=2)
    assert is_collapsed(mean, logvar, k=3)
    assert active_units(posterior([0.5647 / 32] * 32)[0]) == 32


def test_bad_posteriors_are_named():
    with pytest.raises(ValueError, match=r"means \(2, 3\), log-variances \(2, 2\)"):
        kl_per_dim(np.zeros((2, 3)), np.zeros((2, 2)))
    with pytest.raises(InputError, match="row 1 of the posterior log-variances"):
        is_collapsed(np.ones((2, 1)) * [[0], [1]], np.array([[0], [np.nan]]))
