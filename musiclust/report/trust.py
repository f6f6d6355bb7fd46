"""What the clusters of a run are worth, as questions that a listener would ask, each with its answer.

Conventions: `results` is the dict of a run's metrics.json; "trust" in it holds what was measured, and what is not there
was not measured and is not spoken of. A verdict is one of "yes", "partly", "no" and "not known".
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from musiclust.metrics.stability import DISSOLVED, STABLE
from musiclust.report.reading import number, tell_null


class Answer(NamedTuple):
    """question, verdict and the sentences that give the reason."""

    question: str
    verdict: str
    text: str


def answers(results: Mapping[str, Any]) -> list[Answer]:
    """The answers that the run can give, in the order in which they matter."""
    trust = results.get("trust") or {}
    known = {name: value for name, value in trust.items() if value}
    return [make(results, known[name]) for name, make in _ANSWERS.items() if name in known]


def _evidence(results: Mapping[str, Any], found: Mapping[str, Any]) -> Answer:
    tight, steady = found["silhouette"], found["stability"]
    what = "structureless collections of the same shape"
    if found["how"] == "pipeline":
        way = f"{found['draws']} {what} of each of two kinds were scaled, trained on and clustered in the same way"
    else:
        way = f"{found['draws']} structureless clouds of each of two kinds, shaped as the points, were clustered"
    numbers = (
        f"the silhouette is {number(tight['value'])} and theirs {tell_null(tight)} "
        f"(p {number(tight['p'], 'setting')}); halves of the collection agree with the whole to "
        f"{number(steady['value'])}, theirs to {tell_null(steady)} (p {number(steady['p'], 'setting')})"
    )
    trained = results["rows"][results["chosen"]]["kind"] == "model"
    quick = found["how"] == "latents" and trained
    if found["structured"]:
        verdict = "not known" if quick else "yes"
        text = f"The clusters are tighter, and come back better, than chance makes them: {way}; {numbers}."
    else:
        verdict = "no"
        text = f"Nothing here shows more than chance would: {way}; {numbers}."
    if quick and found["structured"]:
        text += " What training makes of structureless songs was not tried (null=pipeline does)."
    return Answer("Are there groups at all?", verdict, text)


def _recovery(results: Mapping[str, Any], found: Mapping[str, Any]) -> Answer:
    values = [one for one in found["jaccard"] if one is not None and not math.isnan(one)]
    stable, gone = sum(v >= STABLE for v in values), sum(v < DISSOLVED for v in values)
    verdict = "no" if stable == 0 else "yes" if stable == len(values) else "partly"
    how = (
        f"The model was trained {found['partitions']} times, on four fifths of the songs and with other seeds"
        if found["how"] == "training"
        else f"The songs were grouped {found['partitions']} times, half of them at a time and by every trained seed"
    )
    text = f"{how}. {stable} of {len(values)} clusters came back each time or nearly so"
    text += f", and {gone} fell apart" if gone else ""
    text += f". {number(found['sure'], 'percent')} of the songs are sure of their cluster (three votes in four)."
    return Answer("Would the same groups come back?", verdict, text)


def _k(results: Mapping[str, Any], found: Mapping[str, Any]) -> Answer:
    k, suggested = found["k"], found["suggested"]
    why = {
        "classes": "because there are so many classes (an oracle k: other collections have no classes)",
        "given": "because so many were asked for",
        "suggested": "because the features suggest it",
        "found": f"because {found.get('clusterer')} found so many",
    }
    if suggested["k"] == 1 and found["source"] == "suggested":
        text = (
            f"The features suggest {suggested['reason']}. The {k} groups are shelves to find one's way by, not kinds."
        )
        return Answer("Is that the right number of groups?", "no", text)
    low, high = suggested["low"], suggested["high"]
    span = f"{low}" if low == high else f"{low} to {high}"
    text = f"There are {k} clusters {why[found['source']]}. By the features alone: {suggested['reason']}"
    text += f"; the range is {span}." if suggested["k"] > 1 else "."
    return Answer("Is that the right number of groups?", "yes" if low <= k <= high else "no", text)


def _information(results: Mapping[str, Any], found: Mapping[str, Any]) -> Answer:
    dimensions = f"{found['units']} of {results['model']['latent_dim']} dimensions"
    told = f"{number(found['nats'], 'significant')} nats at most, in {dimensions}"
    if found["low"]:
        text = (
            f"The code keeps next to nothing of a song ({told}): less than it takes to tell one half of the songs from "
            "the other. Lower `beta`, or take `free_bits`, `capacity` or a schedule of beta."
        )
        return Answer("Does the model remember the songs?", "no", text)
    text = f"The code tells {told}."
    if found.get("held_out"):
        held = found["held_out"]
        fitted = f", fitted on {held['pca_tracks']} songs" if "pca_tracks" in held else ""
        text += (
            f" On {held['tracks']} songs kept out of training its reconstruction is off by "
            f"{number(held['reconstruction'], 'significant')} (principal components of the same number{fitted}: "
            f"{number(held['pca'], 'significant')}), and log p is at least {number(held['iwae'], 'significant')} nats."
        )
    return Answer("Does the model remember the songs?", "yes", text)


def _classes(results: Mapping[str, Any], found: Mapping[str, Any]) -> Answer:
    told, untold = found["told"], found["untold"]
    name = results["corpus"]["classes"]
    spaces = "; ".join(
        f"{space}: {number(one['linear'])} by a linear map, {number(one['knn'])} by neighbours, "
        f"chance {number(one['chance'])}"
        for space, one in found["spaces"].items()
    )
    verdict = "yes" if not untold else "no" if not told else "partly"
    text = f"With the answer in hand, {len(told)} of {len(told) + len(untold)} {name} classes can be told ({spaces})."
    if untold:
        text += f" No probe can tell {', '.join(untold)}: no clusters of these features can agree with that."
    return Answer(f"Do the features know the {name} classes?", verdict, text)


def _mask(results: Mapping[str, Any], found: Mapping[str, Any]) -> Answer:
    text = f"The model can see which songs have {found['what']}. That alone has an NMI of "
    text += f"{number(found['clusters'])} with the clusters"
    text += "." if found["classes"] is None else f" and of {number(found['classes'])} with the classes."
    return Answer("Is it only who has words?", "partly" if found["clusters"] > 0.1 else "no", text)


def _controls(results: Mapping[str, Any], found: list[Mapping[str, Any]]) -> Answer:
    parts, credited = [], []
    for one in found:
        beyond = "more than" if one["credited"] else "no more than"
        credited.append(one["credited"])
        parts.append(f"{beyond} with {one['what']} ({number(one['ours'])} against {number(one['ari'])})")
    verdict = "yes" if all(credited) else "partly" if any(credited) else "no"
    text = f"The clusters agree with the classes (ARI) {'; '.join(parts)}. What a control reaches too is not credited."
    return Answer("Does what was added help?", verdict, text)


def _agreement(results: Mapping[str, Any], found: Mapping[str, Any]) -> Answer:
    def span(ends: Sequence[float | None]) -> str:
        low, high = ends
        return "not known" if low is None or math.isnan(low) else f"{number(low)} to {number(high)}"

    text = (
        f"The ARI with the {results['corpus']['classes']} classes is {number(found['ari'])}. Another training on these "
        f"songs would give {span(found['training'])}, another collection of this size and kind "
        f"{span(found['collection'])} (95 % intervals)."
    )
    low = found["collection"][0]
    sure = low is not None and not math.isnan(low) and low > 0
    return Answer("Does it agree with the classes beyond this collection?", "yes" if sure else "not known", text)


def _duplicates(results: Mapping[str, Any], found: list[Mapping[str, Any]]) -> Answer:
    some = ", ".join(f"{one['first']} and {one['second']}" for one in found[:5])
    more = f" and {len(found) - 5} more pairs" if len(found) > 5 else ""
    pairs = "1 pair is" if len(found) == 1 else f"{len(found)} pairs are"
    text = f"{pairs} the same recording by their features: {some}{more}."
    return Answer("Is a song there twice?", "yes", text)


# part of results["trust"] -> its answer
_ANSWERS = {
    "evidence": _evidence,
    "recovery": _recovery,
    "k": _k,
    "information": _information,
    "mask": _mask,
    "controls": _controls,
    "agreement": _agreement,
    "classes": _classes,
    "duplicates": _duplicates,
}
