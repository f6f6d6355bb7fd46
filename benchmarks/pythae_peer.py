"""pythae's trainer with the same fully connected network: a peer of training.py, where pythae is installed.

pythae (Chadebec et al., NeurIPS 2022, github.com/clementchadebec/benchmark_VAE): its BetaVAE and BaseTrainer, with the
network of pytorch_networks.py as encoder and decoder. Its reconstruction loss "mse" is half the squared error, so its
beta is half of ours: half the objective, to which Adam is indifferent, and its loss is doubled for the comparison. The
time is that of `BaseTrainer.train`, with its DataLoader, its copy of each best model and its saving of the last.

Only processes of their own import this file: torch and JAX do not share one.
"""

# pyright: reportMissingImports=false

import contextlib
import io
import logging
import tempfile
import time

from pythae.data.datasets import BaseDataset
from pythae.models import BetaVAE, BetaVAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import Tensor

from benchmarks.pytorch_networks import VAE, Network
from benchmarks.pytorch_peer import even_batches


class _Encoder(BaseEncoder):
    def __init__(self, network: VAE) -> None:
        super().__init__()
        self.layers, self.mean, self.logvar = network.encoder, network.mean, network.logvar

    def forward(self, x: Tensor) -> ModelOutput:
        h = self.layers(x)
        return ModelOutput(embedding=self.mean(h), log_covariance=self.logvar(h))


class _Decoder(BaseDecoder):
    def __init__(self, network: VAE) -> None:
        super().__init__()
        self.layers, self.output = network.decoder, network.output

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.output(self.layers(z)))


class _Losses(TrainingCallback):
    """Remembers the mean loss of each epoch."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_log(self, training_config: BaseTrainerConfig, logs: dict, **kwargs) -> None:
        self.losses.append(logs["train_epoch_loss"])


def half_the_objective(network: VAE, beta: float) -> BetaVAE:
    """pythae's model, whose loss is half of `pytorch_peer.loss_of` with the same draw."""
    columns, latent_dim = network.output.out_features, network.mean.out_features
    config = BetaVAEConfig(input_dim=(columns,), latent_dim=latent_dim, beta=beta / 2)
    return BetaVAE(config, encoder=_Encoder(network), decoder=_Decoder(network))


def pythae(network: Network, x: Tensor, cond: Tensor, batch_size: int, beta: float, epochs: int) -> tuple[float, float]:
    """A `pytorch_peer.Loop`.

    Raises:
      ValueError: if there are conditions or convolutions, which this peer does not have.
    """
    if not isinstance(network, VAE) or cond.shape[1]:
        raise ValueError("pythae trains the fully connected networks without conditions only")
    logging.disable(logging.INFO)
    remembered = _Losses()
    model = half_the_objective(network, beta)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        training = BaseTrainerConfig(
            output_dir=folder,
            per_device_train_batch_size=even_batches(len(x), batch_size),
            num_epochs=epochs,
            optimizer_cls="Adam",
            learning_rate=1e-3,
            scheduler_cls="StepLR",
            scheduler_params={"step_size": 20, "gamma": 0.5},
        )
        trainer = BaseTrainer(model, BaseDataset(x, x.new_zeros(len(x))), None, training, [remembered])
        start = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - start
    return seconds, 2 * remembered.losses[-1]
