"""The networks: published sizes, and convolutions against Flax's own."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.configs import PRESETS
from musiclust import training
from musiclust.models import MODELS
from musiclust.models.convolution import Conv, ConvTranspose
from musiclust.types import Data


def initial(model, data):
    """Compiled whole: operation by operation it takes long."""
    return jax.jit(lambda: training.init_state(model, jax.random.key(0), data))()


def parameters(preset: str, columns: int, conditions: int = 0) -> int:
    config = PRESETS[preset]
    model = MODELS[config.model](input_shape=(columns,), latent_dim=config.latent_dim, **dict(config.options))
    data = Data(jnp.zeros((1, columns)), jnp.zeros((1, conditions)))
    state = jax.eval_shape(lambda: training.init_state(model, jax.random.key(0), data))
    return sum(leaf.size for leaf in jax.tree.leaves(state.params))


@pytest.mark.parametrize(
    ("preset", "columns", "conditions", "published"),
    [
        ("fma_vae", 20 + 384, 0, 759_508),
        ("fma_conv", 20 * 7, 0, 534_849),
        ("fma_beta", 20, 0, 365_908),
        ("fma_cvae", 20, 1, 312_660),
    ],
)
def test_published_parameter_counts(preset, columns, conditions, published):
    assert parameters(preset, columns, conditions) == published


CONVOLUTIONS = [
    ((3, 140, 1), (7,), (5,)),
    ((3, 28, 4), (3,), (2,)),
    ((3, 7, 4), (3,), (2,)),
    ((3, 5, 4), (3,), (1,)),
    ((3, 13, 4), (4,), (3,)),
    ((2, 9, 11, 3), (3, 3), (2, 2)),
    ((2, 9, 11, 3), (5, 3), (3, 1)),
]


@pytest.mark.parametrize(("ours", "flax"), [(Conv, nn.Conv), (ConvTranspose, nn.ConvTranspose)])
@pytest.mark.parametrize(("shape", "window", "strides"), CONVOLUTIONS)
def test_convolutions_equal_those_of_flax(ours, flax, shape, window, strides):
    """Same parameters, same values, same gradients."""
    x = jax.random.normal(jax.random.key(0), shape)
    one, other = ours(6, window, strides), flax(6, window, strides)
    variables = jax.jit(one.init)(jax.random.key(1), x)

    def everything(layer):
        def loss(variables, x):
            y = layer.apply(variables, x)
            return jnp.sin(y).sum(), y

        return jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))(jax.tree.map(lambda v: v + 0.1, variables), x)

    gradients, y = everything(one)
    with jax.numpy_rank_promotion("allow"):
        jax.tree.map(np.testing.assert_array_equal, variables, jax.jit(other.init)(jax.random.key(1), x))
        expected_gradients, expected = everything(other)
    np.testing.assert_allclose(y, expected, atol=2e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-4), gradients, expected_gradients)


@pytest.mark.parametrize("kind", [Conv, ConvTranspose])
@pytest.mark.parametrize(("shape", "window", "strides"), CONVOLUTIONS[::3])
def test_other_backends_get_xlas_convolutions_of_the_same_values(kind, shape, window, strides, monkeypatch):
    x = jax.random.normal(jax.random.key(0), shape)
    layer = kind(6, window, strides)
    variables = jax.jit(layer.init)(jax.random.key(1), x)
    ours = jax.jit(layer.apply)(variables, x)
    assert "conv_general_dilated" not in str(jax.make_jaxpr(layer.apply)(variables, x))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert "conv_general_dilated" in str(jax.make_jaxpr(layer.apply)(variables, x))
    np.testing.assert_allclose(jax.jit(lambda *given: layer.apply(*given))(variables, x), ours, atol=2e-5)


@pytest.mark.parametrize("shape", [(141,), (16, 37), (128, 431)])
def test_conv_vae_restores_any_length(shape):
    model = MODELS["conv_vae"](input_shape=shape, latent_dim=3, channels=(2, 3, 4, 5), dense=6)
    data = Data(jnp.zeros((2, *shape)), jnp.zeros((2, 0)))
    state = initial(model, data)
    assert training.reconstruct(model, state, data).shape == (2, *shape)


def test_conv_vae_decoder_reaches_every_feature():
    """A transposed window of 3 with stride 5 would leave two outputs in five to the bias alone."""
    model = MODELS["conv_vae"](input_shape=(140,))
    data = Data(jnp.zeros((1, 140)), jnp.zeros((1, 0)))
    state = initial(model, data)
    variables = {"params": state.params, "batch_stats": state.batch_stats}

    @jax.jit
    def decode(z):
        return model.apply(variables, z, data.cond, False, method="decode")

    some = [decode(jax.random.normal(jax.random.key(i), (1, 32))) for i in range(8)]
    assert (np.std(some, axis=0) > 0).all()


def test_conv_vae_takes_one_or_two_axes():
    with pytest.raises(ValueError, match="one or two axes"):
        training.init_state(
            MODELS["conv_vae"](input_shape=(4, 4, 4)),
            jax.random.key(0),
            Data(jnp.zeros((1, 4, 4, 4)), jnp.zeros((1, 0))),
        )


def test_cvae_stands_beside_x_and_beside_z():
    model = MODELS["cvae"](input_shape=(5,), latent_dim=2, hidden=(8,))
    data = Data(jnp.ones((1, 5)), jnp.zeros((1, 3)))
    state = initial(model, data)
    assert state.params["encoder"]["dense_0"]["kernel"].shape == (5 + 3, 8)
    assert state.params["decoder"]["dense_0"]["kernel"].shape == (2 + 3, 8)
