"""A run's outcome as the results dictionary, which metrics.json holds and every table shows."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import jax

from experiments.cli.console import console
from experiments.configs import Config
from experiments.study.characters import describe_clusters
from experiments.study.inputs import Inputs
from experiments.study.run_files import FORMAT
from experiments.study.scoring import Scored
from musiclust.checkpoint import Checkpoint
from musiclust.report.cluster_table import clusters_table
from musiclust.report.reading import reading
from musiclust.report.summary import summary
from musiclust.report.tables import results_table, summary_table
from musiclust.report.trust import answers


def assemble_results(
    config: Config, inputs: Inputs, model: Checkpoint, scored: Scored, *, command: str, seconds: Mapping[str, float]
) -> dict[str, Any]:
    """Returns the results dictionary; an undefined score is NaN here and null in metrics.json.

    Args:
      seconds: "compile" and "training", of this process.
    """
    results = {
        "format": FORMAT,
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
        "clusters": describe_clusters(inputs, scored.posterior.mean, scored.clustering.clusters, scored.votes.jaccard),
        "trust": scored.trust,
    }
    results["reading"] = reading(results)
    return results


def print_results(results: Mapping[str, Any]) -> None:
    """Prints the tables of scores, the sentence that reads them, the clusters, and what they are worth."""
    console.print(results_table(results))
    if any(entry["n"] > 1 for entry in summary(results)):
        console.print(summary_table(results))
    console.print(results["reading"])
    console.print(clusters_table(results))
    for answer in answers(results):
        console.print(f"{answer.question} {answer.verdict.capitalize()}. {answer.text}")
