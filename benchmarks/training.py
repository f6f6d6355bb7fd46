"""Speed of training one model: python -m benchmarks.training [--models=fma_vae,fma_beta,fma_cvae --epochs=20]

Ours is a whole run as one compiled program. The peer is the PyTorch loop that most people write (pytorch_peer.py): same
network, initial scale, data, batches and schedule, checked to reach the same loss within 2 %. Each contender works in
a process of its own, kept for all repeats, which take turns; both may use every core. Compilation is not in the times
and is told apart. Data are drawn on the spot: 3,081 tracks, features of 8 factors and noise.
"""

import multiprocessing
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from absl import app, flags

from benchmarks.measure import console, in_turn, machine, ratio_table, summary, write

_MODELS = flags.DEFINE_list("models", ["fma_vae", "fma_beta", "fma_cvae"], "Presets with fully connected networks.")
_EPOCHS = flags.DEFINE_integer("epochs", 20, "Epochs of a run.", lower_bound=10)
_REPEATS = flags.DEFINE_integer("repeats", 5, "Repeats after the warm-up.", lower_bound=5)
_OUT = flags.DEFINE_string("out", "benchmarks/results/training.json", "Where the figures are written.")

TRACKS = 3081
# preset -> columns of x, columns of cond
COLUMNS = {"fma_vae": (404, 0), "fma_beta": (20, 0), "fma_cvae": (20, 1)}


def synthetic(preset: str) -> tuple[np.ndarray, np.ndarray]:
    """(x, cond), standardised."""
    columns, conditions = COLUMNS[preset]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(TRACKS, 8)) @ rng.normal(size=(8, columns)) + rng.normal(size=(TRACKS, columns))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    return x.astype(np.float32), rng.uniform(size=(TRACKS, conditions)).astype(np.float32)


def settings(preset: str) -> tuple[tuple[int, ...], int, float]:
    """(hidden, latent dimensions, beta) of a preset."""
    from experiments.configs import PRESETS
    from musiclust.models import MODELS

    config = PRESETS[preset]
    model = MODELS[config.model](input_shape=COLUMNS[preset][:1], **dict(config.options))
    return tuple(model.hidden), config.latent_dim, config.beta[0]


def ours(pipe: Connection, preset: str, epochs: int) -> None:
    """Answers each seed with (seconds, last loss); the first answer is the seconds of compilation."""
    import jax
    import jax.numpy as jnp

    from musiclust import train
    from musiclust.models import MODELS
    from musiclust.types import Data, Hyper

    hidden, latent_dim, beta = settings(preset)
    data = Data(*map(jnp.asarray, synthetic(preset)))
    name = "cvae" if data.cond.shape[1] else "vae"
    model = MODELS[name](input_shape=(data.x.shape[1],), latent_dim=latent_dim, hidden=hidden)
    recipe = train.Recipe(epochs=epochs)
    hypers = Hyper(jnp.array([beta]), jnp.array([1e-3]))
    states = train.init_population(model, jnp.arange(1), data)
    start = time.perf_counter()
    program = train.population.lower(model, recipe, epochs, 1, states, hypers, data, 0).compile()
    pipe.send(time.perf_counter() - start)
    while (seed := pipe.recv()) is not None:
        states = jax.block_until_ready(train.init_population(model, jnp.array([seed]), data))
        start = time.perf_counter()
        _, history = jax.block_until_ready(program(states, hypers, data, 0))
        pipe.send((time.perf_counter() - start, float(history.loss[0, -1])))


def peer(pipe: Connection, preset: str, epochs: int) -> None:
    """As `ours`, in PyTorch."""
    from benchmarks import pytorch_peer

    hidden, latent_dim, beta = settings(preset)
    x, cond = synthetic(preset)
    pipe.send(0.0)
    while (seed := pipe.recv()) is not None:
        pipe.send(pytorch_peer.train(x, cond, hidden, latent_dim, beta, epochs, seed))


class Contender:
    """A process that trains when asked to, once for each call, with a new seed; remembers the last losses."""

    def __init__(self, work, preset: str, epochs: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, preset, epochs), daemon=True)
        self.process.start()
        self.compilation = self.pipe.recv()
        self.losses: list[float] = []

    def __call__(self) -> float:
        self.pipe.send(len(self.losses))
        seconds, loss = self.pipe.recv()
        self.losses.append(loss)
        return seconds

    def stop(self) -> None:
        self.pipe.send(None)
        self.process.join()


def main(argv: Sequence[str]) -> None:
    if len(argv) > 1 or not set(_MODELS.value) <= COLUMNS.keys():
        raise app.UsageError(f"--models: choose from {', '.join(COLUMNS)}")
    about = machine(["jax", "flax", "torch", "numpy"])
    result = {"machine": about, "epochs": _EPOCHS.value, "tracks": TRACKS, "models": {}}
    ratios = {}
    for preset in _MODELS.value:
        contenders = {name: Contender(work, preset, _EPOCHS.value) for name, work in (("ours", ours), ("torch", peer))}
        taken = in_turn(contenders, _REPEATS.value)
        for contender in contenders.values():
            contender.stop()
        losses = {name: float(np.mean(contender.losses)) for name, contender in contenders.items()}
        gap = abs(losses["ours"] / losses["torch"] - 1)
        if gap > 0.02:
            raise SystemExit(f"{preset}: not the same training, the losses are {losses}")
        ratios[f"{preset}: PyTorch loop / ours"] = taken["torch"] / taken["ours"]
        result["models"][preset] = {
            "seconds": {name: summary(seconds) for name, seconds in taken.items()},
            "ratio": summary(taken["torch"] / taken["ours"]),
            "last_loss": losses,
            "compile_seconds": contenders["ours"].compilation,
        }
        console.print(
            f"{preset}: ours {np.median(taken['ours']):.2f} s, PyTorch {np.median(taken['torch']):.2f} s for "
            f"{_EPOCHS.value} epochs; compilation {contenders['ours'].compilation:.1f} s; losses within {gap:.1%}"
        )
    console.print(ratio_table(f"times of {_EPOCHS.value} epochs of {TRACKS} tracks", ratios))
    console.print(", ".join(f"{key} {value}" for key, value in about.items()))
    write(Path(_OUT.value), result)


if __name__ == "__main__":
    app.run(main)
