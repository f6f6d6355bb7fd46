"""What a large collection takes, stage by stage: python -m benchmarks.scale [--tracks=106574 --audio_dir=music]

A store of made-up features is written: a mixture of 8 Gaussians, as many tracks as FMA-large has. `experiments.run`
trains a VAE on it, clusters, scores and draws; every clusterer groups its latents; and `experiments.organize` writes
playlists, neighbours and the map. Each stage has a process of its own, so that its memory is its own: seconds on the
clock and seconds of all cores together (of a command, from its start), and the most memory that it held. On a busy
machine the clock tells of the others too, and the cores do not.

Hearing cannot be made up. With --audio_dir, `experiments.preprocess` hears --files real files of that folder, evenly
spaced through it, and the table says what they took and, in a row of its own, what as many files as there are tracks
would take at that rate. The start of the command, some seconds, is not taken off.
"""

import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from benchmarks.made_up import K, mixture
from benchmarks.measure import console, machine, watch_memory, write
from benchmarks.rendering import show
from experiments.cli.interrupt import check_stop
from experiments.cli.program import run
from musiclust.errors import InputError

_TRACKS = flags.DEFINE_integer("tracks", 106_574, "Tracks of the collection.", lower_bound=1_000)
_COLUMNS = flags.DEFINE_integer("columns", 57, "Columns of features.", lower_bound=2)
_EPOCHS = flags.DEFINE_integer("epochs", 20, "Epochs of training.", lower_bound=1)
_AUDIO_DIR = flags.DEFINE_string("audio_dir", None, "Folder of real audio files to hear; without it none are heard.")
_FILES = flags.DEFINE_integer("files", 100, "Files of it that are heard.", lower_bound=1)
_PREPROCESS = flags.DEFINE_multi_string("preprocess", [], "Further flag of experiments.preprocess, as --tagger=none.")
_ONLY = flags.DEFINE_list("only", [], "Stages to run, by the words they begin with; those before them must be there.")
_FOLDER = flags.DEFINE_string("folder", None, "Folder for the store and the run; by default one that goes afterwards.")
_OUT = flags.DEFINE_string("out", "benchmarks/results/scale.json", "Where the figures are written.")

_AUDIO = {".mp3", ".ogg", ".flac", ".wav", ".au", ".aiff", ".m4a"}
_ARTISTS = 3_000
_BLOCK = "table"


class Size(NamedTuple):
    """What is asked of a stage: tracks, columns of features, epochs of training."""

    tracks: int
    columns: int
    epochs: int


class Taken(NamedTuple):
    """Seconds on the clock, seconds of cores, and the most bytes held."""

    seconds: float
    cores: float
    peak: int


def make_collection(folder: Path, size: Size) -> str:
    """Writes the store, and an empty file for each song."""
    from musiclust import store
    from musiclust.types import Block, Tracks

    n = size.tracks
    x, component = mixture(n, apart=0.5, dimensions=size.columns)
    track_id = np.array([f"t{row:07d}" for row in range(n)])
    rng = np.random.default_rng(0)
    artist = np.array([f"Artist {number}" for number in rng.integers(_ARTISTS, size=n // 12 + 1).repeat(12)[:n]])
    music = folder / "music"
    path = np.array([str(music / f"{row // 1_000:04d}" / f"{one}.mp3") for row, one in enumerate(track_id)])
    for number in range((n - 1) // 1_000 + 1):
        (music / f"{number:04d}").mkdir(parents=True, exist_ok=True)
    for one in path:
        Path(one).touch()
    meta = {
        "title": np.array([f"Song {row}" for row in range(n)]),
        "artist": artist,
        "album": np.array([f"Album {row // 12}" for row in range(n)]),
        "duration": rng.uniform(100, 400, n),
    }
    classes = {"component": component.astype(np.int32)}
    names = {"component": tuple(f"component {number}" for number in range(K))}
    store.save_tracks(folder / "store", Tracks(track_id, path, meta, classes, names, track_id))
    columns = {"columns": [f"feature {number}" for number in range(size.columns)]}
    store.save_block(folder / "store", Block(_BLOCK, track_id, x, np.ones(n, bool), columns))
    np.save(folder / "component.npy", component)
    written = sum(one.stat().st_size for one in (folder / "store").iterdir())
    return f"{written / 1e6:.1f} MB, {written / n:,.0f} bytes a track"


def group_latents(folder: Path, name: str) -> str:
    """Clusters the run's latents by one clusterer."""
    from sklearn.metrics import adjusted_rand_score

    from musiclust.cluster import CLUSTERERS, is_approximate

    z = np.load(folder / "run" / "latents.npy")
    clusters = CLUSTERERS[name](z, k=K, seed=0).clusters
    ari = adjusted_rand_score(np.load(folder / "component.npy"), clusters)
    note = f"{z.shape[1]} latents, {clusters.max() + 1} clusters, {(clusters >= 0).mean():.0%} covered, ARI {ari:.3f}"
    return f"{note}, approximate" if is_approximate(name, len(z)) else note


def score_latents(folder: Path) -> str:
    """Scores one partition of the latents as a row of a table has it."""
    from musiclust.metrics.judge import Judge
    from musiclust.metrics.reference import reference_space
    from musiclust.store import load_block

    z = np.load(folder / "run" / "latents.npy")
    truth = np.load(folder / "component.npy")
    judge = Judge(reference_space([load_block(folder / "store", _BLOCK).values]), truth, k=K)
    (judged,) = judge(z, seed=0)
    judge.weigh(z, "kmeans", seed=0)
    return f"silhouette {judged.scores['silhouette']:.3f}, ARI {judged.scores['ari']:.3f}; with k-means and evidence"


def draw_latents(folder: Path) -> str:
    """Places the songs on a map and measures its trustworthiness."""
    from musiclust.embedding import embed_2d, trustworthiness

    z = np.load(folder / "run" / "latents.npy")
    return f"trustworthiness {trustworthiness(z, embed_2d(z, 0), seed=0):.3f}"


def train_run(folder: Path, size: Size) -> list[str]:
    """The command that trains, clusters, scores and draws."""
    options = {"model": "vae", "store": folder / "store", "features": _BLOCK, "run_dir": folder / "run", "k": K}
    options |= {"epochs": size.epochs, "baselines": "features", "batch_size": 256}
    flags_of_run = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "experiments.run", "--trust_paths", *flags_of_run]


def organize_run(folder: Path) -> list[str]:
    """The command that makes playlists, neighbours and the map."""
    return [sys.executable, "-m", "experiments.organize", "--trust_paths", f"--run={folder / 'run'}"]


def hear_files(folder: Path, audio_dir: Path, files: int, more: Sequence[str]) -> tuple[list[str], int]:
    """The command that hears real files, and how many there are.

    Raises:
      InputError: if the folder has no audio file.
    """
    found = sorted(path for path in audio_dir.rglob("*") if path.suffix.lower() in _AUDIO and path.is_file())
    if not found:
        raise InputError(f"--audio_dir={audio_dir}: there is no audio file below it")
    chosen = [
        found[row] for row in np.unique(np.linspace(0, len(found) - 1, min(files, len(found))).round().astype(int))
    ]
    heard = folder / "heard"
    heard.mkdir(parents=True)
    for number, path in enumerate(chosen):
        (heard / f"{number:05d} {path.name}").symlink_to(path.absolute())
    command = [
        sys.executable,
        "-m",
        "experiments.preprocess",
        f"--audio_dir={heard}",
        f"--store={folder / 'heard-store'}",
    ]
    return [*command, "--lyrics=none", *more], len(chosen)


def time_command(command: Sequence[str], log: Path) -> Taken:
    """What a command took, with all its processes.

    Raises:
      InputError: if it fails.
    """
    start, before = time.perf_counter(), _children_seconds()
    with open(log, "w", encoding="utf-8") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        peak = watch_memory(process)
    check_stop()
    if process.returncode:
        last = log.read_text(encoding="utf-8").strip().splitlines()[-1:]
        raise InputError(f"{' '.join(command[1:3])} failed: {' '.join(last)}")
    return Taken(time.perf_counter() - start, _children_seconds() - before, peak)


def time_work(work: Callable[..., str], *arguments: Any) -> tuple[Taken, str]:
    """What a function took in a process of its own, and what it says.

    Raises:
      InputError: if it fails.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(theirs, work, arguments))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    except EOFError as error:
        raise InputError(f"{work.__name__} failed: what it says is above") from error
    finally:
        process.join()
        check_stop()


def _answer(there: Connection, work: Callable[..., str], arguments: tuple[Any, ...]) -> None:
    start, before = time.perf_counter(), time.process_time()
    note = work(*arguments)
    there.send((Taken(time.perf_counter() - start, time.process_time() - before, _peak()), note))


def _children_seconds() -> float:
    """Seconds of cores that processes of this one took which have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _peak() -> int:
    """The most bytes that this process ever held."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def measure(folder: Path, size: Size, only: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each stage: "stage", "note" and what it took as `Taken`, None where another row has it."""
    from musiclust.cluster import CLUSTERERS

    rows: list[dict[str, Any]] = []

    def told(stage: str, taken: Taken, note: str) -> None:
        rows.append({"stage": stage, **taken._asdict(), "note": note})
        console.print(f"{stage}: {taken.seconds:.1f} s, {taken.cores:.1f} s of cores")

    def wanted(stage: str) -> bool:
        return not only or any(stage.startswith(one) for one in only)

    def work(stage: str, function: Callable[..., str], *arguments: Any) -> None:
        if wanted(stage):
            told(stage, *time_work(function, *arguments))

    work("store", make_collection, folder, size)
    if wanted("run"):
        told("run: train, cluster, score, draw", time_command(train_run(folder, size), folder / "run.log"), "")
        model = json.loads((folder / "run" / "metrics.json").read_text(encoding="utf-8"))["model"]
        note = f"{size.epochs} epochs; compiled in another process"
        rows.append(
            {"stage": "of it training", "seconds": model["training_seconds"], "cores": None, "peak": None, "note": note}
        )
    for name in CLUSTERERS:
        work(name, group_latents, folder, name)
    work("score", score_latents, folder)
    work("map", draw_latents, folder)
    if wanted("organize"):
        told("organize", time_command(organize_run(folder), folder / "organize.log"), "playlists, neighbours, map.html")
    return rows


def hear(folder: Path, tracks: int, audio_dir: Path, files: int, more: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of what was heard, and of what all tracks would take."""
    folder = Path(tempfile.mkdtemp(prefix="hearing-", dir=folder))
    command, heard = hear_files(folder, audio_dir, files, more)
    taken = time_command(command, folder / "heard.log")
    written = sum(path.stat().st_size for path in (folder / "heard-store").rglob("*") if path.is_file())
    note = f"{taken.cores / heard:.2f} s of a core and {written / heard:,.0f} bytes of store a file"
    all_of_it = {
        "stage": f"hearing {tracks:,} files, extrapolated",
        "seconds": taken.seconds * tracks / heard,
        "cores": taken.cores * tracks / heard,
        "peak": None,
        "note": f"{written * tracks / heard / 1e9:.2f} GB of store",
    }
    return [{"stage": f"hearing {heard:,} files", **taken._asdict(), "note": note}, all_of_it]


def main(argv: Sequence[str]) -> None:
    audio_dir = Path(_AUDIO_DIR.value).expanduser() if _AUDIO_DIR.value else None
    if audio_dir is not None and not audio_dir.is_dir():
        raise InputError(f"--audio_dir={audio_dir}: there is no such folder")
    if _ONLY.value and not _FOLDER.value:
        raise InputError("--only goes on in the --folder of an earlier call: name it")
    size = Size(_TRACKS.value, _COLUMNS.value, _EPOCHS.value)
    on = machine(["jax", "scikit-learn", "numpy"])
    with tempfile.TemporaryDirectory() as made:
        folder = Path(_FOLDER.value).expanduser().absolute() if _FOLDER.value else Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        rows = measure(folder, size, _ONLY.value)
        if audio_dir is not None:
            rows += hear(folder, size.tracks, audio_dir, _FILES.value, _PREPROCESS.value)
    result = {"machine": on, **size._asdict(), "rows": rows}
    write(Path(_OUT.value), result)
    show("scale", result, Path(_OUT.value))


if __name__ == "__main__":
    run(main)
