"""Every model on one collection, crossed with seeds and subsamples, beside the baselines on the same features.

A score is an array (S seeds, B subsamples). Each replica sees the tracks of its subsample alone, and is clustered and
scored on them, so that rows of one collection can be compared pair by pair.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import adjusted_rand_score

from experiments.configs import DEFAULTS, Config
from experiments.study import inputs
from experiments.study.controls import shows_mask
from experiments.study.inputs import Inputs
from experiments.study.job import build_model
from musiclust import store
from musiclust.baselines import over_seeds
from musiclust.cluster import CLUSTERERS
from musiclust.errors import InputError
from musiclust.metrics import latent
from musiclust.metrics.partition import ami
from musiclust.metrics.reference import reference_silhouette
from musiclust.metrics.stability import pairwise_ari
from musiclust.models import MODELS
from musiclust.population import encode_replica
from musiclust.splits import draw_subsamples
from musiclust.sweep import product, train_settings
from musiclust.training import Recipe
from musiclust.types import Data

MEASURES = ("ari", "ami", "reference_silhouette")


class Collection(NamedTuple):
    """A store, called as its folder is, and the blocks to take in place of a model's default ones, if any."""

    name: str
    root: Path
    features: tuple[str, ...]


class Effort(NamedTuple):
    """seeds S, subsamples B, the share of the tracks in each of these and the most tracks, and epochs."""

    seeds: int
    subsamples: int
    share: float
    most: int
    epochs: int


def read_collection(text: str) -> Collection:
    """Reads FOLDER or FOLDER:block+block.

    Raises:
      InputError: if there is no such store, or a block that it lacks is named.
    """
    folder, _, blocks = text.partition(":")
    root = Path(folder).expanduser()
    features = tuple(blocks.split("+")) if blocks else ()
    there = store.block_names(root)
    for name in features:
        if name not in there:
            raise InputError(f"--store={text}: there is no block {name}; there are {', '.join(there)}")
    return Collection(root.resolve().name, root, features)


def configure(model: str, collection: Collection, effort: Effort) -> Config:
    """The model's defaults on a collection.

    Raises:
      InputError: if the store lacks what the model takes.
    """
    config = replace(DEFAULTS[model], epochs=effort.epochs, controls=(), seed=tuple(range(effort.seeds)))
    if collection.features:
        sung = "lyrics" in config.features and "lyrics" in store.block_names(collection.root)
        features = (*collection.features, "lyrics") if sung else collection.features
        config = replace(config, features=tuple(dict.fromkeys(features)))
    return inputs.complete(config, collection.root, keep_features=bool(collection.features))


def why_not(config: Config, given: Inputs) -> str:
    """Why a model is not measured on a collection; "" where it is."""
    kind = MODELS[config.model]
    if kind.multimodal and len(given.blocks) < 2:
        return "it has an encoder for each block, and there is one block"
    if kind.conditional and not shows_mask(given):
        return "it is told which blocks a track has, and all tracks have the same"
    return ""


def draw_lines(given: Inputs, effort: Effort) -> np.ndarray:
    """(B, n) the rows of the subsamples: whole groups, the same for all models of a collection."""
    return draw_subsamples(given.tracks.group, count=effort.subsamples, share=effort.share, most=effort.most)


def measure_model(
    config: Config, given: Inputs, effort: Effort, on_step: Callable[[str, int, int], None]
) -> dict[str, Any]:
    """Trains S x B replicas as one program and scores each: MEASURES -> (S, B), and "stability", "low_information"."""
    lines = draw_lines(given, effort)
    model = build_model(config, given.fusion, given.data.x.shape[1:])
    settings = product(config.seed, config.beta[:1], config.learning_rate[:1], range(len(lines)))
    recipe = Recipe(config.batch_size, config.schedule, config.beta_schedule, config.neighbours)
    trained = train_settings(
        model,
        given.data,
        settings=settings,
        rows=lines,
        epochs=config.epochs,
        recipe=recipe,
        on_epochs=lambda done, _: on_step(f"training {config.model} x {len(settings)}", done, config.epochs),
    )
    score = _Scorer(given, lines, config.k)
    low = []
    for r, setting in enumerate(settings):
        rows = lines[setting.rows]
        q = encode_replica(model, trained.states, r, Data(given.data.x[rows], given.data.cond[rows]))
        low.append(bool(model.variational and latent.tells_little(q.mean, q.logvar)))
        score(q.mean, setting.seed, setting.rows)
        on_step(f"scoring {config.model}", r + 1, len(settings))
    return score.result(effort.seeds) | {"low_information": float(np.mean(low))}


def measure_baseline(name: str, config: Config, given: Inputs, effort: Effort) -> dict[str, Any]:
    """The same of a baseline, made of each subsample by itself."""
    lines = draw_lines(given, effort)
    score = _Scorer(given, lines, config.k)
    flat = given.columns.reshape(len(given.columns), -1)
    for line, rows in enumerate(lines):
        for seed, points in over_seeds(name, flat[rows], latent_dim=config.latent_dim, seeds=config.seed):
            score(points, seed, line)
    return score.result(effort.seeds) | {"low_information": 0.0}


class _Scorer:
    """Clusters points of one subsample after the other, in any order, and keeps the scores."""

    def __init__(self, given: Inputs, lines: np.ndarray, k: int) -> None:
        if given.truth is None:
            raise InputError(f"{given.store} knows no classes, so that models cannot be compared by them")
        self.given, self.lines, self.k, self.truth = given, lines, k, given.truth
        self.reference = given.reference()
        self.found: dict[tuple[int, int], dict[str, float]] = {}
        self.partitions: list[np.ndarray] = []

    def __call__(self, z: np.ndarray, seed: int, line: int) -> None:
        rows = self.lines[line]
        clusters = CLUSTERERS["kmeans"](z, k=self.k, seed=seed).clusters
        known = self.truth[rows] >= 0
        self.found[seed, line] = {
            "ari": float(adjusted_rand_score(self.truth[rows][known], clusters[known])),
            "ami": ami(clusters, self.truth[rows]),
            "reference_silhouette": reference_silhouette(self.reference[rows], clusters),
        }
        partition = np.full(len(self.truth), -2)
        partition[rows] = clusters
        self.partitions.append(partition)

    def result(self, seeds: int) -> dict[str, Any]:
        scores = {
            measure: [[self.found[seed, line][measure] for line in range(len(self.lines))] for seed in range(seeds)]
            for measure in MEASURES
        }
        agreement = pairwise_ari(np.stack(self.partitions))
        return {**scores, "stability": float(np.nanmean(agreement[np.triu_indices(len(agreement), 1)]))}
