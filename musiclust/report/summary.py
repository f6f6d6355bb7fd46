"""The rows of a run summarised over seeds.

Conventions: as in `tables`. A setting is what rows share that differ in nothing but the seed and what was measured.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from musiclust.metrics.intervals import over_seeds
from musiclust.report.reading import ranked

# What a row measures, and so what does not tell two settings apart.
MEASURED = ("loss", "reconstruction", "active_units", "informative_units", "total_kl")
_SETTINGS = ("name", "kind", "beta", "learning_rate")  # beside the seed, all that tells one row from another


def summary(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Gives the mean and 95 % interval over the seeds of each setting, best first.

    Rows that differ in nothing but seed and what was measured form one entry: their settings
    ("name", "kind", "beta", "learning_rate"), "n", "flags" (flag -> how many of the n have it), "active_units",
    "total_kl", "loss", "reconstruction" and "scores" (name -> ...), each {"mean", "interval", "n"}: the
    interval is the half-width by Student's t, as `mean_interval` has it. Seeds where a score is undefined are left out.
    """
    settings: dict[tuple, list[Mapping[str, Any]]] = {}
    for row in results["rows"]:
        settings.setdefault(tuple(row[key] for key in _SETTINGS), []).append(row)
    entries = [summarise_rows(rows) for rows in settings.values()]
    means = [
        {"flags": entry["flags"], "scores": {key: value["mean"] for key, value in entry["scores"].items()}}
        for entry in entries
    ]
    return [entries[index] for index in ranked(means)]


def summarise_rows(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Summarises rows of one setting as an entry of `summary`."""
    flags = sorted(flag for row in rows for flag in row["flags"])
    return {
        **{key: rows[0][key] for key in _SETTINGS},
        "n": len(rows),
        "flags": {flag: len(list(same)) for flag, same in groupby(flags)},
        **{key: mean_interval([row[key] for row in rows]) for key in MEASURED},
        "scores": {key: mean_interval([row["scores"][key] for row in rows]) for key in rows[0]["scores"]},
    }


def mean_interval(values: Sequence[float | int | None]) -> dict[str, Any]:
    """Returns {"mean", "interval", "n"} of what is defined among the values: how another training would come out.

    The interval is the half-width at 95 % by Student's t (`metrics.intervals.over_seeds`), NaN where the seed plays no
    part: for one value, and where all are the same. n counts the values that are defined.

    >>> {name: round(value, 3) for name, value in mean_interval([1.0, 2.0, 3.0, None]).items()}
    {'mean': 2.0, 'interval': 2.484, 'n': 3}
    """
    known = np.array([value for value in values if value is not None and math.isfinite(value)])
    if not len(known):
        return {"mean": math.nan, "interval": math.nan, "n": 0}
    found = over_seeds(known)
    return {"mean": found.mean, "interval": found.high - found.mean, "n": len(known)}
