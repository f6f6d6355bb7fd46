"""A layer and what follows it, against Flax's own and against what is written out; products in either precision."""

import re
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from musiclust import training
from musiclust.models import MODELS
from musiclust.models.convolution import Conv
from musiclust.models.layers import Dense, NormRelu, normalise_relu, product
from musiclust.noise import hash_counter, keep_threshold
from musiclust.types import Data

fused: Any = normalise_relu

# axes -> (shape of the input, our layer without its bias, Flax's with it)
FOLLOWED: dict[str, tuple[tuple[int, ...], Any, Any]] = {
    "2-D": ((9, 4), Dense(6, use_bias=False), nn.Dense(6)),
    "4-D": ((3, 5, 4, 2), Conv(6, (3, 3), (2, 2), use_bias=False), nn.Conv(6, (3, 3), (2, 2))),
}


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("axes", FOLLOWED)
def test_norm_relu_is_flaxs_bias_norm_and_relu(axes, affine, train):
    """Values, running statistics, and gradients by all parameters and by the input."""
    shape, layer, with_bias = FOLLOWED[axes]
    rng = np.random.default_rng(0)

    def drawn(*shape, low=0.3, high=1.2):
        return jnp.asarray(rng.uniform(low, high, shape), jnp.float32)

    x = drawn(*shape, low=-2, high=3)
    kernel = jax.eval_shape(layer.init, jax.random.key(0), x)["params"]["kernel"]
    params = {"kernel": drawn(*kernel.shape, low=-1), "bias": drawn(6)} | (
        {"scale": drawn(6), "shift": drawn(6)} if affine else {}
    )
    running = {"mean": drawn(6), "var": drawn(6)}

    def ours(params, x) -> Any:
        own = {name: value for name, value in params.items() if name != "kernel"}
        norm: Any = NormRelu(affine)
        h = layer.apply({"params": {"kernel": params["kernel"]}}, x)
        return norm.apply({"params": own, "batch_stats": running}, h, train, mutable=["batch_stats"])

    def flax(params, x) -> Any:
        own = {"scale": params["scale"], "bias": params["shift"]} if affine else {}
        norm: Any = nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, use_scale=affine, use_bias=affine)
        h = with_bias.apply({"params": {"kernel": params["kernel"], "bias": params["bias"]}}, x)
        y, updated = norm.apply({"params": own, "batch_stats": running}, h, mutable=["batch_stats"])
        return nn.relu(y), updated

    cotangent = drawn(*jax.eval_shape(ours, params, x)[0].shape, low=-1)

    def everything(forward):
        def loss(params, x):
            y, updated = forward(params, x)
            return (y * cotangent).sum(), (y, updated.get("batch_stats", running))

        return jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))(params, x)

    (gradients, for_x), (y, updated) = everything(ours)
    with jax.numpy_rank_promotion("allow"):
        (expected, expected_for_x), usual = everything(flax)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-5), (y, dict(updated)), usual)
    assert 0.1 < (np.asarray(y) > 0).mean() < 0.9
    if train:  # theirs is of rounding errors
        np.testing.assert_array_equal(gradients.pop("bias"), np.zeros(6))
        assert abs(expected.pop("bias")).max() < 1e-4
    for name, gradient in (gradients | {"x": for_x}).items():
        other = (expected | {"x": expected_for_x})[name]
        assert abs(other).max() > 0.1
        np.testing.assert_allclose(gradient, other, rtol=1e-4, atol=5e-5, err_msg=name)


def test_norm_relu_of_one_row_is_the_shift():
    """A batch of one has no variance: finite, and nothing is to be learned of it but the shift."""
    y = jnp.array([[3.0, -2.0, 0.5]])
    scale, shift, words = jnp.full(3, 2.0), jnp.array([1.0, -1.0, 0.5]), jnp.zeros(2, jnp.uint32)
    h, back = jax.vjp(lambda y, scale, shift: fused(1.0, y, scale, shift, words)[0], y, scale, shift)
    np.testing.assert_allclose(h, [[1.0, 0.0, 0.5]], atol=1e-3)
    for_y, for_scale, for_shift = back(jnp.ones((1, 3)))
    np.testing.assert_array_equal(for_y, np.zeros((1, 3)))
    np.testing.assert_array_equal(for_scale, np.zeros(3))
    np.testing.assert_array_equal(for_shift, [1, 0, 1])


def test_dropout_keeps_a_share_and_the_expectation():
    y = jax.random.normal(jax.random.key(0), (200, 300))
    variables = {"params": {"bias": jnp.zeros(300), "scale": jnp.ones(300), "shift": jnp.full(300, 0.5)}}
    variables["batch_stats"] = {"mean": jnp.zeros(300), "var": jnp.ones(300)}
    norm: Any = NormRelu(dropout=0.2)
    whole: Any = NormRelu()

    def trained(module, key):
        @jax.jit
        def apply(key):
            return module.apply(variables, y, True, rngs={"dropout": key}, mutable=["batch_stats"])

        return apply(key)

    expected, statistics = trained(whole, jax.random.key(0))
    (one, one_statistics), (other, _) = (trained(norm, jax.random.key(seed)) for seed in (1, 2))
    for h in (one, other):
        kept = np.asarray(h > 0)
        assert not kept[np.asarray(expected) == 0].any()
        np.testing.assert_allclose(h[kept], expected[kept] / 0.8, rtol=1e-6)
        assert kept[np.asarray(expected) > 0].mean() == pytest.approx(0.8, abs=0.01)
        assert float(h.mean()) == pytest.approx(float(expected.mean()), rel=0.01)
    # Two keys zero each their own.
    both = np.asarray((one > 0) & (other > 0))[np.asarray(expected) > 0].mean()
    assert both == pytest.approx(0.64, abs=0.01)
    # The statistics are of what comes in; in evaluation nothing is zeroed, and no key is needed.
    jax.tree.map(np.testing.assert_array_equal, one_statistics, statistics)
    np.testing.assert_array_equal(norm.apply(variables, y, False), whole.apply(variables, y, False))


def test_gradients_of_dropout_are_those_of_its_mask():
    """Against autodiff of the same written out, with the mask as an array."""
    rng = np.random.default_rng(0)
    y, cotangent = (jnp.asarray(rng.normal(size=(12, 5)), jnp.float32) for _ in range(2))
    scale, shift = jnp.linspace(0.5, 1.5, 5), jnp.linspace(-0.5, 1.0, 5)
    words = jnp.array([7, 11], jnp.uint32)
    mask = hash_counter(words, (12, 5)) < keep_threshold(0.7)

    def written_out(y, scale, shift):
        normed = (y - y.mean(axis=0)[None]) / jnp.sqrt(y.var(axis=0) + 1e-5)[None] * scale[None] + shift[None]
        return jnp.where(mask, jnp.maximum(normed, 0) / 0.7, 0)

    def ours(y, scale, shift):
        return fused(0.7, y, scale, shift, words)[0]

    def value_and_gradients(function):
        h, back = jax.vjp(function, y, scale, shift)
        return h, *back(cotangent)

    (h, *gradients), (expected, *expected_gradients) = (
        jax.jit(value_and_gradients, static_argnums=0)(f) for f in (ours, written_out)
    )
    np.testing.assert_allclose(h, expected, rtol=1e-5, atol=1e-6)
    for gradient, other in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(gradient, other, rtol=1e-4, atol=1e-5)
    # Of each output by its own shift alone, and just where the output is positive.
    through: Any = jax.jit(jax.jacrev(ours, argnums=2))(y, scale, shift)
    let_through = np.where(np.asarray(expected) > 0, 1 / 0.7, 0)
    np.testing.assert_allclose(through, let_through[:, :, None] * np.eye(5), rtol=1e-6)
    assert 0.2 < (let_through > 0).mean() < 0.6


def factors(function, *arguments) -> list[tuple[str, ...]]:
    """Types of the two factors and of the sums of all products and convolutions of a program."""
    text = jax.jit(function).lower(*arguments).as_text()
    lines = re.findall(r"stablehlo\.(?:dot_general|convolution).*: \((.*), (.*)\) -> (.*)", text)
    return [tuple(re.sub(r"tensor<.*x(\w+)>.*", r"\1", kind) for kind in line) for line in lines]


def test_products_have_bfloat16_factors_and_float32_sums():
    """Values and gradients are float64's of rounded factors; of sums in bfloat16 they would be off by a thousandth."""
    rng = np.random.default_rng(0)
    x, kernel, g = (np.float32(rng.uniform(0.5, 1.5, shape)) for shape in ((7, 2000), (2000, 5), (7, 5)))

    def both(x, kernel, g):
        y, back = jax.vjp(product, x, kernel)
        return y, *back(g)

    def by_hand(x, kernel, g):
        x, kernel, g = (np.asarray(a, np.float64) for a in (x, kernel, g))
        return x @ kernel, g @ kernel.T, x.T @ g

    with jax.default_matmul_precision("bfloat16"):
        assert factors(both, x, kernel, g) == [("bf16", "bf16", "f32")] * 3
        found = jax.jit(both)(x, kernel, g)
    rounded = by_hand(*(a.astype(jnp.bfloat16) for a in (x, kernel, g)))
    exact = by_hand(x, kernel, g)
    for ours, same, other in zip(found, rounded, exact, strict=True):
        assert ours.dtype == jnp.float32
        np.testing.assert_allclose(ours, same, rtol=2e-6)
        error = abs(ours / other - 1)
        assert 1e-6 < error.max() < 1e-2

    for precision in ("float32", None):
        with jax.default_matmul_precision(precision):
            assert factors(both, x, kernel, g) == [("f32", "f32", "f32")] * 3
            found = jax.jit(both)(x, kernel, g)
            y, back = jax.vjp(jnp.matmul, x, kernel)
        for ours, usual, other in zip(found, (y, *back(g)), exact, strict=True):
            np.testing.assert_allclose(ours, usual, rtol=1e-6)
            np.testing.assert_allclose(ours, other, rtol=2e-6)


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
@pytest.mark.parametrize("name", ["vae", "conv_vae"])
def test_all_products_of_a_model_follow_the_precision(name, backend, monkeypatch):
    """Those of its way back too."""
    size = {"channels": (2, 3, 4, 5), "dense": 6} if name == "conv_vae" else {"hidden": (8,)}
    model = MODELS[name](input_shape=(40,), latent_dim=3, **size)
    data = Data(jnp.zeros((4, 40)), jnp.zeros((4, 0)))
    state = jax.eval_shape(lambda: training.init_state(model, jax.random.key(0), data))
    monkeypatch.setattr(jax, "default_backend", lambda: backend)

    def gradient(params, batch_stats, x):
        def loss(params):
            variables: Any = {"params": params, "batch_stats": batch_stats}
            rngs = {"dropout": jax.random.key(0)}
            q, _ = model.apply(variables, x, data.cond, True, method="encode", rngs=rngs, mutable=["batch_stats"])
            y, _ = model.apply(variables, q.mean, data.cond, True, method="decode", rngs=rngs, mutable=["batch_stats"])
            return jnp.square(y).sum() + q.logvar.sum()

        return jax.grad(loss)(params)

    for precision, kind in (("bfloat16", "bf16"), ("float32", "f32")):
        with jax.default_matmul_precision(precision):
            found = factors(gradient, state.params, state.batch_stats, data.x)
        assert len(found) > 8
        assert {pair[:2] for pair in found} == {(kind, kind)}
