"""R replicas trained in memory from the first epoch to the last, as one compiled program.

    trained = train(model, data, seeds=range(4), betas=(1, 4), epochs=100)
    state = trained.best(data)

`train` is what a notebook calls. It stands on two steps, which `musiclust.fit` shares and to which it adds checkpoints:

    prepared = prepare(model, recipe, data, settings=settings, epochs=100)     # lays the replicas out and compiles
    for chunk in train_chunks(prepared): ...                                   # trains, some epochs at a time

The chunks run the same program. Between two of them the losses are looked at, and progress is told.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import product as combinations
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from musiclust import bounds, population
from musiclust.errors import InputError
from musiclust.models import Model
from musiclust.points import check_rows
from musiclust.training import Recipe, Setting
from musiclust.types import AnyArray, Data, History, TrainState

_CHUNK_EPOCHS = 10
_CHUNK_VALUES = 10_000_000  # of features seen in a chunk: a second or so for vectors, ten for spectrograms on a CPU
# Steps of a replica in a chunk, where that takes up to so many times longer: states are copied once a chunk.
_CHUNK_STEPS, _LONGER = 5, 6
_HISTORY_BYTES, _HISTORY_COLUMNS = 4, 4  # of a number, and of an epoch beside the latent dimensions


class Prepared(NamedTuple):
    """A population that is ready to train.

    shared: the data, the table of rows and the rows held out, on the device. chunk: epochs between two looks at the
    losses. compile_seconds: what compilation took.
    """

    model: Model
    recipe: Recipe
    shared: population.Shared
    settings: tuple[Setting, ...]
    epochs: int
    chunk: int
    layout: population.Layout
    program: population.Program
    compile_seconds: float


class Trained(NamedTuple):
    """R replicas after `epoch` epochs.

    states: a `TrainState` with a leading replica axis R, in the order of `settings`. history: (R, epoch, ...).
    """

    model: Model
    recipe: Recipe
    settings: tuple[Setting, ...]
    epoch: int
    states: TrainState
    history: History

    def __len__(self) -> int:
        return len(self.settings)

    def replica(self, index: int) -> TrainState:
        """The state of one replica, 0 <= index < R."""
        return population.select_replica(self.states, index)

    def choose(self, data: Data) -> int:
        """The index of the replica to show: the one with the highest `bounds.comparable_bound`. No class is seen.

        Args:
          data: the tracks that the replicas are judged on. Tracks that were held out are the fair ones.
        """
        from musiclust.metrics.judge import choose_replica

        states = map(self.replica, range(len(self.settings)))
        return choose_replica(np.array([bounds.comparable_bound(self.model, state, data) for state in states]))

    def best(self, data: Data) -> TrainState:
        """The state of the replica that `choose` names."""
        return self.replica(self.choose(data))


class Chunk(NamedTuple):
    """A population after some more epochs.

    epoch: epochs done so far. part: the History of the epochs since the last chunk. trained: called, it brings the
    replicas to the host's memory.
    """

    epoch: int
    part: History
    trained: Callable[[], Trained]


class Diverged(InputError):
    """A loss was not finite. where: epoch, replica and its setting, in words."""

    def __init__(self, where: str) -> None:
        super().__init__(f"{where}: lower `learning_rate` or `beta`")
        self.where = where


def train(
    model: Model,
    data: Data,
    *,
    seeds: Sequence[int] = (0,),
    betas: Sequence[float | int] = (1.0,),
    learning_rates: Sequence[float | int] = (1e-3,),
    rows: AnyArray | None = None,
    held_out: AnyArray | None = None,
    epochs: int = 100,
    recipe: Recipe = Recipe(),  # noqa: B008 (frozen)
    max_memory: int | None = None,
    on_epochs: Callable[[int, History], None] = lambda epochs, history: None,
) -> Trained:
    """Trains a model once for every combination of seed, beta, learning rate and line of rows, in one program.

    Args:
      model: a Flax module of `musiclust.models`, made for the shape of a row of data.x.
      data: x (N, *D), finite and scaled (see `fusion.standardise`); cond (N, C) where the model is conditional.
      seeds: of the first weights, the order of the tracks and the noise.
      betas: weights of the KL term, >= 0. learning_rates: Adam's peak step sizes, > 0.
      rows: (T, n) integers, each line the rows of `data` that a replica trains on; None for one line of all that are
        not held out. Lines of `splits.draw_subsamples` show how stable the clusters are.
      held_out: (h,) integers, rows of `data` that no replica trains on. Their loss goes into the History, and early
        stopping looks at it. `splits.split_held_out` draws them.
      epochs: passes over the data, >= 1.
      recipe: batch size, schedules, early stopping and precision.
      max_memory: bytes that training may take; None for half of the machine's, or four fifths of its accelerators'.
      on_epochs: called after each chunk with (epochs done, the chunk's History). A KeyboardInterrupt that it raises
        ends training.

    Returns:
      The replicas. Seeds vary fastest, then lines, betas and learning rates. The same call on the same machine
      gives the same numbers, and those of a replica do not depend on the others (on a CPU to the last bit).

    Raises:
      InputError: if data do not fit the model, hold NaN or infinity or fewer than two tracks, if a parameter is out of
        range, if not even one replica fits into memory, or if a loss is not finite (`Diverged`).

    Example:
      >>> import musiclust as mc
      >>> x = mc.standardise(np.random.default_rng(0).normal(size=(64, 6)))
      >>> model = mc.VAE(input_shape=(6,), latent_dim=2, hidden=(8,))
      >>> trained = mc.train(model, mc.Data(x), seeds=range(2), betas=(1, 4), epochs=2)
      >>> len(trained), trained.history.loss.shape
      (4, (4, 2))
    """
    settings = product(seeds, betas, learning_rates, range(1 if rows is None else len(rows)))
    return train_settings(
        model,
        data,
        settings=settings,
        epochs=epochs,
        recipe=recipe,
        rows=rows,
        held_out=held_out,
        max_memory=max_memory,
        on_epochs=on_epochs,
    )


def train_settings(
    model: Model,
    data: Data,
    *,
    settings: Sequence[Setting],
    epochs: int,
    recipe: Recipe,
    rows: AnyArray | None = None,
    held_out: AnyArray | None = None,
    max_memory: int | None = None,
    on_epochs: Callable[[int, History], None] = lambda epochs, history: None,
) -> Trained:
    """Trains a model once for each setting, in one program: `train` for other combinations than a product.

    Several data sets of N rows, laid one after the other, and a table of as many lines are the way to train on each of
    them in the same program.

    Args:
      settings: of the R replicas; `rows` of each is a line of the table.
      model, data, epochs, recipe, rows, held_out, max_memory, on_epochs: as in `train`.

    Returns:
      The replicas, in the order of the settings.

    Raises:
      InputError: as `train`.

    Example:
      >>> import musiclust as mc
      >>> x = mc.standardise(np.random.default_rng(0).normal(size=(64, 6)))
      >>> model = mc.VAE(input_shape=(6,), latent_dim=2, hidden=(8,))
      >>> halves = np.arange(64).reshape(2, 32)
      >>> settings = [Setting(seed=line, beta=1.0, learning_rate=1e-3, rows=line) for line in range(2)]
      >>> len(train_settings(model, mc.Data(x), settings=settings, epochs=2, recipe=Recipe(), rows=halves))
      2
    """
    data = _check(model, data, settings, epochs)
    prepared = prepare(
        model, recipe, data, settings=settings, epochs=epochs, rows=rows, held_out=held_out, max_memory=max_memory
    )
    for chunk in train_chunks(prepared):
        on_epochs(chunk.epoch, chunk.part)
    return chunk.trained()


def product(
    seeds: Sequence[int],
    betas: Sequence[float | int],
    learning_rates: Sequence[float | int],
    lines: Sequence[int] = (0,),
) -> list[Setting]:
    """Every combination. Seeds vary fastest, then lines of the table of rows, then betas.

    Example:
      >>> [setting[:2] for setting in product((0, 1), (1.0, 4.0), (1e-3,))]
      [(0, 1.0), (1, 1.0), (0, 4.0), (1, 4.0)]
    """
    every = combinations(learning_rates, betas, lines, seeds)
    return [Setting(int(s), float(b), float(rate), int(line)) for rate, b, line, s in every]


def chunk_epochs(values: int, steps: int) -> int:
    """Epochs between two looks at the losses, for a population that sees that many feature values an epoch.

    Progress is told, Ctrl-C heard and a checkpoint possible after each chunk, so that it may not last long.

    Args:
      values: of all replicas together.
      steps: batches of a replica in an epoch.

    Example:
      >>> chunk_epochs(320 * 404, 2), chunk_epochs(320 * 128 * 431, 10)
      (10, 1)
      >>> chunk_epochs(200 * 128 * 400, 1), chunk_epochs(200 * 128 * 400, 4)  # 200 replicas
      (5, 2)
    """
    enough = min(math.ceil(_CHUNK_STEPS / steps), _LONGER * _CHUNK_VALUES // values)
    return max(1, enough, min(_CHUNK_EPOCHS, _CHUNK_VALUES // values))


def prepare(
    model: Model,
    recipe: Recipe,
    data: Data,
    *,
    settings: Sequence[Setting],
    epochs: int,
    rows: AnyArray | None = None,
    held_out: AnyArray | None = None,
    max_memory: int | None = None,
) -> Prepared:
    """Lays out R replicas and compiles their program. It may run in a thread of its own.

    Args:
      settings: those of the R replicas.
      rows, held_out: as in `train`.
      max_memory: bytes that training may take; see `population.arrange`.

    Raises:
      InputError: if the rows do not fit the data or the settings, or if not even one replica fits, or not all of their
        states.
    """
    out = None if held_out is None else _check_held_out(held_out, len(data.x))
    if rows is None:
        rows = np.setdiff1d(np.arange(len(data.x)), [] if out is None else out)[None]
    table = _check_rows(rows, len(data.x))
    if out is not None and np.isin(table, out).any():
        raise InputError(f"row {table[np.isin(table, out)][0]} is in rows and in `held_out`: leave it out of one")
    if beyond := [setting for setting in settings if not 0 <= setting.rows < len(table)]:
        raise InputError(f"{beyond[0]}: the table of rows has {len(table)} lines, counted from 0")
    shared: population.Shared = jax.tree.map(jnp.asarray, population.Shared(data, table, out))
    each = population.footprint(model, recipe, shared)
    history = _HISTORY_BYTES * epochs * (_HISTORY_COLUMNS + model.latent_dim)
    population.check_room(len(settings), each.state + history, max_memory)
    layout = population.arrange(len(settings), jax.local_device_count(), each, max_memory)
    tracks = table.shape[1]
    chunk = chunk_epochs(len(settings) * tracks * data.x[0].size, recipe.batches(tracks)[0])
    started = time.perf_counter()
    program = population.compiled(model, recipe, chunk, layout, shared)
    seconds = time.perf_counter() - started
    return Prepared(model, recipe, shared, tuple(settings), epochs, chunk, layout, program, seconds)


def train_chunks(prepared: Prepared, saved: Trained | None = None) -> Iterator[Chunk]:
    """Trains a population to its last epoch and stops after every chunk of epochs.

    Args:
      saved: the population at an earlier epoch, to go on from; the end is that of the unbroken run. None begins.

    Yields:
      The population after each chunk, nothing if `saved` is at the last epoch. Replicas that have all stopped early
      end the run: the History is then filled up to its last epoch with their last numbers.

    Raises:
      Diverged: if a loss is not finite.
    """
    model, recipe, shared, settings, epochs, chunk, layout, program, _ = prepared
    replicas = len(settings)
    if saved:
        done, history = saved.epoch, saved.history
        groups = [population.waiting(layout, part) for part in population.split(layout, saved.states)]
    else:
        done, history = 0, _no_history(replicas, model.latent_dim)
        groups = population.begin(layout, program, settings, shared)
    hypers = population.hypers(layout, settings)
    placed = population.place(layout, shared, shared=True)

    def trained() -> Trained:
        states = population.from_host(population.join([population.to_host(part) for part in groups], replicas))
        return Trained(model, recipe, settings, done, states, history)

    while done < epochs:
        parts = population.advance(layout, program, groups, hypers, placed, done, epochs)
        part = jax.tree.map(lambda rows: rows[:, : epochs - done], population.join(parts, replicas))  # noqa: B023
        _check_finite(part, done, settings)
        history = jax.tree.map(lambda a, b: np.concatenate([a, b], axis=1), history, part)
        done = min(done + chunk, epochs)
        if recipe.patience:
            history, stopped = _freeze(history, groups, recipe, replicas, shared.rows.shape[1], epochs)
            done = epochs if stopped else done
        yield Chunk(done, part, trained)


def _no_history(replicas: int, latent_dim: int) -> History:
    return History(
        np.zeros((replicas, 0), np.float32),
        np.zeros((replicas, 0), np.float32),
        np.zeros((replicas, 0, latent_dim), np.float32),
        np.zeros((replicas, 0), np.float32),
        np.zeros((replicas, 0), np.float32),
    )


def _freeze(
    history: History, groups: Sequence[TrainState], recipe: Recipe, replicas: int, tracks: int, epochs: int
) -> tuple[History, bool]:
    """The history with a stopped replica's last numbers in all later epochs, and whether all have stopped: then it is
    as long as the run."""
    states = population.join([{"step": part.step, "stale": part.stale} for part in groups], replicas)
    stopped = bool((states["stale"] >= recipe.patience).all())
    trained = states["step"] // recipe.batches(tracks)[0]
    length = epochs if stopped else history.loss.shape[1]
    rows = np.minimum(np.arange(length)[None], np.maximum(trained, 1)[:, None] - 1)

    def freeze(values: np.ndarray) -> np.ndarray:
        return np.stack([of_one[numbers] for of_one, numbers in zip(values, rows, strict=True)])

    return jax.tree.map(freeze, history), stopped


def _check_finite(part: History, done: int, settings: Sequence[Setting]) -> None:
    broken = np.argwhere(~np.isfinite(part.loss))
    if len(broken):
        replica, epoch = broken[np.argmin(broken[:, 1])]
        raise Diverged(f"the loss is not finite at epoch {done + epoch + 1} in replica {replica} ({settings[replica]})")


def _check_rows(rows: AnyArray, tracks: int) -> np.ndarray:
    """The table of rows as (T, n) int32, if it is one of as many tracks."""
    table = np.asarray(rows)
    if table.ndim != 2 or not len(table) or table.shape[1] < 2 or not np.issubdtype(table.dtype, np.integer):
        raise InputError(
            f"rows is {table.dtype} of shape {table.shape}: give a table of whole numbers, at least two in each line"
        )
    if table.min() < 0 or table.max() >= tracks:
        raise InputError(f"rows goes from {table.min()} to {table.max()}: the rows of data are 0 to {tracks - 1}")
    return table.astype(np.int32)


def _check_held_out(held_out: AnyArray, tracks: int) -> np.ndarray:
    """The rows held out as (h,) int32, if there are such."""
    rows = np.asarray(held_out)
    if rows.ndim != 1 or not len(rows) or not np.issubdtype(rows.dtype, np.integer):
        raise InputError(f"`held_out` is {rows.dtype} of shape {rows.shape}: give at least one row number, or None")
    if rows.min() < 0 or rows.max() >= tracks:
        raise InputError(f"`held_out` goes from {rows.min()} to {rows.max()}: the rows of data are 0 to {tracks - 1}")
    return rows.astype(np.int32)


def _check(model: Model, data: Data, settings: Sequence[Setting], epochs: int) -> Data:
    """The data as float32, if a model can be trained on them with these settings."""
    x, cond = np.asarray(data.x, np.float32), np.asarray(data.cond, np.float32)
    if len(x) < 2 or x.shape[1:] != tuple(model.input_shape):
        raise InputError(
            f"x has shape {x.shape}, the model takes rows of shape {tuple(model.input_shape)}: give at least two such"
        )
    if cond.ndim != 2 or len(cond) != len(x):
        raise InputError(f"cond has shape {cond.shape}: give one row for each of the {len(x)} tracks")
    if model.conditional and not cond.shape[1]:
        raise InputError(f"a {type(model).__name__} needs a condition: give Data(x, cond) with at least one column")
    check_rows(x, "x")
    check_rows(cond, "cond")
    if not settings:
        raise InputError("there is nothing to train: give at least one seed, beta and learning rate")
    for setting in settings:
        if not (setting.beta >= 0 and setting.learning_rate > 0 and np.isfinite([*setting]).all()):
            raise InputError(f"{setting}: a beta is at least 0 and a learning rate above 0")
        if not 0 <= setting.seed < 2**31:
            raise InputError(f"{setting}: seeds are whole numbers from 0 to 2147483647")
    if epochs < 1:
        raise InputError(f"epochs = {epochs} trains nothing: choose `epochs` of at least 1")
    return Data(x, cond)
