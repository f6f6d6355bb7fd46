"""Words and normal numbers of a key and a counter: their distributions, and that each key has its own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from musiclust import noise
from musiclust.noise import counter_bits, counter_normal, keep_threshold

# As training derives them, and of seeds one after the other, which differ in the lowest bits of one word.
KEYS = {
    "split": lambda: jax.random.split(jax.random.key(0), 64),
    "seeds": lambda: jax.vmap(jax.random.key)(jnp.arange(64)),
}


def draws(draw, keys):
    """(keys, 4096) of them."""
    return np.asarray(jax.jit(jax.vmap(lambda key: draw(key, (4096,))))(keys))


@pytest.mark.parametrize("keys", KEYS)
def test_bits_are_uniform_and_independent(keys):
    bits = draws(counter_bits, KEYS[keys]())
    unit = bits / 2**32
    assert stats.kstest(unit.ravel(), "uniform").pvalue > 1e-3
    # Each of the 32 bits is fair.
    ones = ((bits[..., None] >> np.arange(32, dtype=np.uint32)) & 1).mean(axis=(0, 1))
    assert abs(ones - 0.5).max() < 5 * 0.5 / np.sqrt(bits.size)
    # As many words come twice as by chance: n^2 / 2^33.
    assert bits.size - len(np.unique(bits)) < 2 * bits.size**2 / 2**33
    uncorrelated(unit)


def uncorrelated(values):
    """Neighbours in the counter, and the same counter under one key and the next, in what they are and how far out."""
    bound = 5 / np.sqrt(values.size)
    for v in (values, abs(values - values.mean())):
        assert abs(np.corrcoef(v[:, :-1].ravel(), v[:, 1:].ravel())[0, 1]) < bound
        assert abs(np.corrcoef(v[:-1].ravel(), v[1:].ravel())[0, 1]) < bound


@pytest.mark.parametrize("keys", KEYS)
def test_normal_numbers_are_normal_and_independent(keys):
    values = draws(counter_normal, KEYS[keys]())
    assert values.dtype == np.float32
    flat = values.ravel().astype(np.float64)
    assert stats.kstest(flat, "norm").pvalue > 1e-3
    # Moments against 0, 1, 0, 3, which vary by 1, 2, 15, 96 over n; shares beyond 2, 3 and 4 deviations.
    moments = [(flat**power).mean() for power in (1, 2, 3, 4)]
    np.testing.assert_array_less(
        abs(np.array(moments) - [0, 1, 0, 3]), 5 * np.sqrt(np.array([1, 2, 15, 96]) / flat.size)
    )
    for beyond in (2, 3, 4):
        expected = 2 * stats.norm.sf(beyond) * flat.size
        assert abs((abs(flat) > beyond).sum() - expected) < 5 * np.sqrt(expected)
    uncorrelated(values)


def test_every_level_is_its_quantile(monkeypatch):
    """Of 2^23, each by a word of its own: all finite, also the highest; symmetric, rising and within 5.3 of 0."""
    words = np.arange(2**23, dtype=np.uint32) << 9
    monkeypatch.setattr(noise, "counter_bits", lambda key, shape: jnp.asarray(words))
    values = np.asarray(jax.jit(lambda key: counter_normal(key, words.shape))(jax.random.key(0)))
    assert np.isfinite(values).all()
    np.testing.assert_array_equal(values, -values[::-1])
    assert (np.diff(values) >= 0).all()
    assert 5.2 < values[-1] < 5.3
    some = np.concatenate([np.arange(1000), np.arange(0, 2**23, 4001), 2**23 - 1 - np.arange(1000)])
    np.testing.assert_allclose(values[some], stats.norm.ppf((some + 0.5) / 2**23), rtol=1e-4)


def test_the_extreme_words_are_the_extreme_levels(monkeypatch):
    monkeypatch.setattr(
        noise, "counter_bits", lambda key, shape: jnp.array([0, 511, 2**32 - 512, 2**32 - 1], jnp.uint32)
    )
    highest = stats.norm.isf(2.0**-24)
    values = counter_normal(jax.random.key(0), (4,))
    np.testing.assert_allclose(values, [-highest, -highest, highest, highest], rtol=1e-5)


@pytest.mark.parametrize("draw", [counter_bits, counter_normal])
@pytest.mark.parametrize("kind", ["threefry2x32", "rbg"])
def test_under_vmap_each_key_has_its_own(draw, kind):
    keys = jax.vmap(lambda n: jax.random.fold_in(jax.random.key(3, impl=kind), n))(jnp.arange(5))
    together = jax.vmap(lambda key: draw(key, (7, 9)))(keys)
    in_turn = jax.lax.map(lambda key: draw(key, (7, 9)), keys)
    for i in range(5):
        np.testing.assert_array_equal(draw(keys[i], (7, 9)), together[i])
        np.testing.assert_array_equal(in_turn[i], together[i])
    assert len(np.unique(together)) == 5 * 7 * 9


def test_a_word_is_of_its_place_alone():
    """What is drawn of a key does not depend on how much is."""
    key = jax.random.key(1)
    many = counter_bits(key, (10, 10))
    np.testing.assert_array_equal(counter_bits(key, (3, 10)), many[:3])
    np.testing.assert_array_equal(counter_bits(key, (100,)), many.ravel())


@pytest.mark.parametrize(
    ("keep", "threshold"), [(0.0, 0), (0.25, 2**30), (0.8, 3_435_973_837), (1.0, 2**32 - 1), (1 - 1e-12, 2**32 - 1)]
)
def test_thresholds_are_shares_of_the_words(keep, threshold):
    assert int(keep_threshold(keep)) == threshold
    bits = draws(counter_bits, KEYS["split"]())
    kept = (bits < np.uint32(threshold)).mean()
    assert abs(kept - keep) <= 5 * np.sqrt(keep * (1 - keep) / bits.size) + 1e-6
