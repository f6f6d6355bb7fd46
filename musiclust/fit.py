"""A population trained from its first epoch to its last: in chunks of epochs, with checkpoints, resumable.

    prepared = prepare(model, recipe, data, settings=..., epochs=100)     # lays out and compiles
    fitted = fit(prepared, fusion=..., root=..., meta=...)

The chunks are one compiled program; between two of them the losses are looked at, progress is told, and a checkpoint is
written when the last one is old enough.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import product as combinations
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from musiclust import checkpoint, population, training
from musiclust.errors import InputError
from musiclust.fusion import Fusion
from musiclust.models import Model
from musiclust.training import Setting
from musiclust.types import Data, History, TrainState

_CHUNK_EPOCHS = 10
_CHUNK_VALUES = 10_000_000  # of features seen in a chunk: a second or so for vectors, ten for spectrograms on a CPU


class Prepared(NamedTuple):
    """A population that is ready to train: what of, on which data, laid out how, and its compiled program."""

    model: Model
    recipe: training.Recipe
    data: Data
    settings: tuple[Setting, ...]
    epochs: int
    chunk: int
    layout: population.Layout
    program: population.Program
    compile_seconds: float


class Fitted(NamedTuple):
    """The last checkpoint of a population, and what it cost: seconds to compile and to train in this process."""

    checkpoint: checkpoint.Checkpoint
    compile_seconds: float
    training_seconds: float


def product(
    seeds: Sequence[int], betas: Sequence[float], learning_rates: Sequence[float], resamples: Sequence[int] = (0,)
) -> list[Setting]:
    """Every combination; seeds vary fastest, then resamples, then betas."""
    return [Setting(s, b, rate, r) for rate, b, r, s in combinations(learning_rates, betas, resamples, seeds)]


def chunk_epochs(values: int) -> int:
    """Epochs between two looks at the losses, for a population that sees that many feature values an epoch.

    Progress is told, Ctrl-C heard and a checkpoint possible after each chunk, so that it may not last long.
    """
    return max(1, min(_CHUNK_EPOCHS, _CHUNK_VALUES // values))


def prepare(
    model: Model,
    recipe: training.Recipe,
    data: Data,
    *,
    settings: Sequence[Setting],
    epochs: int,
    max_memory: int | None = None,
) -> Prepared:
    """Lays out R replicas and compiles their program; may run in a thread of its own.

    Args:
      settings: of the R replicas.
      max_memory: bytes that training may take; see `population.arrange`.

    Raises:
      InputError: if not even one replica fits.
    """
    data = jax.tree.map(jnp.asarray, data)
    each = population.footprint(model, recipe, data)
    layout = population.arrange(len(settings), jax.local_device_count(), each, max_memory)
    chunk = chunk_epochs(len(settings) * data.x.size)
    started = time.perf_counter()
    program = population.compiled(model, recipe, chunk, layout, data)
    seconds = time.perf_counter() - started
    return Prepared(model, recipe, data, tuple(settings), epochs, chunk, layout, program, seconds)


def fit(
    prepared: Prepared,
    *,
    fusion: Fusion,
    root: Path,
    meta: Mapping[str, Any],
    resume: bool = False,
    checkpoint_seconds: float = 20.0,
    on_epochs: Callable[[int, History], None] = lambda epochs, history: None,
) -> Fitted:
    """Trains the replicas and leaves the checkpoint under `root`.

    Args:
      fusion, meta: go into the checkpoint with the states.
      resume: go on from the latest checkpoint under `root`, if there is one; the end is that of the unbroken run.
      checkpoint_seconds: the least time between two checkpoints; the last epoch always gets one.
      on_epochs: told (epochs done, History of the chunk) after each chunk. If it raises KeyboardInterrupt, a
        checkpoint is written and training ends with it.

    Raises:
      InputError: when a loss is not finite; it names replica, epoch and last good checkpoint.
    """
    model, recipe, data, settings, epochs, chunk, layout, program, compile_seconds = prepared
    replicas, conditions = len(settings), int(data.cond.shape[1])
    started = time.perf_counter()
    saved = checkpoint.restore(root) if resume and checkpoint.latest_epoch(root) is not None else None
    if saved:
        done, history = saved.epoch, saved.history
        groups = [population.waiting(layout, part) for part in population.split(layout, saved.states)]
    else:
        done, history = 0, _no_history(replicas, model.latent_dim)
        groups = population.begin(layout, program, settings, data)
    given = population.hypers(layout, settings)
    shared = population.place(layout, data, shared=True)

    def current() -> checkpoint.Checkpoint:
        states = population.from_host(population.join([population.to_host(part) for part in groups], replicas))
        return checkpoint.Checkpoint(done, model, recipe, settings, states, history, fusion, conditions, meta)

    saved_at, last_good = time.perf_counter(), done
    while done < epochs:
        parts = population.advance(layout, program, groups, given, shared, done, epochs)
        part = jax.tree.map(lambda rows: rows[:, : epochs - done], population.join(parts, replicas))  # noqa: B023
        _check_finite(part, done, settings, root, last_good)
        history = jax.tree.map(lambda a, b: np.concatenate([a, b], axis=1), history, part)
        done = min(done + chunk, epochs)
        if recipe.patience:
            history, stopped = _frozen(history, groups, recipe, replicas, len(data.x), epochs)
            done = epochs if stopped else done
        try:
            on_epochs(done, part)
        except KeyboardInterrupt:
            checkpoint.save(root, current())
            raise
        if done == epochs or time.perf_counter() - saved_at > checkpoint_seconds:
            checkpoint.save(root, current())
            saved_at, last_good = time.perf_counter(), done
    return Fitted(current(), compile_seconds, time.perf_counter() - started)


def _no_history(replicas: int, latent_dim: int) -> History:
    return History(
        np.zeros((replicas, 0), np.float32),
        np.zeros((replicas, 0), np.float32),
        np.zeros((replicas, 0, latent_dim), np.float32),
    )


def _frozen(
    history: History, groups: Sequence[TrainState], recipe: training.Recipe, replicas: int, tracks: int, epochs: int
) -> tuple[History, bool]:
    """The history with a stopped replica's last numbers in all later epochs, and whether all have stopped: then it is
    as long as the run."""
    states = population.join([{"step": part.step, "stale": part.stale} for part in groups], replicas)
    stopped = bool((states["stale"] >= recipe.patience).all())
    trained = states["step"] // recipe.batches(tracks)[0]
    length = epochs if stopped else history.loss.shape[1]
    rows = np.minimum(np.arange(length)[None], np.maximum(trained, 1)[:, None] - 1)

    def frozen(values: np.ndarray) -> np.ndarray:
        return np.stack([of_one[numbers] for of_one, numbers in zip(values, rows, strict=True)])

    return jax.tree.map(frozen, history), stopped


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
