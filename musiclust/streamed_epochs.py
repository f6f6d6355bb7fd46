"""Epochs of a population whose data are streamed: it trains on a part of an epoch while the next one is read.

See `musiclust.streaming` for how an epoch is cut, and `musiclust.epochs` for data in memory.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from musiclust import population, streaming
from musiclust.epochs import Chunk, Prepared, Trained, check_finite, freeze_stopped, no_history
from musiclust.training import Sums
from musiclust.types import Data, History


def train_streamed(prepared: Prepared, saved: Trained | None) -> Iterator[Chunk]:
    """`sweep.train_chunks` of data that are streamed."""
    yield from _Stream(prepared, saved).train()


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
        numbers = population.gather_hypers(settings)
        self.hypers = [
            population.place(self.layout, population.select_replicas(numbers, replicas)) for _, replicas in self.groups
        ]
        if saved is None:
            self.done, self.part, self.history = 0, 0, no_history(len(settings), prepared.model.latent_dim)
            seeds = np.array([setting.seed for setting in settings], np.int32)
            one = population.one_row(prepared.shared.data)
            states = [prepared.program.init(seeds[replicas], one) for _, replicas in self.groups]
        else:
            self.done, self.part, self.history = saved.epoch, saved.part, saved.history
            states = [population.select_replicas(saved.states, replicas) for _, replicas in self.groups]
        self.states = [population.waiting(self.layout, part) for part in states]
        self.sums = Sums(*(np.array(leaf[:, self.done]) for leaf in self.history)) if self.part else self._no_sums()
        self.history = jax.tree.map(lambda leaf: leaf[:, : self.done], self.history)

    def train(self) -> Iterator[Chunk]:
        """Trains to the last epoch; see `sweep.train_chunks`."""
        _, recipe, shared, settings, epochs, *_ = self.prepared
        tracks, nothing = shared.rows.shape[1], jax.tree.map(lambda leaf: leaf[:, :0], self.history)
        while self.done < epochs:
            for number, (line, chunk, batches) in self._read_parts():
                self._train_part(line, chunk, batches)
                check_finite(_as_history(self.sums, self.sums.descended), self.done, settings)
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
                self.history, stopped = freeze_stopped(self.history, self._counted(), recipe, tracks, epochs)
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
        return population.select_replicas(every, self.first_place)

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
