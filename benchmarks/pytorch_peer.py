"""Two PyTorch training loops for the same network: the peers of training.py.

`idiomatic` is the loop that most users write: DataLoader with shuffling, Adam, StepLR, `loss.item()` after each step.
`written` is one by somebody who has read the performance guide: no DataLoader but one permutation and one gather an
epoch, of which batches are views, gradients set to None, the fused Adam, and losses read once at the end.

Not among them: torch.compile, which takes a minute to warm up and on two cores of a CPU gained a quarter over
`idiomatic`, as much as `written` does without it.

Data and network are on one device, the GPU if there is one. Only processes of their own import this file: torch and
JAX do not share one.
"""

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.pytorch_networks import Network

# (network, x (N, *D), cond (N, C), batch size, beta, epochs) -> (seconds, mean loss over the tracks in the last epoch)
Loop = Callable[[Network, Tensor, Tensor, int, float, int], tuple[float, float]]


def loss_of(network: Network, x: Tensor, cond: Tensor, beta: float) -> Tensor:
    """Squared error summed over features plus beta times KL, the mean over the batch, as musiclust.objectives.elbo."""
    mean, logvar = network.encode(x, cond)
    z = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)
    error = (network.decode(z, cond) - x).square().flatten(1).sum(dim=1)
    kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(dim=1)
    return (error + beta * kl).mean()


def even_batches(tracks: int, batch_size: int) -> int:
    """Tracks a batch, as musiclust.train.Recipe has them."""
    return math.ceil(tracks / math.ceil(tracks / batch_size))


def idiomatic(network: Network, x: Tensor, cond: Tensor, batch_size: int, beta: float, epochs: int):
    """As most write it."""
    loader = DataLoader(TensorDataset(x, cond), even_batches(len(x), batch_size), shuffle=True)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, 20, 0.5)
    total = 0.0
    start = time.perf_counter()
    for _ in range(epochs):
        total = 0.0
        for batch, condition in loader:
            optimiser.zero_grad()
            loss = loss_of(network, batch, condition, beta)
            loss.backward()
            optimiser.step()
            total += loss.item() * len(batch)
        schedule.step()
    return time.perf_counter() - start, total / len(x)


def written(network: Network, x: Tensor, cond: Tensor, batch_size: int, beta: float, epochs: int):
    """As somebody writes it who wants it fast."""
    size = even_batches(len(x), batch_size)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, 20, 0.5)
    total = torch.zeros((), device=x.device)
    start = time.perf_counter()
    for _ in range(epochs):
        order = torch.randperm(len(x), device=x.device)
        total = torch.zeros((), device=x.device)
        for batch, condition in zip(x[order].split(size), cond[order].split(size), strict=True):
            optimiser.zero_grad(set_to_none=True)
            loss = loss_of(network, batch, condition, beta)
            loss.backward()
            optimiser.step()
            total += loss.detach() * len(batch)
        schedule.step()
    mean = total.item() / len(x)  # waits for the device
    return time.perf_counter() - start, mean


LOOPS: dict[str, Loop] = {"idiomatic": idiomatic, "written": written}
