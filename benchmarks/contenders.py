"""Who trains in training.py, each in a process of its own that is kept for all repeats; population.py's train so too.

A network is described without JAX or torch (`Job`), so that a process loads only the one it works with. A process first
tells how it is set up, then answers each seed with (seconds, loss of the last epoch, FLOP/s of a large product).
"""

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from importlib.util import find_spec
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

from experiments.cli.cores import count_usable_cores
from experiments.configs import PRESETS
from musiclust.errors import InputError

TRACKS = 3081
_MATRIX = 2048  # rows and columns of the large product
# preset -> (shape of x, columns of cond)
SHAPES: dict[str, tuple[tuple[int, ...], int]] = {
    "fma_vae": ((404,), 0),
    "fma_beta": ((20,), 0),
    "fma_cvae": ((20,), 1),
    "fma_conv": ((140,), 0),
    "gtzan_conv": ((128, 431), 0),
}


class Job(NamedTuple):
    """One preset's training. model, options: as in musiclust.models; input_shape: of a track; conditions: columns."""

    model: str
    input_shape: tuple[int, ...]
    conditions: int
    latent_dim: int
    options: dict[str, Any]
    beta: float
    batch_size: int
    tracks: int
    epochs: int


class SetUp(NamedTuple):
    """What a contender tells before its first training.

    seconds: of compilation, without a cache. threads: that it may use. device: by name. flop: of one training, told by
    ours alone.
    """

    seconds: float
    threads: int
    device: str
    flop: float = 0.0


def job(preset: str, tracks: int, epochs: int) -> Job:
    """The training of a preset, on `tracks` tracks for `epochs`."""
    config = PRESETS[preset]
    shape, conditions = SHAPES[preset]
    what = config.model, shape, conditions, config.latent_dim, dict(config.options)
    return Job(*what, config.beta[0], config.batch_size, tracks, epochs)


def synthetic(job: Job) -> tuple[np.ndarray, np.ndarray]:
    """(x (N, *D), cond (N, C)), float32: 8 factors and noise, each column standardised."""
    rng = np.random.default_rng(0)
    columns = int(np.prod(job.input_shape))
    x = rng.normal(size=(job.tracks, 8)) @ rng.normal(size=(8, columns)) + rng.normal(size=(job.tracks, columns))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    cond = rng.uniform(size=(job.tracks, job.conditions))
    return x.reshape(job.tracks, *job.input_shape).astype(np.float32), cond.astype(np.float32)


def product_rate(multiply: Callable[[], Any]) -> float:
    """FLOP/s of the fastest of three calls of `multiply`, which multiplies two `large_matrix()` and waits for it."""
    multiply()
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        multiply()
        taken.append(time.perf_counter() - start)
    return 2 * _MATRIX**3 / min(taken)


def large_matrix() -> np.ndarray:
    """Square, float32."""
    return np.random.default_rng(0).normal(size=(_MATRIX, _MATRIX)).astype(np.float32)


def ours(pipe: Connection, job: Job, precision: str = "float32") -> None:
    """musiclust: the whole run as one compiled program of one replica, without a checkpoint."""
    import jax
    import jax.numpy as jnp

    from benchmarks.flops import training_flop
    from musiclust import devices, population, training
    from musiclust.models import MODELS
    from musiclust.types import Data

    jax.config.update("jax_enable_compilation_cache", False)  # compilation is told as it is the first time
    layout = devices.Layout(1, 1, 1, 1)
    shared = population.share_all(Data(*map(jnp.asarray, synthetic(job))))
    model = MODELS[job.model](input_shape=job.input_shape, latent_dim=job.latent_dim, **job.options)
    recipe = training.Recipe(batch_size=job.batch_size, precision=precision)
    start = time.perf_counter()
    program = population.compiled(model, recipe, job.epochs, layout, shared)
    compilation = time.perf_counter() - start
    flop = training_flop(model, job.tracks, job.conditions, job.epochs)
    pipe.send(SetUp(compilation, count_usable_cores(), jax.devices()[0].device_kind, flop))
    given = population.place(layout, (shared, jnp.int32(0), jnp.int32(job.epochs)), shared=True)
    matrix, square = jnp.asarray(large_matrix()), jax.jit(lambda a: a @ a)
    while (seed := pipe.recv()) is not None:
        settings = [training.Setting(seed, job.beta, 1e-3)]
        (states,), (hyper,) = population.begin(layout, program, settings, shared), population.hypers(layout, settings)
        states, hyper = jax.block_until_ready((population.place(layout, states), hyper))
        start = time.perf_counter()
        _, history = jax.block_until_ready(program.train(states, hyper, *given))
        seconds = time.perf_counter() - start
        rate = product_rate(lambda: square(matrix).block_until_ready())
        pipe.send((seconds, float(history.loss[0, -1]), rate))


def ours_bfloat16(pipe: Connection, job: Job) -> None:
    """The same with factors of products rounded to bfloat16."""
    ours(pipe, job, "bfloat16")


def _peer(pipe: Connection, job: Job, loop: str) -> None:
    import torch

    from benchmarks.pytorch_networks import NETWORKS
    from benchmarks.pytorch_peer import LOOPS

    if loop == "pythae":
        from benchmarks.pythae_peer import pythae as train
    else:
        train = LOOPS[loop]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    x, cond = (torch.from_numpy(array).to(device) for array in synthetic(job))
    matrix = torch.from_numpy(large_matrix()).to(device)
    pipe.send(SetUp(0.0, torch.get_num_threads(), name))
    while (seed := pipe.recv()) is not None:
        torch.manual_seed(seed)
        network = NETWORKS[job.model](job.input_shape, job.conditions, job.latent_dim, **job.options).to(device)
        seconds, loss = train(network, x, cond, job.batch_size, job.beta, job.epochs)
        rate = product_rate(lambda: (matrix @ matrix)[0, 0].item())  # a number is read when it is there
        pipe.send((seconds, loss, rate))


def idiomatic(pipe: Connection, job: Job) -> None:
    """The PyTorch loop that most people write."""
    _peer(pipe, job, "idiomatic")


def written(pipe: Connection, job: Job) -> None:
    """The same, well written."""
    _peer(pipe, job, "written")


def pythae(pipe: Connection, job: Job) -> None:
    """pythae's trainer."""
    _peer(pipe, job, "pythae")


Work = Callable[[Connection, Any], None]  # of a Job, or of what else it is to train


def contenders(job: Job) -> tuple[dict[str, Work], dict[str, str]]:
    """(name -> who trains this, name -> why somebody does not).

    Raises:
      InputError: if PyTorch is not installed.
    """
    if find_spec("torch") is None:
        raise InputError("PyTorch is not installed, and without it there is no peer: pip install torch")
    works: dict[str, Work] = {"ours": ours, "ours, bfloat16": ours_bfloat16}
    works |= {"idiomatic": idiomatic, "written": written}
    if job.conditions or len(job.input_shape) > 1 or job.model == "conv_vae":
        return works, {"pythae": "fully connected networks without conditions only"}
    if find_spec("pythae") is None:
        return works, {"pythae": "not installed"}
    return works | {"pythae": pythae}, {}


class Contender:
    """A process that trains when asked to, once for each call, with a new seed; remembers losses and rates.

    `set_up` is what it tells first.

    Raises:
      InputError: if the process ends early; its own words precede.
    """

    def __init__(self, name: str, work: Work, job: Any, *, has_children: bool = False) -> None:
        """has_children: it starts processes of its own, which a daemon may not; then `stop` has to be called."""
        self.name = name
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_start, args=(work, theirs, job), daemon=not has_children)
        self.process.start()
        theirs.close()
        self.set_up: Any = self._answer()
        self.losses: list[Any] = []
        self.rates: list[float] = []

    def __call__(self) -> float:
        self.pipe.send(len(self.losses))
        seconds, loss, rate = self._answer()
        self.losses.append(loss)
        self.rates.append(rate)
        return seconds

    def _answer(self) -> Any:
        try:
            return self.pipe.recv()
        except EOFError as error:
            raise InputError(f"the process of {self.name!r} ended early: what it says is above") from error

    def stop(self) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended already
            self.pipe.send(None)
        self.process.join()


def _start(work: Work, pipe: Connection, job: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, who ends its daemons
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # several processes share the accelerator
    with contextlib.suppress(BrokenPipeError, EOFError):  # the parent is gone
        work(pipe, job)
