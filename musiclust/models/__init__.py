"""The models, each a Flax module with the same two methods.

    encode(x (B, *D), cond (B, C), train) -> Posterior      decode(z (B, L), cond (B, C), train) -> (B, *D)

and three class attributes: `variational` (is there noise and a KL term?), `conditional` (does it look at cond?) and
`multimodal` (is cond the modality mask, and are the columns of each modality an attribute, `modalities`?).
To add one: write a file beside these and a line in MODELS; tests/test_contracts.py runs over the registry.
"""

from collections.abc import Callable

from musiclust.models.conv import ConvVAE
from musiclust.models.cvae import CVAE
from musiclust.models.mlp import VAE, Autoencoder
from musiclust.models.multimodal import AttentionVAE, PoEVAE

Model = VAE | ConvVAE | PoEVAE | AttentionVAE

MODELS: dict[str, Callable[..., Model]] = {
    "vae": VAE,
    "beta_vae": VAE,
    "conv_vae": ConvVAE,
    "cvae": CVAE,
    "autoencoder": Autoencoder,
    "poe_vae": PoEVAE,
    "attention_vae": AttentionVAE,
}
