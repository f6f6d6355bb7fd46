"""The models, each a Flax module with the same two methods.

    encode(x (B, *D), cond (B, C), train) -> Posterior      decode(z (B, L), cond (B, C), train) -> (B, *D)

and two class attributes: `variational` (is there noise and a KL term?) and `conditional` (does it look at cond?).
To add one: write a file beside these and a line in MODELS; tests/test_contracts.py runs over the registry.
"""

from collections.abc import Callable

from musiclust.models.conv import ConvVAE
from musiclust.models.cvae import CVAE
from musiclust.models.mlp import VAE, Autoencoder

Model = VAE | ConvVAE

MODELS: dict[str, Callable[..., Model]] = {
    "vae": VAE,
    "beta_vae": VAE,
    "conv_vae": ConvVAE,
    "cvae": CVAE,
    "autoencoder": Autoencoder,
}
