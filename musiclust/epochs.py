"""Epochs of a population that is ready to train: what is there before, between and after them.

What is trained, and what is checked before, is said in `musiclust.sweep`; data that are streamed have epochs of their
own, in `musiclust.streamed_epochs`.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from musiclust import bounds, devices, population, streaming
from musiclust.errors import InputError
from musiclust.models import Model
from musiclust.training import Recipe, Setting
from musiclust.types import Data, History, TrainState


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
    layout: devices.Layout
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


def train_in_memory(prepared: Prepared, saved: Trained | None) -> Iterator[Chunk]:
    """`sweep.train_chunks` of data that are in memory."""
    model, recipe, shared, settings, epochs, chunk, layout, program, *_ = prepared
    replicas = len(settings)
    if saved:
        done, history = saved.epoch, saved.history
        groups = [population.waiting(layout, part) for part in population.split(layout, saved.states)]
    else:
        done, history = 0, no_history(replicas, model.latent_dim)
        groups = population.begin(layout, program, settings, shared)
    hypers = population.hypers(layout, settings)
    placed = population.place(layout, shared, shared=True)

    def trained() -> Trained:
        states = population.from_host(population.join([population.to_host(part) for part in groups], replicas))
        return Trained(model, recipe, settings, done, states, history)

    while done < epochs:
        parts = population.advance(layout, program, groups, hypers, placed, done, epochs)
        part = jax.tree.map(lambda rows: rows[:, : epochs - done], population.join(parts, replicas))  # noqa: B023
        check_finite(part, done, settings)
        history = jax.tree.map(lambda a, b: np.concatenate([a, b], axis=1), history, part)
        done = min(done + chunk, epochs)
        if recipe.patience:
            counted = population.join([{"step": part.step, "stale": part.stale} for part in groups], replicas)
            history, stopped = freeze_stopped(history, counted, recipe, shared.rows.shape[1], epochs)
            done = epochs if stopped else done
        yield Chunk(done, part, trained)


def no_history(replicas: int, latent_dim: int) -> History:
    return History(
        np.zeros((replicas, 0), np.float32),
        np.zeros((replicas, 0), np.float32),
        np.zeros((replicas, 0, latent_dim), np.float32),
        np.zeros((replicas, 0), np.float32),
        np.zeros((replicas, 0), np.float32),
    )


def freeze_stopped(
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


def check_finite(part: History, done: int, settings: Sequence[Setting]) -> None:
    broken = np.argwhere(~np.isfinite(part.loss))
    if len(broken):
        replica, epoch = broken[np.argmin(broken[:, 1])]
        raise Diverged(f"the loss is not finite at epoch {done + epoch + 1} in replica {replica} ({settings[replica]})")
