"""What the page on the first report is made of: its numbers held against what random data give, measured anew.

A mean comes as {"mean", "interval", "low", "high", "lower", "upper"}: the half-width of its 95 % interval (Student's
t), the extremes, and the range of the middle 95 %. The published numbers are those of sections 4.3 to 5.3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors

from experiments.cli.progress import Report
from experiments.configs import PRESETS
from experiments.published.fma import FMA
from experiments.study import inputs
from musiclust import training
from musiclust.cluster import CLUSTERERS
from musiclust.errors import InputError
from musiclust.metrics import latent
from musiclust.metrics.partition import nmi, purity, score
from musiclust.metrics.reference import reference_silhouette, silhouette_null
from musiclust.models import MODELS
from musiclust.report.summary import mean_interval
from musiclust.sweep import train

TRACKS, CLUSTERS = 3081, 8  # the first report's
_STEPS_PER_EPOCH = 13  # its 3,081 tracks at 256 a batch
_SHAPE = ("silhouette", "davies_bouldin", "calinski_harabasz")
_AGREEMENT = ("ari", "nmi", "purity")

# The rows of k-means with k = 8 on 3,081 tracks. "PCA Reduced" and "With Genre Info" repeat "Concat" to the third
# digit, and are left out.
_ROWS = (
    *("Beta-VAE", "CVAE", "Conv-VAE", "Weighted Avg", "Concat (H+B+C)"),
    *("PCA + K-Means", "Autoencoder + K-Means", "Direct K-Means"),
)


def _read_printed(name: str) -> dict[str, float]:
    """The scores of a row as printed: shape first, then agreement as far as all three are there."""
    row = next(row for table in FMA.scores[1:] for row in table.rows if row.name == name)
    figures = {key: float(text.replace(",", "")) for key, text in row.printed.items()}
    keys = _SHAPE + _AGREEMENT if set(_AGREEMENT) <= figures.keys() else _SHAPE
    return {key: figures[key] for key in keys}


PUBLISHED = {name: _read_printed(name) for name in _ROWS}
PUBLISHED_KL = {"beta": 4.0, "total_kl": 0.5647}
PUBLISHED_DBSCAN = {**_read_printed("DBSCAN"), "n_clusters": 2, "noise": 210 / TRACKS}


class Size(NamedTuple):
    """How much is measured. draws: of each Gaussian. seeds, betas, epochs: of the sweep. shuffles: of the classes."""

    draws: int
    dimensions: tuple[int, ...]
    seeds: int
    betas: tuple[float, ...]
    epochs: int
    shuffles: int


FULL = Size(20, (1, 2, 3, 4, 6, 8, 12, 16, 32), 4, (0.05, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0), 100, 500)
QUICK = Size(3, (1, 4, 32), 2, (0.2, 1.0, 4.0), 10, 50)


def measure(root: Path, size: Size, report: Report) -> dict[str, Any]:
    """All that the page tells, JSON-able.

    Raises:
      InputError: if the store has no `mfcc_mean`, or no classes to hold the partitions against.
    """
    config = inputs.complete(replace(PRESETS["fma_beta"], k=0), root, keep_features=True)
    data = inputs.load(config, root)
    if data.truth is None:
        raise InputError(f"{root} has no two classes: the page compares partitions with classes, name another")
    gaussians = _measure_gaussians(size, report)
    beta, partitions = _sweep_beta(data, config.k, size, report)
    return {
        "corpus": {"name": data.corpus, "tracks": len(data.tracks), "classes": data.classes, "k": config.k},
        "published": {"rows": PUBLISHED, "kl": PUBLISHED_KL, "dbscan": PUBLISHED_DBSCAN},
        "gaussian": gaussians,
        "beta": beta,
        "agreement": _compare_with_truth(partitions, data.truth, size, report),
        "outliers": _measure_outliers(size, report),
    }


def _measure_gaussians(size: Size, report: Report) -> dict[str, Any]:
    """k-means on structureless clouds of each dimension, and the dimension that each published score has among them."""
    drawn: dict[int, list[dict[str, float]]] = {dimension: [] for dimension in size.dimensions}
    for number, (dimension, scores) in enumerate(drawn.items()):
        for seed in range(size.draws):
            report("k-means on Gaussians", number * size.draws + seed, len(drawn) * size.draws)
            z = np.random.default_rng([seed, dimension]).normal(size=(TRACKS, dimension))
            clusters = CLUSTERERS["kmeans"](z, k=CLUSTERS, seed=seed).clusters
            scores.append(score(z, clusters))
    report("k-means on Gaussians", len(drawn) * size.draws, len(drawn) * size.draws)
    summaries = [{"dimension": d, **_summarise_each(scores, _SHAPE)} for d, scores in drawn.items()]
    dimensions = {
        name: {key: _find_dimension(row[key], [(s["dimension"], s[key]["mean"]) for s in summaries]) for key in _SHAPE}
        for name, row in PUBLISHED.items()
    }
    return {
        "tracks": TRACKS,
        "k": CLUSTERS,
        "draws": size.draws,
        "by_dimension": summaries,
        "published_dimension": dimensions,
    }


def _find_dimension(value: float, curve: Sequence[tuple[int, float]]) -> float:
    """Where a curve of (dimension, score), both on log scales, has that score; at most as far as the curve goes."""
    dimension, level = np.log(np.array(sorted(curve, key=lambda point: point[1]))).T
    return float(np.exp(np.interp(np.log(value), level, dimension)))


def _sweep_beta(data: inputs.Inputs, k: int, size: Size, report: Report) -> tuple[dict[str, Any], list[np.ndarray]]:
    """The Beta-VAE at several betas and seeds, one program; and the partitions of its replicas with beta 1.

    Small corpora get smaller batches, so that an epoch has as many steps as the report's: the effect of beta depends
    on how long a network was trained.
    """
    batch_size = max(2, min(256, -(-len(data.tracks) // _STEPS_PER_EPOCH)))
    recipe = training.Recipe(batch_size=batch_size)
    model = MODELS["beta_vae"](input_shape=data.data.x.shape[1:], latent_dim=32)
    title = f"training beta_vae x {size.seeds * len(size.betas)}"
    report(title, 0, size.epochs)
    trained = train(
        model, data.data, seeds=range(size.seeds), betas=size.betas, epochs=size.epochs, recipe=recipe,
        on_epochs=lambda done, _: report(title, done, size.epochs),
    )  # fmt: skip
    settings = trained.settings
    seen, reference = jax.tree.map(jnp.asarray, data.data), data.reference()
    rows, partitions = [], []
    for index, setting in enumerate(settings):
        q = jax.tree.map(np.asarray, training.encode(model, trained.replica(index), seen))
        clusters = CLUSTERERS["kmeans"](q.mean, k=k, seed=setting.seed).clusters
        scores = score(q.mean, clusters, data.truth, seed=setting.seed)
        if np.isnan(scores["silhouette"]):
            raise InputError(f"{data.store}: with {setting} all tracks have the same latents: name another --store")
        rows.append({
            "beta": setting.beta,
            **scores,
            "silhouette_null": silhouette_null(q.mean, k=k, seed=setting.seed),
            "reference_silhouette": reference_silhouette(reference, clusters, seed=setting.seed),
            "active_units": latent.active_units(q.mean),
            "effective_dimensions": _count_effective_dimensions(q.mean),
            "total_kl": latent.total_kl(q.mean, q.logvar),
            "low_information": float(latent.tells_little(q.mean, q.logvar)),
        })  # fmt: skip
        partitions += [clusters] if setting.beta == 1 else []
        report("clustering and scoring", index + 1, len(settings))
    keys = [key for key in rows[0] if key != "beta"]
    by_beta = {beta: [row for row in rows if row["beta"] == beta] for beta in size.betas}
    first, last = size.betas[0], PUBLISHED_KL["beta"]
    return {
        "seeds": size.seeds,
        "epochs": size.epochs,
        "steps": size.epochs * recipe.batches(len(data.tracks))[0],
        "latent_dim": model.latent_dim,
        "reference_null": silhouette_null(reference, k=k, seed=0),
        "by_beta": [{"beta": beta, **_summarise_each(same, keys)} for beta, same in by_beta.items()],
        "change": {"from": first, "to": last}
        | {
            key: _summarise([b[key] - a[key] for a, b in zip(by_beta[first], by_beta[last], strict=True)])
            for key in keys
        },
    }, partitions


def _count_effective_dimensions(mean: np.ndarray) -> float:
    """The participation ratio of the covariance's eigenvalues, (sum)^2 / (sum of squares): 1 on a line, L in a ball."""
    spread = np.linalg.svd(mean - mean.mean(axis=0), compute_uv=False) ** 2
    return float(spread.sum() ** 2 / max((spread**2).sum(), np.finfo(float).tiny))


def _compare_with_truth(
    partitions: Sequence[np.ndarray], truth: np.ndarray, size: Size, report: Report
) -> dict[str, Any]:
    """Agreement with the truth joined by track_id, and with the same truth in any other order."""
    rng = np.random.default_rng(0)
    line = rng.normal(size=(TRACKS, 1))
    groups = CLUSTERERS["kmeans"](line, k=CLUSTERS, seed=0).clusters
    balanced = np.arange(TRACKS) % CLUSTERS
    known = truth >= 0
    partitions, truth = [clusters[known] for clusters in partitions], truth[known]
    chance, shuffled = [], []
    for draw in range(size.shuffles):
        report("shuffling classes", draw + 1, size.shuffles)
        chance.append(_score_agreement(groups, rng.permutation(balanced)))
        shuffled.append(_score_agreement(partitions[draw % len(partitions)], rng.permutation(truth)))
    joined = [_score_agreement(clusters, truth) for clusters in partitions]
    return {
        "shuffles": size.shuffles,
        "balanced": {"tracks": TRACKS, "classes": CLUSTERS, **_summarise_each(chance, _AGREEMENT)},
        "shuffled": _summarise_each(shuffled, _AGREEMENT),
        "joined": _summarise_each(joined, _AGREEMENT),
    }


def _score_agreement(clusters: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    return {
        "ari": float(adjusted_rand_score(truth, clusters)),
        "nmi": nmi(clusters, truth),
        "purity": purity(clusters, truth),
    }


def _measure_outliers(size: Size, report: Report) -> dict[str, Any]:
    """DBSCAN on one Gaussian cloud of 32 dimensions and five odd points well outside it.

    The distance of the five and their spread (half the cloud's) follow from the three published scores of two clusters,
    a large and a tiny one: silhouette 1 - a / b, Calinski-Harabasz about n D^2 / L, Davies-Bouldin (1 + s) / D.
    """
    few, dimension, spread, quantile = 5, 32, 0.5, 0.8
    distance = 2.45 * np.sqrt(dimension)
    rows = []
    for seed in range(size.draws):
        report("DBSCAN on a Gaussian", seed, size.draws)
        z = np.random.default_rng(seed).normal(size=(TRACKS, dimension))
        z[:few] *= spread
        z[:few, 0] += distance
        reach = NearestNeighbors(n_neighbors=few).fit(z).kneighbors(z)[0][:, -1]
        eps = float(np.quantile(reach, quantile))
        clusters = CLUSTERERS["dbscan"](z, k=2, seed=seed, eps=eps, min_samples=few).clusters  # pyright: ignore[reportCallIssue]
        scores = score(z, clusters)
        rows.append(
            {**scores, "noise": 1 - scores["coverage"], "smallest": int(np.bincount(clusters[clusters >= 0]).min())}
        )
    report("DBSCAN on a Gaussian", size.draws, size.draws)
    keys = (*_SHAPE, "n_clusters", "noise", "smallest")
    return {
        "odd": few,
        "dimension": dimension,
        "quantile": quantile,
        "draws": size.draws,
        **_summarise_each(rows, keys),
    }


def _summarise_each(rows: Sequence[Mapping[str, float]], keys: Sequence[str]) -> dict[str, dict[str, float | None]]:
    return {key: _summarise([row[key] for row in rows]) for key in keys}


def _summarise(values: Sequence[float]) -> dict[str, float | None]:
    """Summarises values as at the top of this file; None stands where fewer than two values are finite."""
    known = np.array([value for value in values if np.isfinite(value)], dtype=float)
    if len(known) < 2:
        return dict.fromkeys(("mean", "interval", "low", "high", "lower", "upper"))
    low, high, (lower, upper) = known.min(), known.max(), np.quantile(known, (0.025, 0.975))
    spread = {"low": low, "high": high, "lower": lower, "upper": upper}
    found = mean_interval(known.tolist())
    interval = 0.0 if np.isnan(found["interval"]) else found["interval"]  # where all seeds have the same value
    return {"mean": found["mean"], "interval": interval, **{name: float(one) for name, one in spread.items()}}
