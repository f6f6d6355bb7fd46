"""The clusters of a run as sentences and as a table: their names, the reasons, and songs that stand for them.

Conventions: `results` is the dict of a run's metrics.json, and its "clusters" hold a dict for each cluster: "cluster"
(its number), "name", "size", "jaccard" (how well it comes back), "reasons" (dicts with the fields of `names.Reason`),
"typical" and "oddest" (dicts with "track_id", "title", and "distance" of the oddest). Runs of earlier versions have no
"clusters".
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

from musiclust.metrics.stability import DISSOLVED, STABLE
from musiclust.report.names import NO_CHARACTER, quote
from musiclust.report.reading import number

_SONGS = 3  # that the table names
_REASONS = 3


def recovery(jaccard: float | None) -> str:
    """Returns in a word whether a cluster of this mean Jaccard comes back; "" where that is not known.

    >>> recovery(0.9), recovery(0.6), recovery(0.3)
    ('comes back (0.90)', 'comes back in part (0.60)', 'falls apart (0.30)')
    """
    if jaccard is None or math.isnan(jaccard):
        return ""
    much = "comes back" if jaccard >= STABLE else "comes back in part" if jaccard >= DISSOLVED else "falls apart"
    return f"{much} ({jaccard:.2f})"


def cluster_title(code: int, name: str = NO_CHARACTER) -> str:
    """Returns what a cluster is called in a legend: its number and its name; the number alone where it has no name.

    >>> cluster_title(2, "piano, solo"), cluster_title(3), cluster_title(-1)
    ('2: piano, solo', 'cluster 3', 'noise')
    """
    if code < 0:
        return "noise"
    return f"cluster {code}" if name == NO_CHARACTER else f"{code}: {name}"


def cluster_titles(described: Sequence[Mapping[str, Any]], count: int) -> list[str]:
    """Returns the titles of the clusters 0 to count - 1, with the names that those in `described` have."""
    names = {one["cluster"]: one["name"] for one in described}
    return [cluster_title(code, names.get(code, NO_CHARACTER)) for code in range(count)]


def explain(reason: Mapping[str, Any]) -> str:
    """Writes out a reason with its numbers.

    >>> tag = {"kind": "tag", "word": "piano", "here": 0.42, "elsewhere": 0.09, "unit": "", "against": ()}
    >>> explain(tag | {"effect": 4.67, "low": 3.1, "high": 7.04})
    'piano: 42 % here, 9 % elsewhere, 4.7 times as much (3.1 to 7.0)'
    >>> tempo = {"kind": "descriptor", "word": "slower", "here": 92.1, "elsewhere": 121.0, "unit": "BPM"}
    >>> explain(tempo | {"against": (), "effect": -0.91, "low": -1.3, "high": -0.52})
    'slower: 92.1 BPM here, 121 BPM elsewhere, 0.9 standard deviations less (0.5 to 1.3)'
    """
    word, effect, low, high = reason["word"], reason["effect"], reason["low"], reason["high"]
    against = [str(code) for code in reason["against"]]
    where = f"in cluster{'s'[: len(against) > 1]} {' and '.join(against)}" if against else "elsewhere"
    if reason["kind"] == "descriptor":
        here, elsewhere = (f"{number(reason[key], 'significant')} {reason['unit']}" for key in ("here", "elsewhere"))
        ends = sorted((abs(low), abs(high)))
        more = "more" if effect > 0 else "less"
        much = f"{abs(effect):.1f} standard deviations {more} ({_short(ends[0])} to {_short(ends[1])})"
        return f"{word}: {here} here, {elsewhere} {where}, {much}"
    here, elsewhere = (number(reason[key], "percent") for key in ("here", "elsewhere"))
    upper = "or more" if high is None or high > 1000 else f"to {_short(high)}"  # no upper end where elsewhere is none
    much = f"{_short(effect)} times as much ({_short(low)} {upper})"
    if reason["kind"] == "word":
        return f"{quote(word)}: in {here} of the songs with words here, {elsewhere} {where}, {much}"
    return f"{word}: {here} here, {elsewhere} {where}, {much}"


def clusters_table(results: Mapping[str, Any]) -> Table:
    """Draws a row for each cluster of results["clusters"]: number, size, name, why, and its most typical songs."""
    described = results["clusters"]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("cluster", justify="right")
    table.add_column("songs", justify="right")
    table.add_column("comes\nback", justify="right")
    table.add_column("name", overflow="fold", ratio=3)
    why = any(one["reasons"] for one in described)
    if why:
        table.add_column("why: here (elsewhere)", overflow="fold", ratio=4)
    table.add_column("most typical songs", overflow="fold", ratio=5)
    for one in described:
        songs = "; ".join(song["title"] for song in one["typical"][:_SONGS])
        reasons = [", ".join(map(_shorten, one["reasons"][:_REASONS]))] if why else []
        back = number(one.get("jaccard"))
        table.add_row(str(one["cluster"]), f"{one['size']:,}", back, one["name"], *reasons, songs)
    return table


def _shorten(reason: Mapping[str, Any]) -> str:
    if reason["kind"] == "descriptor":
        here, elsewhere = (number(reason[key], "significant") for key in ("here", "elsewhere"))
        return f"{reason['word']} {here} ({elsewhere}) {reason['unit']}"
    here, elsewhere = (number(reason[key], "percent") for key in ("here", "elsewhere"))
    return f"{quote(reason['word']) if reason['kind'] == 'word' else reason['word']} {here} ({elsewhere})"


def _short(value: float) -> str:
    """Returns a number as short as it can stand in a sentence, without an end that reads as "no difference"."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2f}" if value < 0.1 or 1 < value < 1.1 else f"{value:.1f}"
