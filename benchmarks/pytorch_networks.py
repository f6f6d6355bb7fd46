"""The networks of musiclust.models in PyTorch, as a careful PyTorch user writes them: the peers of training.py.

Layers, number of parameters, initial scale (Flax's: LeCun normal, zero bias), dropout and, with the same weights, the
values are those of the Flax modules of the same name; tests/test_benchmark_peers.py holds them to it. Channels come
first. Only processes of their own import this file: torch and JAX do not share one.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# As in musiclust.models.conv: (window, stride) of each layer along each axis.
_LAYERS = {1: ((7, 5), (3, 2), (3, 2), (3, 2)), 2: ((3, 2), (3, 2), (3, 2), (3, 2))}
_CONV = {1: nn.Conv1d, 2: nn.Conv2d}
_TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d}
_NORM = {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d}
_Layer = TypeVar("_Layer", nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)


class VAE(nn.Module):
    """musiclust.models.mlp.VAE, and with conditions > 0 musiclust.models.cvae.CVAE.

    encode(x (B, D), cond (B, C)) -> (mean, logvar) (B, L) each; decode(z (B, L), cond) -> (B, D).
    """

    def __init__(
        self, input_shape: Sequence[int], conditions: int, latent_dim: int, hidden: Sequence[int] = (512, 256, 128)
    ) -> None:
        super().__init__()
        (columns,) = input_shape
        self.encoder = _stack([columns + conditions, *hidden])
        self.mean, self.logvar = _dense(hidden[-1], latent_dim), _dense(hidden[-1], latent_dim)
        self.decoder = _stack([latent_dim + conditions, *hidden[::-1]])
        self.output = _dense(hidden[0], columns)

    def encode(self, x: Tensor, cond: Tensor) -> tuple[Tensor, Tensor]:
        h = self.encoder(torch.cat([x, cond], dim=1) if cond.shape[1] else x)
        return self.mean(h), self.logvar(h)

    def decode(self, z: Tensor, cond: Tensor) -> Tensor:
        return self.output(self.decoder(torch.cat([z, cond], dim=1) if cond.shape[1] else z))


class CVAE(VAE):
    """The same with the hidden layers of musiclust.models.cvae.CVAE."""

    def __init__(
        self, input_shape: Sequence[int], conditions: int, latent_dim: int, hidden: Sequence[int] = (512, 256)
    ) -> None:
        super().__init__(input_shape, conditions, latent_dim, hidden)


class ConvVAE(nn.Module):
    """musiclust.models.conv.ConvVAE: encode(x (B, *D), cond) and decode(z (B, L), cond) -> (B, *D); cond is not used.

    "SAME" padding that is even is the convolution's own, the odd row or column is added by F.pad.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        conditions: int,
        latent_dim: int,
        channels: Sequence[int] = (32, 64, 128, 256),
        dense: int = 128,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        rank = len(input_shape)
        layers = _LAYERS[rank]
        spaces = [tuple(input_shape)]
        for _, stride in layers:
            spaces.append(tuple(-(-n // stride) for n in spaces[-1]))
        self.spaces = spaces

        self.pads, convs = [], []
        for space, (window, stride), (inputs, outputs) in zip(
            spaces[:-1], layers, itertools.pairwise([1, *channels]), strict=True
        ):
            totals = [max((-(-n // stride) - 1) * stride + window - n, 0) for n in space]
            self.pads.append([pad for total in reversed(totals) for pad in (0, total % 2)])  # F.pad: last axis first
            conv = _CONV[rank](inputs, outputs, window, stride, padding=tuple(total // 2 for total in totals))
            convs.append(_initialise(conv, window**rank * inputs))
        self.convs = nn.ModuleList(convs)
        self.conv_activations = nn.ModuleList(_activation(rank, width, dropout) for width in channels)

        flat = math.prod(spaces[-1]) * channels[-1]
        self.squeeze = nn.Sequential(_dense(flat, dense), _activation(0, dense, dropout))
        self.mean, self.logvar = _dense(dense, latent_dim), _dense(dense, latent_dim)
        self.expand = nn.Sequential(_dense(latent_dim, dense), _activation(0, dense, dropout))
        self.unflatten = nn.Sequential(_dense(dense, flat), _activation(0, flat, dropout))

        transposed = []
        widths = [*channels[::-1], 1]
        for (_, stride), (inputs, outputs) in zip(reversed(layers), itertools.pairwise(widths), strict=True):
            # A window of 3 cannot cover a stride of 5: there the input is repeated and the convolution has stride 1.
            repeat = stride if stride > 3 else 1
            stride //= repeat
            conv = _TRANSPOSED[rank](inputs, outputs, 3, stride, padding=1 if stride == 1 else 0)
            conv = _initialise(conv, 3**rank * inputs)
            transposed.append(nn.Sequential(nn.Upsample(scale_factor=repeat), conv) if repeat > 1 else conv)
        self.transposed = nn.ModuleList(transposed)
        activations = [_activation(rank, width, dropout) for width in widths[1:-1]]
        self.transposed_activations = nn.ModuleList([*activations, nn.Identity()])

    def encode(self, x: Tensor, cond: Tensor) -> tuple[Tensor, Tensor]:
        h = x.unsqueeze(1)
        for pad, conv, activate in zip(self.pads, self.convs, self.conv_activations, strict=True):
            h = activate(conv(F.pad(h, pad) if any(pad) else h))
        h = self.squeeze(h.flatten(1))
        return self.mean(h), self.logvar(h)

    def decode(self, z: Tensor, cond: Tensor) -> Tensor:
        h = self.unflatten(self.expand(z))
        h = h.reshape(len(z), -1, *self.spaces[-1])
        for conv, activate, space in zip(
            self.transposed, self.transposed_activations, self.spaces[-2::-1], strict=True
        ):
            h = activate(conv(h)[(..., *map(slice, space))])
        return h.squeeze(1)


Network = VAE | ConvVAE

# As in musiclust.models.MODELS.
NETWORKS: dict[str, Callable[..., Network]] = {"vae": VAE, "beta_vae": VAE, "cvae": CVAE, "conv_vae": ConvVAE}


def _initialise(layer: _Layer, fan_in: int) -> _Layer:
    """Flax's initial scale."""
    deviation = math.sqrt(1 / fan_in) / 0.87962566  # cut at two deviations, it loses this much
    nn.init.trunc_normal_(layer.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
    nn.init.zeros_(cast(Tensor, layer.bias))
    return layer


def _dense(inputs: int, outputs: int) -> nn.Linear:
    return _initialise(nn.Linear(inputs, outputs), inputs)


def _stack(widths: Sequence[int]) -> nn.Sequential:
    layers = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [_dense(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _activation(rank: int, width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(_NORM[rank](width, affine=False), nn.ReLU(inplace=True), nn.Dropout(dropout))
