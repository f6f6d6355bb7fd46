"""The flags of run.py that make a Config: a preset or a model's defaults, and what overrides them."""

from dataclasses import replace
from typing import Any

from absl import flags

from experiments.cli.numbers import numbers
from experiments.configs import DEFAULTS, PRESETS, Config
from musiclust.errors import InputError
from musiclust.fusion import FUSIONS, SCALINGS
from musiclust.models import MODELS
from musiclust.schedules import BETA_SCHEDULES, SCHEDULES
from musiclust.training import PRECISIONS

flags.DEFINE_enum("model", None, list(MODELS), "Which network; its defaults are in experiments/configs.py.")
flags.DEFINE_enum("preset", None, list(PRESETS), "A published row: every setting at once; other flags override it.")
flags.DEFINE_list("features", None, "Blocks of the store, comma-separated (mfcc_mean, mfcc_stats, melspec, ...).")
flags.DEFINE_enum("fusion", None, list(FUSIONS), "How several blocks become one matrix.")
flags.DEFINE_enum("scaling", None, list(SCALINGS), "How the columns of each block are scaled before.")
flags.DEFINE_multi_string("weights", None, "Of the blocks in --fusion=weighted, in the order of --features.")
flags.DEFINE_string("condition", None, "What a CVAE is told: none, modality, class, or a name of classes; see README.")
flags.DEFINE_integer("latent_dim", None, "Latent dimensions.", lower_bound=1)
flags.DEFINE_multi_string("seed", None, "Seeds, comma-separated; with --beta and --learning_rate a product is swept.")
flags.DEFINE_multi_string("beta", None, "Weights of the KL term, comma-separated.")
flags.DEFINE_multi_string("learning_rate", None, "Adam's peak step sizes, comma-separated.")
flags.DEFINE_multi_string(
    "bootstrap", None, "Bootstrap resamples of the tracks to train on, by number (1-20); 0 is the tracks themselves."
)
flags.DEFINE_integer("epochs", None, "Passes over the data.", lower_bound=1)
flags.DEFINE_integer("batch_size", None, "Tracks a step, at most.", lower_bound=2)
flags.DEFINE_enum("schedule", None, list(SCHEDULES), "Of the learning rate.")
flags.DEFINE_enum("beta_schedule", None, list(BETA_SCHEDULES), "Of beta.")
flags.DEFINE_float(
    "neighbours", None, "Weight of the stochastic-neighbour term, in multiples of the columns; 1 is usual.", 0.0
)
flags.DEFINE_integer(
    "patience", None, "Stop a replica whose loss has not improved for so many epochs; 0: never.", lower_bound=0
)
flags.DEFINE_enum("precision", None, list(PRECISIONS), "Of the factors of matrix products in training.")
flags.DEFINE_float("max_memory", None, "GiB that training may take; by default half of the machine's.", 0.0)
flags.DEFINE_list("clusterer", None, "What groups the latents, one or several: kmeans, gmm, ...")
flags.DEFINE_integer("k", None, "Clusters; by default as many as there are classes.", lower_bound=2)
flags.DEFINE_string("classes", None, "Which classes to score against; by default the store's first.")
FLAGS = flags.FLAGS

_TRAINING = (
    "fusion",
    "scaling",
    "condition",
    "latent_dim",
    "epochs",
    "batch_size",
    "schedule",
    "beta_schedule",
    "neighbours",
    "patience",
    "precision",
    "max_memory",
)
_PLAIN = (*_TRAINING, "k", "classes")
_LISTS = {"seed": int, "beta": float, "learning_rate": float, "bootstrap": int, "weights": float}
NAMES = ("model", "preset", "features", "clusterer", *_PLAIN, *_LISTS)  # every flag that makes a Config


def from_flags() -> Config:
    """The preset, or the model's defaults, with every given flag on top.

    Raises:
      InputError: for a value that is not a number, or a model and a preset that do not go together.
    """
    if FLAGS.preset and FLAGS.model and PRESETS[FLAGS.preset].model != FLAGS.model:
        raise InputError(
            f"--preset={FLAGS.preset} is a {PRESETS[FLAGS.preset].model}, not a {FLAGS.model}: give one of the two"
        )
    config = PRESETS[FLAGS.preset] if FLAGS.preset else DEFAULTS[FLAGS.model or "cvae"]
    given: dict[str, Any] = {name: FLAGS[name].value for name in _PLAIN if FLAGS[name].present}
    if FLAGS["features"].present:
        given["features"] = tuple(FLAGS.features)
    if FLAGS["clusterer"].present:
        given["clusterer"] = _clusterers(FLAGS.clusterer)
    for name, kind in _LISTS.items():
        if FLAGS[name].present:
            given[name] = numbers(name, FLAGS[name].value or [], kind)
    return replace(config, **given)


def _clusterers(given: list[str]) -> tuple[str, ...]:
    from musiclust.cluster import CLUSTERERS  # brings scikit-learn, which takes seconds to load

    unknown = [name for name in given if name not in CLUSTERERS]
    if unknown or not given:
        raise InputError(f"--clusterer={','.join(given)}: choose from {', '.join(CLUSTERERS)}")
    return tuple(dict.fromkeys(given))
