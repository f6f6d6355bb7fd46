from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats
from scipy.spatial.distance import pdist, squareform
from sklearn.manifold._utils import _binary_search_perplexity

from musiclust import neighbours, objectives, schedules
from musiclust.types import Posterior


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (1.5, 0.3), (-0.7, 2.0)])
def test_gaussian_kl_is_the_integral(mean, deviation):
    q: Any = stats.norm(mean, deviation)
    p: Any = stats.norm()
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
    def values(name):
        """At 0, 1, ... 99 % of the run."""
        return np.asarray(schedules.BETA_SCHEDULES[name](jnp.arange(100) / 100))

    assert (values("constant") == 1).all()
    linear = values("linear")
    assert linear[0] == 0
    assert linear[15] == pytest.approx(0.5)
    assert linear[30] == pytest.approx(1)
    assert (linear[31:] == 1).all()
    cyclical = values("cyclical")
    assert [cyclical[i] for i in (0, 25, 50, 75)] == [0, 0, 0, 0]
    assert cyclical[6] == pytest.approx(6 / 12.5)
    assert (cyclical[13:25] == 1).all()
    # The end does not start a fifth cycle.
    assert float(schedules.BETA_SCHEDULES["cyclical"](jnp.ones(()))) == 1


# Compiled whole: operation by operation they take longer than all else here.
affinities = jax.jit(neighbours.neighbour_affinities, static_argnames="perplexity")
divergence_and_slope = jax.jit(jax.value_and_grad(neighbours.neighbour_divergence, argnums=1))


def features(tracks: int, columns: int = 20, seed: int = 0) -> np.ndarray:
    """Two clouds of unlike width, off the origin."""
    rng = np.random.default_rng(seed)
    width = np.where(np.arange(tracks) % 2, 0.3, 2.0)[:, None]
    return (5 + width * (rng.normal(size=(tracks, columns)) + np.sign(width - 1))).astype(np.float32)


def squares(x) -> np.ndarray:
    return squareform(pdist(np.asarray(x, np.float64), "sqeuclidean"))


def by_hand(p: np.ndarray, z: np.ndarray) -> float:
    """KL of each row, t of one degree of freedom, in float64; the mean of them."""
    rows = []
    for i, row in enumerate(np.asarray(p, np.float64)):
        q = 1 / (1 + ((z - z[i]) ** 2).sum(axis=1))
        q[i] = 0
        q /= q.sum()
        picked = row > 0
        rows.append((row[picked] * np.log(row[picked] / q[picked])).sum())
    return float(np.mean(rows))


@pytest.mark.parametrize(("tracks", "perplexity", "reached"), [(120, 30.0, 30.0), (120, 5.0, 5.0), (40, 30.0, 13.0)])
def test_affinities_are_scikit_learns(tracks, perplexity, reached):
    """Of as many neighbours as were asked for, or as a third of the other tracks."""
    x = features(tracks)
    p = np.asarray(affinities(jnp.asarray(x), jnp.ones(tracks), perplexity), np.float64)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)
    assert not p.diagonal().any()
    bits = stats.entropy(p, base=2, axis=1)
    np.testing.assert_allclose(2**bits, reached, atol=1e-3)
    expected = _binary_search_perplexity(squares(x).astype(np.float32), reached, 0)
    np.testing.assert_allclose(p, expected, atol=1e-4)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_affinities_do_not_depend_on_the_unit(scale):
    x = jnp.asarray(features(60))
    p = affinities(x, jnp.ones(60))
    np.testing.assert_allclose(affinities(scale * x, jnp.ones(60)), p, atol=1e-4)


def test_affinities_of_very_few_tracks():
    """From the nearest one alone to none at all."""
    x = jnp.array([[0.0], [1.0], [3.0]])
    nearest = jnp.array([[0, 1, 0], [1, 0, 0], [0, 1, 0]])
    np.testing.assert_allclose(affinities(x, jnp.ones(3)), nearest, atol=1e-6)
    np.testing.assert_allclose(affinities(x[:2], jnp.ones(2)), [[0, 1], [1, 0]])
    alone = affinities(x[:1], jnp.ones(1))
    assert not alone.any()
    value, slope = divergence_and_slope(alone, x[:1], jnp.ones(1))
    assert (float(value), float(slope[0, 0])) == (0, 0)


def test_divergence_is_the_mean_of_the_rows():
    x = features(50)
    z = np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32)
    p = affinities(jnp.asarray(x), jnp.ones(50))
    divergence = float(divergence_and_slope(p, jnp.asarray(z), jnp.ones(50))[0])
    assert divergence == pytest.approx(by_hand(np.asarray(p), z), rel=1e-5)
    assert divergence > 0.1


def test_divergence_is_zero_where_the_neighbourhoods_are_kept():
    z = jax.random.normal(jax.random.key(0), (30, 4))
    t = 1 / (1 + squares(z)) - np.eye(30)
    p = jnp.asarray(t / t.sum(axis=1, keepdims=True), jnp.float32)
    assert float(divergence_and_slope(p, z, jnp.ones(30))[0]) == pytest.approx(0, abs=1e-6)


def test_tracks_that_fill_up_are_nobodys_neighbours():
    x, z = jnp.asarray(features(40)), jax.random.normal(jax.random.key(0), (40, 3))
    filled_x, filled_z = jnp.concatenate([x, x[:7] + 0.1]), jnp.concatenate([z, 9 * z[:7]])
    weight = jnp.concatenate([jnp.ones(40), jnp.zeros(7)])

    def both(x, z, weight):
        p = affinities(x, weight)
        return p, *divergence_and_slope(p, z, weight)

    p, value, slope = both(x, z, jnp.ones(40))
    filled_p, filled_value, filled_slope = both(filled_x, filled_z, weight)
    np.testing.assert_allclose(filled_p[:40, :40], p, atol=1e-5)
    assert not filled_p[40:].any()
    assert not filled_p[:, 40:].any()
    assert float(filled_value) == pytest.approx(float(value), rel=1e-5)
    np.testing.assert_allclose(filled_slope[:40], slope, atol=1e-6)
    assert not filled_slope[40:].any()


@pytest.mark.parametrize("copies", [2, 20, 60])
def test_duplicates_leave_value_and_gradient_finite(copies):
    """Two tracks alike, more of them than the perplexity of 59 / 3, and all of them; all z in one place too."""
    x = features(60)
    x[:copies] = x[0]
    p = affinities(jnp.asarray(x), jnp.ones(60))
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)
    # Duplicates are picked alike.
    np.testing.assert_allclose(p[copies:, :copies], jnp.broadcast_to(p[copies:, :1], (60 - copies, copies)), atol=1e-5)
    scattered = jax.random.normal(jax.random.key(0), (60, 3))
    for z in (scattered.at[:copies].set(scattered[0]), jnp.ones((60, 3)), 1e4 * scattered):
        value, slope = divergence_and_slope(p, z, jnp.ones(60))
        assert float(value) == pytest.approx(by_hand(np.asarray(p), np.asarray(z, np.float64)), rel=1e-3, abs=1e-5)
        assert jnp.isfinite(slope).all()


def test_neighbours_under_vmap_and_map():
    xs = jnp.stack([jnp.asarray(features(30, seed=seed)) for seed in range(3)])
    zs = jax.random.normal(jax.random.key(0), (3, 30, 2))

    def one(pair):
        p = neighbours.neighbour_affinities(pair[0], jnp.ones(30))
        return neighbours.neighbour_divergence(p, pair[1], jnp.ones(30))

    alone = [float(jax.jit(one)((x, z))) for x, z in zip(xs, zs, strict=True)]
    np.testing.assert_allclose(jax.jit(jax.vmap(one))((xs, zs)), alone, rtol=1e-5)
    np.testing.assert_allclose(jax.jit(lambda pairs: jax.lax.map(one, pairs))((xs, zs)), alone, rtol=1e-5)
