"""The fully connected models: VAE (Kingma and Welling, ICLR 2014), which is also the Beta-VAE, and a plain autoencoder.

A Beta-VAE (Higgins et al., ICLR 2017) is this network under another weight of the KL term; beta is a `Hyper`, not a
part of the model.
"""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from musiclust.models.layers import Dense, DenseStack
from musiclust.types import Posterior


class VAE(nn.Module):
    """The encoder is input, hidden layers and two heads, the decoder its mirror; BatchNorm follows each hidden layer.

    With input 404, latent 32 and hidden (512, 256, 128) it has the 759,508 parameters of the first report's hybrid
    VAE; with input 20, the 365,908 of its Beta-VAE.

    Attributes:
      input_shape: (D,), or any shape whose product is D; x is flattened and restored.
      latent_dim: number of latent dimensions, L.
      hidden: widths of the encoder's layers; the decoder's are these reversed.
    """

    input_shape: Sequence[int]
    latent_dim: int = 32
    hidden: Sequence[int] = (512, 256, 128)

    variational = True
    conditional = False
    multimodal = False

    def setup(self) -> None:
        self.encoder = DenseStack(self.hidden)
        self.heads = Dense(2 * self.latent_dim)  # mean and logvar in one product
        self.decoder = DenseStack(self.hidden[::-1])
        self.output = Dense(math.prod(self.input_shape))

    def encode(self, x: Float[Array, "B *D"], cond: Float[Array, "B C"], train: bool) -> Posterior:
        """Returns q(z | x) of a batch; `cond` is not looked at."""
        return Posterior(*jnp.split(self.heads(self.encoder(x.reshape(len(x), -1), train)), 2, axis=1))

    def decode(self, z: Float[Array, "B _"], cond: Float[Array, "B C"], train: bool) -> Float[Array, "B *D"]:
        """Returns the mean of p(x | z), in the shape of the input."""
        return self.output(self.decoder(z, train)).reshape(len(z), *self.input_shape)


class Autoencoder(VAE):
    """The same network with one head and no noise: the baseline of both reports. Its posterior has no width."""

    variational = False

    def setup(self) -> None:
        super().setup()
        self.code = Dense(self.latent_dim)

    def encode(self, x: Float[Array, "B *D"], cond: Float[Array, "B C"], train: bool) -> Posterior:
        """Returns the code of a batch as a posterior of variance zero (logvar is -inf)."""
        code = self.code(self.encoder(x.reshape(len(x), -1), train))
        return Posterior(code, jnp.full_like(code, -jnp.inf))
