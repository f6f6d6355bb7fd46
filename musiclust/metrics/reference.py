"""One fixed space in which every partition of a store is judged, and a null to hold a silhouette against.

A silhouette belongs to its space: k-means with k = 8 on a one-dimensional Gaussian, which has no clusters, scores 0.53,
and 0.02 on a 32-dimensional one. So a latent space that has collapsed to a line beats all others. Two remedies:

- `silhouette_null`: what k-means scores on a Gaussian with the covariance of the points at hand. A silhouette well
  above it says that there is more than a cloud of this shape; one at it says nothing.
- `reference_space`: a space made of the features alone, the same for every row of a table, so that the rows can be
  compared with one another.

What they cannot say: the reference space knows only the features it is made of, and favours whatever was clustered in
it or in something linear in it (PCA before all); a latent space that finds structure which is bent in the features is
judged too low. The null is a Gaussian: heavy tails or a skew without any clusters can lie a little above or below it.
"""

from collections.abc import Sequence

import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from musiclust.cluster import one_thread
from musiclust.errors import InputError
from musiclust.metrics.partition import silhouette
from musiclust.points import check_points
from musiclust.types import AnyArray

MAX_DIMENSIONS = 16
VARIANCE = 0.9
# The silhouette of a null hardly changes with N; above so many points it is drawn with so many.
NULL_LIMIT = 5_000


def reference_space(values: Sequence[np.ndarray]) -> np.ndarray:
    """The space of the features: each block standardised, all blocks of equal weight, PCA.

    Columns are standardised and those that do not vary dropped; each block is scaled to a total variance of 1, so that
    384 columns of text do not drown 20 of sound. PCA then keeps as many components as hold 90 % of the variance, but
    at most 16: silhouettes fade with the dimension. Nothing is whitened, and the signs are fixed by the features.

    Args:
      values: blocks (N, *D) of the same tracks in the same order, whatever the models were given. Only blocks that
        are valid for every track: rows filled with zeros ("no words") would be a cluster, and the tightest.

    Returns:
      (N, P) float64, 1 <= P <= 16, columns by falling variance.

    Raises:
      InputError: if a value is not finite, or nothing varies.
      ValueError: if there is no block, or they differ in length.
    """
    if len({len(block) for block in values}) != 1:
        raise ValueError(f"blocks of {[len(block) for block in values]} tracks; expected one length")
    parts = []
    for number, block in enumerate(values):
        x = check_points(np.reshape(block, (len(block), -1)), f"feature block {number}")
        mean, std = x.mean(axis=0), x.std(axis=0)
        varies = std > 1e-7 * np.maximum(np.abs(mean), std.max(initial=0.0))
        if varies.any():
            parts.append((x[:, varies] - mean[varies]) / (std[varies] * np.sqrt(varies.sum())))
    if not parts:
        raise InputError("the features are the same for all tracks: give features that vary")
    x = np.concatenate(parts, axis=1)
    # Both solvers are exact; the first is the fast one for many tracks.
    solver = "covariance_eigh" if x.shape[0] > x.shape[1] else "full"
    pca = PCA(min(MAX_DIMENSIONS, *x.shape), svd_solver=solver).fit(x)
    enough = np.searchsorted(np.cumsum(pca.explained_variance_ratio_), VARIANCE) + 1
    return pca.transform(x)[:, :enough]


def silhouette_null(z: AnyArray, *, k: int, seed: int, draws: int = 5) -> float:
    """The silhouette that k-means with this k has on structureless data: a Gaussian with the covariance of z.

    Silhouettes and k-means do not change when the points are moved or turned, so the standard deviations along the
    principal axes are all that is drawn with. N points are drawn, at most `NULL_LIMIT`; k-means has 3 starts.

    Args:
      z: (N, L) finite points.
      k: clusters. For a clusterer that finds its own number, that number.
      seed, draws: of the Gaussian samples, and how many; the mean over them is returned.

    Returns:
      -1 to 1; NaN with k < 2 or k >= N, or where all points are one.
    """
    z = check_points(z)
    n = min(len(z), NULL_LIMIT)
    if not 2 <= k < n or not np.ptp(z, axis=0).any():
        return float("nan")
    spread = np.linalg.svd(z - z.mean(axis=0), compute_uv=False)
    spread = spread[spread > 1e-6 * spread[0]] / spread[0]
    rng = np.random.default_rng(seed)
    silhouettes = []
    for _ in range(draws):
        noise = rng.normal(size=(n, len(spread))) * spread
        with one_thread():
            clusters = KMeans(k, n_init=3, random_state=seed).fit_predict(noise)  # pyright: ignore[reportArgumentType]
        silhouettes.append(silhouette(noise, clusters, seed=seed))
    return float(np.mean(silhouettes))


def reference_silhouette(space: np.ndarray, clusters: np.ndarray, *, seed: int = 0) -> float:
    """A partition, whatever it was made from, in the one space that all share.

    Hold it against `silhouette_null` of the space with the number of clusters found. k-means is run in that very space
    for the null, so it is a high bar for a partition made elsewhere: above it there is more than a Gaussian cloud,
    below it there still may be.

    Args:
      space: (N, P), from `reference_space`.
      clusters: (N,) int, -1 noise.
      seed: of the sample where N is above `partition.SILHOUETTE_LIMIT`.

    Returns:
      The mean over all N tracks, -1 to 1, noise counting 0 as Rousseeuw (1987) has it for a cluster of one, so that
      nothing is gained by it. Shuffled clusters score 0 or less. NaN with fewer than two clusters.
    """
    return float(silhouette(check_points(space), clusters, seed=seed) * np.mean(clusters >= 0))
