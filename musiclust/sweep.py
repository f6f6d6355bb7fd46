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
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from musiclust import bounds, population, streaming
from musiclust.errors import InputError
from musiclust.models import Model
from musiclust.points import check_rows
from musiclust.training import Recipe, Setting, Sums
from musiclust.types import AnyArray, Data, History, Hyper, TrainState

_CHUNK_EPOCHS = 10
_CHUNK_VALUES = 10_000_000  # of features seen in a chunk: a second or so for vectors, ten for spectrograms on a CPU
# Steps of a replica in a chunk, where that takes up to so many times longer: states are copied once a chunk.
_CHUNK_STEPS, _LONGER = 5, 6
_HISTORY_BYTES, _HISTORY_COLUMNS = 4, 4  # of a number, and of an epoch beside the latent dimensions


class Prepared(NamedTuple):
    """A population that is ready to train.

    shared: the data, the table of rows and the rows held out, on the device, or not where the data are streamed.
    chunk: epochs between two looks at the losses. compile_seconds: what compilation took. chunks, held_chunks: how
    epochs of streamed data are cut, and the tracks held out; None where there are no such.
    """

    model: Model
    recipe: Recipe
    shared: population.Shared
    settings: tuple[Setting, ...]
    epochs: int
    chunk: int
    layout: population.Layout
    program: Any
    compile_seconds: float
    chunks: streaming.Chunks | None = None
    held_chunks: streaming.Chunks | None = None


class Trained(NamedTuple):
    """R replicas after `epoch` epochs.

    states: a `TrainState` with a leading replica axis R, in the order of `settings`. history: (R, epoch, ...).
    part: how many parts of the next epoch are done, of streamed data. The history then has one row more: sums over the
    tracks so far in place of means, and what is descended in place of the held-out loss.
    """

    model: Model
    recipe: Recipe
    settings: tuple[Setting, ...]
    epoch: int
    states: TrainState
    history: History
    part: int = 0

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
    replicas to the host's memory. parts_done, parts: parts of the next epoch that are done, of how many: 0 of 1 but in
    the midst of an epoch of streamed data.
    """

    epoch: int
    part: History
    trained: Callable[[], Trained]
    parts_done: int = 0
    parts: int = 1


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
      max_memory: bytes that training may take; see `population.arrange`.
      split_batches: whether each batch is split over all devices; see `population.splits_batches`.

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
    split = population.splits_batches(len(settings), split_batches)
    if streaming.is_streamed(data):
        shared = population.Shared(data, table, out)
        return _prepare_streamed(model, recipe, shared, tuple(settings), epochs, max_memory, split)
    shared = jax.tree.map(jnp.asarray, population.Shared(data, table, out))
    each = population.footprint(model, recipe, shared)
    _check_room(model, settings, epochs, each, max_memory)
    layout = population.arrange(len(settings), population.count_devices(), each, max_memory, split=split)
    tracks = table.shape[1]
    chunk = chunk_epochs(len(settings) * tracks * data.x[0].size, recipe.batches(tracks)[0])
    started = time.perf_counter()
    program = population.compiled(model, recipe, chunk, layout, shared)
    seconds = time.perf_counter() - started
    return Prepared(model, recipe, shared, tuple(settings), epochs, chunk, layout, program, seconds)


def _check_room(
    model: Model, settings: Sequence[Setting], epochs: int, each: population.Footprint, max_memory: int | None
) -> None:
    history = _HISTORY_BYTES * epochs * (_HISTORY_COLUMNS + model.latent_dim)
    population.check_room(len(settings), each.state + history, max_memory)


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
    layout = population.arrange(max(of_line), population.count_devices(), each, max_memory, split=split)
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
    if prepared.chunks is not None:
        yield from _Stream(prepared, saved).train()
        return
    model, recipe, shared, settings, epochs, chunk, layout, program, *_ = prepared
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
            counted = population.join([{"step": part.step, "stale": part.stale} for part in groups], replicas)
            history, stopped = _freeze(history, counted, recipe, shared.rows.shape[1], epochs)
            done = epochs if stopped else done
        yield Chunk(done, part, trained)


class _Stream:
    """A population that trains on streamed data: its states from part to part of an epoch.

    Replicas of one line of the table of rows stand in groups of their own. A part is a chunk of the tracks of one line,
    on which all its groups train, one after the other, while the next one is read.
    """

    def __init__(self, prepared: Prepared, saved: Trained | None) -> None:
        assert prepared.chunks is not None
        self.prepared, self.cut, self.layout = prepared, prepared.chunks, prepared.layout
        settings = prepared.settings
        self.lines = sorted({setting.rows for setting in settings})
        self.parts = len(self.lines) * self.cut.number
        self.groups: list[tuple[int, np.ndarray]] = []  # a line, and the replicas of a group; places beyond repeat one
        for line in self.lines:
            alike = np.array([number for number, setting in enumerate(settings) if setting.rows == line])
            for start in range(0, len(alike), self.layout.places):
                places = np.minimum(np.arange(start, start + self.layout.places), len(alike) - 1)
                self.groups.append((line, alike[places]))
        together = np.concatenate([replicas for _, replicas in self.groups])
        self.first_place = np.unique(together, return_index=True)[1]
        numbers = Hyper(
            *(
                np.array([getattr(setting, name) for setting in settings], kind)
                for name, kind in (("beta", np.float32), ("learning_rate", np.float32), ("rows", np.int32))
            )
        )
        self.hypers = [population.place(self.layout, _rows_of(numbers, replicas)) for _, replicas in self.groups]
        if saved is None:
            self.done, self.part, self.history = 0, 0, _no_history(len(settings), prepared.model.latent_dim)
            seeds = np.array([setting.seed for setting in settings], np.int32)
            one = population.one_row(prepared.shared.data)
            states = [prepared.program.init(seeds[replicas], one) for _, replicas in self.groups]
        else:
            self.done, self.part, self.history = saved.epoch, saved.part, saved.history
            states = [_rows_of(saved.states, replicas) for _, replicas in self.groups]
        self.states = [population.waiting(self.layout, part) for part in states]
        self.sums = Sums(*(np.array(leaf[:, self.done]) for leaf in self.history)) if self.part else self._no_sums()
        self.history = jax.tree.map(lambda leaf: leaf[:, : self.done], self.history)

    def train(self) -> Iterator[Chunk]:
        """Trains to the last epoch; see `train_chunks`."""
        _, recipe, shared, settings, epochs, *_ = self.prepared
        tracks, nothing = shared.rows.shape[1], jax.tree.map(lambda leaf: leaf[:, :0], self.history)
        while self.done < epochs:
            for number, (line, chunk, batches) in self._read_parts():
                self._train_part(line, chunk, batches)
                _check_finite(_as_history(self.sums, self.sums.descended), self.done, settings)
                self.part = number + 1
                if self.part < self.parts:
                    yield Chunk(self.done, nothing, self.trained, self.part, self.parts)
            means = jax.tree.map(lambda leaf: leaf / np.float32(tracks), self.sums)
            held = self._look_at_held_out()
            if recipe.patience:
                seen = means.descended if shared.held_out is None else held
                self.states = [
                    population.waiting(
                        self.layout, population.end_epoch(recipe, states, seen[replicas], self.done, epochs)
                    )
                    for states, (_, replicas) in zip(self.states, self.groups, strict=True)
                ]
            part = _as_history(means, held)
            self.history = jax.tree.map(lambda a, b: np.concatenate([a, b], axis=1), self.history, part)
            self.done, self.part, self.sums = self.done + 1, 0, self._no_sums()
            if recipe.patience:
                self.history, stopped = _freeze(self.history, self._counted(), recipe, tracks, epochs)
                self.done = epochs if stopped else self.done
            yield Chunk(self.done, part, self.trained)

    def trained(self) -> Trained:
        """The replicas in the host's memory, also in the midst of an epoch."""
        states = self._joined([population.to_host(part) for part in self.states])
        history = self.history
        if self.part:
            so_far = _as_history(self.sums, self.sums.descended)
            history = jax.tree.map(lambda a, b: np.concatenate([a, b], axis=1), history, so_far)
        model, recipe, _, settings, *_ = self.prepared
        return Trained(model, recipe, settings, self.done, population.from_host(states), history, self.part)

    def _read_parts(self) -> Iterator[tuple[int, tuple[int, int, Data]]]:
        """The parts of this epoch that are left, by their number: (line, chunk, batches on the device)."""
        shared, cut = self.prepared.shared, self.cut
        patience = self.prepared.recipe.patience
        stopped = np.array(self._counted()["stale"] >= patience) if patience else np.zeros(len(self.first_place), bool)
        going = {s.rows for s, has in zip(self.prepared.settings, stopped, strict=True) if not has}
        drawn = {line: cut.draw_rows(shared.rows[line], self.done) for line in self.lines if line in going}
        left = [number for number in range(self.part, self.parts) if self.lines[number // cut.number] in going]

        def read(number: int) -> tuple[int, int, Data]:
            line, chunk = self.lines[number // cut.number], number % cut.number
            rows = _fill_up(drawn[line][chunk * cut.batches :][: cut.batches], cut.batches)
            return line, chunk, population.place_batches(self.layout, shared.data, rows)

        return zip(left, streaming.read_ahead(read, left), strict=True)

    def _train_part(self, line: int, chunk: int, batches: Data) -> None:
        """Trains the groups of a line on a chunk of its tracks, and adds what they computed to the epoch's sums."""
        cut, settings = self.cut, self.prepared.settings
        weight = population.place(self.layout, cut.weigh(chunk), shared=True)
        numbers = (cut.there(chunk), chunk * cut.batches, self.done, self.prepared.epochs)
        placed = [population.place(self.layout, np.int32(number), shared=True) for number in numbers]
        told = []
        for group, (of, replicas) in enumerate(self.groups):
            if of != line:
                continue
            orders = np.stack([cut.order_batches(settings[r].seed, self.done, chunk) for r in replicas])
            given = (population.place(self.layout, orders), batches, weight, *placed)
            states = population.place(self.layout, self.states[group])
            states, sums = self.prepared.program.train_part(states, self.hypers[group], *given)
            self.states[group] = population.waiting(self.layout, states)
            told.append((replicas, sums))
        for replicas, sums in told:
            for total, part in zip(self.sums, sums, strict=True):
                total[replicas] += np.asarray(part)

    def _look_at_held_out(self) -> np.ndarray:
        """(R,) the held-out loss of each replica, NaN where no tracks are held out."""
        replicas, cut = len(self.prepared.settings), self.prepared.held_chunks
        data, out = self.prepared.shared.data, self.prepared.shared.held_out
        if cut is None or out is None:
            return np.full(replicas, np.nan, np.float32)
        rows = np.resize(out, (cut.count, cut.size))

        def read(chunk: int) -> tuple[int, Data]:
            some = _fill_up(rows[chunk * cut.batches :][: cut.batches], cut.batches)
            return chunk, population.place_batches(self.layout, data, some)

        total = np.zeros(replicas, np.float32)
        for chunk, batches in streaming.read_ahead(read, range(cut.number)):
            weight = population.place(self.layout, cut.weigh(chunk), shared=True)
            first = population.place(self.layout, np.int32(chunk * cut.batches), shared=True)
            for group, (_, of) in enumerate(self.groups):
                states = population.place(self.layout, self.states[group])
                found = self.prepared.program.held_out(states, self.hypers[group], batches, weight, first)
                total[of] += np.asarray(found)
        return total / np.float32(len(out))

    def _counted(self) -> dict[str, np.ndarray]:
        """Steps, and epochs without a better one, of each replica."""
        return self._joined([{"step": part.step, "stale": part.stale} for part in self.states])

    def _joined(self, of_groups: Sequence[Any]) -> Any:
        """What the groups have, in the order of the settings."""
        every = population.join(of_groups, sum(len(replicas) for _, replicas in self.groups))
        return _rows_of(every, self.first_place)

    def _no_sums(self) -> Sums:
        replicas = len(self.prepared.settings)
        one = np.zeros(replicas, np.float32)
        of_dimensions = np.zeros((replicas, self.prepared.model.latent_dim), np.float32)
        return Sums(one.copy(), one.copy(), of_dimensions, one.copy(), one.copy())


def _fill_up(rows: np.ndarray, batches: int) -> np.ndarray:
    """Rows (k, B) of a chunk, and the first batch again until there are so many; those are not trained on."""
    return np.concatenate([rows, np.repeat(rows[:1], batches - len(rows), axis=0)])


def _as_history(sums: Sums, last: np.ndarray) -> History:
    """(R, 1, ...): one epoch, with `last` in the place of the held-out loss."""
    parts = (sums.loss, sums.reconstruction, sums.kl_per_dim, sums.neighbours, last)
    return History(*(np.array(leaf)[:, None] for leaf in parts))


def _rows_of(tree: Any, rows: np.ndarray) -> Any:
    return jax.tree.map(lambda leaf: leaf[rows], tree)


def _no_history(replicas: int, latent_dim: int) -> History:
    return History(
        np.zeros((replicas, 0), np.float32),
        np.zeros((replicas, 0), np.float32),
        np.zeros((replicas, 0, latent_dim), np.float32),
        np.zeros((replicas, 0), np.float32),
        np.zeros((replicas, 0), np.float32),
    )


def _freeze(
    history: History, counted: dict[str, np.ndarray], recipe: Recipe, tracks: int, epochs: int
) -> tuple[History, bool]:
    """The history with a stopped replica's last numbers in all later epochs, and whether all have stopped: then it is
    as long as the run.

    Args:
      counted: "step" and "stale" of the replicas, (R,) each.
    """
    stopped = bool((counted["stale"] >= recipe.patience).all())
    trained = counted["step"] // recipe.batches(tracks)[0]
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
