"""Speed of training one model: python -m benchmarks.training [--models=fma_vae,... --epochs=20 --repeats=5]

Ours is a whole run as one compiled program, in float32 and with factors of products rounded to bfloat16. The peers
(contenders.py) are the PyTorch loop that most people write, the same well written, and pythae's trainer where it is
installed: same network, initial scale, dropout, data, batches and schedule. All are checked to reach the same loss
within 2 %, as means over the repeats' seeds. Each contender works in a process of its own, kept for all repeats, which
take turns; each may use every core. Compilation, without a cache, is not in the times and is told apart. Data are drawn
on the spot: 8 factors and noise, 3,081 tracks of columns, or spectrograms of 128 x 431.

Beside each time stands the share of the rate of a large product of matrices, measured in the same process after each
run, that the training's own products reach.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from benchmarks.contenders import SHAPES, TRACKS, Contender, Job, contenders, job
from benchmarks.measure import console, in_turn, machine, summary, write
from benchmarks.rendering import show
from experiments.cli.program import run
from musiclust.errors import InputError

_MODELS = flags.DEFINE_list("models", list(SHAPES), "Presets.")
_EPOCHS = flags.DEFINE_integer("epochs", 20, "Epochs of a run.", lower_bound=1)
_CONV_EPOCHS = flags.DEFINE_integer("conv_epochs", 4, "Epochs of a run on spectrograms.", lower_bound=1)
_SPECTROGRAMS = flags.DEFINE_integer("spectrograms", 128, "Tracks with spectrograms.", lower_bound=8)
_REPEATS = flags.DEFINE_integer("repeats", 5, "Repeats after the warm-up.", lower_bound=5)
_OUT = flags.DEFINE_string("out", "benchmarks/results/training.json", "Where the figures are written.")

LOSS_GAP = 0.02


def measure(job: Job, repeats: int) -> dict[str, Any]:
    """All figures of one preset."""
    works, left_out = contenders(job)
    field = {name: Contender(name, work, job) for name, work in works.items()}
    taken = in_turn(field, repeats)
    for contender in field.values():
        contender.stop()
    set_up = field["ours"].set_up
    loss = {name: float(np.mean(contender.losses)) for name, contender in field.items()}
    figures = {}
    for name, seconds in taken.items():
        rates = np.array(field[name].rates[1:])  # of the repeats, without the warm-up
        figures[name] = {
            "seconds": summary(seconds),
            "ratio": summary(seconds / taken["ours"]),
            "last_loss": loss[name],
            "loss_gap": loss[name] / loss["ours"] - 1,
            "large_product": summary(rates),
            "share": summary(set_up.flop / seconds / rates),
            "threads": field[name].set_up.threads,
            "device": field[name].set_up.device,
        }
    return {
        "tracks": job.tracks,
        "epochs": job.epochs,
        "batch_size": job.batch_size,
        "flop": set_up.flop,
        "compilation": set_up.seconds,
        "contenders": figures,
        "left_out": left_out,
    }


def main(argv: Sequence[str]) -> None:
    unknown = [name for name in _MODELS.value if name not in SHAPES]
    if unknown or not _MODELS.value:
        raise InputError(f"--models={','.join(_MODELS.value)}: choose from {', '.join(SHAPES)}")
    result = {"machine": machine(["jax", "flax", "torch", "pythae", "numpy"]), "repeats": _REPEATS.value, "models": {}}
    for preset in _MODELS.value:
        image = len(SHAPES[preset][0]) > 1
        what = (_SPECTROGRAMS.value, _CONV_EPOCHS.value) if image else (TRACKS, _EPOCHS.value)
        figures = result["models"][preset] = measure(job(preset, *what), _REPEATS.value)
        write(Path(_OUT.value), result)
        medians = [f"{name} {one['seconds']['median']:.2f} s" for name, one in figures["contenders"].items()]
        console.print(f"{preset}: {', '.join(medians)}")
    show("training", result, Path(_OUT.value))
    apart = [
        f"{preset} {name} {one['loss_gap']:+.1%}"
        for preset, figures in result["models"].items()
        for name, one in figures["contenders"].items()
        if not abs(one["loss_gap"]) <= LOSS_GAP
    ]
    if apart:
        raise InputError(f"not the same training, the losses differ from ours by more than 2 %: {', '.join(apart)}")


if __name__ == "__main__":
    run(main)
