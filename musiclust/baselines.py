"""The baselines that a latent space has to beat: the features themselves and PCA.

Every baseline is `f(x (N, *D), *, latent_dim, seed) -> z (N, d) float32`, z to be clustered as latents are. d is
`latent_dim` where there is so much to give, and less where not; the width returned is the one to report. The third
baseline, a plain autoencoder, is trained like the models.
"""

from collections.abc import Callable

import numpy as np
from sklearn.decomposition import PCA

from musiclust.errors import InputError
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


BASELINES: dict[str, Callable[..., np.ndarray]] = {"features": features, "pca": pca}


def _flatten(x: np.ndarray) -> np.ndarray:
    return check_points(np.reshape(x, (len(x), -1)), "the features")
