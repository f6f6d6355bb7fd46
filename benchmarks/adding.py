"""What a store costs to which a few songs are added: python -m benchmarks.adding [--tracks=100000 --frames=431]

A store of made-up features is written by what writes those of real songs, from shards to blocks: the tagger's `msd` and
`mtt`, `mfcc_stats`, and `melspec` of 128 x --frames. Then songs are added, changed and taken away, and the store is
compacted. The same songs are added to an empty store. Each step has a process of its own, so that its memory is its
own: seconds, bytes that it wrote (as the kernel counts them, shards and tables with them), and the most memory that it
held. Beside them stands what checking the digests of the blocks costs when they are read, from what the system keeps of
them in memory and from the disk.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from benchmarks.growing_store import measure_store
from benchmarks.measure import machine, write
from benchmarks.rendering import show
from experiments.cli.program import run

_TRACKS = flags.DEFINE_integer("tracks", 100_000, "Songs of the large store.", lower_bound=100)
_ADDED = flags.DEFINE_integer("added", 10, "Songs that are added.", lower_bound=1)
_FRAMES = flags.DEFINE_integer("frames", 431, "Frames of a spectrogram.", lower_bound=1)
_OUT = flags.DEFINE_string("out", "benchmarks/results/adding.json", "Where the figures are written.")


def main(argv: Sequence[str]) -> None:
    measured_on = machine(["numpy", "xxhash"])
    with tempfile.TemporaryDirectory() as folder:
        rows = measure_store(Path(folder), _TRACKS.value, _ADDED.value, _FRAMES.value)
    result: dict[str, Any] = {"machine": measured_on, "frames": _FRAMES.value, "rows": rows}
    write(Path(_OUT.value), result)
    show("adding", result, Path(_OUT.value))


if __name__ == "__main__":
    run(main)
