"""Trained replicas, controls and baselines, clustered and scored: the rows of every table, and what they are worth.

Used by run.py when training is over and by evaluate.py after a restore, so that both print the same figures.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from experiments.configs import Config
from experiments.study.controls import MASK_ONLY, make_control, mask_pattern, shows_mask
from experiments.study.inputs import Inputs, conditioned_on_classes
from experiments.study.number import suggest_number
from experiments.study.trust import Votes, assess, count_votes
from musiclust import bounds, streaming, training
from musiclust.baselines import over_seeds, pca_reconstruction
from musiclust.checkpoint import Checkpoint
from musiclust.metrics import latent
from musiclust.metrics.evidence import Evidence
from musiclust.metrics.judge import Judge, Judged, choose_replica, flag_partition
from musiclust.metrics.number_of_clusters import Choice
from musiclust.population import encode_replica, select_replica
from musiclust.types import Clustering, Data, Posterior

Row = dict[str, Any]
# Of features that are streamed: so many bytes of them are what PCA is fitted on, and tried on.
_PCA_BYTES = 2**27


class Populations(NamedTuple):
    """What a run trained.

    model: the replicas. autoencoder: the trained baseline, a replica a seed; None where the model is one itself.
    subsamples: the replicas trained on parts of the tracks, with their table of rows (T, n). controls: the replicas of
    `Config.controls`, the seeds of one after those of the other. The last two are None where none were asked for.
    """

    model: Checkpoint
    autoencoder: Checkpoint | None = None
    subsamples: tuple[Checkpoint, np.ndarray] | None = None
    controls: Checkpoint | None = None


class Scored(NamedTuple):
    """rows: as in metrics.json: the replicas under the first clusterer, then under the next, then controls and
    baselines. chosen: index of the replica that is shown, and of its row. posterior (N, L) and clustering: of that
    replica. votes: the partitions of other seeds and of parts of the tracks. trust: "trust" of the results."""

    rows: list[Row]
    chosen: int
    posterior: Posterior
    clustering: Clustering
    votes: Votes
    trust: dict[str, Any]


def score_all(
    config: Config,
    inputs: Inputs,
    trained: Populations,
    *,
    weigh: Callable[[Judge, int, np.ndarray], Evidence] | None = None,
    choice: Choice | None = None,
    on_row: Callable[[int, int], None] = lambda done, total: None,
) -> Scored:
    """Scores every replica of the model, then controls and baselines with the same k and seeds, and weighs the result.

    Args:
      weigh: the test of the shown clusters, told the judge, the index of the replica and its latents; the quick form
        if None.
      choice: the number of clusters that the features suggest, where it is known; it is looked for if None.
      on_row: told (rows done, rows in all).
    """
    model, autoencoder = trained.model, trained.autoencoder
    data = streaming.place_on_device(inputs.data)
    compared_rows = inputs.compared_rows()
    compared = data if compared_rows is None else streaming.take_rows(data, compared_rows)
    judge = make_judge(config, inputs)
    replicas, seeds = len(model.settings), len(config.seed)
    total = len(config.clusterer) * (
        replicas + len(config.controls) * seeds + seeds * (len(config.baselines) + (autoencoder is not None))
    )
    done = 0

    def judged(z: np.ndarray, seed: int) -> list[Judged]:
        nonlocal done
        found = judge(z, seed=seed)
        done += len(found)
        on_row(done, total)
        return found

    told = model.model.conditional and conditioned_on_classes(config.condition)
    mask_seen = shows_mask(inputs)
    posteriors, clusterings, by_replica = [], [], []
    for r, setting in enumerate(model.settings):
        q = encode_replica(model.model, model.states, r, data)
        row = _settings_of(config, model, r, q) | _bounds(model, r, data, compared)
        low = model.model.variational and latent.tells_little(q.mean, q.logvar)
        found = judged(q.mean, setting.seed)
        flags = [
            flag_partition(
                one.scores,
                low_information=low,
                class_seen=told,
                mask_seen=mask_seen,
                approximate=one.approximate,
            )
            for one in found
        ]
        by_replica.append(
            [describe(config.model, one) | row | {"flags": of_one} for one, of_one in zip(found, flags, strict=True)]
        )
        posteriors.append(q)
        clusterings.append(found[0].clustering)
    rows = [row for same in zip(*by_replica, strict=True) for row in same]
    chosen = choose_replica(np.array([row["bound"] for row in rows[:replicas]]))
    rows += _control_rows(config, inputs, trained.controls, judged)
    rows += _baseline_rows(config, inputs, autoencoder, judged)
    posterior, clustering, shown = posteriors[chosen], clusterings[chosen], model.settings[chosen]
    same = [r for r, one in enumerate(model.settings) if one[1:3] == shown[1:3]]
    parts = _cluster_subsamples(judge, inputs, trained.subsamples, shown)
    votes = count_votes(
        judge,
        posterior.mean,
        clustering.clusters,
        [clusterings[r].clusters for r in same],
        None if parts is None else parts.reshape(-1, parts.shape[2]),
    )
    if weigh is None:
        evidence = judge.weigh(posterior.mean, config.clusterer[0], seed=shown.seed)
    else:
        evidence = weigh(judge, chosen, posterior.mean)
    trust = assess(
        config,
        inputs,
        rows,
        chosen,
        posterior,
        clustering.clusters,
        evidence,
        votes,
        parts,
        _held_out(config, inputs, model, chosen, compared),
        choice or suggest_number(inputs),
    )
    return Scored(rows, chosen, posterior, clustering, votes, trust)


def make_judge(config: Config, inputs: Inputs) -> Judge:
    """The judge of a run's partitions."""
    return Judge(
        inputs.reference(),
        inputs.truth,
        clusterers=config.clusterer,
        k=config.k,
        seed=config.seed[0],
        group=inputs.tracks.group,
    )


def describe(name: str, judged: Judged) -> Row:
    """The part of a row that a partition fills in; `name` is what was clustered."""
    return {
        "clusterer": judged.clusterer,
        "sizes": judged.sizes,
        "scores": judged.scores,
        "name": f"{name} + {judged.clusterer}",
    }


def _bounds(model: Checkpoint, r: int, data: Data, compared: Data) -> Row:
    """The negative ELBO of a replica over all tracks, and the bound by which it is chosen, over those compared. Where
    tracks are streamed both are over these."""
    state = select_replica(model.states, r)
    bound = bounds.comparable_bound(model.model, state, compared)
    looked_at = compared if streaming.is_streamed(data) else data
    return {"negative_elbo": float(training.negative_elbo(model.model, state, looked_at)), "bound": bound}


def _held_out(config: Config, inputs: Inputs, model: Checkpoint, chosen: int, held: Data) -> dict[str, Any] | None:
    """What the shown replica makes of the tracks held out, beside PCA; None where there are none, or no bound."""
    if inputs.held_out is None or not model.model.variational:
        return None
    x, trained, out = inputs.data.x, inputs.trained_rows(), inputs.held_out
    scores: dict[str, Any] = bounds.held_out_scores(model.model, select_replica(model.states, chosen), held)
    scores["tracks"] = len(out)
    if streaming.is_streamed(inputs.data):
        most = max(4 * config.latent_dim, _PCA_BYTES // x.row_bytes)
        trained, out = (_evenly(rows, most) for rows in (trained, out))
        scores["pca_tracks"] = len(trained)
    return scores | {"pca": pca_reconstruction(x[trained], x[out], config.latent_dim)}


def _evenly(rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the rows, from all through them."""
    return rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int)]


def _baseline_rows(
    config: Config,
    inputs: Inputs,
    autoencoder: Checkpoint | None,
    judged: Callable[[np.ndarray, int], list[Judged]],
) -> list[Row]:
    rows, mask_seen = [], shows_mask(inputs)
    flat = inputs.columns.reshape(len(inputs.columns), -1)
    for name in config.baselines:
        for seed, points in over_seeds(name, flat, latent_dim=config.latent_dim, seeds=config.seed):
            rows += [_other_row("baseline", name, seed, one, mask_seen=mask_seen) for one in judged(points, seed)]
    if autoencoder is None:
        return rows
    for r, setting in enumerate(autoencoder.settings):
        code = encode_replica(autoencoder.model, autoencoder.states, r, inputs.unconditioned()).mean
        more = {
            "learning_rate": setting.learning_rate,
            "loss": float(autoencoder.history.loss[r, -1]),
            "reconstruction": float(autoencoder.history.reconstruction[r, -1]),
        }
        rows += [
            _other_row("baseline", "autoencoder", setting.seed, one, mask_seen=mask_seen) | more
            for one in judged(code, setting.seed)
        ]
    return rows


def _control_rows(
    config: Config, inputs: Inputs, controls: Checkpoint | None, judged: Callable[[np.ndarray, int], list[Judged]]
) -> list[Row]:
    rows, pattern, told = [], mask_pattern(inputs.blocks), conditioned_on_classes(config.condition)
    if controls is not None:
        datasets = {name: make_control(name, config.condition, inputs) for name in config.controls}
        for r, setting in enumerate(controls.settings):
            name = config.controls[setting.rows]
            code = encode_replica(controls.model, controls.states, r, datasets[name]).mean
            title = f"{config.model}, {name.replace('_', ' ')}"
            silent = name == "sound_only" and config.condition in ("none", "modality")
            mask_seen = pattern is not None and not silent
            rows += [
                _other_row("control", title, setting.seed, one, mask_seen=mask_seen, class_seen=told)
                | {"control": name, "beta": setting.beta, "learning_rate": setting.learning_rate}
                for one in judged(code, setting.seed)
            ]
    if config.controls and pattern is not None:
        # k-means of so few different points is their pattern, whatever k is.
        points = np.eye(int(pattern.max()) + 1)[pattern]
        for seed in config.seed:
            rows += [
                _other_row("control", MASK_ONLY, seed, one, mask_seen=True) | {"control": MASK_ONLY}
                for one in judged(points, seed)
            ]
    return rows


def _cluster_subsamples(
    judge: Judge, inputs: Inputs, subsamples: tuple[Checkpoint, np.ndarray] | None, shown: training.Setting
) -> np.ndarray | None:
    """(S, B, N) the partitions by the replicas of the shown setting, of each seed and each part of the tracks."""
    if subsamples is None:
        return None
    trained, table = subsamples
    seeds = sorted({setting.seed for setting in trained.settings})
    found = np.full((len(seeds), len(table), len(inputs.tracks)), -2)
    for r, setting in enumerate(trained.settings):
        if setting[1:3] != shown[1:3]:
            continue
        rows = table[setting.rows]
        part = streaming.take_rows(inputs.data, rows)
        code = encode_replica(trained.model, trained.states, r, part).mean
        place = seeds.index(setting.seed), setting.rows
        found[place][rows] = judge.clusterer(judge.clusterers[0], setting.seed).whole(code)
    return found


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
        "informative_units": latent.informative_units(q.mean, q.logvar) if variational else None,
        "total_kl": latent.total_kl(q.mean, q.logvar) if variational else None,
    }


def _other_row(kind: str, name: str, seed: int, judged: Judged, *, mask_seen: bool, class_seen: bool = False) -> Row:
    return describe(name, judged) | {
        "kind": kind,
        "seed": seed,
        "beta": None,
        "learning_rate": None,
        "flags": flag_partition(
            judged.scores, class_seen=class_seen, mask_seen=mask_seen, approximate=judged.approximate
        ),
        "loss": None,
        "reconstruction": None,
        "active_units": None,
        "informative_units": None,
        "total_kl": None,
    }
