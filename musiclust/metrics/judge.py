"""What a table says of a latent space: its partitions, what they are held against, and which replica is shown.

`experiments.run` and a notebook judge by the same functions. Nothing here knows how the latents were made.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from musiclust.cluster import CLUSTERERS, is_approximate
from musiclust.errors import InputError
from musiclust.metrics.evidence import Cluster, Evidence, null_scores, weigh_latents
from musiclust.metrics.number_of_clusters import quick_kmeans
from musiclust.metrics.partition import score
from musiclust.metrics.reference import reference_silhouette
from musiclust.types import AnyArray, Clustering

LOW_INFORMATION, CLASS_SEEN, MASK_SEEN, DEGENERATE = "low-information", "class-seen", "mask-seen", "degenerate"
APPROXIMATE = "approximate"


class Judged(NamedTuple):
    """A partition and what is said of it.

    clusterer: its name. sizes: tracks in each cluster, from the largest down, noise not counted. scores: those of
    `partition.score`, and "silhouette_null", "reference_silhouette" and "reference_null". approximate: whether
    there were so many tracks that the clusterer was taken in its approximate form.
    """

    clusterer: str
    clustering: Clustering
    sizes: list[int]
    scores: dict[str, float]
    approximate: bool


class Judge:
    """Clusters points by several clusterers and scores each partition, all of them against the same things.

    Args:
      reference: (N, P) the space that all partitions of these tracks share, from `reference.reference_space`.
      truth: (N,) codes of the classes, -1 unknown; None where there are none.
      clusterers: names in `cluster.CLUSTERERS`.
      k: clusters.
      seed: of the nulls and chance levels, the same for all that is held against each other.
      group: (N,) str, the song or artist that tracks share, which chance levels and nulls keep together; None where
        every track is its own.

    Raises:
      InputError: if there is no such clusterer.

    Example:
      >>> from musiclust.metrics.reference import reference_space
      >>> truth = np.repeat([0, 1, 2], 20)
      >>> x = np.random.default_rng(0).normal(size=(60, 6)) + 9 * np.eye(6)[truth]
      >>> judge = Judge(reference_space([x]), truth, k=3, seed=0)
      >>> (judged,) = judge(x, seed=0)
      >>> judged.sizes, judged.scores["ari"]
      ([20, 20, 20], 1.0)
      >>> judge.weigh(x, "kmeans", seed=0).structured
      True
    """

    def __init__(
        self,
        reference: np.ndarray,
        truth: np.ndarray | None = None,
        *,
        clusterers: Sequence[str] = ("kmeans",),
        k: int,
        seed: int = 0,
        group: np.ndarray | None = None,
    ) -> None:
        unknown = [name for name in clusterers if name not in CLUSTERERS]
        if unknown:
            raise InputError(f"unknown clusterer {unknown[0]!r}: choose from {', '.join(CLUSTERERS)}")
        self.reference, self.truth = reference, truth
        self.clusterers, self.k, self.seed = tuple(clusterers), k, seed
        # As strings in the order of the tracks, for the draws of halves depend on the order of the groups.
        own = np.char.zfill(np.arange(len(reference)).astype(str), 12)
        self.group = own if group is None else np.asarray(group)
        self._last: np.ndarray | None = None
        self._nulls: dict[str, dict[str, float]] = {}

    def __call__(self, z: AnyArray, *, seed: int) -> list[Judged]:
        """The partition of z (N, L) by each clusterer; `seed` is the clusterers'."""
        z = np.asarray(z)
        judged = []
        for name in self.clusterers:
            clustering = CLUSTERERS[name](z, k=self.k, seed=seed)
            clusters = clustering.clusters
            scores = score(z, clusters, self.truth, group=self.group, seed=self.seed)
            scores["reference_silhouette"] = reference_silhouette(self.reference, clusters, seed=self.seed)
            scores |= self._null_of(z, name)
            sizes = np.bincount(clusters[clusters >= 0]).tolist()
            judged.append(Judged(name, clustering, sizes, scores, is_approximate(name, len(z))))
        return judged

    def _null_of(self, z: np.ndarray, name: str) -> dict[str, float]:
        """It is the same for every seed of a clusterer, so rows of one array, a baseline's, share it."""
        if self._last is not z:
            self._last, self._nulls = z, {}
        if name not in self._nulls:
            cluster = self.clusterer(name, self.seed)
            self._nulls[name] = null_scores(z, self.reference, cluster, group=self.group, seed=self.seed)
        return self._nulls[name]

    def weigh(
        self, z: AnyArray, clusterer: str, *, seed: int, on_draw: Callable[[int, int], None] = lambda done, total: None
    ) -> Evidence:
        """What the clusters of z (N, L) by one clusterer are worth, in the quick form: see `evidence.weigh_latents`."""
        cluster = self.clusterer(clusterer, seed)
        return weigh_latents(np.asarray(z), self.reference, cluster, group=self.group, seed=self.seed, on_draw=on_draw)

    def clusterer(self, name: str, seed: int) -> Cluster:
        """A clusterer as `weigh_latents` takes it: with its k, or as many as there are points, and its seed."""
        return make_cluster(name, self.k, seed)


def make_cluster(name: str, k: int, seed: int) -> Cluster:
    """A clusterer by its name as the evidence takes it: halves get `quick_kmeans` in place of k-means."""

    def whole(points: np.ndarray) -> np.ndarray:
        return CLUSTERERS[name](points, k=max(2, min(k, len(points))), seed=seed).clusters

    def quick(points: np.ndarray) -> np.ndarray:
        return quick_kmeans(points, k=max(2, min(k, len(points))), seed=seed)

    return Cluster(whole, quick if name == "kmeans" else whole)


def flag_partition(
    scores: dict[str, float],
    *,
    low_information: bool = False,
    class_seen: bool = False,
    mask_seen: bool = False,
    approximate: bool = False,
) -> list[str]:
    """What is to be known of a row of a table before it is believed, in the order in which it is shown.

    Args:
      scores: those of a `Judged`.
      low_information: whether the code tells little of a track; see `latent.tells_little`. Such a row is ranked all the
        same: what is clustered are the means, and whether their clusters are real is for the evidence to say.
      class_seen: whether the model was given the classes that it is scored against.
      mask_seen: whether what was clustered shows which tracks have words, say. Classes may be told by that alone.
      approximate: whether it is an approximate form of the clusterer's that found the partition.

    Example:
      >>> flag_partition({"n_clusters": 1.0}, low_information=True)
      ['low-information', 'degenerate']
    """
    flags = {
        LOW_INFORMATION: low_information,
        CLASS_SEEN: class_seen,
        MASK_SEEN: mask_seen,
        DEGENERATE: scores["n_clusters"] < 2,
        APPROXIMATE: approximate,
    }
    return [name for name, holds in flags.items() if holds]


def choose_replica(bound: np.ndarray) -> int:
    """The index of the replica that is shown: the one with the highest bound of the log-likelihood.

    The importance-weighted bound (`bounds.iwae`) of tracks that were held out, where there are any, can compare
    replicas of different beta, since it tends to log p(x) whatever the posterior. No class and no k is seen.

    Args:
      bound: (R,) nats a track, higher is better; NaN counts as the lowest.

    Example:
      >>> choose_replica(np.array([-9.0, -5.0, -7.0]))
      1
    """
    return int(np.argmax(np.where(np.isnan(bound), -np.inf, bound)))
