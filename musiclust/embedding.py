"""Points in two dimensions by t-SNE: the places of songs on a map, and a baseline of its own.

Conventions: near places are similar songs. Distances between far patches mean nothing.
"""

import math

import numpy as np

_TSNE_MAX = 10_000
_LANDMARKS = 5_000
_COMPARED = 1_000  # songs whose neighbours are looked at
_AT_ONCE = 10_000_000  # distances held in memory


def embed_2d(z: np.ndarray, seed: int) -> np.ndarray:
    """Embeds z (N, L) in two dimensions by t-SNE (van der Maaten and Hinton, JMLR 2008): (N, 2) float64.

    More than 50 dimensions are first reduced by PCA. The perplexity is 30, or (N - 1) / 3 where that is less. Fewer
    than 5 tracks get their first two principal components; where all of z is one point, all lie at the origin. Of more
    than 10,000 tracks, 5,000 drawn by `seed` are embedded and the rest are placed at the distance-weighted mean of
    their 5 nearest among these.

    >>> embed_2d(np.eye(4), seed=0).shape
    (4, 2)
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from sklearn.neighbors import KNeighborsRegressor
    from threadpoolctl import threadpool_limits

    z = np.asarray(z, dtype=np.float64)
    z = z - z.mean(axis=0) if len(z) else z
    scale = np.abs(z).max(initial=0)
    if scale < 1e-9 or not z.shape[1]:
        return np.zeros((len(z), 2))
    z = z / scale  # neighbours do not depend on the unit, a collapsed latent of 1e-6 would underflow
    rng = np.random.default_rng(seed)
    if len(z) > _TSNE_MAX:
        landmarks = np.sort(rng.choice(len(z), _LANDMARKS, replace=False))
        placed = KNeighborsRegressor(n_neighbors=5, weights="distance").fit(z[landmarks], embed_2d(z[landmarks], seed))
        return placed.predict(z)
    start = PCA(min(2, *z.shape), svd_solver="full").fit_transform(z)
    start = np.pad(start, ((0, 0), (0, 2 - start.shape[1])))
    if len(z) < 5:
        return start
    if z.shape[1] > 50:
        z = PCA(min(50, len(z)), random_state=seed).fit_transform(z)
    # The usual start, the principal components at a deviation of 1e-4, but off the line that a single one would be.
    start = 1e-4 * start / start[:, 0].std() + rng.normal(scale=1e-6, size=start.shape)
    tsne = TSNE(perplexity=min(30, (len(z) - 1) / 3), init=start, random_state=seed)
    # Threads that wait for one another cost a small problem ten times what they save when the machine is busy.
    with threadpool_limits(1 if len(z) < 2000 else None):
        return tsne.fit_transform(z).astype(np.float64)


def trustworthiness(z: np.ndarray, xy: np.ndarray, seed: int, *, neighbours: int = 10) -> float:
    """Measures how far the neighbours of a song on the map are its neighbours in z too (Venna and Kaski, ICANN 2001).

    Of N songs more than 1,000, as many are drawn by `seed`, and their neighbours are looked for among all N.

    Args:
      z: (N, L) points.
      xy: (N, 2) their places on the map.
      neighbours: how many neighbours of a song count; less than half of N where that is fewer.

    Returns:
      A number in [0, 1]: 1 where the nearest on the map are the nearest in z, and the less, the farther away in z those
      lie that came near on the map. NaN for fewer than 4 songs.

    Raises:
      ValueError: if z and xy differ in length.

    >>> line = np.arange(20.0)[:, None]
    >>> trustworthiness(line, np.hstack([line, line]), seed=0)
    1.0
    """
    from scipy.spatial.distance import cdist

    if len(z) != len(xy):
        raise ValueError(f"{len(z)} points and {len(xy)} places")
    songs, k = len(z), min(neighbours, (len(z) - 2) // 2)
    if k < 1:
        return math.nan
    rows = np.arange(songs)
    if songs > _COMPARED:
        rows = np.sort(np.random.default_rng(seed).choice(songs, _COMPARED, replace=False))
    too_far = 0
    for some in np.array_split(rows, math.ceil(len(rows) * songs / _AT_ONCE)):
        itself = (np.arange(len(some)), some)
        here, there = cdist(xy[some], xy), cdist(z[some], z)
        here[itself] = there[itself] = np.inf
        for neighbour in np.argpartition(here, k, axis=1)[:, :k].T:
            rank = 1 + (there < there[np.arange(len(some)), neighbour][:, None]).sum(axis=1)
            too_far += np.maximum(rank - k, 0).sum()
    return float(1 - 2 * too_far / (len(rows) * k * (2 * songs - 3 * k - 1)))
