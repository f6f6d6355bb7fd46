"""Audio files -> their features: what is made of each, by which processes.

Conventions: features come in groups, each made by one extractor and computed or kept as a whole: "librosa" (see
features.py), "tagger" (see tagger/) and "clap" (see clap.py). Processes with one thread each decode the files and run
librosa; a network runs in a process of its own, which is handed its input for many songs at a time.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from musiclust.errors import InputError
from musiclust.preprocess.audio import clap, features
from musiclust.preprocess.audio.decode import decode_pieces, place_pieces
from musiclust.preprocess.audio.network_process import ENVIRONMENT, NetworkProcess
from musiclust.preprocess.audio.tagger import blocks, patches, run
from musiclust.preprocess.audio.windows import average_windows
from musiclust.preprocess.workers import Failed, Machines, Place, Where, hear_all, open_processes
from musiclust.stretches import split_stretch

LIBROSA, TAGGER, CLAP = "librosa", "tagger", "clap"
# The names of all blocks that may be made from sound.
NAMES = frozenset((*features.BLOCKS, *blocks.specify(0, pools=True), *clap.NAMES))

_PREPARING = "loading the feature extractor (the first time it compiles)"
_FILE_SECONDS = 900.0  # that other machines may take for a file


@dataclass(frozen=True)
class Settings:
    """How songs are heard.

    Attributes:
      tagger_weights: the wheel with the tagger's weights, see `tagger.fetch.find_wheel`; None for no tagger.
      windows: how many windows of a song a network hears, spread over it; 0 for all of it.
      tagger_pools: whether the tagger's pools are blocks too.
      librosa_windows: how many pieces librosa's clip of 30 s is made of, spread over the song; 1 is its centre.
      embedding: the CLAP model that hears the songs too, see `clap.find_model`; None for none.
    """

    tagger_weights: Path | None = None
    windows: int = 5
    tagger_pools: bool = False
    librosa_windows: int = 1
    embedding: clap.Model | None = None


class Job(NamedTuple):
    """A file and the groups of features that are due for it."""

    path: str
    groups: tuple[str, ...]


class Heard(NamedTuple):
    """What was extracted from a file.

    Attributes:
      features: group -> block -> its values for this track.
      duration: seconds of the whole file.
      warning: "" or what is amiss.
      inputs: group -> what its network is to be given, (W, *D).
    """

    features: dict[str, dict[str, np.ndarray]]
    duration: float
    warning: str
    inputs: dict[str, np.ndarray]


def list_specs(settings: Settings) -> dict[str, dict[str, dict[str, Any]]]:
    """Returns how the values of each block come about: group -> block -> spec."""
    specs = {LIBROSA: {name: features.spec(name, windows=settings.librosa_windows) for name in features.BLOCKS}}
    if settings.tagger_weights is not None:
        specs[TAGGER] = blocks.specify(settings.windows, pools=settings.tagger_pools)
    if settings.embedding is not None:
        specs[CLAP] = clap.specify(settings.embedding, settings.windows)
    return specs


def listen(
    jobs: Sequence[Job], settings: Settings, *, workers: Where, report: Callable[[str, int, int], None]
) -> Generator[tuple[int, Heard | Failed], None, None]:
    """Yields (index into jobs, what became of the file), each once. Closing it ends all processes.

    Args:
      workers: how many processes decode, or the machines that do all of it.
      report: called with (stage, done, total) while the extractors are loaded.

    Raises:
      InputError: if a network cannot be loaded, or its process dies; as the machines do.
    """
    if isinstance(workers, Machines):
        files = [split_stretch(job.path)[0] for job in jobs]
        work = partial(_listen_to_batch, settings=_make_absolute(settings))
        yield from workers.work_all(jobs, files=files, work=work, stage="hearing on workers")
        return
    with ExitStack() as stack:
        networks = _start_networks(
            jobs, settings, lambda name: stack.enter_context(open_processes(1, ENVIRONMENT)), Future.result
        )
        if any(LIBROSA in job.groups for job in jobs):
            report(_PREPARING, 0, 1)
            features.warm_up()  # numba's compiled code goes to its cache on disk, from which the processes load it
            report(_PREPARING, 1, 1)
        results = stack.enter_context(closing(hear_all(jobs, workers=workers, hear=partial(hear, settings=settings))))
        yield from _run_networks(results, networks, settings)


def _make_absolute(settings: Settings) -> Settings:
    """The settings with paths that do not depend on the folder that a process is in."""
    weights, model = settings.tagger_weights, settings.embedding
    return replace(
        settings,
        tagger_weights=weights and weights.absolute(),
        embedding=model and model._replace(folder=model.folder.absolute()),
    )


def _listen_to_batch(jobs: Sequence[Job], place: Place, settings: Settings) -> list[Heard | Failed]:
    """Does what `listen` does for a batch of files. It runs on another machine."""
    with ExitStack() as stack:
        networks = _start_networks(
            jobs, settings, lambda name: stack.enter_context(place.open_process(name, ENVIRONMENT)), place.wait_for
        )
        heard = place.hear_all(jobs, hear=partial(hear, settings=settings), seconds=_FILE_SECONDS)
        found = dict(_run_networks(stack.enter_context(closing(heard)), networks, settings))
    return [found[i] for i in range(len(jobs))]


def _start_networks(
    jobs: Sequence[Job],
    settings: Settings,
    open_process: Callable[[str], Executor],
    wait_for: Callable[[Future[Any]], Any],
) -> dict[str, NetworkProcess[int]]:
    """Starts the networks that the jobs want: group -> its network.

    Args:
      open_process: opens a process for the group of that name.
      wait_for: as in `NetworkProcess`.
    """
    wanted = {group for job in jobs for group in job.groups}
    networks: dict[str, NetworkProcess[int]] = {}
    if TAGGER in wanted and settings.tagger_weights is not None:
        networks[TAGGER] = NetworkProcess(
            TAGGER,
            open_process(TAGGER),
            prepare=partial(run.prepare, settings.tagger_weights),
            run=partial(run.tag, settings.tagger_weights),
            rows=run.ROWS_SENT,
            wait_for=wait_for,
        )
    if CLAP in wanted and settings.embedding is not None:
        networks[CLAP] = NetworkProcess(
            "embedding",
            open_process(CLAP),
            prepare=partial(clap.prepare, settings.embedding),
            run=partial(clap.embed, settings.embedding),
            rows=clap.ROWS_SENT,
            wait_for=wait_for,
        )
    return networks


def _run_networks(
    results: Iterator[tuple[int, Heard | Failed]], networks: Mapping[str, NetworkProcess[int]], settings: Settings
) -> Iterator[tuple[int, Heard | Failed]]:
    """Yields the results, those with inputs for networks when these have answered."""
    waiting: dict[int, Heard] = {}

    def take(group: str, i: int, found: Mapping[str, np.ndarray]) -> Iterator[tuple[int, Heard | Failed]]:
        heard = waiting[i]
        tagged = group == TAGGER
        heard.features[group] = (
            blocks.summarise_windows(found, pools=settings.tagger_pools) if tagged else average_windows(found)
        )
        del heard.inputs[group]
        if not heard.inputs:
            yield i, _check_finite(waiting.pop(i))

    for i, result in results:
        if isinstance(result, Failed) or not result.inputs:
            yield i, result
            continue
        waiting[i] = result
        for group, rows in list(result.inputs.items()):
            for key, found in networks[group].put(i, rows):
                yield from take(group, key, found)
    for group, network in networks.items():
        for key, found in network.finish():
            yield from take(group, key, found)


def hear(job: Job, settings: Settings) -> Heard | Failed:
    """Decodes a file, extracts what librosa makes of it and cuts what the networks are to be given. Runs in a worker
    process."""
    path = job.path
    try:
        clip = features.decode(path, sample_rate=features.SAMPLE_RATE, seconds=features.CLIP_SECONDS)
        found, inputs = {}, {}
        if LIBROSA in job.groups:
            pieces = _spread(path, clip.duration, settings.librosa_windows)
            found[LIBROSA] = features.extract(clip.samples, sample_rate=features.SAMPLE_RATE, pieces=pieces)
        if TAGGER in job.groups:
            inputs[TAGGER] = patches.cut_patches(path, clip.duration, settings.windows)
        if CLAP in job.groups and settings.embedding is not None:
            inputs[CLAP] = clap.cut_windows(path, clip.duration, settings.embedding, settings.windows)
    except InputError as error:
        return Failed(str(error).removeprefix(f"{path}: "))
    except Exception as error:  # whatever one file does to a decoder, the others are heard and this one is named
        return Failed(f"{type(error).__name__}: {error}")
    return _check_finite(Heard(found, clip.duration, clip.warning, inputs))


def _spread(path: str, duration: float, windows: int) -> list[np.ndarray]:
    """Decodes the pieces that librosa's clip is made of; none where it is the centre of the song."""
    if windows == 1:
        return []
    seconds = features.CLIP_SECONDS / windows
    starts = place_pieces(duration, seconds=seconds, count=windows)
    pieces = decode_pieces(path, starts, sample_rate=features.SAMPLE_RATE, seconds=seconds)
    return [piece for piece in pieces if len(piece) >= features.N_FFT]


def _check_finite(heard: Heard) -> Heard | Failed:
    every = {name: values for of_group in heard.features.values() for name, values in of_group.items()}
    broken = [name for name, values in every.items() if not np.isfinite(values).all()]
    return Failed(f"its {', '.join(broken)} came out as NaN or infinity") if broken else heard
