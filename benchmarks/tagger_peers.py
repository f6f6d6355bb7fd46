"""The tagger's networks as tagger.py has them run: by musiclust, by PyTorch and by onnxruntime.

Each contender works in a process of its own (see contenders.py). It answers each round with (seconds for all windows,
the tags, FLOP/s of a large product in the same library).
"""

import io
import os
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.contenders import SetUp, Work, large_matrix, product_rate
from experiments.cli.cores import count_usable_cores
from musiclust.preprocess.audio.tagger.patches import BANDS, FRAMES

_BATCH = 8  # patches at a time on a CPU, at which both peers are fastest here


class Job(NamedTuple):
    """wheel: with the weights. windows: how many are heard in a round."""

    wheel: str
    windows: int


def synthetic(job: Job) -> np.ndarray:
    """(windows, 187, 96) float16 mel power: noise whose loudness comes and goes."""
    rng = np.random.default_rng(0)
    loudness = 10 ** rng.uniform(-3, 1, (job.windows, FRAMES, 1))
    return (loudness * rng.exponential(size=(job.windows, FRAMES, BANDS))).astype(np.float16)


def flop_of_a_window() -> float:
    """Of both networks: two for each multiplication of each product."""
    from musiclust.preprocess.audio.tagger.network import variable_shapes

    total = 0
    for name, variables in variable_shapes()["params"].items():
        if "kernel" not in variables:
            continue
        shape = variables["kernel"].shape
        places = 1
        if name.startswith("conv2d"):
            middle = name in ("conv2d_5", "conv2d_6", "conv2d_7")  # over all channels, which stand in place of bands
            places = FRAMES * (1 if middle else BANDS - shape[1] + 1)
        total += places * int(np.prod(shape))
    return 2.0 * 2 * total


def _answer(pipe: Connection, mel: np.ndarray, tag: Callable[[np.ndarray], np.ndarray], square: Callable[[], Any]):
    tag(mel[:_BATCH])
    while pipe.recv() is not None:
        start = time.perf_counter()
        tags = tag(mel)
        seconds = time.perf_counter() - start
        pipe.send((seconds, tags, product_rate(square)))


def ours(pipe: Connection, job: Job) -> None:
    """musiclust, one process with all cores: as preprocessing does it."""
    import jax
    import jax.numpy as jnp

    from musiclust.preprocess.audio.tagger import run

    start = time.perf_counter()
    run.prepare(Path(job.wheel))
    device = jax.devices()[0]
    pipe.send(SetUp(time.perf_counter() - start, count_usable_cores(), device.device_kind, flop_of_a_window()))
    matrix, multiply = jnp.asarray(large_matrix()), jax.jit(lambda a: a @ a)

    def tag(mel: np.ndarray) -> np.ndarray:
        found = run.tag(Path(job.wheel), mel)
        return np.concatenate([found["msd_tags"], found["mtt_tags"]], axis=1)

    _answer(pipe, synthetic(job), tag, lambda: multiply(matrix).block_until_ready())


def _hold_one_core(cores: Any) -> None:
    os.sched_setaffinity(0, {cores.get()})


def _tag_part(wheel: str, mel: np.ndarray) -> np.ndarray:
    from musiclust.preprocess.audio.tagger import run

    found = run.tag(Path(wheel), mel)
    return np.concatenate([found["msd_tags"], found["mtt_tags"]], axis=1)


def ours_a_process_a_core(pipe: Connection, job: Job) -> None:
    """The same by a process for each core, each with one thread."""
    context = get_context("spawn")
    cores = context.Queue()
    for core in os.sched_getaffinity(0):
        cores.put(core)
    count = len(os.sched_getaffinity(0))
    start = time.perf_counter()
    with ProcessPoolExecutor(count, context, _hold_one_core, (cores,)) as pool:
        mel = synthetic(job)
        list(pool.map(_tag_part, [job.wheel] * count, [mel[:_BATCH]] * count))
        pipe.send(SetUp(time.perf_counter() - start, count, "cpu", flop_of_a_window()))

        def tag(mel: np.ndarray) -> np.ndarray:
            return np.concatenate(list(pool.map(_tag_part, [job.wheel] * count, np.array_split(mel, count))))

        matrix = large_matrix()
        _answer(pipe, mel, tag, lambda: matrix @ matrix)


def build_pytorch(variables: Mapping[str, Any]) -> Any:
    """The network in PyTorch, for inference, with the given variables; it takes log mel (B, 187, 96)."""
    import torch
    from torch import nn
    from torch.nn import functional

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.array(array))

    params, stats = variables["params"], variables["batch_stats"]

    class Normalise(nn.Module):
        def __init__(self, number: int) -> None:
            super().__init__()
            name = f"batch_normalization_{number}" if number else "batch_normalization"
            scale = params[name]["gamma"] / np.sqrt(stats[name]["moving_variance"] + 1e-3)
            self.scale = nn.Parameter(tensor(scale))
            self.shift = nn.Parameter(tensor(params[name]["beta"] - stats[name]["moving_mean"] * scale))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            shape = (1, -1, *([1] * (x.ndim - 2)))
            return x * self.scale.reshape(shape) + self.shift.reshape(shape)

    class Convolve(nn.Module):
        """(B, C, T, F) or, over all channels, (B, C, T)."""

        def __init__(self, number: int) -> None:
            super().__init__()
            name = f"conv2d_{number}" if number else "conv2d"
            kernel = params[name]["kernel"]
            self.middle = kernel.shape[1] > BANDS or number > 4
            order = (3, 1, 0) if self.middle else (3, 2, 0, 1)
            values = kernel[:, :, 0].transpose(2, 1, 0) if self.middle else kernel.transpose(order)
            self.weight = nn.Parameter(tensor(np.ascontiguousarray(values)))
            self.bias = nn.Parameter(tensor(params[name]["bias"]))
            self.padding = ((kernel.shape[0] - 1) // 2, kernel.shape[0] // 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            before, after = self.padding
            if self.middle:
                return functional.relu(functional.conv1d(functional.pad(x, (before, after)), self.weight, self.bias))
            return functional.relu(functional.conv2d(functional.pad(x, (0, 0, before, after)), self.weight, self.bias))

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norms = nn.ModuleList([Normalise(i) for i in range(11)])
            self.convs = nn.ModuleList([Convolve(i) for i in range(8)])
            self.dense = nn.ParameterList(
                [tensor(params[n][k]) for n in ("dense", "dense_1") for k in ("kernel", "bias")]
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.norms[0](x[:, None])
            front = torch.cat([self.norms[i + 1](self.convs[i](x)).amax(dim=3) for i in range(5)], dim=1)
            first = self.norms[6](self.convs[5](front))
            second = self.norms[7](self.convs[6](first)) + first
            third = self.norms[8](self.convs[7](second)) + second
            channels = torch.cat([front, first, second, third], dim=1)
            pools = torch.stack([channels.amax(dim=2), channels.mean(dim=2)], dim=2).flatten(1)
            kernel, bias, kernel_1, bias_1 = self.dense
            hidden = self.norms[10](functional.relu(self.norms[9](pools) @ kernel + bias))
            return torch.sigmoid(hidden @ kernel_1 + bias_1)

    return Network().eval()


def _load_pytorch(job: Job) -> list[Any]:
    from musiclust.preprocess.audio.tagger.network import variable_shapes
    from musiclust.preprocess.audio.tagger.weights import read_weights

    return [build_pytorch(variables) for variables in read_weights(Path(job.wheel), variable_shapes()).values()]


def pytorch(pipe: Connection, job: Job) -> None:
    """The same networks in PyTorch."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    networks = [network.to(device) for network in _load_pytorch(job)]
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    batch = _BATCH if device.type == "cpu" else 64
    pipe.send(SetUp(0.0, torch.get_num_threads(), name))
    matrix = torch.from_numpy(large_matrix()).to(device)

    @torch.inference_mode()
    def tag(mel: np.ndarray) -> np.ndarray:
        parts = []
        for start in range(0, len(mel), batch):
            x = torch.log10(10_000 * torch.from_numpy(mel[start : start + batch]).to(device).float() + 1)
            parts.append(torch.cat([network(x) for network in networks], dim=1).cpu().numpy())
        return np.concatenate(parts)

    _answer(pipe, synthetic(job), tag, lambda: (matrix @ matrix)[0, 0].item())


def onnx(pipe: Connection, job: Job) -> None:
    """The same networks in onnxruntime, exported from PyTorch on the spot."""
    import onnxruntime
    import torch

    sessions = []
    for network in _load_pytorch(job):
        file: Any = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter that needs no further package is called legacy
            torch.onnx.export(
                network,
                (torch.zeros(_BATCH, FRAMES, BANDS),),
                file,
                dynamo=False,
                input_names=["x"],
                dynamic_axes={"x": {0: "batch"}},
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = count_usable_cores()
        sessions.append(onnxruntime.InferenceSession(file.getvalue(), options, onnxruntime.get_available_providers()))
    pipe.send(SetUp(0.0, count_usable_cores(), "cpu"))
    matrix = large_matrix()

    def tag(mel: np.ndarray) -> np.ndarray:
        parts = []
        for start in range(0, len(mel), _BATCH):
            x = np.log10(10_000 * mel[start : start + _BATCH].astype(np.float32) + 1)
            parts.append(np.concatenate([session.run(None, {"x": x})[0] for session in sessions], axis=1))
        return np.concatenate(parts)

    _answer(pipe, synthetic(job), tag, lambda: matrix @ matrix)


WORKS: dict[str, Work] = {
    "ours": ours,
    "ours, a process a core": ours_a_process_a_core,
    "PyTorch": pytorch,
    "onnxruntime": onnx,
}
