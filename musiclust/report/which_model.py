"""The page docs/which-model.md: which model to use, how sure that is, and where none is better than the features.

Conventions: `facts` is what `experiments.study` measured: "effort" and "collections", a dict for each collection with
"rows". A row has "name", "kind", "features", "scaling" and, for each measure, values (S seeds, B subsamples). A
difference is that of a row and of k-means on what the model was given, the same features in the same scaling (rows of
unit length or not), on the same seeds and subsamples. It is told with an interval for another collection, widened for
the number of models that are compared (Bonferroni).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from musiclust.files import atomic
from musiclust.metrics.intervals import Difference, over_seeds, over_songs, paired_difference
from musiclust.report.reading import number

_HEADER = (
    *("row", "features", "ARI", "another training", "another collection", "against the features"),
    *("AMI", "stability", "low information"),
)
_PLAIN, _UNIT = "features", "unit_features"  # the rows that models are held against


def write_study(out: Path, facts: Mapping[str, Any]) -> Path:
    """Writes which-model.md into `out` and returns its path."""
    path = out / "which-model.md"
    with atomic(path) as file:
        file.write(page(facts))
    return path


def page(facts: Mapping[str, Any]) -> str:
    """Returns the page as Markdown."""
    effort = facts["effort"]
    parts = [
        "# Which model should I use?",
        _answer(facts),
        f"`{facts['command']}` measured it. Each model was trained with {effort['seeds']} seeds on each of "
        f"{effort['subsamples']} subsamples of a collection (whole groups, {effort['share']:.0%} of the tracks and at "
        f"most {effort['most']}), {effort['epochs']} epochs each, with its default settings. K-means groups the tracks "
        "of each subsample, with as many clusters as there are classes, and is held against the classes, which nothing "
        'else has seen. "Another training" is the 95 % interval over seeds, "another collection" that over songs and '
        'seeds together. "Against the features" is the difference to k-means on what the model was given, which of '
        "models of `scaling=unit` are rows of unit length (`unit_features`), pair by pair, with an interval that "
        "allows for the number of models. A difference whose interval holds 0 is none.",
    ]
    for name, collection in facts["collections"].items():
        found = differences(collection)
        parts += [f"## {name}", _about(collection), _table(collection, found), _sentences(collection, found)]
    return "\n\n".join(part for part in parts if part) + "\n"


def differences(collection: Mapping[str, Any]) -> dict[str, Difference]:
    """The difference in ARI of each model and k-means on what it was given, by the model's name."""
    models = [row for row in collection["rows"] if row["kind"] == "model"]
    found = {}
    for row in models:
        plain = _given(collection["rows"], row)
        if plain is not None:
            ours, theirs = np.array(row["ari"]), np.array(plain["ari"])
            found[row["name"]] = paired_difference(ours, theirs, _share(collection), comparisons=len(models))
    return found


def _share(collection: Mapping[str, Any]) -> float:
    return collection["drawn"] / collection["tracks"]


def _given(rows: Sequence[Mapping[str, Any]], model: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The row of k-means on what a model was given; where rows of unit length were not clustered, on its features."""
    same = {row["name"]: row for row in rows if row["kind"] == "baseline" and row["features"] == model["features"]}
    return (same.get(_UNIT) if model["scaling"] == "unit" else None) or same.get(_PLAIN)


def _about(collection: Mapping[str, Any]) -> str:
    text = f"{collection['tracks']:,} tracks, {collection['drawn']} in a subsample, classes: {collection['classes']}."
    for name, reason in collection["left_out"].items():
        text += f" {name} was not measured: {reason}."
    return text


def _table(collection: Mapping[str, Any], found: Mapping[str, Difference]) -> str:
    lines = ["| " + " | ".join(_HEADER) + " |", "|" + " --- |" * len(_HEADER)]
    rows = sorted(collection["rows"], key=lambda row: -np.nanmean(row["ari"]))
    for row in rows:
        ari = np.array(row["ari"])
        seeds, songs = over_seeds(ari), over_songs(ari, _share(collection))
        difference = found.get(row["name"]) if row["kind"] == "model" else None
        seen = " (mask-seen)" if row.get("mask_seen") else ""
        cells = (
            f"{row['name']}{seen}",
            row["features"],
            number(seeds.mean),
            _span(seeds.low, seeds.high),
            _span(songs.low, songs.high),
            "" if difference is None else f"{difference.mean:+.3f} ({_span(difference.low, difference.high)})",
            number(float(np.nanmean(row["ami"]))),
            number(row["stability"]),
            number(row["low_information"], "percent") if row["kind"] == "model" else "",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _sentences(collection: Mapping[str, Any], found: Mapping[str, Difference]) -> str:
    better = [name for name, one in found.items() if one.low > 0]
    worse = [name for name, one in found.items() if one.high < 0]
    same = [name for name in found if name not in better and name not in worse]
    parts = []
    if better:
        parts.append(f"Better than the features: {', '.join(better)}.")
    if same:
        parts.append(f"Not told apart from the features: {', '.join(same)}.")
    if worse:
        parts.append(f"Worse than the features: {', '.join(worse)}.")
    if not better:
        parts.append("No model is better than the features here.")
    best = max(collection["rows"], key=lambda row: np.nanmean(row["ari"]))
    parts.append(
        f"The highest mean has {best['name']} on {best['features']} ({number(float(np.nanmean(best['ari'])))})."
    )
    return " ".join(parts)


def _answer(facts: Mapping[str, Any]) -> str:
    """The advice: the model that is most often better than the features, and never worse; else none."""
    wins: dict[str, list[str]] = {}
    losses: dict[str, list[str]] = {}
    gains: dict[str, list[float]] = {}
    for name, collection in facts["collections"].items():
        for model, one in differences(collection).items():
            gains.setdefault(model, []).append(one.mean)
            if one.low > 0:
                wins.setdefault(model, []).append(name)
            if one.high < 0:
                losses.setdefault(model, []).append(name)
    count = len(facts["collections"])
    if not wins:
        return (
            f"**None is shown to be better than k-means on the features** on any of {count} collections, once another "
            "choice of songs is allowed for. Take `vae` for a map and for new songs, and do not expect better clusters."
        )
    sound = [model for model in wins if model not in losses]
    if not sound:
        return (
            "**No model is both better than the features somewhere and worse nowhere.** "
            f"Better: {_list(wins)}. Worse: {_list(losses)}."
        )
    best = max(sound, key=lambda model: (len(wins[model]), float(np.mean(gains[model]))))
    text = (
        f"**Take `{best}`.** It agrees with the classes better than k-means on the same features on "
        f"{len(wins[best])} of {count} collections ({', '.join(wins[best])}), by {np.mean(gains[best]):+.3f} of ARI on "
        "average, and worse on none."
    )
    others = {model: where for model, where in wins.items() if model != best}
    text += f" Others that are better somewhere: {_list(others)}." if others else ""
    text += f" Worse somewhere: {_list(losses)}." if losses else ""
    return text


def _list(where: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{model} ({', '.join(names)})" for model, names in where.items())


def _span(low: float, high: float) -> str:
    return "" if np.isnan(low) or np.isnan(high) else f"{low:.3f} to {high:.3f}"
