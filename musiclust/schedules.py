"""Schedules of the learning rate and of beta, as functions of how far a run is.

A schedule of the learning rate is a traced function of two numbers, the epochs done and the share of the run that is
done (0 to 1), and returns a factor of the learning rate. A schedule of beta is a function of that share alone, and
returns a factor of beta, 0 to 1. So another number of epochs or of tracks is the same program.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import optax

Schedule = Callable[[Any, Any], Any]


def step_decay(epoch: Any, progress: Any) -> Any:
    """Halves the learning rate every 20 epochs, as in the first report.

    >>> [float(step_decay(epoch, None)) for epoch in (0, 19, 20, 45)]
    [1.0, 1.0, 0.5, 0.25]
    """
    return optax.exponential_decay(1.0, 20, 0.5, staircase=True)(epoch)


def cosine(epoch: Any, progress: Any) -> Any:
    """Warms up linearly over the first 5 % of the run, then falls as a cosine to 0 (Loshchilov and Hutter, ICLR 2017).

    >>> [round(float(cosine(None, progress)), 3) for progress in (0.0, 0.025, 0.05, 0.525, 1.0)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    return optax.warmup_cosine_decay_schedule(0.0, 1.0, 50, 1000)(1000 * progress)


def constant(epoch: Any, progress: Any) -> Any:
    """Keeps the learning rate as it is throughout.

    >>> float(constant(70, 0.7))
    1.0
    """
    return optax.constant_schedule(1.0)(epoch)


# name -> (epochs done, share of the run done -> factor of the learning rate)
SCHEDULES: dict[str, Schedule] = {"step": step_decay, "cosine": cosine, "constant": constant}


def constant_beta(progress: Any) -> Any:
    """Gives beta its full weight from the first step.

    >>> float(constant_beta(0.0))
    1.0
    """
    return jnp.ones_like(progress, dtype=jnp.float32)


def linear_beta(progress: Any) -> Any:
    """Lets beta rise linearly from 0 over the first 30 % of the run (Bowman et al., CoNLL 2016).

    >>> [round(float(linear_beta(progress)), 3) for progress in (0.0, 0.15, 0.3, 1.0)]
    [0.0, 0.5, 1.0, 1.0]
    """
    return jnp.where(progress < 0.3, progress / 0.3, 1.0)


def cyclical_beta(progress: Any) -> Any:
    """Lets beta go through four cycles, each rising linearly from 0 for its first half (Fu et al., NAACL 2019).

    >>> [float(cyclical_beta(progress)) for progress in (0.0, 0.0625, 0.125, 0.2, 0.25, 1.0)]
    [0.0, 0.5, 1.0, 1.0, 0.0, 1.0]
    """
    cycle = 4 * progress
    return jnp.where(cycle < 4, jnp.minimum(1.0, 2 * (cycle % 1)), 1.0)


def rising_capacity(progress: Any) -> Any:
    """Lets the capacity rise linearly from 0 to all of it over the first half of the run (Burgess et al. 2018).

    >>> [float(rising_capacity(progress)) for progress in (0.0, 0.25, 0.5, 1.0)]
    [0.0, 0.5, 1.0, 1.0]
    """
    return jnp.minimum(1.0, 2 * progress)


# name -> (share of the whole run that is done, 0 to 1 -> factor of beta, 0 to 1)
BETA_SCHEDULES: dict[str, Callable[[Any], Any]] = {
    "constant": constant_beta,
    "linear": linear_beta,
    "cyclical": cyclical_beta,
}
