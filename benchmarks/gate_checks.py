"""The checks of benchmarks/gate.py: what the lyrics gate makes of two models' transcripts of the same tracks."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from musiclust import store
from musiclust.errors import InputError
from musiclust.preprocess.lyrics import gate, voice

_UNSUNG = re.compile(r"instrumental|no vocals", re.IGNORECASE)
_AGREE = 0.5
_NULLS = 20  # pairings at random, each of all pairs

Row = Mapping[str, str]


class Verdicts(NamedTuple):
    """The gate's, one a row of a table. alone: on the first transcript; both: with the second opinion."""

    alone: list[gate.Verdict]
    both: list[gate.Verdict]


def judge_all(rows: Sequence[Row], one: str, other: str, thresholds: gate.Gate) -> Verdicts:
    """Judges each row of a table; `one` and `other` are its columns of transcripts."""
    alone = [gate.judge({"text": row[one]}, thresholds) for row in rows]
    both = [gate.judge({"text": row[one]}, thresholds, [{"text": row[other]}]) for row in rows]
    return Verdicts(alone, both)


def measure(
    rows: Sequence[Row], one: str, other: str, thresholds: gate.Gate, verdicts: Verdicts
) -> list[tuple[str, str]]:
    """(what, figure) of each check on the rows, as they were judged."""
    alone, both = verdicts
    unsung = np.array([bool(_UNSUNG.search(row["title"])) for row in rows])
    written = np.array([bool(row[one].strip()) for row in rows])
    paired = np.array([bool(gate.split_words(row[one]) and gate.split_words(row[other])) for row in rows])
    overlaps = np.array([gate.measure_overlap(row[one], row[other]) for row in rows])
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


def by_genre(rows: Sequence[Row], one: str, verdicts: Verdicts) -> list[tuple[str | int, ...]]:
    """(genre, tracks, with a text, with words by one transcript, by both)."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0] * 4)
    for row, first, second in zip(rows, *verdicts, strict=True):
        told = (True, bool(row[one].strip()), bool(first.words), bool(second.words))
        counts[row["genre"]] = [n + one_more for n, one_more in zip(counts[row["genre"]], told, strict=True)]
    return [(genre, *counts[genre]) for genre in sorted(counts)]


VOICE_HEADER = ("tracks of", "lowest score", "median", "highest", "below `voice`", "below half of it")
_FEW = 20  # tracks that are shown one by one


def show_voices(root: Path, thresholds: gate.Gate) -> list[tuple[str, ...]]:
    """(class or track, lowest, median and highest score of a voice, how many tracks are below the two thresholds)."""
    tracks, voices = store.load_tracks(root), voice.load_voices(root)
    if not voices:
        raise InputError(f"{root} has no block tags: preprocess it with the tagger")
    ids = [i for i in tracks.track_id.tolist() if i in voices]
    named = dict(zip(tracks.track_id.tolist(), tracks.track_id.tolist(), strict=True))
    if len(ids) > _FEW and tracks.classes:
        name, codes = next(iter(tracks.classes.items()))
        names = [*tracks.class_names[name], "unknown"]
        named = {i: names[code] for i, code in zip(tracks.track_id.tolist(), codes.tolist(), strict=True)}
    rows = []
    for group in sorted({named[i] for i in ids}):
        scores = np.array([voices[i] for i in ids if named[i] == group])
        low, none = (int((scores < limit).sum()) for limit in (thresholds.voice, thresholds.voice / 2))
        figures = (scores.min(), np.median(scores), scores.max())
        rows.append((group, *(f"{figure:.2f}" for figure in figures), f"{low} of {len(scores)}", str(none)))
    return rows


def _nulls(pairs: Sequence[Row], one: str, other: str) -> np.ndarray:
    """Overlaps of transcripts of different tracks."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(_NULLS):
        order = rng.permutation(len(pairs))
        found += [gate.measure_overlap(pairs[i][one], pairs[j][other]) for i, j in enumerate(order) if i != j]
    return np.array(found)


def _share(counted: np.ndarray, some: np.ndarray) -> str:
    n, of = int((counted & some).sum()), int(some.sum())
    return f"{n} of {of}" + (f" ({100 * n / of:.1f} %)" if of else "")
