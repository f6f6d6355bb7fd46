"""R replicas trained in memory from the first epoch to the last, as one compiled program.

    trained = train(model, data, seeds=range(4), betas=(1, 4), epochs=100)
    state = trained.best(data)

`train` is what a notebook calls. It stands on two steps, which `musiclust.fit` shares and to which it adds checkpoints:

    prepared = prepare(model, recipe, data, settings=settings, epochs=100)     # lays the replicas out and compiles
    for chunk in train_chunks(prepared): ...                                   # trains, some epochs at a time

The chunks run the same program. Between two of them the losses are looked at, and progress is told. Data that do not
fit into memory are a `streaming.Streamed` in the place of `Data.x`: an epoch of them comes in parts, with a look after
each.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import product as combinations

import jax
import jax.numpy as jnp
import numpy as np

from musiclust import devices, population, streaming
from musiclust.epochs import Chunk, Prepared, Trained, train_in_memory
from musiclust.errors import InputError
from musiclust.models import Model
from musiclust.points import check_rows
from musiclust.streamed_epochs import train_streamed
from musiclust.training import Recipe, Setting
from musiclust.types import AnyArray, Data, History

_CHUNK_EPOCHS = 10
_CHUNK_VALUES = 10_000_000  # of features seen in a chunk: a second or so for vectors, ten for spectrograms on a CPU
# Steps of a replica in a chunk, where that takes up to so many times longer: states are copied once a chunk.
_CHUNK_STEPS, _LONGER = 5, 6
_HISTORY_BYTES, _HISTORY_COLUMNS = 4, 4  # of a number, and of an epoch beside the latent dimensions


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
    split_batches: bool | None = None,
    on_epochs: Callable[[int, History], None] = lambda epochs, history: None,
) -> Trained:
    """Trains a model once for every combination of seed, beta, learning rate and line of rows, in one program.

    Args:
      model: a Flax module of `musiclust.models`, made for the shape of a row of data.x.
      data: x (N, *D), finite and scaled (see `fusion.standardise`), or a `streaming.Streamed` of that shape, which is
        read as it is needed; cond (N, C) where the model is conditional.
      seeds: of the first weights, the order of the tracks and the noise.
      betas: weights of the KL term, >= 0. learning_rates: Adam's peak step sizes, > 0.
      rows: (T, n) integers, each line the rows of `data` that a replica trains on; None for one line of all that are
        not held out. Lines of `splits.draw_subsamples` show how stable the clusters are.
      held_out: (h,) integers, rows of `data` that no replica trains on. Their loss goes into the History, and early
        stopping looks at it. `splits.split_held_out` draws them.
      epochs: passes over the data, >= 1.
      recipe: batch size, schedules, early stopping and precision.
      max_memory: bytes that training may take; None for half of the machine's, or four fifths of its accelerators'.
      split_batches: whether each batch is split over all devices, so that one replica trains on all of them; the losses
        are those of one device but for rounding. None: on accelerators, where there are more of them than replicas.
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
        split_batches=split_batches,
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
    split_batches: bool | None = None,
    on_epochs: Callable[[int, History], None] = lambda epochs, history: None,
) -> Trained:
    """Trains a model once for each setting, in one program: `train` for other combinations than a product.

    Several data sets of N rows, laid one after the other, and a table of as many lines are the way to train on each of
    them in the same program.

    Args:
      settings: of the R replicas; `rows` of each is a line of the table.
      model, data, epochs, recipe, rows, held_out, max_memory, split_batches, on_epochs: as in `train`.

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
        model,
        recipe,
        data,
        settings=settings,
        epochs=epochs,
        rows=rows,
        held_out=held_out,
        max_memory=max_memory,
        split_batches=split_batches,
    )
    for chunk in train_chunks(prepared):
        if not chunk.parts_done:
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
    split_batches: bool | None = None,
) -> Prepared:
    """Lays out R replicas and compiles their program. It may run in a thread of its own.

    Args:
      settings: those of the R replicas.
      rows, held_out: as in `train`.
      max_memory: bytes that training may take; see `devices.arrange`.
      split_batches: whether each batch is split over all devices; see `devices.splits_batches`.

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
    split = devices.splits_batches(len(settings), split_batches)
    if streaming.is_streamed(data):
        shared = population.Shared(data, table, out)
        return _prepare_streamed(model, recipe, shared, tuple(settings), epochs, max_memory, split)
    shared = jax.tree.map(jnp.asarray, population.Shared(data, table, out))
    each = population.footprint(model, recipe, shared)
    _check_room(model, settings, epochs, each, max_memory)
    layout = devices.arrange(len(settings), devices.count_devices(), each, max_memory, split=split)
    tracks = table.shape[1]
    chunk = chunk_epochs(len(settings) * tracks * data.x[0].size, recipe.batches(tracks)[0])
    started = time.perf_counter()
    program = population.compiled(model, recipe, chunk, layout, shared)
    seconds = time.perf_counter() - started
    return Prepared(model, recipe, shared, tuple(settings), epochs, chunk, layout, program, seconds)


def _check_room(
    model: Model, settings: Sequence[Setting], epochs: int, each: devices.Footprint, max_memory: int | None
) -> None:
    history = _HISTORY_BYTES * epochs * (_HISTORY_COLUMNS + model.latent_dim)
    devices.check_room(len(settings), each.state + history, max_memory)


def _prepare_streamed(
    model: Model,
    recipe: Recipe,
    shared: population.Shared,
    settings: tuple[Setting, ...],
    epochs: int,
    max_memory: int | None,
    split: bool,
) -> Prepared:
    data, table, out = shared
    chunks, held = (
        None if rows is None else streaming.plan_chunks(data.x, rows, recipe.batches(rows))
        for rows in (table.shape[1], None if out is None else len(out))
    )
    assert chunks is not None
    each = population.footprint_streamed(model, recipe, data, chunks)
    _check_room(model, settings, epochs, each, max_memory)
    # Replicas of one line of the table see the same tracks, and are groups of their own.
    of_line = Counter(setting.rows for setting in settings).values()
    layout = devices.arrange(max(of_line), devices.count_devices(), each, max_memory, split=split)
    layout = layout._replace(groups=sum(math.ceil(replicas / layout.places) for replicas in of_line))
    started = time.perf_counter()
    program = population.compiled_stream(model, recipe, layout, data, chunks, held)
    seconds = time.perf_counter() - started
    return Prepared(model, recipe, shared, settings, epochs, 1, layout, program, seconds, chunks, held)


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
    yield from (train_in_memory if prepared.chunks is None else train_streamed)(prepared, saved)


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
    x = data.x if streaming.is_streamed(data) else np.asarray(data.x, np.float32)
    cond = np.asarray(data.cond, np.float32)
    if len(x) < 2 or x.shape[1:] != tuple(model.input_shape):
        raise InputError(
            f"x has shape {x.shape}, the model takes rows of shape {tuple(model.input_shape)}: give at least two such"
        )
    if cond.ndim != 2 or len(cond) != len(x):
        raise InputError(f"cond has shape {cond.shape}: give one row for each of the {len(x)} tracks")
    if model.conditional and not cond.shape[1]:
        raise InputError(f"a {type(model).__name__} needs a condition: give Data(x, cond) with at least one column")
    if not streaming.is_streamed(data):
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
