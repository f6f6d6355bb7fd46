"""Whether a partition shows more than a structureless collection of the same shape would.

    observed = measure_structure(z, reference, cluster, group=group)
    nulls = {kind: [measure_structure(...) of each surrogate] for kind in KINDS}
    evidence = weigh(observed, nulls, how="latents")

Three things are measured of a collection, be it the data or a surrogate: the silhouette of its clusters in the space
that was clustered and in the reference space, and how well its clusters come back in halves of it. The same clusterer
with the same k does it all. A surrogate in which a thing is not defined (no two clusters, say) has its lowest value.

Structure is claimed only where the silhouette and the stability both beat both kinds of surrogates. One alone does not
do: a ring and a square are tighter than any Gaussian without having clusters, and a lengthy cloud is cut in the same
place each time. `python -m benchmarks.calibration` measures how often the claim is false.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from musiclust.cluster import one_thread
from musiclust.metrics.nulls import KINDS, Surrogates
from musiclust.metrics.partition import silhouette
from musiclust.metrics.reference import reference_silhouette
from musiclust.metrics.stability import DISSOLVED, adjust_for_null, pairwise_ari
from musiclust.splits import draw_subsamples

SIGNIFICANT = 0.05
# Surrogates of each kind: so many that the smallest p is SIGNIFICANT or less.
DRAWS = 19
ROW_DRAWS = 3
# Of more tracks, so many are drawn for the test (whole groups), for it clusters hundreds of times.
TEST_LIMIT = 2_000
_HALVES = 6
LOWEST = -1.0  # of a silhouette or an ARI, and what stands for one that is not defined


class Cluster(NamedTuple):
    """A clusterer with its k and seed, points (N, L) -> clusters (N,) int, -1 noise.

    whole: for a collection. part: for its halves, of which there are hundreds; the same algorithm, which may take fewer
    starts.
    """

    whole: Callable[[np.ndarray], np.ndarray]
    part: Callable[[np.ndarray], np.ndarray]


class Structure(NamedTuple):
    """What is measured of a collection: each -1 to 1, more is better, and LOWEST where it is not defined.

    silhouette: in the space that was clustered; noise counts 0. reference_silhouette: in the reference space.
    stability: the mean ARI of the clusters of halves with those of the whole.
    """

    silhouette: float
    reference_silhouette: float
    stability: float


class Evidence(NamedTuple):
    """What the scores of a partition are worth.

    how: what the surrogates went through: "latents" (the quick form: surrogates of the latents are clustered, so that
    what the training makes of structureless data is not seen) or "pipeline" (surrogates of the features are scaled,
    trained on, encoded and clustered). draws: surrogates of each kind. tests: measure -> kind -> {"value", "null",
    "gap", "p"}.
    """

    how: str
    draws: int
    tests: dict[str, dict[str, dict[str, float]]]

    def p(self, measure: str) -> float:
        """The larger p of the two kinds of surrogates: a measure has to beat both."""
        return max(test["p"] for test in self.tests[measure].values())

    def null(self, measure: str) -> float:
        """What a structureless collection of this shape gets: the higher mean of the two kinds."""
        return max(test["null"] for test in self.tests[measure].values())

    @property
    def structured(self) -> bool:
        """Whether the clusters are tighter and come back better than those of structureless data, and come back at
        all (`stability.DISSOLVED`)."""
        unlike = max(self.p("silhouette"), self.p("stability")) <= SIGNIFICANT
        return unlike and self.value("stability") >= DISSOLVED

    def to_json(self) -> dict[str, Any]:
        """What metrics.json holds of it."""
        found = {"how": self.how, "draws": self.draws, "structured": self.structured, "tests": self.tests}
        return found | {
            measure: {"p": self.p(measure), "null": self.null(measure), "value": self.value(measure)}
            for measure in Structure._fields
        }

    def value(self, measure: str) -> float:
        """What was measured of the data."""
        return next(iter(self.tests[measure].values()))["value"]


def measure_structure(
    z: np.ndarray, reference: np.ndarray, cluster: Cluster, *, group: np.ndarray, seed: int = 0
) -> Structure:
    """Clusters a collection and measures how tight its clusters are and how well they come back.

    Args:
      z: (N, L) what is clustered.
      reference: (N, P) the reference space of the same tracks.
      cluster: the clusterer, with its k and seed.
      group: (N,) str, the song or artist that tracks share.
      seed: of the halves, which are whole groups, and of samples for silhouettes.
    """
    clusters = cluster.whole(z)
    if len(np.unique(clusters[clusters >= 0])) < 2:
        return Structure(LOWEST, LOWEST, LOWEST)
    return Structure(
        measure_tightness(z, clusters, seed=seed),
        _or_lowest(reference_silhouette(reference, clusters, seed=seed)),
        measure_stability(z, clusters, cluster, group=group, seed=seed),
    )


def measure_tightness(z: np.ndarray, clusters: np.ndarray, *, seed: int = 0) -> float:
    """The silhouette of clusters of z (N, L) over all N tracks, noise counting 0; LOWEST where it is not defined."""
    return _or_lowest(silhouette(z, clusters, seed=seed) * float(np.mean(clusters >= 0)))


def measure_stability(
    z: np.ndarray, clusters: np.ndarray, cluster: Cluster, *, group: np.ndarray, seed: int = 0
) -> float:
    """The mean ARI of `clusters` with the clusters of random halves of z (N, L), over each half's own tracks."""
    found = cluster_halves(z, cluster, group=group, count=_HALVES, seed=seed)
    return float(np.mean([pairwise_ari(np.stack([clusters, one]))[0, 1] for one in found]))


def cluster_halves(z: np.ndarray, cluster: Cluster, *, group: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Clusters random halves of z (N, L), whole groups: (count, N) int, -2 where a track is not in that half."""
    found = np.full((count, len(z)), -2)
    with one_thread():
        for line, rows in enumerate(draw_subsamples(group, count=count, share=0.5, seed=seed)):
            found[line, rows] = cluster.part(z[rows])
    return found


def draw_structureless(
    blocks: Sequence[np.ndarray], *, group: np.ndarray, draws: int = DRAWS, seed: int = 0
) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Yields (kind, the blocks of one structureless collection), `draws` of each kind; see `nulls.Surrogates`."""
    for kind in KINDS:
        surrogates = Surrogates(blocks, how=kind, group=group)
        for number in range(draws):
            yield kind, surrogates.draw(seed * draws + number)


def weigh(observed: Structure, nulls: Mapping[str, Sequence[Structure]], *, how: str) -> Evidence:
    """Holds what was measured of the data against what was measured of surrogates of each kind."""
    tests = {
        measure: {
            kind: adjust_for_null(getattr(observed, measure), [getattr(one, measure) for one in found], lowest=LOWEST)
            for kind, found in nulls.items()
        }
        for measure in Structure._fields
    }
    return Evidence(how, min(len(found) for found in nulls.values()), tests)


def weigh_latents(
    z: np.ndarray,
    reference: np.ndarray,
    cluster: Cluster,
    *,
    group: np.ndarray,
    draws: int = DRAWS,
    seed: int = 0,
    on_draw: Callable[[int, int], None] = lambda done, total: None,
) -> Evidence:
    """The quick form: surrogates of the latents z (N, L), jointly with the reference space (N, P), are clustered.

    For what was not trained on these tracks (the features, their PCA) it is the whole test. For the latents of a model
    it is not: training by itself draws structureless data together, and only the pipeline's test sees that.

    Args:
      cluster: the clusterer, with its k and seed.
      group: (N,) str, the song or artist that tracks share.
      draws: surrogates of each kind. With 19 the smallest p is 0.05.
      seed: of the surrogates and halves.
      on_draw: told (surrogates done, surrogates in all).
    """
    rows = rows_to_test(group, seed=seed)
    z, reference, group = z[rows], reference[rows], group[rows]
    observed = measure_structure(z, reference, cluster, group=group, seed=seed)
    nulls: dict[str, list[Structure]] = {kind: [] for kind in KINDS}
    drawn = draw_structureless([z, reference], group=group, draws=draws, seed=seed)
    for done, (kind, (points, space)) in enumerate(drawn, start=1):
        nulls[kind].append(measure_structure(points, space, cluster, group=group, seed=seed))
        on_draw(done, len(KINDS) * draws)
    return weigh(observed, nulls, how="latents")


def null_scores(
    z: np.ndarray, reference: np.ndarray, cluster: Cluster, *, group: np.ndarray, seed: int = 0
) -> dict[str, float]:
    """What the clusters of structureless latents of this shape score: the higher mean of the two kinds of surrogates.

    It is `weigh_latents` in small, for a figure beside each row of a table: `ROW_DRAWS` surrogates of each kind.

    Returns:
      "silhouette_null" and "reference_null", -1 to 1; NaN where no surrogate has two clusters.
    """
    rows = rows_to_test(group, seed=seed)
    z, reference, group = z[rows], reference[rows], group[rows]
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    for kind, (points, space) in draw_structureless([z, reference], group=group, draws=ROW_DRAWS, seed=seed):
        clusters = cluster.whole(points)
        found[kind].append((silhouette(points, clusters, seed=seed), reference_silhouette(space, clusters, seed=seed)))
    means = np.array([np.nanmean(of_kind, axis=0) for of_kind in found.values() if not np.isnan(of_kind).all()])
    highest = means.max(axis=0) if len(means) else np.full(2, np.nan)
    return {"silhouette_null": float(highest[0]), "reference_null": float(highest[1])}


def rows_to_test(group: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """The rows that a test looks at: all, or of many tracks `TEST_LIMIT` in whole groups."""
    if len(group) <= TEST_LIMIT:
        return np.arange(len(group))
    return draw_subsamples(group, count=1, share=1.0, most=TEST_LIMIT, seed=seed)[0]


def _or_lowest(value: float) -> float:
    return LOWEST if np.isnan(value) else float(value)
