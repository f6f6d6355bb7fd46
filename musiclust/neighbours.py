"""The stochastic-neighbour term: how far the latents are from keeping each track's neighbours.

Conventions: affinities are probabilities. The divergence is in nats, a mean over tracks.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

# Bounds and steps of the bisection for the log of a track's precision, distances being in units of their mean. At the
# lower one all neighbours weigh alike, at the upper one only the nearest counts.
_LOG_PRECISION = (-10.0, 60.0)
_BISECTIONS = 30
_FAR = -1e9  # a log-affinity of nothing, finite so that 0 * log 0 is 0


def neighbour_affinities(
    x: Float[Array, "B D"], weight: Float[Array, " B"], perplexity: float = 30.0
) -> Float[Array, "B B"]:
    """Returns how likely each track is to pick each other one as its neighbour: p(j | i) in row i.

    It is a Gaussian of the squared Euclidean distance (van der Maaten and Hinton, JMLR 2008, equation 1). Its width for
    each track is such that 2 to the power of the row's entropy in bits is the perplexity. The affinities are
    conditional, not symmetrised, as in scvis (Ding et al., Nature Communications 2018).

    Args:
      x: features of a batch.
      weight: 1 for a track that counts, 0 for one that fills the batch up; those neither pick nor are picked.
      perplexity: how many neighbours a track has, in effect. It is taken as at most a third of the other tracks that
        count, and at least 1. More duplicates of a track than that share its row evenly.

    Returns:
      (B, B), zero on the diagonal. Rows sum to 1, those of weight 0 or without any other track to 0.

    >>> p = neighbour_affinities(jnp.array([[0.0], [1.0], [5.0]]), jnp.ones(3))
    >>> p.argmax(axis=1).tolist()  # the nearest
    [1, 0, 1]
    """
    others = _others(weight)
    distance = _squared_distances(x)
    # Counted from the nearest: the same affinities, and the largest weight is 1 at any precision.
    distance = distance - jnp.min(distance, axis=1, keepdims=True, initial=jnp.inf, where=others)
    distance = jnp.where(others, distance, 0.0)
    mean = distance.sum(axis=1) / jnp.maximum(others.sum(axis=1), 1)
    distance = distance / jnp.where(mean > 0, mean, 1.0)[:, None]
    entropy = jnp.log(jnp.clip((weight.sum() - 1) / 3, 1.0, perplexity))

    def weights(log_precision: Float[Array, " B"]) -> tuple[Float[Array, "B B"], Float[Array, " B"]]:
        unnormalised = jnp.where(others, jnp.exp(-jnp.exp(log_precision)[:, None] * distance), 0.0)
        return unnormalised, jnp.maximum(unnormalised.sum(axis=1), 1.0)

    def halve(_: Any, bounds: tuple[Float[Array, " B"], Float[Array, " B"]]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) / 2
        unnormalised, total = weights(middle)
        entropies = jnp.log(total) + jnp.exp(middle) * (unnormalised * distance).sum(axis=1) / total
        wide = entropies > entropy
        return jnp.where(wide, middle, low), jnp.where(wide, high, middle)

    low, high = (jnp.full_like(mean, bound) for bound in _LOG_PRECISION)
    low, high = jax.lax.fori_loop(0, _BISECTIONS, halve, (low, high))
    unnormalised, total = weights((low + high) / 2)
    return unnormalised / total[:, None]


def neighbour_divergence(
    p: Float[Array, "B B"], z: Float[Array, "B L"], weight: Float[Array, " B"]
) -> Float[Array, ""]:
    """Returns the mean of KL(p(. | i) || q(. | i)) over the tracks i that count: 0 where z keeps every neighbourhood.

    q(j | i) is Student's t of one degree of freedom, 1 / (1 + ||z_i - z_j||^2) over its sum in the row (van der Maaten
    and Hinton, JMLR 2008; conditional as in scvis and in VAE-SNE, Graving and Couzin, bioRxiv 2020). At the two latent
    dimensions of scvis this is its q; with L of them its program takes L - 1 degrees of freedom.

    Args:
      p: what `neighbour_affinities` gives.
      z: latents of the batch.
      weight: the same as there.

    Returns:
      The divergence in nats.
    """
    log_t = jnp.where(_others(weight), -jnp.log1p(_squared_distances(z)), _FAR)
    cross_entropy = -(p * jax.nn.log_softmax(log_t, axis=1)).sum(axis=1)
    entropy = jax.scipy.special.entr(p).sum(axis=1)
    return weight @ (cross_entropy - entropy) / weight.sum()


def _others(weight: Float[Array, " B"]) -> Bool[Array, "B B"]:
    """Returns True where i and j are two tracks that count."""
    counts = weight > 0
    return counts[:, None] & counts[None] & ~jnp.eye(len(weight), dtype=bool)


def _squared_distances(x: Float[Array, "B D"]) -> Float[Array, "B B"]:
    """Returns squared Euclidean distances by one matrix product; no root, whose slope at 0 is infinite."""
    # Centred for precision only: distances do not depend on it, nor do their gradients.
    x = x - jax.lax.stop_gradient(x.mean(axis=0, keepdims=True))
    # Some accelerators round factors to 10 bits by default: more than what is left between two near tracks.
    product = jnp.matmul(x, x.T, precision=jax.lax.Precision.HIGHEST)
    square = jnp.diagonal(product)
    return jnp.maximum(square[:, None] + square[None] - 2 * product, 0.0)
