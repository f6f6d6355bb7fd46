"""Cheap random numbers for training: hashes of a key and a counter.

Threefry costs as much as a small network on a CPU, and `rbg` keys under vmap are all drawn from the first key. Here
word i is a function of (key, i) alone, so that a replica in a population draws what it would draw by itself. Ample for
dropout and for the noise of a latent, not for cryptography.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt32


def key_words(key: Key[Array, ""]) -> UInt32[Array, "2"]:
    """Returns the last two words of a key, which tell it from others."""
    return jax.random.key_data(key).astype(jnp.uint32)[-2:]


def hash_counter(words: UInt32[Array, "2"], shape: Sequence[int]) -> UInt32[Array, "..."]:
    """Hashes a counter of that shape to uniform 32-bit words.

    It takes two rounds of lowbias32 (C. Wellons, "Prospecting for hash functions", 2018), each keyed by one of `words`.
    """
    counter = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    return _lowbias32(_lowbias32(counter ^ words[0]) + words[1])


def counter_bits(key: Key[Array, ""], shape: Sequence[int]) -> UInt32[Array, "..."]:
    """Draws uniform 32-bit words, a function of the key and the position alone.

    >>> bits = counter_bits(jax.random.key(3), (4,))
    >>> bool((bits[:2] == counter_bits(jax.random.key(3), (2,))).all())
    True
    """
    return hash_counter(key_words(key), shape)


def counter_normal(key: Key[Array, ""], shape: Sequence[int]) -> Float[Array, "..."]:
    """Draws standard normal float32 numbers by inversion of 2^23 levels, so within 5.3 of 0.

    >>> draws = counter_normal(jax.random.key(3), (10_000,))
    >>> bool(abs(draws.mean()) < 0.03), bool(abs(draws.std() - 1) < 0.03)
    (True, True)
    """
    # 23 bits: with 24 the half would round away, and the highest level would be infinite.
    level = (counter_bits(key, shape) >> 9).astype(jnp.float32)
    return math.sqrt(2) * jax.lax.erf_inv((level + 0.5) * 2.0**-22 - 1.0)


def keep_threshold(keep: float) -> UInt32[Array, ""]:
    """Returns the word that a uniform word is below with probability `keep`.

    >>> hex(int(keep_threshold(0.5)))
    '0x80000000'
    """
    return jnp.uint32(min(round(keep * 2**32), 2**32 - 1))


def _lowbias32(word: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    word = (word ^ (word >> 16)) * jnp.uint32(0x7FEB352D)
    word = (word ^ (word >> 15)) * jnp.uint32(0x846CA68B)
    return word ^ (word >> 16)
