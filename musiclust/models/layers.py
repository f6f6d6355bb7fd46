"""Layers that the models share: a dense stack, and dropout with cheap random bits.

BatchNorm follows PyTorch's defaults, which the reports used: running statistics move by a tenth a step, epsilon 1e-5.
"""

import math
from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt32

BatchNorm = partial(nn.BatchNorm, momentum=0.9, epsilon=1e-5)


def counter_bits(key: Key[Array, ""], shape: Sequence[int]) -> UInt32[Array, "..."]:
    """Uniform 32-bit words, word i a hash of (key, i).

    Threefry bits for dropout cost as much as the network on a CPU, and `rbg` keys under vmap are all drawn from the
    first key. This is two rounds of a 32-bit integer finaliser (lowbias32, C. Wellons, "Prospecting for hash
    functions", 2018), keyed by both words of the key: not for cryptography, ample for dropout. It is a function of
    the key alone, so a replica in a population draws what it would draw by itself.
    """
    first, second = jax.random.key_data(key).astype(jnp.uint32)[-2:]
    counter = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    return _lowbias32(_lowbias32(counter ^ first) + second)


def _lowbias32(word: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    word = (word ^ (word >> 16)) * jnp.uint32(0x7FEB352D)
    word = (word ^ (word >> 15)) * jnp.uint32(0x846CA68B)
    return word ^ (word >> 16)


class Dropout(nn.Module):
    """Dropout (Srivastava et al., JMLR 2014): in training, each unit is zeroed with probability `rate`."""

    rate: float

    def __call__(self, x: Float[Array, "..."], train: bool) -> Float[Array, "..."]:
        if not train or self.rate == 0.0:
            return x
        keep = 1.0 - self.rate
        threshold = jnp.uint32(min(round(keep * 2**32), 2**32 - 1))
        bits = counter_bits(self.make_rng("dropout"), x.shape)
        return jnp.where(bits < threshold, x / keep, 0.0)


class DenseStack(nn.Module):
    """Dense, BatchNorm and ReLU for each width in `widths`: (B, D) -> (B, widths[-1])."""

    widths: Sequence[int]

    def setup(self) -> None:
        self.dense = [nn.Dense(width) for width in self.widths]
        self.norm = [BatchNorm() for _ in self.widths]

    def __call__(self, x: Float[Array, "B D"], train: bool) -> Float[Array, "B H"]:
        for dense, norm in zip(self.dense, self.norm, strict=True):
            x = nn.relu(norm(dense(x), use_running_average=not train))
        return x
