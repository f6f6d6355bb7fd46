"""What a table says of a latent space: its partitions, what they are held against, and which replica is shown.

`experiments.run` and a notebook judge by the same functions. Nothing here knows how the latents were made.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from musiclust.cluster import CLUSTERERS
from musiclust.errors import InputError
from musiclust.metrics.partition import score
from musiclust.metrics.reference import reference_silhouette, silhouette_null
from musiclust.types import AnyArray, Clustering

COLLAPSED, CLASS_SEEN, DEGENERATE = "collapsed", "class-seen", "degenerate"


class Judged(NamedTuple):
    """A partition and what is said of it.

    clusterer: its name. sizes: tracks in each cluster, from the largest down, noise not counted. scores: those of
    `partition.score`, and "silhouette_null", "reference_silhouette" and "reference_null".
    """

    clusterer: str
    clustering: Clustering
    sizes: list[int]
    scores: dict[str, float]


class Judge:
    """Clusters points by several clusterers and scores each partition, all of them against the same things.

    Args:
      reference: (N, P) the space that all partitions of these tracks share, from `reference.reference_space`.
      truth: (N,) codes of the classes, -1 unknown; None where there are none.
      clusterers: names in `cluster.CLUSTERERS`.
      k: clusters.
      seed: of the nulls and chance levels, the same for all that is held against each other.

    Raises:
      InputError: if there is no such clusterer.

    Example:
      >>> from musiclust.metrics.reference import reference_space
      >>> noise = np.random.default_rng(0).normal(size=(60, 2))
      >>> x = noise + np.repeat([[0, 0], [9, 0], [0, 9]], 20, axis=0)
      >>> judge = Judge(reference_space([x]), np.repeat([0, 1, 2], 20), k=3, seed=0)
      >>> (judged,) = judge(x, seed=0)
      >>> judged.sizes, judged.scores["ari"]
      ([20, 20, 20], 1.0)
    """

    def __init__(
        self,
        reference: np.ndarray,
        truth: np.ndarray | None = None,
        *,
        clusterers: Sequence[str] = ("kmeans",),
        k: int,
        seed: int = 0,
    ) -> None:
        unknown = [name for name in clusterers if name not in CLUSTERERS]
        if unknown:
            raise InputError(f"unknown clusterer {unknown[0]!r}: choose from {', '.join(CLUSTERERS)}")
        self.reference, self.truth = reference, truth
        self.clusterers, self.k, self.seed = tuple(clusterers), k, seed
        self._reference_nulls: dict[int, float] = {}

    def __call__(self, z: AnyArray, *, seed: int) -> list[Judged]:
        """The partition of z (N, L) by each clusterer; `seed` is the clusterers'."""
        nulls: dict[int, float] = {}
        judged = []
        for name in self.clusterers:
            clustering = CLUSTERERS[name](z, k=self.k, seed=seed)
            clusters = clustering.clusters
            scores = score(z, clusters, self.truth, seed=self.seed)
            found = int(scores["n_clusters"])
            scores["silhouette_null"] = self._null(nulls, z, found)
            scores["reference_silhouette"] = reference_silhouette(self.reference, clusters, seed=self.seed)
            scores["reference_null"] = self._null(self._reference_nulls, self.reference, found)
            judged.append(Judged(name, clustering, np.bincount(clusters[clusters >= 0]).tolist(), scores))
        return judged

    def _null(self, known: dict[int, float], z: AnyArray, k: int) -> float:
        if k not in known:
            known[k] = silhouette_null(z, k=k, seed=self.seed)
        return known[k]


def flag_partition(scores: dict[str, float], *, collapsed: bool = False, class_seen: bool = False) -> list[str]:
    """What keeps a row of a table from being believed or ranked, in the order in which it is shown.

    Args:
      scores: those of a `Judged`.
      collapsed: whether the posterior tells too little of a track; see `latent.is_collapsed`.
      class_seen: whether the model was given the classes that it is scored against.

    Example:
      >>> flag_partition({"n_clusters": 1.0}, collapsed=True)
      ['collapsed', 'degenerate']
    """
    flags = {COLLAPSED: collapsed, CLASS_SEEN: class_seen, DEGENERATE: scores["n_clusters"] < 2}
    return [name for name, holds in flags.items() if holds]


def choose_replica(negative_elbo: np.ndarray, collapsed: np.ndarray) -> int:
    """The index of the replica that is shown: of those not collapsed, or of all if all are, the lowest bound.

    Replicas of different beta can be compared by their negative ELBO at beta 1. No class is seen.

    Args:
      negative_elbo: (R,) from `training.negative_elbo`, lower is better. collapsed: (R,) bool.

    Example:
      >>> choose_replica(np.array([9.0, 5.0, 7.0]), np.array([False, True, False]))
      2
    """
    healthy = np.flatnonzero(~collapsed) if not collapsed.all() else np.arange(len(negative_elbo))
    return int(healthy[np.argmin(negative_elbo[healthy])])
