"""Speed and rightness of clusterers and scores: python -m benchmarks.clustering [--points=3000,30000 --repeats=5]

Points are drawn from a mixture of 8 Gaussians of unit variance in 32 dimensions, of unequal weights, whose centres lie
about 8 apart; 106,000 are as many as FMA-large has tracks. Every entry of CLUSTERERS is held against the plain
scikit-learn estimator of the same name with its default settings (of DBSCAN: eps 0.5), and its partition against the
true components (ARI), so that a fast wrong answer shows. The six scores with their chance levels, and the silhouette
in the reference space, are held against scikit-learn's functions over all points, exact where ours sample above 10,000.

Above `cluster.EXACT_LIMIT` points agglomerative and hdbscan are approximate. A second table holds those forms against
the exact ones at --agreement points of three collections (the mixture above, one whose centres lie half as far apart,
and a cloud without clusters): the ARI of the two partitions, and beside it the ARI of the exact one with itself after
each point was moved by a hundredth of the spread, for where that is low there is no one answer to agree with.

Ours and its peer take turns; medians of the repeats after a warm-up. What takes --most_seconds or more to warm up is
not repeated and not run at the next size, and the table says so.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from sklearn import metrics as sklearn_metrics
from sklearn.cluster import DBSCAN, HDBSCAN, AgglomerativeClustering, KMeans
from sklearn.decomposition import PCA
from sklearn.metrics.cluster import contingency_matrix
from sklearn.mixture import GaussianMixture
from sklearn.preprocessing import StandardScaler

from benchmarks.made_up import COLLECTIONS, DIMENSIONS, K, mixture
from benchmarks.measure import console, in_turn, machine, summary, write
from benchmarks.rendering import show
from experiments.cli.program import run
from musiclust.cluster import CLUSTERERS, EXACT_LIMIT, is_approximate
from musiclust.errors import InputError
from musiclust.metrics import partition, reference

_POINTS = flags.DEFINE_list("points", ["3000", "30000", "106000"], "How many points, in ascending order.")
_REPEATS = flags.DEFINE_integer("repeats", 5, "Repeats after the warm-up.", lower_bound=5)
_MOST_SECONDS = flags.DEFINE_float(
    "most_seconds", 60.0, "What takes so long is run once and not at the next size.", lower_bound=0.0
)
_AGREEMENT = flags.DEFINE_integer(
    "agreement", 10_000, "Points at which approximate forms are held against exact ones; 0 for none.", 0, EXACT_LIMIT
)
_OUT = flags.DEFINE_string("out", "benchmarks/results/clustering.json", "Where the figures are written.")

Answer = tuple[str, float]  # what it is, and how much


def _agglomerative(z: np.ndarray) -> np.ndarray:
    if len(z) > EXACT_LIMIT:
        raise InputError(f"{8 * len(z) ** 2 / 2e9:.1f} GB of distances")
    return AgglomerativeClustering(K).fit_predict(z)


# The plain estimators, z (N, L) -> clusters (N,).
PEERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "kmeans": lambda z: KMeans(K, random_state=0).fit_predict(z),
    "gmm": lambda z: GaussianMixture(K, random_state=0).fit_predict(z),
    "agglomerative": _agglomerative,
    "dbscan": lambda z: DBSCAN().fit_predict(z),
    "hdbscan": lambda z: HDBSCAN(copy=True).fit_predict(z),  # pyright: ignore[reportArgumentType]
}


def _six_scores(z: np.ndarray, clusters: np.ndarray, truth: np.ndarray) -> float:
    """As a script would have them of scikit-learn, without chance levels; the silhouette is returned."""
    table = contingency_matrix(truth, clusters)
    scores = [
        sklearn_metrics.silhouette_score(z, clusters),
        sklearn_metrics.calinski_harabasz_score(z, clusters),
        sklearn_metrics.davies_bouldin_score(z, clusters),
        sklearn_metrics.adjusted_rand_score(truth, clusters),
        sklearn_metrics.normalized_mutual_info_score(truth, clusters),
        table.max(axis=0).sum() / table.sum(),
    ]
    return float(scores[0])


def _in_reference_space(z: np.ndarray, clusters: np.ndarray) -> float:
    space = PCA(reference.MAX_DIMENSIONS).fit_transform(StandardScaler().fit_transform(z))
    return float(sklearn_metrics.silhouette_score(space, clusters))


def tasks(z: np.ndarray, component: np.ndarray) -> Mapping[str, tuple[Callable[[], Answer], Callable[[], Answer]]]:
    """What is measured -> (ours, the peer's); both return their answer."""

    def ari(clusters: np.ndarray) -> Answer:
        return "ARI", float(sklearn_metrics.adjusted_rand_score(component, clusters))

    found = {
        name: (
            lambda ours=ours: ari(ours(z, k=K, seed=0).clusters),
            lambda name=name: ari(PEERS[name](z)),
        )
        for name, ours in CLUSTERERS.items()
    }
    clusters = np.where(np.arange(len(z)) % 10, component, (component + 1) % K)  # a tenth is wrong
    return found | {
        "six scores": (
            lambda: ("silhouette", partition.score(z, clusters, component)["silhouette"]),
            lambda: ("silhouette", _six_scores(z, clusters, component)),
        ),
        "of them the silhouette": (
            lambda: ("silhouette", partition.silhouette(z, clusters)),
            lambda: ("silhouette", float(sklearn_metrics.silhouette_score(z, clusters))),
        ),
        "reference space and silhouette": (
            lambda: ("silhouette", reference.reference_silhouette(reference.reference_space([z]), clusters)),
            lambda: ("silhouette", _in_reference_space(z, clusters)),
        ),
    }


class Contender:
    """One of two in a row: keeps the answer, and the reason where there is none."""

    def __init__(self, work: Callable[[], Answer], why: str = "") -> None:
        self.work, self.why, self.answer = work, why, ""

    def __call__(self) -> float | None:
        if self.why:
            return math.inf
        try:
            what, value = self.work()
        except InputError as error:
            self.why = str(error).partition(":")[0]
            return math.inf
        self.answer = f"{what} {value:.3f}"
        return None

    def record(self, seconds: np.ndarray) -> dict[str, Any]:
        if self.why:
            return {"why": self.why}
        return {"seconds": summary(seconds), "repeats": len(seconds), "answer": self.answer}


def measure(n: int, repeats: int, most_seconds: float, too_slow: dict[tuple[str, str], str]) -> list[dict[str, Any]]:
    """The rows of n points. too_slow: (what, who) -> why not at the next size; added to."""
    z, component = mixture(n)
    rows = []
    for what, works in tasks(z, component).items():
        pair = {
            who: Contender(work, too_slow.get((what, who), ""))
            for who, work in zip(("ours", "scikit-learn"), works, strict=True)
        }
        taken = in_turn(pair, repeats, most_seconds)
        row: dict[str, Any] = {"points": n, "what": what}
        row |= {who: contender.record(taken[who]) for who, contender in pair.items()}
        if not any(contender.why for contender in pair.values()):
            row["ratio"] = summary(taken["scikit-learn"] / taken["ours"])
        for who, seconds in taken.items():
            if seconds[0] >= most_seconds and not pair[who].why:
                too_slow[what, who] = f"not run: {seconds[0]:.0f} s at {n:,} points"
        rows.append(row)
    return rows


def agree(n: int) -> list[dict[str, Any]]:
    """What the approximate forms cost in agreement: a row for each collection and clusterer."""
    rows = []
    for collection, make in COLLECTIONS.items():
        z, component = make(n)
        moved = z + 0.01 * z.std(axis=0) * np.random.default_rng(1).normal(size=z.shape).astype(np.float32)
        for name, clusterer in CLUSTERERS.items():
            if not is_approximate(name, EXACT_LIMIT + 1):
                continue
            found, seconds = {}, {}
            for how, points, limit in (("exact", z, n), ("form", z, 0), ("moved", moved, n)):
                start = time.perf_counter()
                found[how] = clusterer(points, k=K, seed=0, exact_limit=limit).clusters
                seconds[how] = time.perf_counter() - start
            ari, truth = (
                {how: float(sklearn_metrics.adjusted_rand_score(one, found[how])) for how in told}
                for one, told in ((found["exact"], ("form", "moved")), (component, ("exact", "form")))
            )
            row = {"collection": collection, "what": name, "points": n, "ari": ari, "truth": truth}
            rows.append(row | {"seconds": {how: seconds[how] for how in ("exact", "form")}})
    return rows


def main(argv: Sequence[str]) -> None:
    try:
        sizes = [int(n) for n in _POINTS.value]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 100 or sizes != sorted(set(sizes)):
        raise InputError(f"--points={','.join(_POINTS.value)}: give ascending whole numbers of at least 100")
    result: dict[str, Any] = {
        "machine": machine(["scikit-learn", "scipy", "numpy"]),
        "k": K,
        "dimensions": DIMENSIONS,
        "most_seconds": _MOST_SECONDS.value,
        "rows": [],
        "agreement": agree(_AGREEMENT.value) if _AGREEMENT.value else [],
    }
    too_slow: dict[tuple[str, str], str] = {}
    for n in sizes:
        result["rows"] += measure(n, _REPEATS.value, _MOST_SECONDS.value, too_slow)
        write(Path(_OUT.value), result)
        console.print(f"{n:,} points: done")
    show("clustering", result, Path(_OUT.value))


if __name__ == "__main__":
    run(main)
