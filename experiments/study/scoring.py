"""Trained replicas and the baselines, clustered and scored: the rows of every table.

Used by run.py when training is over and by evaluate.py after a restore, so that both print the same figures.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.configs import Config
from experiments.study.inputs import Inputs, conditioned_on_classes
from musiclust import training
from musiclust.baselines import BASELINES
from musiclust.checkpoint import Checkpoint
from musiclust.cluster import CLUSTERERS
from musiclust.metrics import latent
from musiclust.metrics.partition import score
from musiclust.metrics.reference import reference_silhouette, silhouette_null
from musiclust.population import select_replica
from musiclust.types import Clustering, Posterior

Row = dict[str, Any]


class Scored(NamedTuple):
    """rows: as in metrics.json: the replicas under the first clusterer, then under the next, then the baselines.
    chosen: index of the replica that is shown, and of its row, by the lowest negative ELBO at beta 1 among those not
    collapsed. posterior (N, L) and clustering: of that replica."""

    rows: list[Row]
    chosen: int
    posterior: Posterior
    clustering: Clustering


def score_all(
    config: Config,
    inputs: Inputs,
    model: Checkpoint,
    autoencoder: Checkpoint | None,
    on_row: Callable[[int, int], None] = lambda done, total: None,
) -> Scored:
    """Scores every replica of `model`, then the baselines at the same dimension and k, with the same seeds.

    Args:
      autoencoder: the trained baseline, a replica a seed; None where the model is one itself.
      on_row: told (rows done, rows in all).
    """
    data, plain = (jax.tree.map(jnp.asarray, seen) for seen in (inputs.data, inputs.unconditioned()))
    judge = Judge(inputs, config.clusterer, k=config.k, seed=config.seed[0])
    replicas, seeds = len(model.settings), config.seed
    total = len(config.clusterer) * (replicas + len(seeds) * (len(BASELINES) + (autoencoder is not None)))
    done = 0

    def told(scored: list[tuple[Clustering, Row]]) -> list[tuple[Clustering, Row]]:
        nonlocal done
        done += len(scored)
        on_row(done, total)
        return scored

    posteriors, groups, by_replica = [], [], []
    for r, setting in enumerate(model.settings):
        state = select_replica(model.states, r)
        q = jax.tree.map(np.asarray, training.encode(model.model, state, data))
        bound = float(training.negative_elbo(model.model, state, data))
        scored = told(judge(q.mean, seed=setting.seed))
        by_replica.append([_model_row(config, model, r, q, row) | {"negative_elbo": bound} for _, row in scored])
        posteriors.append(q)
        groups.append(scored[0][0])
    rows = [row for same in zip(*by_replica, strict=True) for row in same]
    healthy = [r for r in range(replicas) if "collapsed" not in rows[r]["flags"]] or range(replicas)
    chosen = min(healthy, key=lambda r: rows[r]["negative_elbo"])
    flat = inputs.data.x.reshape(len(inputs.data.x), -1)
    for name, baseline in BASELINES.items():
        for seed in seeds:
            scored = told(judge(baseline(flat, dim=config.latent_dim, seed=seed), seed=seed))
            rows += [_baseline_row(name, seed, row) for _, row in scored]
    if autoencoder is not None:
        for r, setting in enumerate(autoencoder.settings):
            code = training.encode(autoencoder.model, select_replica(autoencoder.states, r), plain).mean
            scored = told(judge(np.asarray(code), seed=setting.seed))
            trained = {
                "learning_rate": setting.learning_rate,
                "loss": float(autoencoder.history.loss[r, -1]),
                "reconstruction": float(autoencoder.history.reconstruction[r, -1]),
            }
            rows += [_baseline_row("autoencoder", setting.seed, row) | trained for _, row in scored]
    return Scored(rows, chosen, posteriors[chosen], groups[chosen])


class Judge:
    """Clusters points by every clusterer asked for and scores each partition.

    Args:
      k: clusters. seed: of the nulls and chance levels, the same for all that is held against each other.
    """

    def __init__(self, inputs: Inputs, clusterers: tuple[str, ...], *, k: int, seed: int) -> None:
        self.inputs, self.clusterers, self.k, self.seed = inputs, clusterers, k, seed
        self.reference = inputs.reference()
        self._reference_nulls: dict[int, float] = {}

    def __call__(self, z: np.ndarray, *, seed: int) -> list[tuple[Clustering, Row]]:
        """(clustering, {"clusterer", "sizes", "scores"}) of z (N, L) by each clusterer; `seed` is the clusterers'."""
        nulls: dict[int, float] = {}
        judged = []
        for name in self.clusterers:
            clustering = CLUSTERERS[name](z, k=self.k, seed=seed)
            clusters = clustering.clusters
            scores = score(z, clusters, self.inputs.truth, seed=self.seed)
            found = int(scores["n_clusters"])
            scores["silhouette_null"] = self._null(nulls, z, found)
            scores["reference_silhouette"] = reference_silhouette(self.reference, clusters, seed=self.seed)
            scores["reference_null"] = self._null(self._reference_nulls, self.reference, found)
            sizes = np.bincount(clusters[clusters >= 0]).tolist()
            judged.append((clustering, {"clusterer": name, "sizes": sizes, "scores": scores}))
        return judged

    def _null(self, known: dict[int, float], z: np.ndarray, k: int) -> float:
        if k not in known:
            known[k] = silhouette_null(z, k=k, seed=self.seed)
        return known[k]


def _model_row(config: Config, model: Checkpoint, r: int, q: Posterior, judged: Row) -> Row:
    variational = model.model.variational
    flags = ["collapsed"] if variational and latent.is_collapsed(q.mean, q.logvar, k=config.k) else []
    flags += ["class-seen"] if model.model.conditional and conditioned_on_classes(config.condition) else []
    setting = model.settings[r]
    return judged | {
        "name": f"{config.model} + {judged['clusterer']}",
        "kind": "model",
        "seed": setting.seed,
        "beta": setting.beta if variational else None,
        "learning_rate": setting.learning_rate,
        "bootstrap": setting.resample,
        "flags": flags + _degenerate(judged["scores"]),
        "loss": float(model.history.loss[r, -1]),
        "reconstruction": float(model.history.reconstruction[r, -1]),
        "active_units": latent.active_units(q.mean),
        "total_kl": latent.total_kl(q.mean, q.logvar) if variational else None,
    }


def _baseline_row(name: str, seed: int, judged: Row) -> Row:
    return judged | {
        "name": f"{name} + {judged['clusterer']}",
        "kind": "baseline",
        "seed": seed,
        "beta": None,
        "learning_rate": None,
        "bootstrap": None,
        "flags": _degenerate(judged["scores"]),
        "loss": None,
        "reconstruction": None,
        "active_units": None,
        "total_kl": None,
    }


def _degenerate(scores: dict[str, float]) -> list[str]:
    """A partition into one cluster, or into noise, is none."""
    return ["degenerate"] if scores["n_clusters"] < 2 else []
