"""The tables of a report that compare fusions, and what they need beyond finished runs."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.cli.progress import Report as Progress
from experiments.published.rows import LATENT_FUSIONS, Report
from experiments.published.tables import Outcomes
from experiments.study import inputs
from experiments.study.job import restore_finished
from experiments.study.plan import read_plan
from experiments.study.scoring import Row, describe
from musiclust import store, training
from musiclust.fusion import fuse
from musiclust.metrics.judge import CLASS_SEEN, Judge
from musiclust.population import select_replica
from musiclust.report.comparison import Comparison, Line
from musiclust.report.summary import MEASURED
from musiclust.types import Block

_CLUSTERER = "kmeans"


def latent_fusions(runs: Sequence[dict[str, Any] | str], tell: Progress) -> dict[str, Any] | str:
    """Fuses the latents of several runs, seed by seed, and scores each fusion: results as in metrics.json.

    Latents are fused as they are, not standardised: a unit that is not used would become noise as loud as the rest.
    """
    reasons = [run for run in runs if isinstance(run, str)]
    if reasons:
        return reasons[0]
    finished = [run for run in runs if isinstance(run, dict)]
    latents = [_latents(Path(run["run_dir"])) for run in finished]
    plan = read_plan(Path(finished[0]["run_dir"]))
    data = inputs.load(plan.config, plan.store)
    judge = Judge(data.reference(), data.truth, k=plan.config.k, seed=plan.config.seed[0])
    rows: list[Row] = []
    for r, seed in enumerate(plan.config.seed):
        blocks = [_block(f"run {i}", data.tracks.track_id, means[r]) for i, means in enumerate(latents)]
        for name, (how, with_classes) in LATENT_FUSIONS.items():
            if with_classes and data.truth is None:
                continue
            extra = [_one_hot(data)] if with_classes else []
            z = fuse([*blocks, *extra], how=how, scaling="none").x
            (judged,) = judge(z, seed=seed)
            flags = [CLASS_SEEN] if with_classes else []
            rows.append(describe(name, judged) | _row(seed, flags))
        tell("latents: fusing and scoring", r + 1, len(plan.config.seed))
    return {"rows": rows, "corpus": finished[0]["corpus"], "model": {"name": "latents"}}


def feature_fusions(report: Report, outcomes: Outcomes) -> list[Comparison]:
    """Dimensions of each fusion of features, and how much of the variance PCA keeps."""
    lines = []
    names = {"fma_vae": "Concatenation", "hybrid_weighted": "Weighted fusion", "hybrid_pca": "PCA-reduced"}
    for run, printed in report.fusions.items():
        found = outcomes.get(run, "not run: of another level")
        if isinstance(found, str):
            lines.append(Line(names[run], "dimensions", printed, note=found))
            continue
        lines.append(Line(names[run], "dimensions", printed, str(math.prod(found["corpus"]["input_shape"]))))
        if run == "hybrid_pca":
            plan = read_plan(Path(found["run_dir"]))
            kept = inputs.load(plan.config, plan.store)
            whole = fuse(kept.blocks, scaling=plan.config.scaling).x
            share = kept.data.x.var(axis=0).sum() / whole.var(axis=0).sum()
            lines.append(Line(names[run], "share of the variance", "99.99 %", f"{100 * share:.2f} %"))
    return [Comparison("Fusion of features: dimensions", "", lines)] if lines else []


def lyrics_quality(report: Report, root: Path) -> list[Comparison]:
    """How many tracks have words, and the values of their embedding."""
    if not report.lyrics:
        return []
    if "lyrics" not in store.block_names(root):
        lines = [Line("lyrics", name, text, note="the store has no lyrics") for name, text in report.lyrics.items()]
        return [Comparison("Lyrics quality", "", lines)]
    block = store.load_block(root, "lyrics")
    values, vocal, n = block.values[block.valid], int(block.valid.sum()), len(block.valid)
    measured = {
        "vocal": f"{vocal} ({100 * vocal / n:.1f} %)",
        "instrumental": f"{n - vocal} ({100 * (n - vocal) / n:.1f} %)",
        "mean": f"{values.mean():.4f}",
        "standard deviation": f"{values.std():.4f}",
        "min": f"{values.min():.4f}",
        "max": f"{values.max():.4f}",
    }
    lines = [Line("lyrics", name, text, measured[name]) for name, text in report.lyrics.items()]
    about = (
        "Measured over the tracks that have words. A standard deviation of 0.0510 is 1 / sqrt(384): in print every "
        "vector has length 1, those of the 484 instrumental tracks too."
    )
    return [Comparison("Lyrics quality", about, lines)]


def _latents(run_dir: Path) -> np.ndarray:
    """(R, N, L) posterior means of a run's replicas on its own store."""
    plan = read_plan(run_dir)
    saved = restore_finished(plan)["model"]
    data = jax.tree.map(jnp.asarray, inputs.load(plan.config, plan.store, saved.fusion).data)
    replicas = range(len(saved.settings))
    return np.stack(
        [np.asarray(training.encode(saved.model, select_replica(saved.states, r), data).mean) for r in replicas]
    )


def _block(name: str, track_id: np.ndarray, values: np.ndarray) -> Block:
    return Block(name, track_id, values, np.ones(len(track_id), bool))


def _one_hot(data: inputs.Inputs) -> Block:
    assert data.truth is not None
    return _block(
        "class", data.tracks.track_id, (data.truth[:, None] == np.arange(len(data.class_names))).astype(np.float32)
    )


def _row(seed: int, flags: list[str]) -> Row:
    undefined = dict.fromkeys(("beta", "learning_rate", *MEASURED))
    return {"kind": "model", "seed": seed, "flags": flags, **undefined}
