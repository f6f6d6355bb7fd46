"""The conditional VAE (Sohn, Lee and Yan, NIPS 2015): the condition stands beside x and again beside z.

What the condition tells the decoder, z need not tell: conditioned on the modalities that a track has, z is free of
them. Conditioned on a class, the model has seen that class, and no score against it counts.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from musiclust.models.mlp import VAE
from musiclust.types import Posterior


class CVAE(VAE):
    """A VAE of (x, cond). With 20 inputs, one condition column and latent 32 it has the report's 312,660 parameters.

    Attributes: as in `VAE`. The report's text gives hidden layers 512, 256 and 128; its count fits 512 and 256 only.
    """

    hidden: Sequence[int] = (512, 256)

    conditional = True

    def encode(self, x: Float[Array, "B *D"], cond: Float[Array, "B C"], train: bool) -> Posterior:
        """Returns q(z | x, cond) of a batch."""
        return super().encode(jnp.concatenate([x.reshape(len(x), -1), cond], axis=1), cond, train)

    def decode(self, z: Float[Array, "B _"], cond: Float[Array, "B C"], train: bool) -> Float[Array, "B *D"]:
        """Returns the mean of p(x | z, cond), in the shape of the input."""
        return super().decode(jnp.concatenate([z, cond], axis=1), cond, train)
