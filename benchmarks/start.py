"""From the start of a process to its first epoch: python -m benchmarks.start [--warm=5 --cold=2]

`python -m experiments.run` trains a VAE on a store of 200 tracks x 20 columns, made on the spot. The clock runs from
before the process starts until it says that epochs are trained, the first ten of them, which take milliseconds. Cold:
in a cache folder of its own, so that every program is compiled. Warm: with the cache of an earlier run. All runs go on
to their end. They take turns after one that is not counted, which fills the cache of the warm ones and reads the
libraries from the disk.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from benchmarks.first_epoch import COLUMNS, TRACKS, measure
from benchmarks.measure import machine, summary, write
from benchmarks.rendering import show
from experiments.cli.program import run

_WARM = flags.DEFINE_integer("warm", 5, "Runs with a warm cache.", lower_bound=1)
_COLD = flags.DEFINE_integer("cold", 2, "Runs with a cold cache.", lower_bound=1)
_OUT = flags.DEFINE_string("out", "benchmarks/results/start.json", "Where the figures are written.")


def main(argv: Sequence[str]) -> None:
    measured_on = machine(["jax", "flax", "numpy"])
    with tempfile.TemporaryDirectory() as folder:
        taken = measure(Path(folder), _WARM.value, _COLD.value)
    targets = {"cold": "12 at most", "warm": "3 at most"}
    rows = [
        {"what": f"{name} cache, s", "figure": summary(seconds), "runs": len(seconds), "target": targets[name]}
        for name, seconds in taken.items()
    ]
    result: dict[str, Any] = {"machine": measured_on, "tracks": TRACKS, "columns": COLUMNS, "rows": rows}
    write(Path(_OUT.value), result)
    show("start", result, Path(_OUT.value))


if __name__ == "__main__":
    run(main)
