"""What the scores of a run say: numbers for people, the order of rows, one honest sentence.

Conventions: as in `tables`. A difference between silhouettes under `margin` is none.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

MARGIN = 0.02  # of silhouettes and ARI, however many tracks there are
# Flags of rows that are shown but neither ranked nor marked best; the last ones first to be believed. What a code keeps
# of a song ("low-information") says nothing of the clusters, so such a row is ranked.
UNRANKED = ("class-seen", "mask-seen", "degenerate")
SIGNIFICANT = 0.05  # the largest p at which agreement with classes counts


def number(value: float | int | None, form: str = "fixed") -> str:
    """Formats a number for a person; an en dash stands where it is None, NaN or infinite.

    Args:
      value: the number.
      form: "fixed" (three decimals, for scores in [-1, 1]), "significant" (three digits, or all before the point),
        "count" (whole, or a mean of counts), "percent" (of a fraction) or "setting" (as short as it goes).

    >>> number(0.5264), number(12275.12, "significant"), number(0.93, "percent"), number(1e-3, "setting")
    ('0.526', '12,275', '93 %', '0.001')
    """
    if value is None or not math.isfinite(value):
        return "–"  # noqa: RUF001 (the typographer's sign for "not there")
    if form == "setting":
        return f"{value:g}"
    if form == "percent":
        # 99.7 % must not read as all of it.
        return f"{100 * value:.1f} %" if value < 1 and round(100 * value) == 100 else f"{100 * value:.0f} %"
    if form == "count":
        decimals = 0 if value == round(value) else 1
    elif form == "significant":
        size = abs(value)
        decimals = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    else:
        decimals = 3
    return f"{round(value, decimals) + 0.0:,.{decimals}f}"  # + 0.0: no "-0.000"


def estimate(mean: float, interval: float, form: str = "fixed") -> str:
    """Formats "mean ± half-width of its interval", the one as precise as the other; the mean alone where that is NaN.

    form: as in `number`.

    >>> estimate(81.234, 0.5, "significant")
    '81.2 ± 0.5'
    """
    text = number(mean, form)
    if math.isnan(interval):
        return text
    decimals = len(text.partition(".")[2])
    return f"{text} ± {interval:,.{decimals}f}"


def ranked(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Returns the positions of `rows`, best first.

    Rows are ordered by their reference silhouette. Rows with a flag of `UNRANKED` come after the rest, class-seen ones
    last.

    >>> ranked([{"flags": flags, "scores": {"reference_silhouette": 0.1}} for flags in (["class-seen"], [])])
    [1, 0]
    """

    def key(index: int) -> tuple[int, float]:
        flags, reference = rows[index]["flags"], rows[index]["scores"]["reference_silhouette"]
        tier = 2 if "class-seen" in flags else 1 if is_unranked(flags) else 0
        return tier, math.inf if reference is None or math.isnan(reference) else -reference

    return sorted(range(len(rows)), key=key)


def is_unranked(flags: Collection[str]) -> bool:
    """Returns whether a row with these flags is neither ranked nor marked best.

    >>> is_unranked(["low-information"]), is_unranked(["mask-seen"])
    (False, True)
    """
    return any(flag in UNRANKED for flag in flags)


def reading(results: Mapping[str, Any]) -> str:
    """Writes one or two plain sentences on the chosen row.

    They say how many tracks fell into how many clusters, whether these show more than structureless data would (by the
    evidence in results["trust"], where it was weighed), whether they agree with the classes beyond chance, and then
    either why the row is not ranked or how it stands to the best baseline.
    """
    row = results["rows"][results["chosen"]]
    scores = {key: math.nan if value is None else value for key, value in row["scores"].items()}
    found = scores["n_clusters"]
    tracks = f"{results['corpus']['tracks']:,} tracks fall into {number(found, 'count')} cluster{'s'[: found != 1]}"
    if "degenerate" in row["flags"] or not found >= 2:
        return f"{tracks}: a degenerate partition, which no score can judge; try another number of clusters."
    if scores["coverage"] < 1:
        tracks += f" ({number(scores['coverage'], 'percent')} of them; the rest is noise)"
    seen = "class-seen" in row["flags"]
    corpus = results["corpus"]
    evidence = (results.get("trust") or {}).get("evidence")
    first = f"{tracks}, {_structure(evidence)}, {_agreement(scores, corpus['classes'], seen)}."
    if "low-information" in row["flags"]:
        kl = number(row["total_kl"], "significant")
        first += f" The code keeps next to nothing of a song ({kl} nats of KL)."
        if evidence and not evidence["structured"]:
            first += " So the silhouette shows the shape of the cloud, not of the music."
    if seen:
        return f"{first} It is not ranked for that reason."
    if "mask-seen" in row["flags"]:
        return f"{first} It is not ranked, because it can see which songs lack a block, such as words."
    return f"{first}{_standing(row, results['rows'], results['corpus']['tracks'])}"


def margin(tracks: int) -> float:
    """Returns the least difference between two silhouettes of that many tracks that counts.

    It is 0.5 / sqrt(N), and at least MARGIN. That is two standard deviations of the silhouette that k-means has on
    draws of a two-dimensional Gaussian, for N from 7 to 3,000; in more dimensions they are fewer.
    """
    return max(MARGIN, 0.5 / math.sqrt(tracks))


def tell_null(measured: Mapping[str, Any]) -> str:
    """The mean of a measure on structureless data, or that it is not defined there: no two clusters were found."""
    if measured["null"] == -1:  # `musiclust.metrics.evidence.LOWEST`
        return "not defined, for there are no two clusters"
    return number(measured["null"])


def _structure(evidence: Mapping[str, Any] | None) -> str:
    if not evidence:
        return "not held against structureless data"
    numbers = (
        f"silhouette {number(evidence['silhouette']['value'])}, null {tell_null(evidence['silhouette'])}; "
        f"stability {number(evidence['stability']['value'])}, null {tell_null(evidence['stability'])}"
    )
    if evidence["how"] == "latents":
        shape = "a structureless cloud of the same shape as the latents"
    else:
        shape = "structureless songs that were trained on and clustered alike"
    if evidence["structured"]:
        return f"tighter and more stable than {shape} ({numbers})"
    return f"not more tight and stable than {shape} ({numbers})"


def _exceeds(value: float, other: float, tracks: int) -> bool | None:
    return None if math.isnan(value) or math.isnan(other) else value - other >= margin(tracks)


def _agreement(scores: Mapping[str, float], classes: str | None, seen: bool) -> str:
    if classes is None:
        return "with no classes to check them against"
    numbers = f"NMI {number(scores['nmi'])}, chance {number(scores['nmi_chance'])}; ARI {number(scores['ari'])}"
    if seen:
        return f"and the model was given the {classes} classes, so that agreeing with them ({numbers}) shows nothing"
    if scores["nmi_p"] <= SIGNIFICANT and scores["ari"] >= MARGIN:
        degree = "a little" if scores["ari"] < 0.1 else "in part" if scores["ari"] < 0.5 else "largely"
        return f"and agreeing {degree} with the {classes} classes, beyond chance ({numbers})"
    return f"and agreeing with the {classes} classes no better than chance ({numbers})"


def _standing(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], tracks: int) -> str:
    baselines = [other for other in rows if other["kind"] == "baseline" and not is_unranked(other["flags"])]
    if not baselines:
        return ""
    best = baselines[ranked(baselines)[0]]
    ours, theirs = (entry["scores"]["reference_silhouette"] for entry in (row, best))
    if ours is None or theirs is None or math.isnan(ours - theirs):
        return ""
    against = f"the best baseline, {best['name']}, in the reference space ({number(ours)} against {number(theirs)})"
    verb = "beats" if _exceeds(ours, theirs, tracks) else "does not beat"
    return f" {row['name']} {verb} {against}."
