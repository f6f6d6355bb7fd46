"""Who trains in population.py: a population, and its replicas alone, each in a process of its own (contenders.py).

On a CPU the population has every core as a device and the one alone has a single device that may use them all. Each
process first tells how it is laid out (`Told`), then answers each turn with (seconds, losses (R, E) of the epochs it
trained, FLOP/s of a large product or 0).
"""

import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.contenders import Job, large_matrix, product_rate, synthetic
from benchmarks.flops import training_flop
from benchmarks.measure import summary
from experiments.study.jax_setup import set_up_jax
from musiclust import population, sweep, training
from musiclust.devices import Footprint, Layout
from musiclust.models import MODELS
from musiclust.training import Setting
from musiclust.types import Data

_BETAS = (1.0, 2.0, 4.0, 8.0)


class Study(NamedTuple):
    """job: of each model. alone_epochs: that the one alone trains at a turn."""

    job: Job
    replicas: int
    alone_epochs: int

    def settings(self) -> list[Setting]:
        """Each seed with each of four betas."""
        return [Setting(i // len(_BETAS), _BETAS[i % len(_BETAS)], 1e-3) for i in range(self.replicas)]

    def alone(self, turn: int) -> int:
        """Which replica is alone at that turn; they come from all over the population."""
        return 37 * turn % self.replicas


class Told(NamedTuple):
    """What a process tells before its first turn.

    compilation: seconds. each: a replica's memory, computed. planned: bytes a device, as XLA has it. flop: of one
    model's epoch.
    """

    compilation: float
    device: str
    layout: Layout
    chunk: int
    each: Footprint
    planned: int
    flop: float


class Trainer:
    """Replicas that train chunk by chunk as in `musiclust.fit`, but only when they are asked to."""

    def __init__(self, study: Study, settings: Sequence[Setting]) -> None:
        job = study.job
        data = Data(*map(jnp.asarray, synthetic(job)))
        model = MODELS[job.model](input_shape=job.input_shape, latent_dim=job.latent_dim, **job.options)
        recipe = training.Recipe(batch_size=job.batch_size)
        self.prepared = sweep.prepare(model, recipe, data, settings=settings, epochs=job.epochs)
        self.shared = population.place(self.prepared.layout, self.prepared.shared, shared=True)

    def told(self) -> Told:
        prepared, (tracks, conditions) = self.prepared, self.prepared.shared.data.cond.shape
        plan = prepared.program.train.memory_analysis()
        return Told(
            prepared.compile_seconds,
            jax.devices()[0].device_kind,
            prepared.layout,
            prepared.chunk,
            population.footprint(prepared.model, prepared.recipe, prepared.shared),
            plan.argument_size_in_bytes + plan.temp_size_in_bytes,
            training_flop(prepared.model, tracks, conditions, 1),
        )

    def begin(self, settings: Sequence[Setting]) -> None:
        """As many new replicas, before their first epoch."""
        layout, program = self.prepared.layout, self.prepared.program
        self.hypers = population.hypers(layout, settings)
        self.groups = population.begin(layout, program, settings, self.prepared.shared)
        self.replicas, self.done = len(settings), 0
        jax.block_until_ready((self.hypers, self.groups, self.shared))

    def train(self, least: int) -> tuple[float, np.ndarray]:
        """(seconds, losses (R, E)) of the next E epochs, `least` or more: whole chunks, but for the run's last one.

        A run that is over begins to count from its first epoch again.
        """
        start = time.perf_counter()
        losses: list[np.ndarray] = []
        while sum(part.shape[1] for part in losses) < least:
            self.done %= self.prepared.epochs
            losses.append(self._chunk()[:, : self.prepared.epochs - self.done])
            self.done += losses[-1].shape[1]
        return time.perf_counter() - start, np.concatenate(losses, axis=1)

    def _chunk(self) -> np.ndarray:
        layout, program, epochs = self.prepared.layout, self.prepared.program, self.prepared.epochs
        parts = population.advance(layout, program, self.groups, self.hypers, self.shared, self.done, epochs)
        return population.join(parts, self.replicas).loss


def together(pipe: Connection, study: Study) -> None:
    """The population: at each turn the next chunk of its epochs."""
    set_up_jax(None)
    jax.config.update("jax_enable_compilation_cache", False)  # XLA tells its plan of memory when it compiles
    trainer = Trainer(study, study.settings())
    pipe.send(trainer.told())
    trainer.begin(study.settings())
    while pipe.recv() is not None:
        pipe.send((*trainer.train(1), 0.0))


def alone(pipe: Connection, study: Study) -> None:
    """One replica of it on the whole machine: at each turn another one, from its first epoch."""
    jax.config.update("jax_enable_compilation_cache", False)
    settings = study.settings()
    trainer = Trainer(study, settings[:1])
    pipe.send(trainer.told())
    matrix, square = jnp.asarray(large_matrix()), jax.jit(lambda a: a @ a)
    while (turn := pipe.recv()) is not None:
        trainer.begin([settings[study.alone(turn)]])
        seconds, losses = trainer.train(study.alone_epochs)
        pipe.send((seconds, losses, product_rate(lambda: square(matrix).block_until_ready())))


def figures(
    study: Study,
    told: Mapping[str, Told],
    taken: Mapping[str, np.ndarray],
    losses: Mapping[str, Sequence[np.ndarray]],
    product: np.ndarray,
) -> dict[str, Any]:
    """What was measured of `alone` and `together`, as rows beside their targets, and how.

    Args:
      taken: seconds of each repeat. losses: (R, E) of each turn, the warm-up's first. product: FLOP/s of each repeat.
    """
    job, layout, each = study.job, told["together"].layout, told["together"].each
    # In each repeat; a run's last chunk may be a short one.
    trained = {name: np.array([part.shape[1] for part in parts[1:]]) for name, parts in losses.items()}
    alone = taken["alone"] * job.epochs / trained["alone"]
    model = taken["together"] * job.epochs / trained["together"] / study.replicas
    rate = told["together"].flop * job.epochs / model
    width, rounds = layout.width, layout.rounds
    computed = 2 * each.state + each.step / rounds  # of `width` side by side as many steps are held at once
    planned = told["together"].planned / (rounds * width)
    cpu = told["together"].device == "cpu"
    ours = f"{study.replicas} models x {job.epochs} epochs of {job.tracks:,} x {job.input_shape[0]}"
    rows = [
        (f"{ours}, s a model", summary(model), ""),
        ("one of them alone, s", summary(alone), ""),
        ("a model of the population / one alone", summary(model / alone), f"{'0.6' if cpu else '0.03'} at most"),
        ("rate of the population's products, GFLOP/s", summary(rate / 1e9), ""),
        ("of it, share of the rate of a large product", summary(rate / product), "0.33 at least"),
        ("MB a replica, computed from shapes", summary(np.array([computed / 1e6])), ""),
        ("MB a replica, planned by XLA", summary(np.array([planned / 1e6])), ""),
        ("largest difference of a loss from the one alone", summary(_apart(study, losses)), "0" if cpu else ""),
    ]
    return {
        "rows": [{"what": what, "figure": figure, "target": target} for what, figure, target in rows],
        "layout": layout._asdict(),
        "devices": {name: one.device for name, one in told.items()},
        "compilation": {name: one.compilation for name, one in told.items()},
        "large_product": summary(product),
        "scaled": f"from {int(trained['together'].max())} epochs of the population and {int(trained['alone'].max())} "
        f"of the one alone in each repeat to {job.epochs}",
    }


def _apart(study: Study, losses: Mapping[str, Sequence[np.ndarray]]) -> np.ndarray:
    """The largest relative difference between each replica that was alone and itself in company."""
    whole = np.concatenate(losses["together"], axis=1)[:, : study.job.epochs]
    apart = []
    for turn, single in enumerate(losses["alone"]):
        common = min(single.shape[1], whole.shape[1])
        company = whole[study.alone(turn), :common]
        apart.append(np.max(np.abs(company / single[0, :common] - 1)))
    return np.array(apart)
