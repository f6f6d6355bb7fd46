"""A run's outcome in words, figures and files.

metrics.json   what the tables show, for machines       latents.npy   (N, L) posterior means of the replica shown
tracks.csv     each track's cluster and place on the map
figures/*.png, report.html   for people; they need the extra `viz`
"""

import csv
import importlib.util
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.cli.console import console
from experiments.configs import Config
from experiments.study.inputs import Inputs
from experiments.study.scoring import Scored
from musiclust import store, training
from musiclust.checkpoint import Checkpoint
from musiclust.metrics.latent import kl_per_dim
from musiclust.population import select_replica
from musiclust.report.reading import reading
from musiclust.report.tables import results_table, summary, summary_table
from musiclust.types import Data

_SHOWN = 4  # reconstructions in the figure


def assemble(
    config: Config, inputs: Inputs, model: Checkpoint, scored: Scored, *, command: str, seconds: Mapping[str, float]
) -> dict[str, Any]:
    """The results dictionary that metrics.json holds and report/ shows; undefined scores are NaN here, null there.

    Args:
      seconds: "compile" and "training", of this process.
    """
    results = {
        "format": 2,
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "corpus": {
            "name": inputs.corpus,
            "store": str(inputs.store),
            "tracks": len(inputs.tracks),
            "classes": inputs.classes,
            "class_names": list(inputs.class_names),
            "features": list(config.features),
            "input_shape": list(inputs.data.x.shape[1:]),
            "valid": {block.name: int(block.valid.sum()) for block in inputs.blocks},
            "condition": config.condition,
        },
        "model": {
            "name": config.model,
            "parameters": sum(math.prod(leaf.shape[1:]) for leaf in jax.tree.leaves(model.states.params)),
            "latent_dim": config.latent_dim,
            "epochs": config.epochs,
            "batch_size": config.batch_size,
            "replicas": len(model.settings),
            "training_seconds": seconds["training"],
            "compile_seconds": seconds["compile"],
            "device": jax.devices()[0].device_kind,
        },
        "clusterer": config.clusterer[0],
        "k": config.k,
        "rows": scored.rows,
        "chosen": scored.chosen,
    }
    results["reading"] = reading(results)
    return results


def show(results: Mapping[str, Any]) -> None:
    """Prints the tables and the sentence that reads them."""
    console.print(results_table(results))
    if any(entry["n"] > 1 for entry in summary(results)):
        console.print(summary_table(results))
    console.print(results["reading"], markup=False)


def write_metrics(run_dir: Path, results: Mapping[str, Any]) -> None:
    """metrics.json, with null for what is undefined."""
    with store.atomic(run_dir / "metrics.json") as file:
        json.dump(without_nan(results), file, indent=1, ensure_ascii=False)


def write_people_files(
    run_dir: Path, results: Mapping[str, Any], inputs: Inputs, model: Checkpoint, scored: Scored
) -> Path | None:
    """latents.npy, tracks.csv, figures and report.html; returns the page's path, None without the extra `viz`."""
    with store.atomic(run_dir / "latents.npy", "wb") as file:
        np.save(file, scored.posterior.mean)
    clusters = scored.clustering.clusters
    if not all(importlib.util.find_spec(name) for name in ("matplotlib", "plotly", "jinja2")):
        _write_tracks(run_dir, inputs, clusters, None)
        return None
    from musiclust.report import page, plots

    xy = plots.embed_2d(scored.posterior.mean, seed=0)
    _write_tracks(run_dir, inputs, clusters, xy)
    figures = _figures(results, inputs, model, scored, xy)
    plots.save_figures(run_dir / "figures", figures)
    page.write_page(
        run_dir / "report.html",
        without_nan(results),
        figures=figures,
        tracks=inputs.tracks,
        clusters=clusters,
        xy=xy,
        classes=inputs.classes,
    )
    return run_dir / "report.html"


def _figures(
    results: Mapping[str, Any], inputs: Inputs, model: Checkpoint, scored: Scored, xy: np.ndarray
) -> dict[str, Any]:
    from musiclust.report import plots

    clusters = scored.clustering.clusters
    names = [f"cluster {c}" for c in range(clusters.max() + 1)]
    figures = {
        "training_curves": plots.training_curves(
            model.history._asdict(),
            [str(setting) for setting in model.settings],
        ),
        "map_by_cluster": plots.latent_map(xy, clusters, names, "The latent space, by cluster"),
    }
    if inputs.truth is not None:
        figures["map_by_class"] = plots.latent_map(
            xy, inputs.truth, inputs.class_names, f"The latent space, by {inputs.classes}"
        )
    figures["cluster_sizes"] = plots.cluster_sizes(clusters)
    if inputs.truth is not None:
        figures["contingency"] = plots.contingency(clusters, inputs.truth, inputs.class_names)
    if model.model.variational:
        figures["kl_per_dim"] = plots.kl_per_dim(kl_per_dim(scored.posterior.mean, scored.posterior.logvar))
    rows = np.linspace(0, len(inputs.tracks) - 1, min(_SHOWN, len(inputs.tracks))).astype(int)
    some = Data(jnp.asarray(inputs.data.x[rows]), jnp.asarray(inputs.data.cond[rows]))
    restored = np.asarray(training.reconstruct(model.model, select_replica(model.states, scored.chosen), some))
    columns = [block.name for block in inputs.blocks for _ in range(math.prod(block.values.shape[1:]))]
    titles = np.where(inputs.tracks.meta["title"] == "", inputs.tracks.track_id, inputs.tracks.meta["title"])[rows]
    figures["reconstructions"] = plots.reconstructions(
        np.asarray(some.x), restored, titles.tolist(), columns if restored.ndim == 2 else None
    )
    return figures


def _write_tracks(run_dir: Path, inputs: Inputs, clusters: np.ndarray, xy: np.ndarray | None) -> None:
    tracks = inputs.tracks
    with store.atomic(run_dir / "tracks.csv") as file:
        writer = csv.writer(file)
        writer.writerow(["track_id", "cluster", "x", "y", "title", "artist", "class", "path"])
        for i, track_id in enumerate(tracks.track_id):
            place = ["", ""] if xy is None else [f"{value:.4f}" for value in xy[i]]
            code = -1 if inputs.truth is None else inputs.truth[i]
            name = inputs.class_names[code] if code >= 0 else ""
            writer.writerow(
                [track_id, clusters[i], *place, tracks.meta["title"][i], tracks.meta["artist"][i], name, tracks.path[i]]
            )


def without_nan(value: Any) -> Any:
    """The value with None for every NaN and infinity in it, as JSON has it."""
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
