"""Songs that come after a run: the preprocessing stage hears them as it heard the run's, the run's checkpoint encodes
them, and they are placed among the run's songs. Nothing is trained.

    <run>/new_songs/<folder>/   a store for each folder of new songs

What is said of them is made anew of all these stores each time, so that songs which come in one go or in several end
the same.
"""

import hashlib
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.cli.interrupt import check_stop
from experiments.configs import Config
from experiments.study import inputs
from experiments.study.characters import describe_songs
from experiments.study.job import restore_finished
from experiments.study.new_stores import NEW_SONGS, find_stores
from experiments.study.plan import Plan, read_plan
from experiments.study.run_files import read_chosen
from experiments.study.run_store import find_store
from experiments.study.song_blocks import differing_keys
from experiments.study.songs import Songs, make_song
from musiclust import checkpoint, store
from musiclust.checkpoint import Checkpoint
from musiclust.cluster import assigner
from musiclust.errors import InputError
from musiclust.listening.content import find_copies
from musiclust.listening.placing import Placed, measure_reach, place
from musiclust.population import encode_replica
from musiclust.stretches import split_stretch
from musiclust.types import Tracks

_NEAREST = 3  # songs between which a new one is put on the map


class Added(NamedTuple):
    """songs: the run's, and after them those that came later. copy_of: (N,) of these songs, as `find_copies` has it.
    copies: how many that came later were left out, being files that are there already. refused: how many fit none of
    the clusters."""

    songs: Songs
    copy_of: np.ndarray
    copies: int
    refused: int


class Trained(NamedTuple):
    """A run that was restored. chosen: the replica that is shown. specs: how the values of each block that the run was
    trained on came about."""

    run_dir: Path
    model: Checkpoint
    config: Config
    chosen: int
    specs: Mapping[str, Mapping[str, Any]]


def restore(run_dir: Path, store_dir: str | None = None) -> Trained:
    """Restores what hears and places new songs.

    Args:
      store_dir: where the run's store is now, None where it is where it was. Only runs of early versions need it.

    Raises:
      InputError: if the run has no checkpoint, or its features cannot be made of audio.
    """
    plan = read_plan(run_dir)
    model = restore_finished(plan)["model"]
    return Trained(
        run_dir, model, plan.config, read_chosen(run_dir, len(model.settings)), _read_specs(plan, model, store_dir)
    )


def hear_folder(trained: Trained, folder: Path, *, embedding: str, cache_dir: str | None) -> None:
    """Hears the songs of a folder as the run's were heard, in a process of its own; does only what is new.

    Args:
      embedding: the CLAP model, as `clap:<folder>`; "" for the one of the name that the run's features have.

    Raises:
      InputError: if no song can be heard.
    """
    name = hashlib.blake2b(str(folder.absolute()).encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
    root = trained.run_dir / NEW_SONGS / f"{folder.absolute().name or 'songs'}-{name}"
    command = [sys.executable, "-m", "experiments.preprocess", "--corpus=folder", f"--audio_dir={folder.absolute()}"]
    command += [f"--store={root}", *_list_flags(trained.specs, embedding)]
    command += [f"--cache_dir={cache_dir}"] if cache_dir else []
    done = subprocess.run(command, check=False)
    check_stop()
    if done.returncode:
        raise InputError(f"the songs of {folder} could not be heard: mend what is named above")


def add_new_songs(trained: Trained, songs: Songs) -> Added:
    """The run's songs with all that were heard since by `hear_folder`, which are some.

    Raises:
      InputError: if new songs were heard otherwise than the run's.
    """
    encoded = [_encode(trained, root) for root in find_stores(trained.run_dir)]
    files = [Path(split_stretch(path)[0]) for one in encoded for path in one.tracks.path.tolist()]
    count = len(songs.song)
    copy_of = find_copies([*(song.path for song in songs.song), *files])
    kept = copy_of[count:] == np.arange(count, len(copy_of))
    if not kept.any():
        return Added(songs, copy_of[:count], len(kept), 0)
    z = np.concatenate([one.z for one in encoded])[kept]
    state = checkpoint.restore_arrays(trained.run_dir / "checkpoints" / "clusters")
    assigned = assigner(trained.config.clusterer[0], state)(z.astype(np.float32))
    placed = place(measure_reach(songs.z, songs.clusters, group=songs.group), z, assigned)
    more = _describe(encoded, kept, songs, z, placed)
    copy_of = np.concatenate([copy_of[:count], count + np.arange(kept.sum())])  # those kept are copies of none
    return Added(_append(songs, more), copy_of, int((~kept).sum()), int((placed.clusters < 0).sum()))


def _read_specs(plan: Plan, model: Checkpoint, store_dir: str | None) -> dict[str, Mapping[str, Any]]:
    """How the values of each block that the run was trained on came about.

    Raises:
      InputError: if the run does not know, or they cannot be made of audio.
    """
    specs = model.meta.get("specs")
    if specs is None:  # a run of version 0.2 or before: its store knows, as long as it is there
        root = find_store(plan, store_dir)
        specs = {name: store.load_block(root, name).spec for name in model.fusion.blocks}
    strange = [name for name in model.fusion.blocks if not _is_heard(specs[name])]
    if strange:
        raise InputError(f"the run was trained on {', '.join(strange)}, which cannot be made of the audio of new songs")
    return specs


def _is_heard(spec: Mapping[str, Any]) -> bool:
    return "extractor_version" in spec or str(spec.get("embedder", "")).startswith("sbert")


def _list_flags(specs: Mapping[str, Mapping[str, Any]], embedding: str) -> list[str]:
    """Flags of `experiments.preprocess` by which blocks come about as these did."""
    networks = [one for one in specs.values() if "windows" in one]
    found = {f"--windows={one['windows']}" for one in networks}
    found |= {f"--librosa_windows={one['clip_windows']}" for one in specs.values() if "clip_windows" in one}
    found |= {f"--embedding={embedding or 'clap:' + one['model']}" for one in networks if "model" in one}
    found |= {f"--embedder={one['embedder']}" for one in specs.values() if "embedder" in one}
    if not any(one.get("extractor") == "MusiCNN" for one in networks):
        found.add("--tagger=none")
    if any(name.endswith("_pool") for name in specs):
        found.add("--tagger_pools")
    return sorted(found)


class _Encoded(NamedTuple):
    tracks: Tracks
    z: np.ndarray
    tags: list[str]


def _encode(trained: Trained, root: Path) -> _Encoded:
    """The songs of a store in the latent space of the run's shown replica."""
    model, there = trained.model, store.block_names(root)
    for name, spec in trained.specs.items():
        if name not in there:
            raise InputError(f"{root} has no {name}, on which the run was trained: delete it and hear its songs again")
        made = store.load_block(root, name).spec
        if differing := differing_keys(spec, made):
            key = differing[0]
            raise InputError(
                f"{root}: {name} has {key} {made.get(key)!r} and the run's has {spec[key]!r}, so that they cannot be "
                "held against each other: preprocess the run's own songs anew, and train the run anew"
            )
    given = inputs.load(inputs.for_other_store(trained.config, root), root, model.fusion)
    if given.data.cond.shape[1] != model.conditions:
        raise InputError(f"the run was told classes of each song ({model.conditions} numbers), and new songs have none")
    q = encode_replica(model.model, model.states, trained.chosen, given.data)
    return _Encoded(given.tracks, q.mean.astype(np.float64), describe_songs(root, given.tracks))


def _describe(encoded: list[_Encoded], kept: np.ndarray, songs: Songs, z: np.ndarray, placed: Placed) -> Songs:
    """The new songs, in the order of their stores, as songs of the run are described."""

    def column(name: str) -> np.ndarray:
        return np.concatenate([one.tracks.meta[name] for one in encoded])[kept]

    path = np.concatenate([one.tracks.path for one in encoded])[kept]
    title, artist, album, seconds = map(column, ("title", "artist", "album", "duration"))
    about = zip(path.tolist(), title.tolist(), artist.tolist(), album.tolist(), seconds.tolist(), strict=True)
    far = placed.clusters < 0
    nearest = [songs.names.get(int(number), "") or f"cluster {number}" for number in placed.nearest_cluster]
    return songs._replace(
        song=[make_song(*one) for one in about],
        path=path,
        artist=artist,
        album=album,
        seconds=seconds.astype(np.float64),
        # A song of the run may have the name of a new one: the path tells them apart.
        track_id=path,
        group=path,
        clusters=placed.clusters,
        z=z,
        xy=_put_on_map(songs, z, placed.neighbours[:, :_NEAREST]),
        confidence=placed.confidence,
        certainty=[
            f"fits none; nearest is {name}" if none else f"{share:.0%} of its neighbours are in it"
            for none, name, share in zip(far, nearest, placed.confidence, strict=True)
        ],
        classes=np.full(len(path), ""),
        tags=[tag for tag, keep in zip([tag for one in encoded for tag in one.tags], kept, strict=True) if keep],
        later=np.ones(len(path), bool),
    )


def _put_on_map(songs: Songs, z: np.ndarray, near: np.ndarray) -> np.ndarray:
    """(M, 2) between the songs nearest to each, the nearer to those that are nearer in the latent space."""
    distance = np.linalg.norm(songs.z[near] - z[:, None], axis=2)
    weight = 1 / np.maximum(distance, np.finfo(np.float32).tiny)
    return (weight[..., None] * songs.xy[near]).sum(axis=1) / weight.sum(axis=1)[:, None]


def _append(songs: Songs, more: Songs) -> Songs:
    """Both one after the other; they have the same names of clusters."""
    arrays = (
        *("path", "artist", "album", "seconds", "track_id", "group", "clusters"),
        *("z", "xy", "confidence", "classes", "later"),
    )
    return songs._replace(
        **{name: np.concatenate([getattr(songs, name), getattr(more, name)]) for name in arrays},
        **{name: getattr(songs, name) + getattr(more, name) for name in ("song", "certainty", "tags")},
    )
