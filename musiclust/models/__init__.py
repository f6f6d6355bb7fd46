"""The models, each a Flax module with the same two methods.

    encode(x (B, *D), cond (B, C), train) -> Posterior      decode(z (B, L), cond (B, C), train) -> (B, *D)

and three class attributes. `variational` says whether there is noise and a KL term. `conditional` says whether the
model looks at cond. `multimodal` says whether cond is the modality mask, and the columns of each modality
are an attribute, `modalities`.

To add a model, write a file beside these and a line in MODELS; tests/test_contracts.py runs over the registry.
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
