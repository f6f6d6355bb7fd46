"""What the lyrics gate lets through: python -m benchmarks.gate --table=tracks.csv [--out=gate.md]

The table has a row a track: title, genre, and two columns of transcripts by two models (--one, --other; "" where there
is none). No label says which tracks are sung, so four checks stand in for it. Titles that say "instrumental" or "no
vocals" should be rejected. Pairs without a word bigram in common are wrong in one transcript at least, unless one is a
translation; pairs in strong agreement (half of the bigrams) are real, so that what of them is rejected, by one
transcript alone, estimates how many real lyrics are lost. And transcripts of different tracks, held against each other,
say how far agreement comes by chance.

The genre is shown and nothing is fitted to it: the thresholds are those of `musiclust.preprocess.gate.Gate`.
"""

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from absl import app, flags

from benchmarks.measure import console
from musiclust.preprocess import gate

_TABLE = flags.DEFINE_string("table", None, "A CSV file of tracks.", required=True)
_ONE = flags.DEFINE_string("one", "whisper_medium", "The column judged.")
_OTHER = flags.DEFINE_string("other", "whisper_small", "The column of second opinions.")
_GATE = flags.DEFINE_string("gate", "", "Thresholds, as of experiments.preprocess.")
_OUT = flags.DEFINE_string("out", None, "Where the Markdown goes; nowhere by default.")

_UNSUNG = re.compile(r"instrumental|no vocals", re.IGNORECASE)
_AGREE = 0.5
_NULLS = 20  # pairings at random, each of all pairs

Row = Mapping[str, str]


def measure(rows: Sequence[Row], one: str, other: str, thresholds: gate.Gate) -> list[tuple[str, str]]:
    """(what, figure) of each check on the rows of a table; `one` and `other` are its columns."""
    alone, both = _verdicts(rows, one, other, thresholds)
    unsung = np.array([bool(_UNSUNG.search(row["title"])) for row in rows])
    written = np.array([bool(row[one].strip()) for row in rows])
    paired = np.array([bool(gate.tokens(row[one]) and gate.tokens(row[other])) for row in rows])
    overlaps = np.array([gate.overlap(row[one], row[other]) for row in rows])
    sung = np.array([bool(verdict.words) for verdict in alone])
    confirmed = np.array([bool(verdict.words) for verdict in both])
    nulls = _nulls([row for row, take in zip(rows, paired & sung, strict=True) if take], one, other)
    chance = float((nulls >= thresholds.agreement).mean()) if len(nulls) else float("nan")
    reasons = Counter(
        reason
        for verdict, text in zip(alone, written, strict=True)
        if text and not verdict.words
        for reason in verdict.reasons
    )
    figures = [
        (f"tracks; with a text in {one}; with one in both", f"{len(rows)}; {written.sum()}; {paired.sum()}"),
        ("title says unsung: no text at all", _share(~written, unsung)),
    ]
    for what, some in {
        "rejected": np.ones(len(rows), bool),
        "title says unsung: rejected": unsung,
        "no bigram in common: rejected": paired & (overlaps == 0),
        "half of the bigrams in common: wrongly rejected": paired & (overlaps >= _AGREE),
    }.items():
        figures += [(f"{what}, one transcript", _share(~sung, some)), (f"{what}, both", _share(~confirmed, some))]
    return [
        *figures,
        (f"transcripts of different tracks that agree by {thresholds.agreement:g} or more", f"{100 * chance:.1f} %"),
        ("reasons, one transcript", ", ".join(f"{reason} {n}" for reason, n in reasons.most_common())),
    ]


def by_genre(rows: Sequence[Row], one: str, other: str, thresholds: gate.Gate) -> list[tuple[str | int, ...]]:
    """(genre, tracks, with a text, with words by one transcript, by both)."""
    alone, both = _verdicts(rows, one, other, thresholds)
    counts: dict[str, list[int]] = defaultdict(lambda: [0] * 4)
    for row, first, second in zip(rows, alone, both, strict=True):
        told = (True, bool(row[one].strip()), bool(first.words), bool(second.words))
        counts[row["genre"]] = [n + one_more for n, one_more in zip(counts[row["genre"]], told, strict=True)]
    return [(genre, *counts[genre]) for genre in sorted(counts)]


def _verdicts(
    rows: Sequence[Row], one: str, other: str, thresholds: gate.Gate
) -> tuple[list[gate.Verdict], list[gate.Verdict]]:
    """Of each row, on one transcript and on both."""
    alone = [gate.judge({"text": row[one]}, thresholds) for row in rows]
    both = [gate.judge({"text": row[one]}, thresholds, [{"text": row[other]}]) for row in rows]
    return alone, both


def _nulls(pairs: Sequence[Row], one: str, other: str) -> np.ndarray:
    """Overlaps of transcripts of different tracks."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(_NULLS):
        order = rng.permutation(len(pairs))
        found += [gate.overlap(pairs[i][one], pairs[j][other]) for i, j in enumerate(order) if i != j]
    return np.array(found)


def _share(counted: np.ndarray, some: np.ndarray) -> str:
    n, of = int((counted & some).sum()), int(some.sum())
    return f"{n} of {of}" + (f" ({100 * n / of:.1f} %)" if of else "")


def _markdown(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}")
    thresholds = gate.parse(_GATE.value)
    if thresholds is None:
        raise app.UsageError("--gate=off leaves nothing to measure")
    with open(_TABLE.value, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = _ONE.value, _OTHER.value
    text = _markdown(("check", "figure"), measure(rows, *columns, thresholds))
    text += "\n" + _markdown(
        ("genre", "tracks", "with a text", "with words, one transcript", "with words, both"),
        by_genre(rows, *columns, thresholds),
    )
    console.print(text, markup=False, soft_wrap=True)
    if _OUT.value:
        Path(_OUT.value).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    app.run(main)
