"""The files of a run that people look at: report.html and figures/*.png. They need the extra `viz`."""

import importlib.util
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.study.characters import describe_certainty, describe_songs
from experiments.study.inputs import Inputs
from experiments.study.run_files import replace_nan, write_latents, write_tracks
from experiments.study.scoring import Scored
from musiclust import training
from musiclust.checkpoint import Checkpoint
from musiclust.metrics import latent
from musiclust.population import select_replica
from musiclust.types import Data

_SHOWN = 4  # reconstructions in the figure


def write_report(
    run_dir: Path, results: Mapping[str, Any], inputs: Inputs, model: Checkpoint, scored: Scored
) -> Path | None:
    """Writes latents.npy, tracks.csv, the figures and report.html.

    Returns:
      The page's path; None, without figures and page, where the extra `viz` is not installed.
    """
    write_latents(run_dir, scored.posterior.mean)
    clusters = scored.clustering.clusters
    names = {one["cluster"]: one["name"] for one in results["clusters"]}
    tags, agreed = describe_songs(inputs.store, inputs.tracks), scored.votes.consensus
    certainty = describe_certainty(agreed)
    if not all(importlib.util.find_spec(name) for name in ("matplotlib", "jinja2")):
        write_tracks(run_dir, inputs, clusters, agreed, None, names, tags, certainty)
        return None
    from musiclust import embedding
    from musiclust.report import page, plots

    xy = embedding.embed_2d(scored.posterior.mean, seed=0)
    write_tracks(run_dir, inputs, clusters, agreed, xy, names, tags, certainty)
    figures = _make_figures(results, inputs, model, scored, xy)
    paths = plots.save_figures(run_dir / "figures", figures)
    page.write_page(
        run_dir / "report.html",
        replace_nan(results),
        figures={path.stem: path.read_bytes() for path in paths},
        tracks=inputs.tracks,
        clusters=clusters,
        xy=xy,
        classes=inputs.classes,
        song_tags=tags,
        certainty=certainty,
        columns={"confidence": agreed.confidence},
        trustworthiness=embedding.trustworthiness(scored.posterior.mean, xy, seed=0),
    )
    return run_dir / "report.html"


def _make_figures(
    results: Mapping[str, Any], inputs: Inputs, model: Checkpoint, scored: Scored, xy: np.ndarray
) -> dict[str, Any]:
    from musiclust.report import plots
    from musiclust.report.cluster_table import cluster_titles

    clusters = scored.clustering.clusters
    names = cluster_titles(results["clusters"], int(clusters.max()) + 1)
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
    figures["cluster_sizes"] = plots.cluster_sizes(clusters, names)
    if inputs.truth is not None:
        figures["contingency"] = plots.contingency(clusters, inputs.truth, inputs.class_names, names)
    if model.model.variational:
        mean, logvar = scored.posterior
        used = latent.information_per_dim(mean, logvar) >= latent.IN_USE
        figures["kl_per_dim"] = plots.kl_per_dim(latent.kl_per_dim(mean, logvar), used)
    rows = np.linspace(0, len(inputs.tracks) - 1, min(_SHOWN, len(inputs.tracks))).astype(int)
    some = Data(jnp.asarray(inputs.data.x[rows]), jnp.asarray(inputs.data.cond[rows]))
    restored = np.asarray(training.reconstruct(model.model, select_replica(model.states, scored.chosen), some))
    columns = [block.name for block in inputs.blocks for _ in range(math.prod(block.values.shape[1:]))]
    titles = np.where(inputs.tracks.meta["title"] == "", inputs.tracks.track_id, inputs.tracks.meta["title"])[rows]
    figures["reconstructions"] = plots.reconstructions(
        np.asarray(some.x), restored, titles.tolist(), columns if restored.ndim == 2 else None
    )
    return figures
