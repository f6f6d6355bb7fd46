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
from musiclust.baselines import BASELINES, UNSEEDED
from musiclust.checkpoint import Checkpoint
from musiclust.metrics import latent
from musiclust.metrics.judge import Judge, Judged, choose_replica, flag_partition
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
    *,
    subsamples: tuple[Checkpoint, np.ndarray] | None = None,
    on_row: Callable[[int, int], None] = lambda done, total: None,
) -> Scored:
    """Scores every replica of `model`, then the baselines at the same dimension and k, with the same seeds.

    Args:
      autoencoder: the trained baseline, a replica a seed; None where the model is one itself.
      subsamples: replicas that were trained on subsamples of the tracks, and the table of rows that says which; None
        where there are none.
      on_row: told (rows done, rows in all).
    """
    data, plain = (jax.tree.map(jnp.asarray, seen) for seen in (inputs.data, inputs.unconditioned()))
    judge = make_judge(config, inputs)
    replicas, seeds = len(model.settings), config.seed
    total = len(config.clusterer) * (replicas + len(seeds) * (len(config.baselines) + (autoencoder is not None)))
    done = 0

    def judged(z: np.ndarray, seed: int) -> list[Judged]:
        nonlocal done
        found = judge(z, seed=seed)
        done += len(found)
        on_row(done, total)
        return found

    posteriors, clusterings, collapsed, by_replica = [], [], [], []
    for r, setting in enumerate(model.settings):
        state = select_replica(model.states, r)
        q = jax.tree.map(np.asarray, training.encode(model.model, state, data))
        bound = float(training.negative_elbo(model.model, state, data))
        found = judged(q.mean, setting.seed)
        collapsed.append(model.model.variational and latent.is_collapsed(q.mean, q.logvar, k=config.k))
        row = _settings_of(config, model, r, q) | {"negative_elbo": bound}
        class_seen = model.model.conditional and conditioned_on_classes(config.condition)
        by_replica.append(
            [
                describe(config.model, one)
                | row
                | {"flags": flag_partition(one.scores, collapsed=collapsed[-1], class_seen=class_seen)}
                for one in found
            ]
        )
        posteriors.append(q)
        clusterings.append(found[0].clustering)
    rows = [row for same in zip(*by_replica, strict=True) for row in same]
    chosen = choose_replica(np.array([row["negative_elbo"] for row in rows[:replicas]]), np.array(collapsed))
    flat = inputs.columns.reshape(len(inputs.columns), -1)
    for name in config.baselines:
        points = None
        for seed in seeds:
            if points is None or name not in UNSEEDED:
                points = BASELINES[name](flat, latent_dim=config.latent_dim, seed=seed)
            rows += [_baseline_row(name, seed, one) for one in judged(points, seed)]
    if autoencoder is not None:
        for r, setting in enumerate(autoencoder.settings):
            code = training.encode(autoencoder.model, select_replica(autoencoder.states, r), plain).mean
            found = judged(np.asarray(code), setting.seed)
            trained = {
                "learning_rate": setting.learning_rate,
                "loss": float(autoencoder.history.loss[r, -1]),
                "reconstruction": float(autoencoder.history.reconstruction[r, -1]),
            }
            rows += [_baseline_row("autoencoder", setting.seed, one) | trained for one in found]
    return Scored(rows, chosen, posteriors[chosen], clusterings[chosen])


def make_judge(config: Config, inputs: Inputs) -> Judge:
    """The judge of a run's partitions."""
    return Judge(inputs.reference(), inputs.truth, clusterers=config.clusterer, k=config.k, seed=config.seed[0])


def describe(name: str, judged: Judged) -> Row:
    """The part of a row that a partition fills in; `name` is what was clustered."""
    return {
        "clusterer": judged.clusterer,
        "sizes": judged.sizes,
        "scores": judged.scores,
        "name": f"{name} + {judged.clusterer}",
    }


def _settings_of(config: Config, model: Checkpoint, r: int, q: Posterior) -> Row:
    variational, setting = model.model.variational, model.settings[r]
    return {
        "kind": "model",
        "seed": setting.seed,
        "beta": setting.beta if variational else None,
        "learning_rate": setting.learning_rate,
        "loss": float(model.history.loss[r, -1]),
        "reconstruction": float(model.history.reconstruction[r, -1]),
        "active_units": latent.active_units(q.mean),
        "total_kl": latent.total_kl(q.mean, q.logvar) if variational else None,
    }


def _baseline_row(name: str, seed: int, judged: Judged) -> Row:
    return describe(name, judged) | {
        "kind": "baseline",
        "seed": seed,
        "beta": None,
        "learning_rate": None,
        "flags": flag_partition(judged.scores),
        "loss": None,
        "reconstruction": None,
        "active_units": None,
        "total_kl": None,
    }
