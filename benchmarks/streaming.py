"""Training beyond memory: python -m benchmarks.streaming [--tracks=106574 --parts=0 --place=/tmp]

Makes a store of random float16 spectrograms of 128 x 431 in a temporary folder, 11.7 GB of them by default, and
trains the Conv-VAE of the preset gtzan_conv for an epoch in a process of its own, as experiments.run would: the scaling
is fitted in one pass over the block, the epoch comes in chunks, and the tracks are encoded. Told are seconds, and the
largest resident memory of that process. With --parts the epoch ends after so many chunks, and as many tracks are
encoded; the figures of a whole one are then scaled from these, and say so. Before it, epochs on --peer tracks take
turns in memory and streamed, in one process, so that their ratio does not depend on what else the machine does.
"""

import multiprocessing
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from benchmarks.measure import console, in_turn, machine, summary, write
from experiments.cli.program import run
from experiments.configs import PRESETS, Config
from musiclust import store
from musiclust.errors import InputError
from musiclust.types import Tracks

_TRACKS = flags.DEFINE_integer("tracks", 106_574, "Spectrograms to make.", lower_bound=64)
_PARTS = flags.DEFINE_integer("parts", 0, "Chunks of the epoch to train on; 0 for all of them.", lower_bound=0)
_PEER = flags.DEFINE_integer("peer", 256, "Tracks that are trained on in memory too, 0 for none.", lower_bound=0)
_REPEATS = flags.DEFINE_integer("repeats", 3, "Epochs of the two in turn.", lower_bound=1)
_PLACE = flags.DEFINE_string("place", None, "Folder in which the store is made and removed; by default the system's.")
_OUT = flags.DEFINE_string("out", "benchmarks/results/streaming.json", "Where the figures are written.")

SHAPE = (128, 431)
_CONFIG = replace(PRESETS["gtzan_conv"], epochs=1, k=10, stream="yes")


def main(argv: Sequence[str]) -> None:
    tracks = _TRACKS.value
    with tempfile.TemporaryDirectory(dir=_PLACE.value) as folder:
        needed = 2 * tracks * SHAPE[0] * SHAPE[1]
        if shutil.disk_usage(folder).free < 1.1 * needed:
            raise InputError(
                f"{folder} has less than the {1.1 * needed / 1e9:.1f} GB that the block takes: name --place"
            )
        measured_on = machine(["jax", "flax", "numpy"])
        started = time.perf_counter()
        root = make_store(Path(folder) / "store", tracks)
        made = time.perf_counter() - started
        rows = [_row("random block of float16, GB", needed / 1e9), _row("making it, s", made)]
        if _PEER.value:
            rows += in_process(_compare, make_store(Path(folder) / "peer", _PEER.value), _REPEATS.value)
        rows += in_process(_train, root, _PARTS.value)
    result: dict[str, Any] = {"machine": measured_on, "tracks": tracks, "parts": _PARTS.value, "rows": rows}
    write(Path(_OUT.value), result)
    for row in rows:
        console.print(f"{row['what']}: {row['figure']['median']:.4g}")


def make_store(root: Path, tracks: int) -> Path:
    """A store of random spectrograms in dB: a level for each track and band, and noise."""
    track_id = np.array([f"t{number:06d}" for number in range(tracks)])
    meta = {name: np.array([""] * tracks) for name in ("title", "artist", "album")}
    meta["duration"] = np.full(tracks, 10.0)
    store.save_tracks(root, Tracks(track_id, meta["title"], meta, {}, {}, track_id))
    spec = {"shape": list(SHAPE), "dtype": "float16", "columns": []}
    store.write_block(root, "melspec", track_id.tolist(), _draw_spectrograms(tracks), spec)
    return root


def _draw_spectrograms(tracks: int) -> Iterator[np.ndarray]:
    """Rows cut from a pool of noise, for normal numbers take longer to draw than to write."""
    rng = np.random.default_rng(0)
    pool = (8 * rng.normal(size=2**22)).astype(np.float16)
    for _ in range(tracks):
        start = rng.integers(len(pool) - SHAPE[0] * SHAPE[1])
        level = (10 * rng.normal(size=(SHAPE[0], 1)) - 40).astype(np.float16)
        yield pool[start : start + SHAPE[0] * SHAPE[1]].reshape(SHAPE) + level


def in_process(work: Any, *given: Any) -> list[dict[str, Any]]:
    """What `work(pipe, *given)` sends, from a process that has nothing else in its memory."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, *given))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError as error:
        raise InputError(f"the process that trains ended before it was done: status {process.exitcode}") from error
    finally:
        process.join()


def _train(pipe: Connection, root: Path, parts: int) -> None:
    from experiments.study import inputs
    from experiments.study.jax_setup import set_up_jax
    from experiments.study.job import build_model
    from musiclust import population, streaming, sweep
    from musiclust.training import Recipe

    set_up_jax(None)
    started = time.perf_counter()
    given = inputs.load(_CONFIG, root)
    loaded = time.perf_counter() - started
    prepared = _prepare(_CONFIG, given, build_model, sweep, Recipe)
    started, trained = time.perf_counter(), None
    for chunk in sweep.train_chunks(prepared):
        trained = chunk
        if parts and chunk.parts_done == parts:
            break
    seconds = time.perf_counter() - started
    assert trained is not None
    share = trained.parts_done / trained.parts if trained.parts_done else 1.0
    states = trained.trained().states
    some = np.arange(max(64, int(share * len(given.tracks))), dtype=np.int64)
    started = time.perf_counter()
    population.encode_replica(prepared.model, states, 0, streaming.take_rows(given.data, some))
    encoding = time.perf_counter() - started
    whole = "" if share == 1 else f", scaled from {share:.1%} of it"
    pipe.send(
        [
            _row("fitting the scaling and two more passes over the block, s", loaded),
            _row("compiling, s", prepared.compile_seconds),
            _row(f"an epoch{whole}, s", seconds / share),
            _row(f"encoding all tracks{whole}, s", encoding * len(given.tracks) / len(some)),
            _row("GiB of resident memory at most", _most_memory() / 2**30),
        ]
    )


def _compare(pipe: Connection, root: Path, repeats: int) -> None:
    """Epochs on the same tracks, in memory and streamed, in turn; after the first of each, which compiles.

    In memory some epochs come together, so that the seconds are those of one of them.
    """
    from experiments.study import inputs
    from experiments.study.jax_setup import set_up_jax
    from experiments.study.job import build_model
    from musiclust import sweep
    from musiclust.training import Recipe

    set_up_jax(None)
    runs = {}
    for name, stream in (("in memory", "no"), ("streamed", "yes")):
        config = replace(_CONFIG, stream=stream)
        prepared = _prepare(config, inputs.load(config, root), build_model, sweep, Recipe)
        prepared = prepared._replace(epochs=prepared.chunk * (repeats + 1))
        runs[name] = (prepared.chunk, sweep.train_chunks(prepared))

    def epoch(name: str) -> float:
        together, chunks = runs[name]
        started = time.perf_counter()
        next(chunk for chunk in chunks if not chunk.parts_done)
        return (time.perf_counter() - started) / together

    taken = in_turn({name: lambda name=name: epoch(name) for name in runs}, repeats)
    rows = [{"what": f"an epoch of few tracks, {name}, s", "figure": summary(taken[name])} for name in runs]
    ratio = {"what": "streamed / in memory", "figure": summary(taken["streamed"] / taken["in memory"])}
    pipe.send([*rows, ratio])


def _prepare(config: Config, given: Any, build_model: Any, sweep: Any, recipe: Any) -> Any:
    model = build_model(config, given.fusion, given.data.x.shape[1:])
    settings = sweep.product((0,), (1.0,), (1e-3,))
    made = recipe(batch_size=config.batch_size, schedule=config.schedule)
    return sweep.prepare(model, made, given.data, settings=settings, epochs=config.epochs)


def _row(what: str, figure: float) -> dict[str, Any]:
    return {"what": what, "figure": summary(np.array([figure]))}


def _most_memory() -> int:
    """Bytes of the largest resident memory that this process has had, pages of mapped files included."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    run(main)
