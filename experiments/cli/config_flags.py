"""The flags of run.py that make a Config: a preset or a model's defaults, and what overrides them."""

from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from absl import flags

from experiments.cli.numbers import parse_numbers
from experiments.configs import CONTROLS, DEFAULTS, NULLS, PRESETS, STREAMS, Config
from musiclust.errors import InputError
from musiclust.fusion import FUSIONS, SCALINGS
from musiclust.models import MODELS
from musiclust.schedules import BETA_SCHEDULES, SCHEDULES
from musiclust.training import PRECISIONS

flags.DEFINE_enum(
    "model", None, list(MODELS), "Network to train, with its defaults in experiments/configs.py; vae if none is named."
)
flags.DEFINE_enum(
    "preset", None, list(PRESETS), "Published row to take every setting from; other flags override what it says."
)
flags.DEFINE_list(
    "features",
    None,
    "Blocks of the store to read, such as msd, mfcc_stats or melspec; by default the tagger's msd and mtt, or "
    "mfcc_mean in their place where the store lacks them; cvae, poe_vae and attention_vae take lyrics too.",
)
flags.DEFINE_enum("fusion", None, list(FUSIONS), "Way in which several blocks become one matrix.")
flags.DEFINE_enum("scaling", None, list(SCALINGS), "Way in which the columns of each block are scaled before fusion.")
flags.DEFINE_multi_string("weights", None, "Weights of the blocks in --fusion=weighted, in the order of --features.")
flags.DEFINE_string(
    "condition",
    None,
    "What a CVAE is told of each track: none, modality (which blocks the track has), class (the classes scored "
    "against), or the name of classes; classes may be followed by :code.",
)
flags.DEFINE_integer("latent_dim", None, "Number of latent dimensions.", lower_bound=1)
flags.DEFINE_multi_string(
    "seed",
    None,
    "Seeds of the replicas, as 0,1,2 or 0-9; with --beta and --learning_rate their product is swept.",
)
flags.DEFINE_multi_string("beta", None, "Weights of the KL term to sweep.")
flags.DEFINE_multi_string("learning_rate", None, "Peak step sizes of Adam to sweep.")
flags.DEFINE_integer(
    "subsamples",
    None,
    "Trains every seed on so many subsamples of the tracks too (four fifths, whole songs), to see how stable the "
    "clusters are.",
    lower_bound=0,
)
flags.DEFINE_integer("epochs", None, "Number of passes over the data.", lower_bound=1)
flags.DEFINE_integer("batch_size", None, "Largest number of tracks in a step.", lower_bound=2)
flags.DEFINE_enum("schedule", None, list(SCHEDULES), "Schedule of the learning rate.")
flags.DEFINE_enum("beta_schedule", None, list(BETA_SCHEDULES), "Schedule of beta.")
flags.DEFINE_float(
    "neighbours", None, "Weight of the stochastic-neighbour term, in multiples of the columns; 1 is usual.", 0.0
)
flags.DEFINE_integer(
    "patience", None, "Stops a replica whose loss has not improved for so many epochs; 0 never stops.", lower_bound=0
)
flags.DEFINE_float(
    "free_bits", None, "Nats of each latent dimension's KL that cost nothing, against low information; 0 is none.", 0.0
)
flags.DEFINE_float(
    "capacity",
    None,
    "Nats that the KL is drawn to in place of 0, rising over the first half of the run, against low information.",
    0.0,
)
flags.DEFINE_float(
    "held_out",
    None,
    "Share of the tracks, whole songs, that neither scaling nor model is fitted on; early stopping looks at them.",
    0.0,
    0.9,
)
flags.DEFINE_enum("precision", None, list(PRECISIONS), "Precision of the factors of matrix products in training.")
flags.DEFINE_float("max_memory", None, "Memory that training may take, in GiB; by default half of the machine's.", 0.0)
flags.DEFINE_enum(
    "stream",
    None,
    list(STREAMS),
    "Reads features from the disk as they are needed; by default (auto) only those that are too many for memory.",
)
flags.DEFINE_bool(
    "split_batches",
    None,
    "Splits each batch over all devices, so that one replica trains on all of them; by default where there are more "
    "accelerators than replicas.",
)
flags.DEFINE_list(
    "baselines",
    None,
    "What is clustered beside the model: features, unit_features (each row of length 1), pca, tsne; by default all, "
    "but tsne of at most 5,000 tracks, and with a preset features and pca.",
)
flags.DEFINE_list(
    "controls",
    None,
    "What is trained beside the model to see what helps: words_shuffled (among the tracks that have words), "
    "sound_only, classes_shuffled (of a model that is told classes), noise (of the same spectrum), or none; by default "
    "the first two, for models that take words.",
)
flags.DEFINE_enum(
    "null",
    None,
    list(NULLS),
    "What the clusters are held against: structureless points like the latents (latents, quick), or structureless data "
    "that goes through scaling, training and clustering (pipeline, 38 more models).",
)
flags.DEFINE_list("clusterer", None, "Algorithms that group the latents: kmeans, gmm, agglomerative, dbscan, hdbscan.")
flags.DEFINE_integer(
    "k",
    None,
    "Number of clusters; by default as many as there are classes, or without any as the songs themselves suggest.",
    lower_bound=2,
)
flags.DEFINE_string("classes", None, "Name of the classes to score against; by default the store's first.")
FLAGS = flags.FLAGS

_TRAINING = (
    *("epochs", "batch_size", "schedule", "beta_schedule"),
    *(
        "neighbours",
        "free_bits",
        "capacity",
        "held_out",
        "patience",
        "precision",
        "max_memory",
        "stream",
        "split_batches",
    ),
)
FLAG_GROUPS = {
    "Model": ("model", "preset", "condition", "latent_dim"),
    "Features": ("features", "fusion", "scaling", "weights"),
    "Training": _TRAINING,
    "Sweep": ("seed", "beta", "learning_rate", "subsamples"),
    "Clustering and scores": ("clusterer", "k", "classes", "baselines", "controls", "null"),
}

_PLAIN = (*_TRAINING, "fusion", "scaling", "condition", "latent_dim", "subsamples", "k", "classes", "null")
_LISTS = {"seed": int, "beta": float, "learning_rate": float, "weights": float}
NAMES = (
    "model",
    "preset",
    "features",
    "clusterer",
    "baselines",
    "controls",
    *_PLAIN,
    *_LISTS,
)  # every flag that makes a Config


def config_from_flags() -> Config:
    """Returns the preset, or the model's defaults, with every given flag on top.

    Raises:
      InputError: for a value that is not a number, or a model and a preset that do not go together.
    """
    if FLAGS.preset and FLAGS.model and PRESETS[FLAGS.preset].model != FLAGS.model:
        raise InputError(
            f"--preset={FLAGS.preset} is a {PRESETS[FLAGS.preset].model}, not a {FLAGS.model}: give one of the two"
        )
    config = PRESETS[FLAGS.preset] if FLAGS.preset else DEFAULTS[FLAGS.model or "vae"]
    given: dict[str, Any] = {name: FLAGS[name].value for name in _PLAIN if FLAGS[name].present}
    if FLAGS["features"].present:
        given["features"] = tuple(FLAGS.features)
        if twice := [name for name, times in Counter(FLAGS.features).items() if times > 1]:
            raise InputError(f"--features names {twice[0]} twice: name it once (--weights makes a block weigh more)")
    if FLAGS["clusterer"].present:
        from musiclust.cluster import CLUSTERERS  # brings scikit-learn, which takes seconds to load

        given["clusterer"] = _names_of("clusterer", CLUSTERERS)
    if FLAGS["baselines"].present:
        from musiclust.baselines import BASELINES  # likewise

        given["baselines"] = _names_of("baselines", BASELINES)
    if FLAGS["controls"].present:
        given["controls"] = () if FLAGS.controls == ["none"] else _names_of("controls", CONTROLS)
    for name, kind in _LISTS.items():
        if FLAGS[name].present:
            given[name] = parse_numbers(name, FLAGS[name].value or [], kind)
    return replace(config, **given)


def _names_of(flag: str, registry: Collection[str]) -> tuple[str, ...]:
    given = FLAGS[flag].value or []
    unknown = [name for name in given if name not in registry]
    if unknown or not given:
        raise InputError(f"--{flag}={','.join(given)}: choose from {', '.join(registry)}")
    return tuple(dict.fromkeys(given))
