"""Schedules of the learning rate and of beta, as functions of how far a run is.

They are traced functions of the epochs done and of the share of the run that is done, so that another number of epochs
or of tracks is the same program.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import optax

Schedule = Callable[[Any, Any], Any]


def step_decay(epoch: Any, progress: Any) -> Any:
    """Halved every 20 epochs, as in the first report."""
    return optax.exponential_decay(1.0, 20, 0.5, staircase=True)(epoch)


def cosine(epoch: Any, progress: Any) -> Any:
    """Linear warm-up over the first 5 % of the run, then a cosine to 0 (Loshchilov and Hutter, ICLR 2017)."""
    return optax.warmup_cosine_decay_schedule(0.0, 1.0, 50, 1000)(1000 * progress)


def constant(epoch: Any, progress: Any) -> Any:
    """The learning rate itself throughout."""
    return optax.constant_schedule(1.0)(epoch)


# name -> (epochs done, share of the run done -> factor of the learning rate)
SCHEDULES: dict[str, Schedule] = {"step": step_decay, "cosine": cosine, "constant": constant}


def constant_beta(progress: Any) -> Any:
    """Beta from the first step."""
    return jnp.ones_like(progress, dtype=jnp.float32)


def linear_beta(progress: Any) -> Any:
    """Beta rises linearly from 0 over the first 30 % of the run (Bowman et al., CoNLL 2016)."""
    return jnp.where(progress < 0.3, progress / 0.3, 1.0)


def cyclical_beta(progress: Any) -> Any:
    """Four cycles, each rising linearly from 0 for its first half (Fu et al., NAACL 2019)."""
    cycle = 4 * progress
    return jnp.where(cycle < 4, jnp.minimum(1.0, 2 * (cycle % 1)), 1.0)


# name -> (share of the whole run that is done, 0 to 1 -> factor of beta, 0 to 1)
BETA_SCHEDULES: dict[str, Callable[[Any], Any]] = {
    "constant": constant_beta,
    "linear": linear_beta,
    "cyclical": cyclical_beta,
}
