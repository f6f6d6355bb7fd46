"""Convolutions as strided slices and one matrix product, with the parameters and values of Flax's own.

Inside `lax.scan` on a CPU, XLA runs `nn.Conv`, `nn.ConvTranspose` and their gradients 20 to 25 times slower than
PyTorch; the same sums written as a product of patches and kernel run as fast as PyTorch's, and vmap well. Any other
backend gets `lax.conv_general_dilated` and `lax.conv_transpose`, for which its vendor's kernels are better.

Arrays are channels last, (B, *space, C), kernels (*window, C_in, C_out), padding is "SAME".
"""

import itertools
import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from musiclust.models.layers import factor_type, product

_LAYOUT = {1: ("NWC", "WIO", "NWC"), 2: ("NHWC", "HWIO", "NHWC")}


class Conv(nn.Module):
    """`nn.Conv(features, window, strides, padding="SAME")`: (B, *n, C) -> (B, *ceil(n / strides), features).

    Without its bias where a NormRelu follows, which has it.
    """

    features: int
    window: Sequence[int]
    strides: Sequence[int]
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "B *N C"]) -> Float[Array, "B *M F"]:
        shape = (*self.window, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        y = self.convolve(x, kernel)
        if not self.use_bias:
            return y
        return y + self.param("bias", nn.initializers.zeros, (self.features,)).reshape((1,) * (x.ndim - 1) + (-1,))

    def convolve(self, x: Float[Array, "B *N C"], kernel: Float[Array, "..."]) -> Float[Array, "B *M F"]:
        if jax.default_backend() == "cpu":
            return convolve(x, kernel, self.strides)
        layout = _LAYOUT[len(self.window)]
        return jax.lax.conv_general_dilated(
            *_factors(x, kernel), self.strides, "SAME", dimension_numbers=layout
        ).astype(x.dtype)


class ConvTranspose(Conv):
    """`nn.ConvTranspose(features, window, strides, padding="SAME")`: (B, *n, C) -> (B, *(n * strides), features)."""

    def convolve(self, x: Float[Array, "B *N C"], kernel: Float[Array, "..."]) -> Float[Array, "B *M F"]:
        if jax.default_backend() == "cpu":
            return convolve_transpose(x, kernel, self.strides)
        layout = _LAYOUT[len(self.window)]
        return jax.lax.conv_transpose(*_factors(x, kernel), self.strides, "SAME", dimension_numbers=layout).astype(
            x.dtype
        )


def convolve(x: Float[Array, "B *N C"], kernel: Float[Array, "..."], strides: Sequence[int]) -> Float[Array, "B *M F"]:
    """Computes a strided "SAME" convolution (cross-correlation, as in deep learning) as one matrix product.

    >>> convolve(jnp.ones((1, 5, 1)), jnp.ones((3, 1, 1)), (2,)).ravel().tolist()
    [2.0, 3.0, 2.0]
    """
    *window, channels, features = kernel.shape
    space = x.shape[1:-1]
    out = [-(-n // s) for n, s in zip(space, strides, strict=True)]
    padding = []
    for n, m, k, s in zip(space, out, window, strides, strict=True):
        total = max((m - 1) * s + k - n, 0)
        padding.append((total // 2, total - total // 2 + s))
    x = jnp.pad(x, [(0, 0), *padding, (0, 0)])
    patches = [
        x[(slice(None), *(slice(i, i + m * s, s) for i, m, s in zip(offset, out, strides, strict=True)))]
        for offset in itertools.product(*map(range, window))
    ]
    rows = jnp.concatenate(patches, axis=-1).reshape(-1, math.prod(window) * channels)
    return product(rows, kernel.reshape(-1, features)).reshape(len(x), *out, features)


def convolve_transpose(
    x: Float[Array, "B *N C"], kernel: Float[Array, "..."], strides: Sequence[int]
) -> Float[Array, "B *M F"]:
    """Computes a "SAME" transposed convolution: one matrix product, then each product is added where it belongs.

    Output position t = stride * q + r collects the taps of phase r, each shifted by whole inputs; the phases are
    interleaved at the end.
    """
    *window, channels, features = kernel.shape
    space = x.shape[1:-1]
    taps = math.prod(window)
    flat = kernel.reshape(taps, channels, features).transpose(1, 0, 2).reshape(channels, taps * features)
    products = product(x.reshape(-1, channels), flat).reshape(len(x), *space, taps, features)
    phases: dict[tuple[int, ...], list[Array]] = {}
    for tap, offset in enumerate(itertools.product(*map(range, window))):
        where = [_tap(i, k, s) for i, k, s in zip(offset, window, strides, strict=True)]
        pads = [(0, 0, 0), *((shift, -shift, 0) for shift, _ in where), (0, 0, 0)]
        moved = jax.lax.pad(products[..., tap, :], jnp.zeros((), x.dtype), pads)
        phases.setdefault(tuple(phase for _, phase in where), []).append(moved)
    shape = (len(x), *space, features)
    grid = jnp.stack([sum(phases.get(phase, [jnp.zeros(shape, x.dtype)])) for phase in _phases(strides)])
    grid = grid.reshape(*strides, *shape)
    rank = len(strides)
    interleaved = [axis for i in range(rank) for axis in (rank + 1 + i, i)]
    out = [n * s for n, s in zip(space, strides, strict=True)]
    return grid.transpose(rank, *interleaved, 2 * rank + 1).reshape(len(x), *out, features)


def _factors(x: Float[Array, "B *N C"], kernel: Float[Array, "..."]) -> tuple[Array, Array]:
    return x.astype(factor_type()), kernel.astype(factor_type())


def _phases(strides: Sequence[int]) -> itertools.product:
    return itertools.product(*map(range, strides))


def _tap(index: int, window: int, stride: int) -> tuple[int, int]:
    """Returns (shift in inputs, phase) of kernel tap `index` under `lax.conv_transpose`'s "SAME" padding."""
    total = window + stride - 2
    before = window - 1 if stride > window - 1 else -(-total // 2)
    return divmod(before - index, stride)
