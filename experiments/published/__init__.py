"""What the two reports print, as data: each row with the run that measures it, and its figures as in print."""

from dataclasses import replace

from experiments.configs import PRESETS, Config
from experiments.published.fma import FMA
from experiments.published.gtzan import GTZAN
from experiments.published.rows import Report

_hybrid = PRESETS["fma_vae"]
_table = Config("vae", ("table",), scaling="power", latent_dim=16)
_words_too = ("mfcc_mean", "lyrics")
RUNS: dict[str, Config] = {
    **{name: PRESETS[name] for name in ("fma_vae", "fma_beta", "fma_cvae")},
    "fma_conv": replace(PRESETS["fma_conv"], clusterer=("kmeans", "agglomerative", "dbscan", "gmm")),
    "beta_1": replace(PRESETS["fma_beta"], beta=(1.0,)),
    "hybrid_balanced": replace(_hybrid, scaling="balanced"),
    "hybrid_weighted": replace(_hybrid, scaling="balanced", fusion="weighted"),
    "hybrid_pca": replace(_hybrid, scaling="balanced", fusion="pca"),
    "audio_only": replace(_hybrid, features=("mfcc_mean",)),
    "text_only": replace(_hybrid, features=("lyrics",)),
    "cvae_modality": Config("cvae", _words_too, condition="modality"),
    "poe_vae": Config("poe_vae", _words_too, condition="modality"),
    "attention_vae": Config("attention_vae", _words_too, condition="modality"),
    **{name: PRESETS[name] for name in ("gtzan_mlp", "gtzan_mlp_text", "gtzan_conv")},
    "gtzan_cvae": replace(PRESETS["gtzan_cvae"], clusterer=("gmm", "kmeans")),
    "table_neighbours": replace(_table, neighbours=1.0),
    "table_vae": _table,
    "gtzan_text_only": replace(PRESETS["gtzan_mlp_text"], features=("lyrics",)),
}

REPORTS: dict[str, Report] = {"fma": FMA, "gtzan": GTZAN}
