"""A population trained from its first epoch to its last: in chunks, with checkpoints, resumable.

The chunks are one compiled program; between two of them the losses are looked at, progress is told, and a checkpoint is
written when the last one is old enough.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from musiclust import checkpoint, train
from musiclust.errors import InputError
from musiclust.fusion import Fusion
from musiclust.models import Model
from musiclust.train import Setting
from musiclust.types import Data, History, Hyper

_CHUNK_EPOCHS = 10
_CHUNK_VALUES = 10_000_000  # of features seen in a chunk: a second or so for vectors, ten for spectrograms on a CPU


class Fitted(NamedTuple):
    """The last checkpoint of a population, and what it cost: seconds to compile and to train in this process."""

    checkpoint: checkpoint.Checkpoint
    compile_seconds: float
    training_seconds: float


def product(seeds: Sequence[int], betas: Sequence[float], learning_rates: Sequence[float]) -> list[Setting]:
    """Every combination; seeds vary fastest, then betas."""
    return [Setting(seed, beta, rate) for rate in learning_rates for beta in betas for seed in seeds]


def chunk_epochs(epochs: int, values: int) -> int:
    """Epochs between two looks at the losses, for a population that sees that many feature values an epoch.

    Progress is told, Ctrl-C heard and a checkpoint possible after each chunk, so that it may not last long.
    """
    return max(1, min(_CHUNK_EPOCHS, epochs, _CHUNK_VALUES // values))


def fit(
    model: Model,
    recipe: train.Recipe,
    data: Data,
    *,
    settings: Sequence[Setting],
    fusion: Fusion,
    root: Path,
    meta: Mapping[str, Any],
    resume: bool = False,
    checkpoint_seconds: float = 20.0,
    on_epochs: Callable[[int, History], None] = lambda epochs, history: None,
) -> Fitted:
    """Trains R replicas for `recipe.epochs` epochs and leaves the checkpoint under `root`.

    Args:
      settings: of the R replicas.
      fusion, meta: go into the checkpoint with the states.
      resume: go on from the latest checkpoint under `root`, if there is one; the end is that of the unbroken run.
      checkpoint_seconds: the least time between two checkpoints; the last epoch always gets one.
      on_epochs: told (epochs done, History of the chunk) after each chunk. If it raises KeyboardInterrupt, a
        checkpoint is written and training ends with it.

    Raises:
      InputError: when a loss is not finite; it names replica, epoch and last good checkpoint.
    """
    data = jax.tree.map(jnp.asarray, data)
    hypers = Hyper(
        jnp.asarray([setting.beta for setting in settings], jnp.float32),
        jnp.asarray([setting.learning_rate for setting in settings], jnp.float32),
    )
    states = train.init_population(model, jnp.asarray([setting.seed for setting in settings]), data)
    done, history = 0, _no_history(len(settings), model.latent_dim)

    def current() -> checkpoint.Checkpoint:
        conditions = int(data.cond.shape[1])
        return checkpoint.Checkpoint(done, model, recipe, tuple(settings), states, history, fusion, conditions, meta)

    if resume and checkpoint.latest_epoch(root) is not None:
        saved = checkpoint.restore(root)
        done, history, states = saved.epoch, saved.history, saved.states
    chunk = chunk_epochs(recipe.epochs, len(settings) * data.x.size)
    width = train.population_width(len(settings))
    started = time.perf_counter()
    step = train.population.lower(model, recipe, chunk, width, states, hypers, data, done).compile()
    compiled = time.perf_counter()
    saved_at, last_good = compiled, done
    while done < recipe.epochs:
        states, part = step(states, hypers, data, done)
        part = jax.tree.map(lambda rows: np.asarray(rows)[:, : recipe.epochs - done], part)  # noqa: B023
        _check_finite(part, done, settings, root, last_good)
        history = jax.tree.map(lambda a, b: np.concatenate([a, b], axis=1), history, part)
        done = min(done + chunk, recipe.epochs)
        try:
            on_epochs(done, part)
        except KeyboardInterrupt:
            checkpoint.save(root, current())
            raise
        if done == recipe.epochs or time.perf_counter() - saved_at > checkpoint_seconds:
            checkpoint.save(root, current())
            saved_at, last_good = time.perf_counter(), done
    finished = time.perf_counter()
    return Fitted(current(), compiled - started, finished - compiled)


def _no_history(replicas: int, latent_dim: int) -> History:
    return History(
        np.zeros((replicas, 0), np.float32),
        np.zeros((replicas, 0), np.float32),
        np.zeros((replicas, 0, latent_dim), np.float32),
    )


def _check_finite(part: History, done: int, settings: Sequence[Setting], root: Path, last_good: int) -> None:
    broken = np.argwhere(~np.isfinite(part.loss))
    if not len(broken):
        return
    replica, epoch = broken[np.argmin(broken[:, 1])]
    good = f"the last good checkpoint is {root}/{last_good}" if last_good else "there is no checkpoint before it"
    raise InputError(
        f"the loss is not finite at epoch {done + epoch + 1} in replica {replica} ({settings[replica]}); {good}: "
        "lower --learning_rate or --beta"
    )
