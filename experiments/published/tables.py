"""Finished runs -> the tables of a report, published beside measured.

Every function takes the report and `outcomes`: name of a run -> its results (as in metrics.json), or why there are
none.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.published.rows import Report, Row, ScoreTable
from musiclust.report.comparison import Comparison, Line, Measured
from musiclust.report.reading import is_unranked, number
from musiclust.report.summary import mean_interval, summary

Outcomes = Mapping[str, dict[str, Any] | str]

# score -> (name, form, which way is better)
SCORES = {
    "silhouette": ("silhouette", "fixed", +1),
    "calinski_harabasz": ("Calinski-Harabasz", "significant", +1),
    "davies_bouldin": ("Davies-Bouldin", "fixed", -1),
    "ari": ("ARI", "fixed", +1),
    "nmi": ("NMI", "fixed", +1),
    "purity": ("purity", "fixed", +1),
}


def configurations(report: Report, outcomes: Outcomes, levels: Sequence[str]) -> Comparison:
    """Parameters, settings, time and final losses of each model."""
    lines = []
    for model in report.models:
        if model.level not in levels:
            continue
        found = outcomes[model.run]
        if isinstance(found, str):
            lines += [Line(model.name, figure, text, note=found) for figure, text in model.printed.items()]
            continue
        info, rows = found["model"], _own_rows(found)
        n = info["replicas"]
        reduction = [100 * (1 - curve[-1] / curve[0]) for curve in found["losses"]]
        kl = [(row["loss"] - row["reconstruction"]) / row["beta"] for row in rows if row["beta"]]
        measured: dict[str, Measured | str] = {
            "input": " x ".join(map(str, found["corpus"]["input_shape"])),
            "latent": str(info["latent_dim"]),
            "epochs": str(info["epochs"]),
            "batch": str(info["batch_size"]),
            "parameters": f"{info['parameters']:,}",
            "seconds": number(info["training_seconds"] / n, "significant"),
            "loss": _measured([row["loss"] for row in rows]),
            "reconstruction": _measured([row["reconstruction"] for row in rows]),
            "kl": _measured(kl),
            "reduction": _measured(reduction, "significant"),
        }
        note = _parameters_note(model.printed.get("parameters"), info["parameters"], found)
        titles = {"seconds": "training, s a model", "kl": "KL, nats", "reduction": "loss reduction, %"}
        lines += [
            Line(model.name, titles.get(figure, figure), model.printed.get(figure, ""), value, note=note)
            for figure, value in measured.items()
        ]
    return Comparison("Models and training", "Losses are means over the tracks, in the last epoch of training.", lines)


def losses(report: Report, outcomes: Outcomes) -> list[Comparison]:
    """The loss by epoch, where the report prints it."""
    tables = []
    for run, printed in report.losses.items():
        found = outcomes.get(run)
        if isinstance(found, dict):
            curves = np.array(found["losses"])
            lines = [
                Line(f"epoch {epoch}", "loss", text, _measured(curves[:, epoch - 1].tolist()))
                for epoch, text in printed.items()
                if epoch <= curves.shape[1]
            ]
            tables.append(Comparison(f"{_model_name(report, run)}: loss by epoch", "", lines))
    return tables


def cluster_sizes(report: Report, outcomes: Outcomes) -> list[Comparison]:
    """Shares of the clusters, the largest first, where the report prints them."""
    tables = []
    for run, printed in report.sizes.items():
        found = outcomes.get(run)
        if isinstance(found, dict):
            shares = [np.array(row["sizes"]) / sum(row["sizes"]) for row in _own_rows(found)]
            lines = []
            for rank in range(max(len(printed), *(len(share) for share in shares))):
                share = _measured([float(s[rank]) if rank < len(s) else 0.0 for s in shares])
                text = f"{printed[rank] / sum(printed):.3f}" if rank < len(printed) else ""
                lines.append(Line(f"cluster {rank + 1}", "share of tracks", text, share))
            title = f"{_model_name(report, run)}: cluster sizes"
            tables.append(Comparison(title, "Clusters by size, the largest first.", lines))
    return tables


def scores(report: Report, table: ScoreTable, outcomes: Outcomes) -> Comparison:
    """A published table of scores, and what the first row gains over the others."""
    lines = [line for row in table.rows for line in _score_lines(report, row, outcomes)]
    first = _entry(table.rows[0], outcomes)
    for (name, key), printed in table.gains.items():
        other = _entry(next(row for row in table.rows if row.name == name), outcomes)
        gain = None
        if isinstance(first, dict) and isinstance(other, dict):
            ours, theirs = (entry["scores"][key]["mean"] for entry in (first, other))
            gain = f"{100 * (ours - theirs) / abs(theirs):+.1f} %"
        title = f"{table.rows[0].name} against {name}"
        lines.append(
            Line(title, SCORES[key][0], f"{printed} %", gain, note="spaces differ: no silhouette compares them")
        )
    return Comparison(table.title, "", lines)


def best(report: Report, outcomes: Outcomes, levels: Sequence[str]) -> Comparison:
    """The best row of each score: published, and measured among rows without a flag that bars it."""
    rows = {row.name: row for table in report.scores if table.level in levels for row in table.rows}
    entries = {name: _entry(row, outcomes) for name, row in rows.items()}
    sound = {
        name: entry for name, entry in entries.items() if isinstance(entry, dict) and not is_unranked(entry["flags"])
    }
    lines = []
    for key, (title, form, better) in {**SCORES, "reference_silhouette": ("reference silhouette", "fixed", +1)}.items():
        values = {
            name: better * entry["scores"][key]["mean"]
            for name, entry in sound.items()
            if np.isfinite(entry["scores"][key]["mean"])
        }
        if not values:
            continue
        name = max(values, key=lambda name: values[name])
        published, figure = report.best.get(key, ("", ""))
        in_print = f"{figure} ({published})" if figure else ""
        value = sound[name]["scores"][key]
        shown = str(Measured(value["mean"], value["interval"], sound[name]["n"], form))
        note = "" if key in ("ari", "nmi", "purity", "reference_silhouette") else "each in its own space: no ranking"
        lines.append(Line(title, "best", in_print, f"{shown} ({name})", note=note))
    return Comparison(
        "Best of each score", "Class-seen, mask-seen and degenerate rows are left out of the measured.", lines
    )


def caveats(report: Report, row: Row, entry: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Why a measured row cannot be held against the printed one, in words."""
    notes = [row.note] if row.note else []
    n = entry["n"]
    for flag, count in entry["flags"].items():
        words = {
            "low-information": "low information: the code cannot tell one half of the tracks from the other",
            "class-seen": "was given the classes: agreement with them shows nothing",
            "mask-seen": "can see which tracks lack a block: classes may be told by that alone",
            "degenerate": "fewer than two clusters",
            "approximate": "of so many tracks the clusterer does not look at all pairs",
        }[flag]
        notes.append(words if count == n else f"{words} ({count} of {n} seeds)")
    corpus = found["corpus"]
    if row.printed and (corpus["name"] != report.corpus or corpus["tracks"] != report.tracks):
        notes.append(f"not the report's tracks: {corpus['tracks']:,} of {corpus['name']}")
    if entry["scores"]["coverage"]["mean"] < 1:
        notes.append(f"{number(entry['scores']['coverage']['mean'], 'percent')} of the tracks in a cluster")
    return notes


def _score_lines(report: Report, row: Row, outcomes: Outcomes) -> list[Line]:
    entry = _entry(row, outcomes)
    if isinstance(entry, str):
        keys = row.printed or dict.fromkeys(("silhouette",), "")
        return [Line(row.name, SCORES[key][0], text, note=entry) for key, text in keys.items()]
    found = outcomes[row.run]
    assert isinstance(found, dict)
    note = "; ".join(caveats(report, row, entry, found))
    scores = entry["scores"]
    reference = str(Measured(**scores["reference_silhouette"]))
    reference += f" (null {number(scores['reference_null']['mean'])})"
    held = {
        "silhouette": f"null {number(scores['silhouette_null']['mean'])}",
        "nmi": f"chance {number(scores['nmi_chance']['mean'])}",
        "purity": f"chance {number(scores['purity_chance']['mean'])}",
    }
    lines = []
    for key, (title, form, _) in SCORES.items():
        value = Measured(**scores[key], form=form)
        if np.isfinite(value.mean) or key in row.printed:
            against = f" ({held[key]})" if key in held else ""
            lines.append(Line(row.name, title + against, row.printed.get(key, ""), value, reference, note))
    return lines


def _entry(row: Row, outcomes: Outcomes) -> dict[str, Any] | str:
    """Mean and interval of the row's scores over its seeds, or why there are none."""
    found = outcomes[row.run]
    if isinstance(found, str):
        return found
    name = found["model"]["name"] if row.of == "model" else row.of
    return next(entry for entry in summary(found) if entry["name"] == f"{name} + {row.clusterer}")


def _model_name(report: Report, run: str) -> str:
    """What the report calls the model that the run trains."""
    return next(model.name for model in report.models if model.run == run)


def _own_rows(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of a run's replicas under its first clusterer."""
    return [row for row in found["rows"] if row["kind"] == "model" and row["clusterer"] == found["clusterer"]]


def _measured(values: Sequence[float | None], form: str = "fixed") -> Measured:
    found = mean_interval(values)
    return Measured(found["mean"], found["interval"], int(found["n"]), form)


def _parameters_note(printed: str | None, parameters: int, found: Mapping[str, Any]) -> str:
    if printed is None or printed == f"{parameters:,}":
        return ""
    shape = " x ".join(map(str, found["corpus"]["input_shape"]))
    return f"another input ({shape}), so another count; with the report's the count is the same"
