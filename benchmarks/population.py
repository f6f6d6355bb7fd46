"""Speed of training many models: python -m benchmarks.population [--replicas=256 --epochs=100 --repeats=5]

The preset fma_beta's network for as many seeds and betas as there are replicas, laid out as musiclust does it on this
machine, against one of them alone, which may use the whole machine: the same program for a population of one. Each is
in a process of its own (replicas.py), where the population has every core as a device, and they take turns: alone,
population, alone, ...

Minutes of training are not repeated. The population trains one chunk of its epochs at each turn, the next one each
time; the one alone trains its first --alone_epochs. Both times are scaled up to --epochs, and hold what a run does
between its chunks, checkpoints excepted. The one alone is another replica of the population at each turn, and its
losses are held against those that this replica has in company: on a CPU they are the same; an accelerator, where
replicas train side by side, rounds products differently, and Adam makes this large.

The rate of the population's own products (flops.py) is told as a share of that of a large product of matrices, which
the process of the one alone measures on the whole machine after each turn.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from benchmarks.contenders import TRACKS, Contender, job
from benchmarks.measure import in_turn, machine, write
from benchmarks.rendering import show
from benchmarks.replicas import Study, alone, figures, together
from experiments.cli.program import run

_REPLICAS = flags.DEFINE_integer("replicas", 256, "Models of the population.", lower_bound=1)
_EPOCHS = flags.DEFINE_integer("epochs", 100, "Epochs of a whole run.", lower_bound=1)
_ALONE_EPOCHS = flags.DEFINE_integer("alone_epochs", 20, "Epochs that the one alone trains at a turn.", lower_bound=1)
_TRACKS = flags.DEFINE_integer("tracks", TRACKS, "Tracks.", lower_bound=8)
_COLUMNS = flags.DEFINE_integer("columns", 20, "Features of a track.", lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 5, "Repeats after the warm-up.", lower_bound=5)
_OUT = flags.DEFINE_string("out", "benchmarks/results/population.json", "Where the figures are written.")


def measure(study: Study, repeats: int) -> dict[str, Any]:
    """All figures of a study."""
    field = {work.__name__: Contender(work.__name__, work, study) for work in (alone, together)}
    taken = in_turn(field, repeats)
    for contender in field.values():
        contender.stop()
    told = {name: contender.set_up for name, contender in field.items()}
    losses = {name: contender.losses for name, contender in field.items()}
    return figures(study, told, taken, losses, np.array(field["alone"].rates[1:]))


def main(argv: Sequence[str]) -> None:
    what = job("fma_beta", _TRACKS.value, _EPOCHS.value)._replace(input_shape=(_COLUMNS.value,))
    study = Study(what, _REPLICAS.value, min(_ALONE_EPOCHS.value, _EPOCHS.value))
    result = {"machine": machine(["jax", "flax", "numpy"]), "repeats": _REPEATS.value}
    result |= measure(study, _REPEATS.value)
    write(Path(_OUT.value), result)
    show("population", result, Path(_OUT.value), f"{result['layout']}; scaled {result['scaled']}")


if __name__ == "__main__":
    run(main)
