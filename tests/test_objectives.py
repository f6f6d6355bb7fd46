import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from musiclust import objectives
from musiclust.types import Posterior


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (1.5, 0.3), (-0.7, 2.0)])
def test_gaussian_kl_is_the_integral(mean, deviation):
    q, p = stats.norm(mean, deviation), stats.norm()
    by_hand, _ = integrate.quad(
        lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), mean - 12 * deviation, mean + 12 * deviation
    )
    posterior = Posterior(jnp.array([[mean]]), jnp.array([[2 * np.log(deviation)]], jnp.float32))
    assert float(objectives.gaussian_kl(posterior)[0, 0]) == pytest.approx(by_hand, abs=1e-5)


def test_elbo_is_the_first_reports_arithmetic():
    """15.7037 + 4 x 0.5647 = 17.9625: squared error summed over features, KL summed over dimensions."""
    x = jnp.zeros((1, 20))
    reconstruction = jnp.full((1, 20), np.sqrt(15.7037 / 20))
    mean = jnp.full((1, 32), np.sqrt(2 * 0.5647 / 32))
    loss, (error, kl) = objectives.elbo(reconstruction, x, Posterior(mean, jnp.zeros((1, 32))), jnp.array(4.0))
    assert float(error[0]) == pytest.approx(15.7037, rel=1e-5)
    assert float(kl.sum()) == pytest.approx(0.5647, rel=1e-5)
    assert float(loss[0]) == pytest.approx(17.9625, abs=1e-4)


def test_a_posterior_of_no_width_has_no_kl():
    q = Posterior(jnp.ones((2, 3)), jnp.full((2, 3), -jnp.inf))
    loss, (error, kl) = objectives.elbo(jnp.ones((2, 4)), jnp.zeros((2, 4)), q, jnp.array(5.0))
    assert not kl.any()
    np.testing.assert_allclose(loss, error)


def test_squared_error_of_images_is_summed_over_both_axes():
    x = jnp.arange(12.0).reshape(1, 3, 4)
    assert float(objectives.squared_error(jnp.zeros_like(x), x)[0]) == (np.arange(12) ** 2).sum()


def test_samples_have_the_posteriors_moments():
    q = Posterior(jnp.full((40_000, 1), 2.0), jnp.full((40_000, 1), np.log(0.25)))
    z = objectives.sample(q, jax.random.key(0))
    assert float(z.mean()) == pytest.approx(2.0, abs=0.02)
    assert float(z.std()) == pytest.approx(0.5, abs=0.02)


def test_beta_schedules():
    def values(name, steps=1000):
        schedule = objectives.BETA_SCHEDULES[name](steps)
        return np.array([float(schedule(jnp.asarray(step))) for step in range(0, steps, 10)])

    assert (values("constant") == 1).all()
    linear = values("linear")
    assert linear[0] == 0
    assert linear[15] == pytest.approx(0.5)
    assert (linear[30:] == 1).all()
    cyclical = values("cyclical")
    assert [cyclical[i] for i in (0, 25, 50, 75)] == [0, 0, 0, 0]
    assert cyclical[6] == pytest.approx(60 / 125)
    assert (cyclical[13:25] == 1).all()
    # Steps left over by the division do not start a fifth cycle.
    assert float(objectives.BETA_SCHEDULES["cyclical"](1003)(jnp.asarray(1002))) == 1
