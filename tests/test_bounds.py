"""Bounds of log p(x): against the exact value, in their order, and who has none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from musiclust import bounds, objectives, training
from musiclust.errors import InputError
from musiclust.models import MODELS
from musiclust.types import Data, Posterior


class Linear(MODELS["vae"]):
    """x = z W + noise, with the posterior of z as it is, but for what is added to its mean and log-variance."""

    weights: tuple = ()
    shift: float = 0.0
    widen: float = 0.0

    def encode(self, x, cond, train):
        w = jnp.asarray(self.weights)
        precision = 1 + 2 * (w**2).sum(axis=1, keepdims=True).T  # the rows of W are orthogonal
        mean = 2 * x @ w.T / precision + self.shift
        return Posterior(mean, jnp.broadcast_to(self.widen - jnp.log(precision), mean.shape))

    def decode(self, z, cond, train):
        return z @ jnp.asarray(self.weights)


def linear(shift, widen):
    w = ((1.0, 1.0, 0.0, 0.5, 0.0), (0.7, -0.7, 0.0, 0.0, 1.5))
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(200, 2)) @ np.array(w) + np.sqrt(0.5) * rng.normal(size=(200, 5))).astype(np.float32)
    covariance = np.array(w).T @ np.array(w) + 0.5 * np.eye(5)
    exact = multivariate_normal(np.zeros(5), covariance).logpdf(x)
    state = training.TrainState(jnp.array(0), {}, {}, (), jax.random.key(0), jnp.array(0.0), jnp.array(0))
    return Linear((5,), 2, weights=w, shift=shift, widen=widen), state, Data(jnp.asarray(x), jnp.zeros((200, 0))), exact


def test_bounds_are_log_p_where_the_posterior_is_exact():
    model, state, data, exact = linear(0.0, 0.0)
    # The importance weights are all the same, so that one draw is enough.
    np.testing.assert_allclose(bounds.iwae(model, state, data, samples=1), exact, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(bounds.iwae(model, state, data, samples=7), exact, rtol=1e-4, atol=1e-4)
    assert float(bounds.elbo_nats(model, state, data, samples=500).mean()) == pytest.approx(exact.mean(), abs=0.02)


def test_bounds_are_in_their_order_where_it_is_not():
    model, state, data, exact = linear(0.3, 0.5)
    elbo = float(bounds.elbo_nats(model, state, data, samples=200).mean())
    weighted = [float(bounds.iwae(model, state, data, samples=samples).mean()) for samples in (1, 5, 50)]
    # KL(q || p(z | x)) by hand: per dimension (exp(widen) - 1 - widen + shift^2 * precision) / 2.
    precision = 1 + 2 * np.square(np.array(model.weights)).sum(axis=1)
    gap = 0.5 * (np.exp(0.5) - 1.5 + 0.09 * precision).sum()
    assert elbo == pytest.approx(exact.mean() - gap, abs=0.05)
    assert weighted[0] == pytest.approx(elbo, abs=0.2)
    assert elbo + 0.1 < weighted[1] < weighted[2] < exact.mean() + 0.02
    scores = bounds.held_out_scores(model, state, data)
    assert (scores["elbo"], scores["iwae"]) == (pytest.approx(elbo, abs=0.1), pytest.approx(weighted[2], abs=0.05))
    assert scores["reconstruction"] == pytest.approx(
        float(
            objectives.squared_error(
                model.apply({}, training.encode(model, state, data).mean, None, False, method="decode"), data.x
            ).mean()
        ),
        rel=1e-5,
    )


def test_an_autoencoder_has_no_bound():
    data = Data(jax.random.normal(jax.random.key(9), (37, 6)), jnp.zeros((37, 0)))
    model = MODELS["autoencoder"](input_shape=(6,), latent_dim=2, hidden=(8,))
    state = training.init_state(model, jax.random.key(0), data)
    with pytest.raises(InputError, match="Autoencoder has no posterior, and so no bound"):
        bounds.iwae(model, state, data)
    scores = bounds.held_out_scores(model, state, data)
    assert np.isnan([scores["elbo"], scores["iwae"]]).all()
    assert scores["reconstruction"] > 0
