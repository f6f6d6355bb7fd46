"""How many floating-point operations a training takes, counted from the layers.

Only products of matrices count, two operations a multiplication, once forwards and twice backwards: six. The gradient
by the network's input is so counted and not needed; BatchNorm, dropout and Adam are needed and not counted. XLA's own
count (`cost_analysis`) takes the body of a loop once, however often it runs.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import traverse_util

from musiclust import training
from musiclust.models import Model
from musiclust.models.conv import ConvVAE
from musiclust.types import Data


def training_flop(model: Model, tracks: int, conditions: int, epochs: int) -> float:
    """Of `epochs` over `tracks`."""
    return 6.0 * multiplications(model, conditions) * tracks * epochs


def multiplications(model: Model, conditions: int) -> int:
    """In the products of all layers, for one track once forwards: each weight as often as there are places for it."""
    track = Data(jnp.zeros((1, *model.input_shape)), jnp.zeros((1, conditions)))
    params = jax.eval_shape(lambda: training.init_state(model, jax.random.key(0), track)).params
    places = _places(model) if isinstance(model, ConvVAE) else {}
    flat: dict[tuple[str, ...], Any] = dict(traverse_util.flatten_dict(params))
    return sum(
        places.get(path[0], 1) * math.prod(kernel.shape) for path, kernel in flat.items() if path[-1] == "kernel"
    )


def _places(model: ConvVAE) -> dict[str, int]:
    """Name of a convolution -> outputs of it, inputs of a transposed one, that each weight has a part in."""
    bound = model.bind({})
    places = {f"convs_{i}": math.prod(space) for i, space in enumerate(bound.spaces[1:])}
    for i, (space, repeat) in enumerate(zip(bound.spaces[:0:-1], bound.repeats, strict=True)):
        places[f"transposed_{i}"] = math.prod(n * repeat for n in space)
    return places
