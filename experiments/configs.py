"""What a run is made of: defaults by model, and the published rows as presets.

A published row: `python -m experiments.run --preset=fma_beta --store=stores/fma`. Where a report is silent (hidden
layers of the second one), the value is ours.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

from musiclust.records import check_record

NULLS = ("latents", "pipeline")
STREAMS = ("auto", "yes", "no")
CONTROLS = ("words_shuffled", "sound_only", "classes_shuffled", "noise")  # as study.controls.MAKERS has them
REPORT_BASELINES = ("features", "pca")
ALL_BASELINES = ("features", "unit_features", "pca", "tsne")
# The most tracks that a table has a row of t-SNE for by itself: so many take about a minute on one core.
TSNE_LIMIT = 5_000

_CONDITIONS_BEFORE = {"label": "class", "label:code": "class:code"}


@dataclass(frozen=True)
class Config:
    """One run. Seeds, betas and learning rates are swept as a product, in one program.

    Attributes:
      model: in MODELS. features: blocks of the store; of those that nobody asked for by name, "lyrics" is left out
        where the store has none, and "mfcc_mean" is taken for the tagger's where the store lacks them.
      fusion: in FUSIONS. scaling: in SCALINGS. weights: of the blocks in the weighted fusion, () for the usual ones.
      condition: "none", "modality" (which blocks the track has), the name of classes (one-hot), "class" for those
        scored against, or either with ":code" (one column, the code over the largest;
        where the classes of some tracks are unknown, a second one says of which).
      latent_dim: L. options: further attributes of the model. neighbours, patience, precision, free_bits,
        capacity: as in training.Recipe. held_out: share of the tracks, whole groups, that neither the scaling nor the
        model is fitted on; 0 for none.
      subsamples: how many subsamples of the tracks each replica is trained on beside all of them. max_memory: GiB that
        training may take, 0 for the usual share.
      stream: in STREAMS, whether features are read from the disk as they are needed; "auto" where they are too many for
        memory, and a completed configuration has "yes" or "no". split_batches: whether each batch is split over all
        devices; None on accelerators of which there are more than replicas.
      controls: in CONTROLS, trained beside the model with the first beta and learning rate.
      null: in NULLS, what the shown clusters are held against.
      baselines: in BASELINES; those of the two reports, if none are named.
      clusterer: in CLUSTERERS; each groups every latent space, the first one's groups are shown. k: clusters; 0 for as
        many as there are classes, or without classes as many as the features suggest. k_source: which of these it is,
        "given", "classes" or "suggested"; nobody sets it.
      classes: which of the store's are scored against, never seen by training; "" for the first.
    """

    model: str
    features: tuple[str, ...]
    fusion: str = "concat"
    scaling: str = "balanced"
    weights: tuple[float, ...] = ()
    condition: str = "none"
    latent_dim: int = 32
    options: tuple[tuple[str, Any], ...] = ()
    seed: tuple[int, ...] = (0,)
    beta: tuple[float, ...] = (1.0,)
    learning_rate: tuple[float, ...] = (1e-3,)
    subsamples: int = 0
    controls: tuple[str, ...] = ()
    null: str = "latents"
    epochs: int = 100
    batch_size: int = 256
    schedule: str = "step"
    beta_schedule: str = "constant"
    neighbours: float = 0.0
    patience: int = 0
    precision: str = "float32"
    free_bits: float = 0.0
    capacity: float = 0.0
    held_out: float = 0.0
    max_memory: float = 0.0
    stream: str = "auto"
    split_batches: bool | None = None
    baselines: tuple[str, ...] = REPORT_BASELINES
    clusterer: tuple[str, ...] = ("kmeans",)
    k: int = 0
    k_source: str = "given"
    classes: str = ""

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dictionary; `from_json` is its inverse."""
        return asdict(self)

    @staticmethod
    def from_json(record: dict[str, Any]) -> "Config":
        """Raises ValueError: "<fault>", for a record of another version of Config, or one with bootstrap resamples."""
        values = dict(record)
        if "label" in values:  # written by version 0.1
            values["classes"] = values.pop("label")
            values["condition"] = _CONDITIONS_BEFORE.get(str(values.get("condition")), values.get("condition"))
        if values.pop("bootstrap", [0]) != [0]:  # of versions before 0.3
            raise ValueError("it names bootstrap resamples, which are no more")
        if unknown := sorted(set(values) - set(Config.__dataclass_fields__)):
            raise ValueError(f"it has an unknown field `{unknown[0]}`")
        config = check_record(values, Config)
        options = tuple((key, tuple(v) if isinstance(v, list) else v) for key, v in config.options)
        config = replace(config, options=options)
        _check(config)
        return config


def _check(config: Config) -> None:
    """Raises ValueError: "<fault>", unless every name is one that there is, and every number in its range."""
    from musiclust.baselines import BASELINES  # these bring JAX and scikit-learn, which take seconds to load
    from musiclust.cluster import CLUSTERERS
    from musiclust.fusion import FUSIONS, SCALINGS
    from musiclust.models import MODELS
    from musiclust.schedules import BETA_SCHEDULES, SCHEDULES
    from musiclust.training import PRECISIONS

    named = (
        ("model", (config.model,), MODELS),
        ("fusion", (config.fusion,), FUSIONS),
        ("scaling", (config.scaling,), SCALINGS),
        ("schedule", (config.schedule,), SCHEDULES),
        ("beta_schedule", (config.beta_schedule,), BETA_SCHEDULES),
        ("precision", (config.precision,), PRECISIONS),
        ("null", (config.null,), NULLS),
        ("stream", (config.stream,), STREAMS),
        ("k_source", (config.k_source,), ("given", "classes", "suggested")),
        ("clusterer", config.clusterer, CLUSTERERS),
        ("baselines", config.baselines, BASELINES),
        ("controls", config.controls, CONTROLS),
    )
    for field, names, registry in named:
        if unknown := [name for name in names if name not in registry]:
            raise ValueError(f"its {field} is {unknown[0][:40]!r}, which is unknown")
    least = {"latent_dim": 1, "epochs": 1, "batch_size": 1, "subsamples": 0, "patience": 0, "k": 0, "neighbours": 0}
    least |= {"free_bits": 0, "capacity": 0, "held_out": 0, "max_memory": 0}
    if low := [field for field, bound in least.items() if not getattr(config, field) >= bound]:
        raise ValueError(f"its {low[0]} is {getattr(config, low[0])}")
    swept = (config.seed, config.beta, config.learning_rate, config.features, config.clusterer)
    if not all(swept) or config.held_out >= 1 or min(config.seed) < 0 or max(config.seed) >= 2**31:
        raise ValueError("it names no seed, beta, learning rate, block or clusterer, or one out of range")
    if not (all(beta >= 0 for beta in config.beta) and all(rate > 0 for rate in config.learning_rate)):
        raise ValueError("its beta is below 0, or its learning rate not above 0")


# What --model=NAME means by itself. How the blocks, rows of one length and the neighbour term were chosen stands in
# docs/measurements.md, "What each block is worth, and how the defaults were chosen". Words beside the sound made the
# clusters agree less with classes, so they are left to the models that are told which tracks have any.
_HEARD = ("msd", "mtt")
_HEARD_AND_SUNG = (*_HEARD, "lyrics")
# Who takes words is held against the same without them: who has words may tell the class by itself.
_WORD_CONTROLS = ("words_shuffled", "sound_only")
_WITH_WORDS = Config(
    "cvae",
    _HEARD_AND_SUNG,
    scaling="unit",
    neighbours=1.0,
    condition="modality",
    controls=_WORD_CONTROLS,
    baselines=ALL_BASELINES,
)
DEFAULTS: dict[str, Config] = {
    "vae": Config("vae", _HEARD, scaling="unit", neighbours=1.0, baselines=ALL_BASELINES),
    "beta_vae": Config("beta_vae", _HEARD, scaling="unit", neighbours=1.0, beta=(4.0,), baselines=ALL_BASELINES),
    "conv_vae": Config("conv_vae", ("mfcc_stats",), baselines=ALL_BASELINES),
    "cvae": _WITH_WORDS,
    "poe_vae": replace(_WITH_WORDS, model="poe_vae"),
    "attention_vae": replace(_WITH_WORDS, model="attention_vae"),
    "autoencoder": Config("autoencoder", _HEARD, scaling="unit", baselines=ALL_BASELINES),
}

# python -m experiments.run --preset=NAME [--store=...]. Measured on the demo corpus, 320 tracks, ten seeds (three of
# spectrograms), by python -m experiments.reproduce on two busy cores: seconds of training a model, mean ARI and NMI
# with the repertories, and in brackets what k-means on the same features gets.
PRESETS: dict[str, Config] = {
    # First report, FMA: Adam 1e-3 halved every 20 epochs, batch 256, 100 epochs, k-means with k = 8.
    # Easy. 759,508 parameters with SBERT's 384 columns. 5.8 s, ARI 0.218 (0.235), NMI 0.408 (0.427).
    "fma_vae": Config("vae", ("mfcc_mean", "lyrics"), scaling="plain"),
    # Medium. 534,849 parameters. 16 s, ARI 0.249 (0.305), NMI 0.446 (0.516).
    "fma_conv": Config("conv_vae", ("mfcc_stats",)),
    # Hard. 365,908 parameters. 2.9 s; collapsed in all ten. ARI 0.212 (0.239), NMI 0.397 (0.427).
    "fma_beta": Config("beta_vae", ("mfcc_mean",), beta=(4.0,)),
    # Hard. 312,660 parameters; has seen the classes. 2.6 s, ARI 0.224 (0.239), NMI 0.416 (0.427).
    "fma_cvae": Config("cvae", ("mfcc_mean",), condition="class:code"),
    # Second report, GTZAN.
    # Easy. 1.7 s, ARI 0.204 (0.190), NMI 0.374 (0.359).
    "gtzan_mlp": Config("vae", ("mfcc40",), latent_dim=16, epochs=50, batch_size=64),
    # Medium. 7.6 s, ARI 0.261, NMI 0.423.
    "gtzan_mlp_text": Config("vae", ("mfcc40", "lyrics"), epochs=80, batch_size=64),
    # Medium. 20 min (6 on idle cores), ARI 0.339 (0.356), NMI 0.542 (0.549).
    "gtzan_conv": Config(
        "conv_vae", ("melspec",), epochs=80, batch_size=32, options=(("channels", (16, 32, 64, 128)),)
    ),
    # Hard. 1.7 s on idle cores, ARI 0.303 (0.250 by a Gaussian mixture too), NMI 0.455 (0.489); knows who has words.
    "gtzan_cvae": Config(
        "cvae", ("mfcc40", "lyrics"), condition="modality", latent_dim=64, batch_size=32, clusterer=("gmm",)
    ),
}
