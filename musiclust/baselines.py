"""The baselines that a latent space has to beat: the features, their directions, PCA and t-SNE.

Every baseline is `f(x (N, *D), *, latent_dim, seed) -> z (N, d) float32`, z to be clustered as latents are. x are
features as a model takes them: scaled. The width d that is returned is the one to report. One more baseline, a plain
autoencoder, is trained like the models.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from musiclust.embedding import embed_2d
from musiclust.errors import InputError
from musiclust.fusion import bring_rows_to_length
from musiclust.points import check_points


def features(x: np.ndarray, *, latent_dim: int, seed: int) -> np.ndarray:
    """Returns the features as they are, flattened: (N, D).

    Args:
      x: (N, *D) finite features.
      latent_dim: not used, all columns are returned.
      seed: not used.

    Raises:
      InputError: if a value is not finite.

    >>> features(np.zeros((5, 20, 7)), latent_dim=8, seed=0).shape
    (5, 140)
    """
    return _flatten(x).astype(np.float32)


def pca(x: np.ndarray, *, latent_dim: int, seed: int) -> np.ndarray:
    """Projects the features on their first principal components, not whitened (Pearson 1901).

    Args:
      x: (N, *D) finite features, flattened to D columns.
      latent_dim: how many components are wanted, >= 1.
      seed: seed of the randomised SVD that scikit-learn takes for large matrices.

    Returns:
      (N, min(latent_dim, N, D)), columns by falling variance.

    Raises:
      InputError: if a value is not finite or `latent_dim` is below 1.

    >>> pca(np.arange(12.0).reshape(4, 3), latent_dim=1, seed=0).shape
    (4, 1)
    """
    x = _flatten(x)
    if latent_dim < 1:
        raise InputError(f"a latent dimension of {latent_dim} is none: choose `latent_dim` of at least 1")
    with np.errstate(invalid="ignore"):  # of constant features the explained share, not asked for, is 0 / 0
        return PCA(min(latent_dim, *x.shape), random_state=seed).fit_transform(x).astype(np.float32)


def pca_reconstruction(x_train: np.ndarray, x_held: np.ndarray, latent_dim: int) -> float:
    """Returns the squared error a track of what PCA of the training part gives back of the held-out part.

    It is summed over the columns, as `objectives.squared_error`, and a mean over tracks.

    Args:
      x_train: (N, *D) finite features, flattened to D columns.
      x_held: (M, *D) features, scaled as those.
      latent_dim: how many components are kept, >= 1; at most min(N, D) are.

    Raises:
      InputError: if a value is not finite or `latent_dim` is below 1.

    >>> pca_reconstruction(np.eye(3), np.eye(3), latent_dim=3) < 1e-12
    True
    """
    train, held = _flatten(x_train), _flatten(x_held)
    if latent_dim < 1:
        raise InputError(f"a latent dimension of {latent_dim} is none: choose `latent_dim` of at least 1")
    with np.errstate(invalid="ignore"):
        fitted = PCA(min(latent_dim, *train.shape), random_state=0).fit(train)
    return float(np.square(held - fitted.inverse_transform(fitted.transform(held))).sum(axis=1).mean())


def unit_features(x: np.ndarray, *, latent_dim: int, seed: int) -> np.ndarray:
    """Centres the columns and brings each row to length 1, so that distances are cosines: (N, D).

    How far a track is from the mean counts no more, only in which direction. A track at the mean stays there.

    Args:
      x: (N, *D) finite features, flattened to D columns.
      latent_dim: not used, all columns are returned.
      seed: not used.

    Raises:
      InputError: if a value is not finite.

    >>> unit_features(np.array([[1.0, 5.0], [9.0, 5.0]]), latent_dim=1, seed=0).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """
    x = _flatten(x)
    return bring_rows_to_length(x - x.mean(axis=0), 1.0).astype(np.float32)


def tsne(x: np.ndarray, *, latent_dim: int, seed: int) -> np.ndarray:
    """Embeds the features in two dimensions by t-SNE (van der Maaten and Hinton, JMLR 2008): (N, 2).

    It is `embedding.embed_2d`, which starts from the principal components, and takes one thread: the sums of several
    are rounded otherwise each time. 1,000 tracks take seconds, 5,000 about a minute, and more than 10,000 are placed by
    landmarks.

    Args:
      x: (N, *D) finite features, flattened to D columns.
      latent_dim: not used, there are two columns.
      seed: not used: from this start, other seeds give nearly the same map.

    Raises:
      InputError: if a value is not finite.

    >>> tsne(np.eye(9), latent_dim=8, seed=0).shape
    (9, 2)
    """
    with threadpool_limits(1):
        return embed_2d(_flatten(x), seed=0).astype(np.float32)


BASELINES: dict[str, Callable[..., np.ndarray]] = {
    "features": features,
    "unit_features": unit_features,
    "pca": pca,
    "tsne": tsne,
}
UNSEEDED = ("features", "unit_features", "tsne")  # the same for every seed, and so computed once


def over_seeds(name: str, x: np.ndarray, *, latent_dim: int, seeds: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Yields each seed with the points of a baseline; points that are the same for every seed are computed once.

    >>> [seed for seed, points in over_seeds("features", np.eye(3), latent_dim=2, seeds=(4, 5))]
    [4, 5]
    """
    points = None
    for seed in seeds:
        if points is None or name not in UNSEEDED:
            points = BASELINES[name](x, latent_dim=latent_dim, seed=seed)
        yield seed, points


def _flatten(x: np.ndarray) -> np.ndarray:
    return check_points(np.reshape(x, (len(x), -1)), "the features")
