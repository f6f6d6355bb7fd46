"""Whether the latent dimensions of a run stand for what is known of the songs, and come back with another seed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.table import Table

from experiments.study.inputs import Inputs
from musiclust.checkpoint import Checkpoint
from musiclust.metrics.disentangle import DRAWS, disentanglement, udr, udr_null
from musiclust.metrics.evidence import rows_to_test
from musiclust.metrics.latent import kl_per_dim
from musiclust.population import encode_replica
from musiclust.types import Data

TOGETHER = "all together"
# name of a score -> header of its column
_SCORES = {
    "mig": "MIG",
    "sap": "SAP",
    "disentanglement": "DCI:\ndisentanglement",
    "completeness": "DCI:\ncompleteness",
    "informativeness": "DCI:\ninformativeness",
}


def measure_disentanglement(model: Checkpoint, data: Inputs, given: Data, shown: int) -> dict[str, Any]:
    """Holds the shown replica's dimensions against all classes of the tracks, and against those of its other seeds.

    Args:
      given: what the model encodes, as in `data`, on the device.
      shown: the replica.

    Returns:
      "classes": name of classes, and TOGETHER where there are several, -> score -> "score", "null", "p" (see
        `metrics.disentangle.disentanglement`). Classes of which fewer than two values are known are left out.
      "udr": "seeds", "score" and "null" of each replica of the shown one's setting; None where the run has one seed.
    """
    rows = rows_to_test(data.tracks.group)  # each score is taken again for every shuffle
    group = data.tracks.group[rows]
    setting = model.settings[shown]
    alike = [r for r, other in enumerate(model.settings) if other._replace(seed=setting.seed) == setting]
    latents = {r: _encode(model, given, r, rows) for r in alike}
    z = latents[shown][0]
    known = {name: codes[rows] for name, codes in data.tracks.classes.items()}
    known = {name: codes for name, codes in known.items() if len(np.unique(codes[codes >= 0])) > 1}
    found = {name: disentanglement(z, {name: codes}, group=group) for name, codes in known.items()}
    if len(known) > 1:
        found[TOGETHER] = disentanglement(z, known, group=group)
    several = None
    if len(alike) > 1:
        spaces = list(latents.values())
        several = {
            "seeds": [model.settings[r].seed for r in alike],
            "score": udr(spaces).tolist(),
            "null": udr_null(spaces).tolist(),
        }
    return {"setting": setting._asdict(), "classes": found, "udr": several}


def disentanglement_table(found: dict[str, Any]) -> Table:
    """A row for each of the classes: the scores, and below each its chance and p."""
    least = f"{1 / (1 + DRAWS):.2f}"
    table = Table(
        title="Dimensions against what is known of the songs",
        caption=f"Below a score its mean over {DRAWS} shuffles of the songs' classes, and p, {least} at the least.",
    )
    table.add_column("classes")
    for title in _SCORES.values():
        table.add_column(title, justify="right")
    for name, scores in found["classes"].items():
        table.add_row(name, *(_cell(scores[score]) for score in _SCORES))
    return table


def tell_udr(several: dict[str, Sequence[float]] | None) -> str:
    """One line: whether other seeds find the same dimensions."""
    if several is None:
        return "whether other seeds find the same dimensions (UDR) is told of a run with several: --seed=0,1,2,3"
    score, null = np.mean(several["score"]), np.mean(several["null"])
    seeds = len(several["seeds"])
    return f"UDR over {seeds} seeds: {score:.3f}, and {null:.3f} where their axes are turned at random (1: the same)"


def _encode(model: Checkpoint, given: Data, replica: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Posterior means (rows, L), and nats of KL per dimension (L,); of an autoencoder every dimension counts."""
    q = encode_replica(model.model, model.states, replica, given)
    mean, logvar = q.mean[rows], q.logvar[rows]
    return mean, kl_per_dim(mean, logvar) if model.model.variational else np.ones(mean.shape[1])


def _cell(one: dict[str, float]) -> str:
    if np.isnan(one["score"]):
        return "-"
    return f"{one['score']:.3f}\n{one['null']:.3f}, p {one['p']:.2f}"
