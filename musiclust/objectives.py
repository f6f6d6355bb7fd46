"""The evidence lower bound, term by term.

Conventions: the reconstruction is the squared error summed over a track's features (a Gaussian likelihood of variance
1/2, up to a constant). KL is in nats. Both are averaged over tracks only at the very end. So 15.7037 + 4 x 0.5647 =
17.9625, as in the first report.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from musiclust.noise import counter_normal
from musiclust.types import Posterior


def gaussian_kl(q: Posterior) -> Float[Array, "B L"]:
    """Returns KL(q || N(0, I)) of each latent dimension in nats (Kingma and Welling, ICLR 2014, appendix B).

    >>> gaussian_kl(Posterior(mean=jnp.array([[0.0, 2.0]]), logvar=jnp.zeros((1, 2)))).tolist()
    [[0.0, 2.0]]
    """
    return 0.5 * (jnp.square(q.mean) + jnp.exp(q.logvar) - 1.0 - q.logvar)


def squared_error(reconstruction: Float[Array, "B *D"], x: Float[Array, "B *D"]) -> Float[Array, " B"]:
    """Returns the squared error of each track, summed over its features.

    >>> squared_error(jnp.zeros((2, 3)), jnp.array([[1.0, 2.0, 2.0], [0.0, 0.0, 0.0]])).tolist()
    [9.0, 0.0]
    """
    return jnp.sum(jnp.square(reconstruction - x), axis=tuple(range(1, x.ndim)))


def elbo(
    reconstruction: Float[Array, "B *D"], x: Float[Array, "B *D"], q: Posterior, beta: Float[Array, ""]
) -> tuple[Float[Array, " B"], tuple[Float[Array, " B"], Float[Array, "B L"]]]:
    """Returns the negative (beta-weighted) ELBO of each track, and its parts.

    Args:
      reconstruction: what the decoder gave.
      x: what it should have given, of the same shape.
      q: the posterior that the encoder gave.
      beta: weight of the KL term, 1 for the ELBO itself.

    Returns:
      (loss (B,), (squared error (B,), KL per dimension (B, L) in nats)). A posterior of variance zero (a plain
      autoencoder's, logvar -inf) has no KL: its parts are zero.
    """
    error = squared_error(reconstruction, x)
    kl = jnp.where(jnp.isneginf(q.logvar), 0.0, gaussian_kl(q))
    return error + beta * kl.sum(axis=1), (error, kl)


def free_bits(kl: Float[Array, " L"], least: float) -> Float[Array, ""]:
    """Returns the KL that a model pays for where each dimension has `least` nats free: the rest of each, and `least`.

    A dimension under it gets no push towards the prior (Kingma et al., NeurIPS 2016, equation 15).

    Args:
      kl: (L,) nats of each dimension, a mean over a batch.

    >>> float(free_bits(jnp.array([0.0, 0.25, 2.0]), 0.5))
    3.0
    """
    return jnp.maximum(kl, least).sum()


def distance_to_capacity(kl: Float[Array, " L"], capacity: Float[Array, ""]) -> Float[Array, ""]:
    """Returns how far the KL of all dimensions is from a capacity in nats (Burgess et al. 2018, arXiv 1804.03599).

    Args:
      kl: (L,) nats of each dimension, a mean over a batch.

    >>> float(distance_to_capacity(jnp.array([0.5, 0.5]), jnp.array(4.0)))
    3.0
    """
    return jnp.abs(kl.sum() - capacity)


def sample(q: Posterior, key: Key[Array, ""]) -> Float[Array, "B L"]:
    """Draws one z from q for each track, differentiable in mean and logvar.

    >>> import jax
    >>> sample(Posterior(mean=jnp.ones((3, 2)), logvar=jnp.full((3, 2), -jnp.inf)), jax.random.key(0)).tolist()
    [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    """
    return q.mean + jnp.exp(0.5 * q.logvar) * counter_normal(key, q.mean.shape)
