"""The flags of run.py that make a Config: a preset or a model's defaults, and what overrides them."""

from dataclasses import replace
from typing import Any

from absl import flags

from experiments.configs import DEFAULTS, PRESETS, Config
from musiclust.cluster import CLUSTERERS
from musiclust.errors import InputError
from musiclust.fusion import FUSIONS
from musiclust.models import MODELS
from musiclust.objectives import BETA_SCHEDULES
from musiclust.train import SCHEDULES

flags.DEFINE_enum("model", None, list(MODELS), "Which network; its defaults are in experiments/configs.py.")
flags.DEFINE_enum("preset", None, list(PRESETS), "A published row: every setting at once; other flags override it.")
flags.DEFINE_list("features", None, "Blocks of the store, comma-separated (mfcc_mean, mfcc_stats, melspec, ...).")
flags.DEFINE_enum("fusion", None, list(FUSIONS), "How several blocks become one matrix.")
flags.DEFINE_string("condition", None, "What a CVAE is told: none, modality, label, or a label's name; see README.")
flags.DEFINE_integer("latent_dim", None, "Latent dimensions.", lower_bound=1)
flags.DEFINE_multi_string("seed", None, "Seeds, comma-separated; with --beta and --learning_rate a product is swept.")
flags.DEFINE_multi_string("beta", None, "Weights of the KL term, comma-separated.")
flags.DEFINE_multi_string("learning_rate", None, "Adam's peak step sizes, comma-separated.")
flags.DEFINE_integer("epochs", None, "Passes over the data.", lower_bound=1)
flags.DEFINE_integer("batch_size", None, "Tracks a step, at most.", lower_bound=2)
flags.DEFINE_enum("schedule", None, list(SCHEDULES), "Of the learning rate.")
flags.DEFINE_enum("beta_schedule", None, list(BETA_SCHEDULES), "Of beta.")
flags.DEFINE_enum("clusterer", None, list(CLUSTERERS), "What groups the latents.")
flags.DEFINE_integer("k", None, "Clusters; by default as many as the label has classes.", lower_bound=2)
flags.DEFINE_string("label", None, "The label to score against; by default the store's first.")
FLAGS = flags.FLAGS

_TRAINING = ("fusion", "condition", "latent_dim", "epochs", "batch_size", "schedule", "beta_schedule")
_PLAIN = (*_TRAINING, "clusterer", "k", "label")
_LISTS = {"seed": int, "beta": float, "learning_rate": float}
NAMES = ("model", "preset", "features", *_PLAIN, *_LISTS)  # every flag that makes a Config


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
    for name, kind in _LISTS.items():
        if FLAGS[name].present:
            given[name] = _numbers(name, FLAGS[name].value or [], kind)
    return replace(config, **given)


def _numbers(flag: str, given: list[str], kind: type) -> tuple[Any, ...]:
    """ "0,1,2" or "0-9" (seeds only) or the flag repeated -> numbers, without repetition."""
    values: list[Any] = []
    for text in ",".join(given).split(","):
        first, dash, last = text.partition("-")
        try:
            if kind is int and dash and first:
                values += range(int(first), int(last) + 1)
            else:
                values.append(kind(text))
        except ValueError as error:
            raise InputError(f"--{flag}: {text!r} is not a number; write --{flag}=0,1,2") from error
    if flag == "seed" and any(not 0 <= value < 2**31 for value in values):
        raise InputError("--seed: a seed is a whole number from 0 to 2147483647")
    if flag == "beta" and any(not 0 <= value < float("inf") for value in values):
        raise InputError("--beta: a weight of the KL term is a number from 0 up")
    if flag == "learning_rate" and any(not 0 < value < float("inf") for value in values):
        raise InputError("--learning_rate: a step size is a number above 0")
    return tuple(dict.fromkeys(values))
