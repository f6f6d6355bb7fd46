"""MusiCNN, a convolutional network that was trained to tag music, as a pure Flax module.

Conventions: a patch is 187 frames of 96 mel bands, 3 s of sound: mono at 16 kHz, Hann window of 512 samples, hop 256.
The network takes log10(10000 x + 1) of the mel power x. It is for inference only: batch normalisation uses the stored
statistics, dropout is none. Layers and their variables have the names of the TensorFlow checkpoint.

Source: Pons, Nieto, Prockup, Schmidt, Ehmann and Serra, End-to-end learning for music audio tagging at scale (ISMIR
2018); Pons and Serra, musicnn (ISMIR late-breaking demo 2019).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

FRAMES = 187
BANDS = 96

_EPSILON = 1e-3
_TIMBRAL = (38, 67)  # mel bands that a filter sees: 0.4 and 0.7 of 96
_TIMBRAL_FILTERS = 204
_TEMPORAL = (128, 64, 32)  # frames that a filter sees, in one band
_TEMPORAL_FILTERS = 51
_MIDDLE_FILTERS = 64
_UNITS = 200
_TAGS = 50


class Activations(NamedTuple):
    """What the network says of a patch.

    Attributes:
      tags: (B, 50) probabilities.
      penultimate: (B, 200) activations of the last hidden layer, after batch normalisation.
      mean_pool: (B, 753) means over time of the channels of all convolutions. max_pool: their maxima.
    """

    tags: Float[Array, "B 50"]
    penultimate: Float[Array, "B 200"]
    mean_pool: Float[Array, "B 753"]
    max_pool: Float[Array, "B 753"]


def _spread(vector: Float[Array, " C"], over: Array) -> Array:
    """The vector with as many axes as `over`, along the last one."""
    return vector.reshape((1,) * (over.ndim - 1) + vector.shape)


class _Normalise(nn.Module):
    """Batch normalisation by stored statistics."""

    @nn.compact
    def __call__(self, x: Float[Array, "*B C"]) -> Float[Array, "*B C"]:
        shape = x.shape[-1:]
        gamma = self.param("gamma", nn.initializers.ones, shape)
        beta = self.param("beta", nn.initializers.zeros, shape)
        mean = self.variable("batch_stats", "moving_mean", jnp.zeros, shape).value
        variance = self.variable("batch_stats", "moving_variance", jnp.ones, shape).value
        scale = gamma * lax.rsqrt(variance + _EPSILON)
        return x * _spread(scale, x) + _spread(beta - mean * scale, x)


class _Convolve(nn.Module):
    """A convolution over (frame, band) with one input channel, its bias and a ReLU."""

    filters: int
    size: tuple[int, int]

    @nn.compact
    def __call__(self, x: Float[Array, "B T F"]) -> Float[Array, "B T P C"]:
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (*self.size, 1, self.filters))
        bias = self.param("bias", nn.initializers.zeros, (self.filters,))
        frames = self.size[0]
        y = lax.conv_general_dilated(
            x[..., None],
            kernel,
            window_strides=(1, 1),
            # "same" in time as TensorFlow has it: of an odd number of frames the last one comes after
            padding=(((frames - 1) // 2, frames // 2), (0, 0)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return nn.relu(y + _spread(bias, y))


class _ConvolveChannels(nn.Module):
    """A convolution of 7 frames over all channels, with its bias and a ReLU."""

    filters: int

    @nn.compact
    def __call__(self, x: Float[Array, "B T C"]) -> Float[Array, "B T D"]:
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (7, x.shape[2], 1, self.filters))
        bias = self.param("bias", nn.initializers.zeros, (self.filters,))
        y = lax.conv_general_dilated(x, kernel[:, :, 0], (1,), ((3, 3),), dimension_numbers=("NWC", "WIO", "NWC"))
        return nn.relu(y + _spread(bias, y))


class _Dense(nn.Module):
    """A matrix product with its bias."""

    units: int

    @nn.compact
    def __call__(self, x: Float[Array, "B C"]) -> Float[Array, "B D"]:
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (x.shape[1], self.units))
        y = x @ kernel
        return y + _spread(self.param("bias", nn.initializers.zeros, (self.units,)), y)


class MusiCNN(nn.Module):
    """The network `MSD_musicnn` or `MTT_musicnn`, by its variables.

    Example:
      >>> patches = jnp.zeros((2, FRAMES, BANDS))
      >>> variables = MusiCNN().init(jax.random.key(0), patches)
      >>> MusiCNN().apply(variables, patches).tags.shape
      (2, 50)
    """

    @nn.compact
    def __call__(self, patches: Float[Array, "B 187 96"]) -> Activations:
        """Returns the activations for patches of log10(10000 x + 1) of mel power x."""
        count = {"conv2d": 0, "batch_normalization": 0}

        def name(kind: str) -> str:
            number = count[kind]
            count[kind] += 1
            return f"{kind}_{number}" if number else kind

        def normalise(x: Array) -> Array:
            return _Normalise(name=name("batch_normalization"))(x)

        def listen(x: Array, filters: int, size: tuple[int, int]) -> Array:
            """The maximum over frequency of a convolution: (B, T, C)."""
            return normalise(_Convolve(filters, size, name=name("conv2d"))(x)).max(axis=2)

        def middle(x: Array) -> Array:
            return normalise(_ConvolveChannels(_MIDDLE_FILTERS, name=name("conv2d"))(x))

        x = normalise(patches[..., None])[..., 0]
        timbral = [listen(x, _TIMBRAL_FILTERS, (7, bands)) for bands in _TIMBRAL]
        temporal = [listen(x, _TEMPORAL_FILTERS, (frames, 1)) for frames in _TEMPORAL]
        front = jnp.concatenate([*timbral, *temporal], axis=2)
        first = middle(front)
        second = middle(first) + first
        third = middle(second) + second
        channels = jnp.concatenate([front, first, second, third], axis=2)
        max_pool, mean_pool = channels.max(axis=1), channels.mean(axis=1)
        pools = jnp.stack([max_pool, mean_pool], axis=2).reshape(len(patches), -1)
        hidden = normalise(nn.relu(_Dense(_UNITS, name="dense")(normalise(pools))))
        tags = nn.sigmoid(_Dense(_TAGS, name="dense_1")(hidden))
        return Activations(tags, hidden, mean_pool, max_pool)


def variable_shapes() -> dict:
    """Returns the variables of the network as a tree of shapes: collection -> layer -> name."""
    patches = jax.ShapeDtypeStruct((1, FRAMES, BANDS), np.float32)
    return jax.eval_shape(MusiCNN().init, jax.random.key(0), patches)
