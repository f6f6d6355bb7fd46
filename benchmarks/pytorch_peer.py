"""The training loop that most PyTorch users write, for the published fully connected models: the peer of training.py.

DataLoader with shuffling, Adam, StepLR, one optimiser step a batch. The network is that of musiclust.models.mlp; only
this file's process imports torch.
"""

import itertools
import math
import time
from collections.abc import Sequence

import numpy as np


def train(x: np.ndarray, cond: np.ndarray, hidden: Sequence[int], latent_dim: int, beta: float, epochs: int, seed: int):
    """Trains one model; returns (seconds, mean loss of the last epoch), the seconds without imports and set-up.

    Args:
      x: (N, D) float32; cond: (N, C) float32, beside x and beside z.
    """
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    def dense(inputs: int, outputs: int) -> nn.Linear:
        """Flax's initial scale: LeCun normal, zero bias."""
        layer = nn.Linear(inputs, outputs)
        deviation = math.sqrt(1 / inputs) / 0.87962566  # cut at two deviations, it loses this much
        nn.init.trunc_normal_(layer.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
        nn.init.zeros_(layer.bias)
        return layer

    def stack(widths: Sequence[int]) -> nn.Sequential:
        layers = []
        for inputs, outputs in itertools.pairwise(widths):
            layers += [dense(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU()]
        return nn.Sequential(*layers)

    class VAE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = stack([x.shape[1] + cond.shape[1], *hidden])
            self.mean, self.logvar = dense(hidden[-1], latent_dim), dense(hidden[-1], latent_dim)
            self.decoder = stack([latent_dim + cond.shape[1], *hidden[::-1]])
            self.output = dense(hidden[0], x.shape[1])

        def forward(self, x, c):
            h = self.encoder(torch.cat([x, c], dim=1))
            mean, logvar = self.mean(h), self.logvar(h)
            z = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)
            return self.output(self.decoder(torch.cat([z, c], dim=1))), mean, logvar

    torch.manual_seed(seed)
    model = VAE()
    batches = math.ceil(len(x) / 256)
    loader = DataLoader(
        TensorDataset(torch.from_numpy(x), torch.from_numpy(cond)), math.ceil(len(x) / batches), shuffle=True
    )
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, 20, 0.5)
    total = 0.0
    start = time.perf_counter()
    for _ in range(epochs):
        total = 0.0
        for batch, condition in loader:
            reconstruction, mean, logvar = model(batch, condition)
            error = ((reconstruction - batch) ** 2).sum(dim=1)
            kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum(dim=1)
            loss = (error + beta * kl).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item() * len(batch)
        schedule.step()
    return time.perf_counter() - start, total / len(x)
