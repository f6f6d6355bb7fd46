"""The convolutional VAE, one module for vectors of statistics (1-D) and log-mel spectrograms (2-D).

For 140 inputs (20 MFCC x 7 statistics) and latent 32 it has the 534,849 parameters of the first report's Conv-VAE.
That report gives channels and a count, not strides: lengths 140 - 28 - 14 - 7 - 4 and a dense layer of 128 before the
heads are one reconstruction that fits. A "SAME" convolution takes any length (431 frames, say, which is prime): lengths
are divided by the stride and rounded up, and the decoder crops to them on its way back.
"""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from musiclust.models.convolution import Conv, ConvTranspose
from musiclust.models.layers import Dense, NormRelu
from musiclust.types import Posterior

# (window, stride) of each layer along each axis
_LAYERS_1D = ((7, 5), (3, 2), (3, 2), (3, 2))
_LAYERS_2D = ((3, 2), (3, 2), (3, 2), (3, 2))


class ConvVAE(nn.Module):
    """The encoder is four strided convolutions, a dense layer and two heads; the decoder mirrors it, transposed.

    Each hidden layer is followed by BatchNorm without scale and bias (the published count leaves no room for them),
    ReLU and dropout.

    Attributes:
      input_shape: (D,) or (height, width).
      latent_dim: number of latent dimensions, L.
      channels: output channels of the four convolutions.
      dense: width of the layer between convolutions and heads.
      dropout: probability with which a hidden unit is zeroed in training.

    Raises:
      ValueError: if the input has neither one nor two axes.
    """

    input_shape: Sequence[int]
    latent_dim: int = 32
    channels: Sequence[int] = (32, 64, 128, 256)
    dense: int = 128
    dropout: float = 0.2

    variational = True
    conditional = False
    multimodal = False

    def setup(self) -> None:
        rank = len(self.input_shape)
        if rank not in (1, 2):
            raise ValueError(f"ConvVAE takes one or two axes, not input_shape {tuple(self.input_shape)}")
        layers = _LAYERS_1D if rank == 1 else _LAYERS_2D
        spaces = [tuple(self.input_shape)]
        for _, stride in layers:
            spaces.append(tuple(-(-n // stride) for n in spaces[-1]))
        self.spaces = spaces
        pairs = list(zip(self.channels, layers, strict=True))
        self.convs = [
            Conv(width, (window,) * rank, (stride,) * rank, use_bias=False) for width, (window, stride) in pairs
        ]
        self.conv_norms = [self._norm() for _ in pairs]
        self.squeeze, self.squeeze_norm = Dense(self.dense, use_bias=False), self._norm()
        self.heads = Dense(2 * self.latent_dim)  # mean and logvar in one product
        self.expand, self.expand_norm = Dense(self.dense, use_bias=False), self._norm()
        self.unflatten = Dense(math.prod(spaces[-1]) * self.channels[-1], use_bias=False)
        self.unflatten_norm = self._norm()
        # A window of 3 cannot cover a stride of 5: there the input is repeated and the convolution has stride 1.
        self.repeats = [stride if stride > 3 else 1 for _, stride in reversed(layers)]
        widths = [*self.channels[-2::-1], 1]
        self.transposed = [
            ConvTranspose(width, (3,) * rank, (stride // repeat,) * rank, use_bias=width == 1)
            for width, (_, stride), repeat in zip(widths, reversed(layers), self.repeats, strict=True)
        ]
        self.transposed_norms = [self._norm() for _ in widths[:-1]]

    def _norm(self) -> NormRelu:
        return NormRelu(affine=False, dropout=self.dropout)

    def encode(self, x: Float[Array, "B *D"], cond: Float[Array, "B C"], train: bool) -> Posterior:
        """Returns q(z | x) of a batch; `cond` is not looked at."""
        h = x[..., None]
        for conv, norm in zip(self.convs, self.conv_norms, strict=True):
            h = norm(conv(h), train)
        h = self.squeeze_norm(self.squeeze(h.reshape(len(x), -1)), train)
        return Posterior(*jnp.split(self.heads(h), 2, axis=1))

    def decode(self, z: Float[Array, "B _"], cond: Float[Array, "B C"], train: bool) -> Float[Array, "B *D"]:
        """Returns the mean of p(x | z), in the shape of the input."""
        h = self.expand_norm(self.expand(z), train)
        h = self.unflatten_norm(self.unflatten(h), train)
        h = h.reshape(len(z), *self.spaces[-1], self.channels[-1])
        for i, (conv, repeat, space) in enumerate(zip(self.transposed, self.repeats, self.spaces[-2::-1], strict=True)):
            for axis in range(1, h.ndim - 1):
                h = jnp.repeat(h, repeat, axis=axis)
            h = conv(h)[(slice(None), *map(slice, space))]
            if i < len(self.transposed_norms):
                h = self.transposed_norms[i](h, train)
        return h[..., 0]
