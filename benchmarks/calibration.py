"""How often structure is claimed where there is none: python -m benchmarks.calibration [--sets=200] [flags]

Structureless collections (a Gaussian, log-normal columns, a square, a ring, heavy tails, and songs of four alike clips)
and mixtures of known separation are drawn. Each goes through a model and a clusterer, or through the clusterer alone,
and the claim of `musiclust.metrics.evidence` is made: silhouette and stability beyond both kinds of surrogates. For a
model the surrogates go the whole way, trained and encoded as the data were ("pipeline"). Beside it stand the quick form
("latents": surrogates of the latents) and the rule that was used before, a silhouette above that of k-means on a
Gaussian by 0.5 / sqrt(N).

A claim needs that none of 19 surrogates of each kind reaches the data. So a collection is done with as soon as one does
(Besag and Clifford, Biometrika 1991): the outcome is the same, and most collections need a few surrogates.

The share of claims comes with its 95 % interval by Wilson (1927). The result is written after each model and each kind
of collection, and a command that names the same --out goes on with it.
"""

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags
from joblib import Parallel, delayed

from benchmarks import shapes
from benchmarks.measure import console, machine, write
from benchmarks.rendering import show
from experiments.cli.cores import count_usable_cores
from experiments.cli.program import run
from experiments.study.jax_setup import set_up_jax
from musiclust import population, training
from musiclust.cluster import CLUSTERERS
from musiclust.errors import InputError
from musiclust.fusion import standardise
from musiclust.metrics.evidence import DRAWS, LOWEST, measure_stability, measure_tightness
from musiclust.metrics.judge import make_cluster
from musiclust.metrics.nulls import KINDS, Surrogates
from musiclust.metrics.reference import silhouette_null
from musiclust.metrics.stability import DISSOLVED
from musiclust.models import VAE
from musiclust.report.reading import margin
from musiclust.sweep import train_settings
from musiclust.training import Recipe, Setting
from musiclust.types import Data

_SETS = flags.DEFINE_integer("sets", 200, "Structureless collections of each kind.", lower_bound=2)
_MIXTURES = flags.DEFINE_integer("mixtures", 40, "Mixtures of each separation.", lower_bound=2)
_TRACKS = flags.DEFINE_integer("tracks", 120, "Tracks of a collection.", lower_bound=40)
_K = flags.DEFINE_integer("k", 4, "Clusters that are asked for.", lower_bound=2)
_EPOCHS = flags.DEFINE_integer("epochs", 60, "Epochs of training.", lower_bound=1)
_MODELS = flags.DEFINE_list(
    "models", ["none", "vae", "vae_beta2", "vae_neighbours"], "What the collections go through."
)
_CLUSTERERS = flags.DEFINE_list("clusterers", ["kmeans", "gmm", "hdbscan"], "Algorithms that group.")
_COLLECTIONS = flags.DEFINE_list("collections", None, "Names of the collections; by default all.")
_OUT = flags.DEFINE_string("out", "benchmarks/results/calibration.json", "Where the figures are written.")

_BATCH = 40  # data sets that are trained as one program

# name -> (beta, weight of the neighbour term); "none" is clustered as it is.
MODELS: dict[str, tuple[float, float] | None] = {
    "none": None,
    "vae": (1.0, 0.0),
    "vae_beta2": (2.0, 0.0),
    "vae_neighbours": (1.0, 1.0),
}


def gaussian(rng: np.random.Generator, n: int) -> np.ndarray:
    """Twenty correlated columns, their spectrum falling as that of MFCC means does."""
    turn = np.linalg.qr(rng.normal(size=(20, 20)))[0]
    return (rng.normal(size=(n, 20)) * np.geomspace(1, 0.15, 20)) @ turn


def mixture(rng: np.random.Generator, n: int, *, separation: float) -> np.ndarray:
    """Four round clusters in eight dimensions, their centres `separation` standard deviations from one another."""
    centres = np.linalg.qr(rng.normal(size=(8, 8)))[0][:4] * separation / np.sqrt(2)
    return centres[rng.integers(0, 4, n)] + rng.normal(size=(n, 8))


STRUCTURELESS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "Gaussian": gaussian,
    "log-normal": partial(shapes.log_normal, columns=6),
    "square": shapes.square,
    "ring": shapes.ring,
    "heavy tails": partial(shapes.heavy_tails, columns=6),
    "songs": partial(shapes.songs, columns=6),
}
MIXTURES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    f"mixture {separation} sd": partial(mixture, separation=separation) for separation in (2, 3, 4, 5, 6)
}


def measure_collection(name: str, model: str, clusterers: Sequence[str]) -> list[dict[str, Any]]:
    """The share of claims about collections of one kind: a row for each clusterer."""
    n = _TRACKS.value
    count = _SETS.value if name in STRUCTURELESS else _MIXTURES.value
    draw = {**STRUCTURELESS, **MIXTURES}[name]
    song = shapes.song_of_clip(n) if name == "songs" else np.arange(n)
    group = np.char.zfill(song.astype(str), 6)
    sets = [draw(np.random.default_rng([number, zlib.crc32(name.encode())]), n) for number in range(count)]
    latents = encode(model, sets, range(count))
    kinds = {"latents": [Surrogates([z], how=kind, group=group) for z in latents for kind in KINDS]}
    if MODELS[model] is not None:
        kinds["pipeline"] = [Surrogates([x], how=kind, group=group) for x in sets for kind in KINDS]
    rows = {
        clusterer: {"model": model, "collection": name, "clusterer": clusterer, "sets": count}
        for clusterer in clusterers
    }
    for clusterer in clusterers:
        before = spread(partial(old_rule, clusterer, _K.value), latents, range(count))
        rows[clusterer]["before"] = int(sum(before))
    for how, surrogates in kinds.items():
        # What the quick form makes of a model's latents is told for k-means alone.
        quick = how == "latents" and "pipeline" in kinds
        asked = [clusterer for clusterer in clusterers if clusterer == "kmeans" or not quick]
        claims = claim(model if how == "pipeline" else "none", latents, surrogates, asked, group)
        for clusterer in asked:
            rows[clusterer][how] = int(claims[clusterer].sum())
    return list(rows.values())


def claim(
    model: str,
    latents: Sequence[np.ndarray],
    surrogates: Sequence[Surrogates],
    clusterers: Sequence[str],
    group: np.ndarray,
) -> dict[str, np.ndarray]:
    """Which collections are claimed to have structure, (sets,) bool for each clusterer.

    Args:
      surrogates: of each set, those of the first kind and those of the second.
    """
    count = len(latents)
    observed = {
        clusterer: np.array(spread(partial(measure, clusterer, _K.value, group), latents, range(count)))
        for clusterer in clusterers
    }
    alive = {clusterer: observed[clusterer][:, 1] >= DISSOLVED for clusterer in clusterers}
    for number in range(DRAWS):
        for kind in range(len(KINDS)):
            wanted = np.flatnonzero(np.any(list(alive.values()), axis=0)).tolist()
            drawn = [surrogates[len(KINDS) * one + kind].draw(number)[0] for one in wanted]
            points = dict(zip(wanted, encode(model, drawn, wanted), strict=True))
            for clusterer in clusterers:
                here = np.flatnonzero(alive[clusterer]).tolist()
                beaten = partial(stays_below, clusterer, _K.value, group)
                given = [(points[one], observed[clusterer][one]) for one in here]
                alive[clusterer][here] = spread(beaten, given, here)
    return alive


def measure(clusterer: str, k: int, group: np.ndarray, z: np.ndarray, seed: int) -> tuple[float, float]:
    """Silhouette and stability of the clusters of one collection, as the evidence has them."""
    cluster = make_cluster(clusterer, k, seed)
    clusters = cluster.whole(z)
    tight = measure_tightness(z, clusters)
    return tight, LOWEST if tight == LOWEST else measure_stability(z, clusters, cluster, group=group, seed=seed)


def stays_below(clusterer: str, k: int, group: np.ndarray, given: tuple[np.ndarray, np.ndarray], seed: int) -> bool:
    """Whether a surrogate stays below what was observed, in silhouette and in stability."""
    z, (tight, stable) = given
    cluster = make_cluster(clusterer, k, seed)
    clusters = cluster.whole(z)
    own = measure_tightness(z, clusters)
    if own >= tight - 1e-9:
        return False
    # Without two clusters there is nothing that could come back.
    return own == LOWEST or measure_stability(z, clusters, cluster, group=group, seed=seed) < stable - 1e-9


def old_rule(clusterer: str, k: int, z: np.ndarray, seed: int) -> bool:
    """The rule of before: the silhouette against k-means on a Gaussian of the same covariance."""
    clusters = make_cluster(clusterer, k, seed).whole(z)
    null = silhouette_null(z, k=int(clusters.max(initial=-1)) + 1, seed=seed)
    return bool(measure_tightness(z, clusters) - null >= margin(len(z)))


def spread(task: Callable[[Any, int], Any], points: Sequence[Any], seeds: Sequence[int]) -> list[Any]:
    """The task on each collection, on all cores."""
    return list(_pool()(delayed(task)(z, seed) for z, seed in zip(points, seeds, strict=True)))


def _pool() -> Parallel:
    return Parallel(n_jobs=count_usable_cores(), batch_size="auto")


def encode(model: str, sets: Sequence[np.ndarray], seeds: Sequence[int]) -> list[np.ndarray]:
    """What is clustered of each collection: its columns, standardised, or the latents of a model trained on it."""
    standard = [standardise(x) for x in sets]
    if MODELS[model] is None:
        return [x.astype(np.float64) for x in standard]
    beta, neighbours = MODELS[model]  # pyright: ignore[reportGeneralTypeIssues]
    latents = []
    for start in range(0, len(standard), _BATCH):
        batch = standard[start : start + _BATCH]
        filled = batch + [batch[-1]] * (_BATCH - len(batch))  # one program for every number of collections
        used = [*seeds[start : start + _BATCH], *[0] * (_BATCH - len(batch))]
        n, width = batch[0].shape
        network = VAE(input_shape=(width,), latent_dim=min(8, width), hidden=(32,))
        trained = train_settings(
            network,
            Data(np.concatenate(filled)),
            settings=[Setting(seed, beta, 3e-3, line) for line, seed in enumerate(used)],
            rows=np.arange(_BATCH * n).reshape(_BATCH, n),
            epochs=_EPOCHS.value,
            recipe=Recipe(batch_size=60, schedule="constant", neighbours=neighbours),
        )
        for line, x in enumerate(batch):
            q = training.encode(network, population.select_replica(trained.states, line), Data(jax.numpy.asarray(x)))
            latents.append(np.asarray(q.mean, np.float64))
    return latents


def main(argv: Sequence[str]) -> None:
    collections = _COLLECTIONS.value or [*STRUCTURELESS, *MIXTURES]
    for flag, given, known in (
        ("models", _MODELS.value, MODELS),
        ("clusterers", _CLUSTERERS.value, CLUSTERERS),
        ("collections", collections, {**STRUCTURELESS, **MIXTURES}),
    ):
        for name in given:
            if name not in known:
                raise InputError(f"--{flag}={name}: choose from {', '.join(known)}")
    set_up_jax(None)
    out = Path(_OUT.value)
    settings = {"sets": _SETS.value, "mixtures": _MIXTURES.value, "tracks": _TRACKS.value, "k": _K.value}
    settings["epochs"] = _EPOCHS.value
    rows = _done(out, settings)
    for model in _MODELS.value:
        for name in collections:
            known = {row["clusterer"] for row in rows if (row["model"], row["collection"]) == (model, name)}
            due = [clusterer for clusterer in _CLUSTERERS.value if clusterer not in known]
            if due:
                console.print(f"{model}, {name}: {', '.join(due)}")
                rows += measure_collection(name, model, due)
                result = {"machine": machine(["jax", "scikit-learn"]), "settings": settings, "rows": rows}
                write(out, result)
    show("calibration", json.loads(out.read_text(encoding="utf-8")), out)


def _done(out: Path, settings: Mapping[str, int]) -> list[dict[str, Any]]:
    """The rows that are measured already, with the same settings."""
    if not out.exists():
        return []
    before = json.loads(out.read_text(encoding="utf-8"))
    if before.get("settings") != settings:
        raise InputError(f"{out} was measured with {before.get('settings')}: name another --out, or delete it")
    return before["rows"]


if __name__ == "__main__":
    run(main)
