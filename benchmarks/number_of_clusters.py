"""How often the number of clusters is right: python -m benchmarks.number_of_clusters [--sets=100 --mixtures=20]

Sets without clusters, of eleven shapes, and mixtures of 3, 8 and 20 Gaussians are drawn, and `choose_k` of
`metrics.number_of_clusters` is asked for k, held against both kinds of surrogates (`metrics.nulls`) in turn. Of the
shapes is told how often k is not one (a false alarm), of the mixtures how often it is right, and how often its range
has the right one. The result is written as it grows.

The rule was made while looking at 25 Gaussians, a few mixtures with seeds below 100, and the demo corpus. Sets from
--first_seed=1000 to 1007 have been looked at since; the rule was not changed after that.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags
from scipy.stats import beta

from benchmarks import shapes
from benchmarks.measure import console, machine, write
from benchmarks.rendering import show
from experiments.cli.cores import count_usable_cores
from experiments.cli.interrupt import check_stop
from experiments.cli.program import run
from musiclust.metrics.nulls import draw_in_turn
from musiclust.metrics.number_of_clusters import choose_k

_SETS = flags.DEFINE_integer("sets", 100, "Sets without clusters of each shape.", lower_bound=1)
_MIXTURES = flags.DEFINE_integer("mixtures", 20, "Mixtures of each kind.", lower_bound=1)
_FIRST_SEED = flags.DEFINE_integer("first_seed", 1000, "Seed of the first set; the others follow.", lower_bound=0)
_POINTS = flags.DEFINE_integer("points", 200, "Points of a set without clusters.", lower_bound=40)
_OUT = flags.DEFINE_string("out", "benchmarks/results/number_of_clusters.json", "Where the figures are written.")

_EVERY = 20  # sets after which the result is written


def _turned(rng: np.random.Generator, n: int) -> np.ndarray:
    turn = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    return (rng.normal(size=(n, 8)) * [5, 3, 2, 1, 1, 0.5, 0.2, 0.1]) @ turn


def _ball(rng: np.random.Generator, n: int) -> np.ndarray:
    z = rng.normal(size=(n, 5))
    return z / np.linalg.norm(z, axis=1, keepdims=True) * rng.random((n, 1)) ** (1 / 5)


def _banana(rng: np.random.Generator, n: int) -> np.ndarray:
    x = 2 * rng.normal(size=n)
    return np.stack([x, x**2 / 2 + rng.normal(size=n)], axis=1)


def _roll(rng: np.random.Generator, n: int) -> np.ndarray:
    angle = 1.5 * np.pi * (1 + 2 * rng.random(n))
    return np.stack([angle * np.cos(angle), 21 * rng.random(n), angle * np.sin(angle)], axis=1)


# name -> points (N, L) without clusters. The last five are the new ones.
SHAPES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "Gaussian, 8-D": lambda rng, n: rng.normal(size=(n, 8)) * [3, 2, 1, 1, 1, 1, 0.5, 0.5],
    "log-normal, 4-D": partial(shapes.log_normal, columns=4),
    "square": shapes.square,
    "ring": shapes.ring,
    "t with 3 degrees, 8-D": partial(shapes.heavy_tails, columns=8),
    "songs of 4 clips, 4-D": partial(shapes.songs, columns=4),
    "new: ball, 5-D": _ball,
    "new: banana": _banana,
    "new: Swiss roll": _roll,
    "new: Gaussian turned, 8-D": _turned,
    "new: exponential, 4-D": lambda rng, n: rng.exponential(size=(n, 4)),
}
SEPARATIONS = (3, 4, 5, 6)
# clusters, columns, points, and the numbers that are tried
MIXTURES = (
    (3, 4, 200, tuple(range(1, 13))),
    (8, 8, 300, tuple(range(1, 16))),
    (20, 8, 500, (*range(1, 9), *range(10, 18, 2), *range(17, 24))),
)


class Case(NamedTuple):
    """What is drawn: a shape, or a mixture of k Gaussians of unit variance whose means are at least so far apart."""

    shape: str
    k: int
    apart: float
    seed: int
    points: int


def list_cases(first: int, n: int, *, sets: int, mixtures: int) -> list[Case]:
    """Seed by seed, the shapes of n points first, so that what is there after half of the time says half of it all."""
    cases = []
    for number in range(max(sets, mixtures)):
        if number < sets:
            cases += [Case(shape, 1, 0.0, first + number, n) for shape in SHAPES]
        if number < mixtures:
            cases += [
                Case("", mixture[0], apart, first + number, mixture[2]) for mixture in MIXTURES for apart in SEPARATIONS
            ]
    return cases


def ask(case: Case) -> tuple[int, int, int]:
    """The chosen k and its range."""
    rng, ks = np.random.default_rng(case.seed), tuple(range(1, 13))
    group = np.arange(case.points).astype(str)
    if case.shape:
        z = SHAPES[case.shape](rng, case.points)
        if case.shape.startswith("songs"):
            group = shapes.song_of_clip(case.points).astype(str)
    else:
        k, columns, points, ks = next(mixture for mixture in MIXTURES if mixture[0] == case.k)
        z = shapes.mixture(rng, points, k=k, columns=columns, apart=case.apart)
        group = np.arange(points).astype(str)
    found = choose_k(z, surrogate=draw_in_turn(z, group=group), ks=ks, group=group, seed=case.seed)
    return found.k, found.low, found.high


def interval(hits: int, of: int) -> list[float]:
    """The exact 95 % interval of a share (Clopper & Pearson 1934)."""
    low = beta.ppf(0.025, hits, of - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, of - hits) if hits < of else 1.0
    return [float(low), float(high)]


def summarise(cases: Sequence[Case], answers: Sequence[tuple[int, int, int]]) -> list[dict[str, Any]]:
    """A row for each shape and each mixture at each separation, and one for all shapes."""
    groups: dict[tuple[str, int, float], list[tuple[int, int, int]]] = {}
    for case, answer in zip(cases, answers, strict=True):
        groups.setdefault((case.shape, case.k, case.apart), []).append(answer)
        if case.shape:
            groups.setdefault(("all", 1, 0.0), []).append(answer)
    rows = []
    for (shape, k, apart), found in groups.items():
        right = sum(answer[0] == k for answer in found)
        counted = len(found) - right if shape else right
        rows.append(
            {
                "shape": shape,
                "k": k,
                "apart": apart,
                "sets": len(found),
                "share": counted / len(found),
                "interval": interval(counted, len(found)),
                "in_range": float(np.mean([low <= k <= high for _, low, high in found])),
                "one": float(np.mean([answer[0] == 1 for answer in found])),
                "median_k": float(np.median([answer[0] for answer in found])),
            }
        )
    return sorted(rows, key=lambda row: row["shape"] == "all")


def main(argv: Sequence[str]) -> None:
    first, n = _FIRST_SEED.value, _POINTS.value
    cases = list_cases(first, n, sets=_SETS.value, mixtures=_MIXTURES.value)
    result: dict[str, Any] = {"machine": machine(["numpy", "scipy", "scikit-learn"]), "first_seed": first, "points": n}
    answers: list[tuple[int, int, int]] = []
    with ProcessPoolExecutor(count_usable_cores(), mp_context=get_context("spawn")) as pool:
        for answer in pool.map(ask, cases, chunksize=2):
            check_stop()
            answers.append(answer)
            if len(answers) % _EVERY == 0 or len(answers) == len(cases):
                result["rows"] = summarise(cases[: len(answers)], answers)
                write(Path(_OUT.value), result)
                console.print(f"{len(answers):,} of {len(cases):,} sets")
    show("number_of_clusters", result, Path(_OUT.value))


if __name__ == "__main__":
    run(main)
