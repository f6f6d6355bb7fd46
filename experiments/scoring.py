"""Trained replicas and the baselines, clustered and scored: the rows of every table.

Used by run.py when training is over and by evaluate.py after a restore, so that both print the same figures.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.configs import Config
from experiments.inputs import Inputs, conditioned_on_label
from musiclust import train
from musiclust.baselines import BASELINES
from musiclust.checkpoint import Checkpoint
from musiclust.cluster import CLUSTERERS
from musiclust.metrics import latent
from musiclust.metrics.partition import score
from musiclust.metrics.reference import reference_silhouette, silhouette_null
from musiclust.types import Clustering, Data, Posterior, TrainState


class Scored(NamedTuple):
    """rows: as in metrics.json, model replicas first. chosen: index of the replica that is shown, by the lowest
    negative ELBO at beta 1 among those not collapsed. posterior (N, L) and clustering: of that replica."""

    rows: list[dict[str, Any]]
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
    """Scores every replica of `model`, then the baselines at the same dimension and k.

    Args:
      autoencoder: the trained baseline; None where the model is one itself.
      on_row: told (rows done, rows in all).
    """
    data = jax.tree.map(jnp.asarray, inputs.data)
    judge = _Judge(config, inputs)
    replicas = len(model.settings)
    total = replicas + len(BASELINES) + (autoencoder is not None)
    rows, posteriors, clusterings = [], [], []
    for r in range(replicas):
        state = replica(model.states, r)
        q = jax.tree.map(np.asarray, train.encode(model.model, state, data))
        clustering, scores = judge(q.mean)
        bound = float(train.negative_elbo(model.model, state, data))
        rows.append(_model_row(config, model, r, q, scores) | {"negative_elbo": bound})
        posteriors.append(q)
        clusterings.append(clustering)
        on_row(len(rows), total)
    healthy = [r for r in range(replicas) if "collapsed" not in rows[r]["flags"]] or range(replicas)
    chosen = min(healthy, key=lambda r: rows[r]["negative_elbo"])
    flat = inputs.data.x.reshape(len(inputs.data.x), -1)
    for name, baseline in BASELINES.items():
        _, scores = judge(baseline(flat, dim=config.latent_dim, seed=config.seed[0]))
        rows.append(_baseline_row(config, name, scores))
        on_row(len(rows), total)
    if autoencoder is not None:
        code = train.encode(autoencoder.model, replica(autoencoder.states, 0), unconditioned(data)).mean
        _, scores = judge(np.asarray(code))
        rows.append(_baseline_row(config, "autoencoder", scores, autoencoder))
        on_row(len(rows), total)
    return Scored(rows, chosen, posteriors[chosen], clusterings[chosen])


def replica(states: TrainState, index: int) -> TrainState:
    """One replica of a population."""
    return jax.tree.map(lambda leaf: leaf[index], states)


def unconditioned(data: Data) -> Data:
    """The data without conditions, as the autoencoder sees them."""
    return Data(data.x, data.cond[:, :0])


class _Judge:
    """Clusters points and scores the partition; nulls of the reference space are computed once for each k."""

    def __init__(self, config: Config, inputs: Inputs) -> None:
        self.config, self.inputs = config, inputs
        self.seed = config.seed[0]
        self.reference_nulls: dict[int, float] = {}

    def __call__(self, z: np.ndarray) -> tuple[Clustering, dict[str, float]]:
        clustering = CLUSTERERS[self.config.clusterer](z, k=self.config.k, seed=self.seed)
        labels = clustering.labels
        scores = score(z, labels, self.inputs.truth, seed=self.seed)
        k = int(scores["n_clusters"])
        if k not in self.reference_nulls:
            self.reference_nulls[k] = silhouette_null(self.inputs.reference, k=k, seed=self.seed)
        scores["silhouette_null"] = silhouette_null(z, k=k, seed=self.seed)
        scores["reference_silhouette"] = reference_silhouette(self.inputs.reference, labels, seed=self.seed)
        scores["reference_null"] = self.reference_nulls[k]
        return clustering, scores


def _model_row(config: Config, model: Checkpoint, r: int, q: Posterior, scores: dict[str, float]) -> dict[str, Any]:
    variational = model.model.variational
    flags = ["collapsed"] if variational and latent.is_collapsed(q.mean, q.logvar, k=config.k) else []
    flags += ["label-seen"] if model.model.conditional and conditioned_on_label(config.condition) else []
    setting = model.settings[r]
    return {
        "name": f"{config.model} + {config.clusterer}",
        "kind": "model",
        "seed": setting.seed,
        "beta": setting.beta if variational else None,
        "learning_rate": setting.learning_rate,
        "flags": flags + _degenerate(scores),
        "loss": float(model.history.loss[r, -1]),
        "reconstruction": float(model.history.reconstruction[r, -1]),
        "active_units": latent.active_units(q.mean),
        "total_kl": latent.total_kl(q.mean, q.logvar) if variational else None,
        "scores": scores,
    }


def _baseline_row(
    config: Config, name: str, scores: dict[str, float], trained: Checkpoint | None = None
) -> dict[str, Any]:
    return {
        "name": f"{name} + {config.clusterer}",
        "kind": "baseline",
        "seed": config.seed[0],
        "beta": None,
        "learning_rate": config.learning_rate[0] if trained else None,
        "flags": _degenerate(scores),
        "loss": float(trained.history.loss[0, -1]) if trained else None,
        "reconstruction": float(trained.history.reconstruction[0, -1]) if trained else None,
        "active_units": None,
        "total_kl": None,
        "scores": scores,
    }


def _degenerate(scores: dict[str, float]) -> list[str]:
    """A partition into one cluster, or into noise, is none."""
    return ["degenerate"] if scores["n_clusters"] < 2 else []
