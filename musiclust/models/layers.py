"""Layers that the models share: products of matrices in the precision asked for, and what follows them in one piece.

BatchNorm follows PyTorch's defaults, which the reports used: running statistics move by a tenth a step, epsilon 1e-5.
"""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, DTypeLike, Float, UInt32

from musiclust.noise import hash_counter, keep_threshold, key_words

_EPSILON = 1e-5
_MOMENTUM = 0.9


def factor_type() -> DTypeLike:
    """Returns the type of a product's factors: bfloat16 under `jax.default_matmul_precision("bfloat16")`, else float32.

    >>> factor_type().__name__
    'float32'
    """
    precision = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    return jnp.bfloat16 if precision == "bfloat16" else jnp.float32


@jax.custom_vjp
def product(x: Float[Array, "B D"], kernel: Float[Array, "D F"]) -> Float[Array, "B F"]:
    """Returns x @ kernel, summed in float32, of factors in the precision of the trace (`factor_type`).

    Its gradients are computed likewise. JAX's own bfloat16 default rounds on a TPU only, hence the casts.

    >>> product(jnp.array([[1.0, 2.0]]), jnp.array([[3.0], [4.0]])).tolist()
    [[11.0]]
    """
    return _product(x, kernel)


def _product(a: Float[Array, "..."], b: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.matmul(a.astype(factor_type()), b.astype(factor_type()), preferred_element_type=jnp.float32)


product.defvjp(
    lambda x, kernel: (_product(x, kernel), (x, kernel)),
    lambda factors, g: (_product(g, factors[1].T), _product(factors[0].T, g)),
)


class Dense(nn.Module):
    """`nn.Dense(features)`: (B, D) -> (B, features). Without its bias where a NormRelu follows, which has it."""

    features: int
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "B D"]) -> Float[Array, "B F"]:
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (x.shape[1], self.features))
        y = product(x, kernel)
        return y + self.param("bias", nn.initializers.zeros, (self.features,))[None] if self.use_bias else y


class NormRelu(nn.Module):
    """The bias of a hidden layer and what follows it: (B, *N, C) -> the same shape.

    These are BatchNorm (Ioffe and Szegedy, ICML 2015), ReLU and dropout (Srivastava et al., JMLR 2014). Statistics are
    over all axes but the last.

    BatchNorm takes away what the bias adds: it has no gradient, and only the running mean knows of it. It is here
    for the published parameter counts.

    Attributes:
      affine: whether BatchNorm has a scale and a shift.
      dropout: probability with which a unit is zeroed in training.
    """

    affine: bool = True
    dropout: float = 0.0

    @nn.compact
    def __call__(self, y: Float[Array, "B *N C"], train: bool) -> Float[Array, "B *N C"]:
        shape = (y.shape[-1],)
        bias = self.param("bias", nn.initializers.zeros, shape)
        scale = self.param("scale", nn.initializers.ones, shape) if self.affine else jnp.ones(shape)
        shift = self.param("shift", nn.initializers.zeros, shape) if self.affine else jnp.zeros(shape)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        running_variance = self.variable("batch_stats", "var", jnp.ones, shape)
        rows = y.reshape(-1, y.shape[-1])
        if not train:
            gain = scale / jnp.sqrt(running_variance.value + _EPSILON)
            return nn.relu(rows * gain[None] + (shift + (bias - running_mean.value) * gain)[None]).reshape(y.shape)
        words = key_words(self.make_rng("dropout")) if self.dropout else jnp.zeros(2, jnp.uint32)
        h, mean, variance = normalise_relu(1.0 - self.dropout, rows, scale, shift, words)  # pyright: ignore[reportGeneralTypeIssues]
        running_mean.value = _MOMENTUM * running_mean.value + (1 - _MOMENTUM) * (mean + bias)
        running_variance.value = _MOMENTUM * running_variance.value + (1 - _MOMENTUM) * variance
        return h.reshape(y.shape)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def normalise_relu(
    keep: float,
    y: Float[Array, "B C"],
    scale: Float[Array, " C"],
    shift: Float[Array, " C"],
    words: UInt32[Array, "2"],
) -> tuple[Float[Array, "B C"], Float[Array, " C"], Float[Array, " C"]]:
    """Returns (dropout(relu(batch norm of y)), mean, biased variance), with the batch's own statistics.

    The gradient is derived by hand: what is positive in the output tells what ReLU and dropout let through, so that
    nothing but y and the output is kept for the way back, which needs two sums and one pass. The mean's and variance's
    own gradients are not asked for (they feed running statistics).

    Args:
      keep: probability with which a unit is kept.
      y: what is normalised, a row a track or place.
      scale: what the normalised values are multiplied by.
      shift: what is then added.
      words: words of the key that decides which units are kept.
    """
    return _normalise_forward(keep, y, scale, shift, words)[0]


def _normalise_forward(keep, y, scale, shift, words):
    mean = y.mean(axis=0)
    variance = jnp.maximum(jnp.square(y).mean(axis=0) - jnp.square(mean), 0.0)
    inverse = jax.lax.rsqrt(variance + _EPSILON)
    gain = scale * inverse
    h = nn.relu(y * gain[None] + (shift - mean * gain)[None])
    if keep < 1.0:
        h = jnp.where(hash_counter(words, h.shape) < keep_threshold(keep), h / keep, 0.0)
    return (h, mean, variance), (y, h, mean, inverse, scale)


def _normalise_backward(keep, kept, gradients):
    y, h, mean, inverse, scale = kept
    g = jnp.where(h > 0, gradients[0] / keep, 0.0)
    for_shift = g.sum(axis=0)
    for_scale = (g * (y - mean[None])).sum(axis=0) * inverse
    gain = scale * inverse
    slope = gain * inverse * for_scale / len(y)
    for_y = g * gain[None] - (y - mean[None]) * slope[None] - (gain * for_shift / len(y))[None]
    return for_y, for_scale, for_shift, None


normalise_relu.defvjp(_normalise_forward, _normalise_backward)


class DenseStack(nn.Module):
    """Dense, BatchNorm and ReLU for each width in `widths`: (B, D) -> (B, widths[-1])."""

    widths: Sequence[int]

    def setup(self) -> None:
        self.dense = [Dense(width, use_bias=False) for width in self.widths]
        self.norm = [NormRelu() for _ in self.widths]

    def __call__(self, x: Float[Array, "B D"], train: bool) -> Float[Array, "B H"]:
        for dense, norm in zip(self.dense, self.norm, strict=True):
            x = norm(dense(x), train)
        return x
