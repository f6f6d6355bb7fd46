"""What a latent space has to beat: the features themselves and PCA.

Every baseline is `f(x (N, *D), *, dim, seed) -> z (N, d) float32`, z to be clustered as latents are. d is `dim` where
there is so much to give, and less where not; the width returned is the one to report. The third baseline, a plain
autoencoder, is trained like the models.
"""

from collections.abc import Callable

import numpy as np
from sklearn.decomposition import PCA

from musiclust.errors import InputError
from musiclust.points import check_points


def features(x: np.ndarray, *, dim: int, seed: int) -> np.ndarray:
    """The features as they are, flattened: (N, D). All columns, whatever `dim`; `seed` is not used.

    Raises:
      InputError: if a value is not finite.
    """
    return _flat(x).astype(np.float32)


def pca(x: np.ndarray, *, dim: int, seed: int) -> np.ndarray:
    """The first principal components of the features, not whitened (Pearson 1901).

    Args:
      x: (N, *D) finite features, flattened to D columns.
      dim: components wanted, >= 1.
      seed: of the randomised SVD that scikit-learn takes for large matrices.

    Returns:
      (N, min(dim, N, D)) columns by falling variance.

    Raises:
      InputError: if a value is not finite or dim is below 1.
    """
    x = _flat(x)
    if dim < 1:
        raise InputError(f"a latent dimension of {dim} is none: choose --latent_dim of at least 1")
    with np.errstate(invalid="ignore"):  # of constant features the explained share, not asked for, is 0 / 0
        return PCA(min(dim, *x.shape), random_state=seed).fit_transform(x).astype(np.float32)


BASELINES: dict[str, Callable[..., np.ndarray]] = {"features": features, "pca": pca}


def _flat(x: np.ndarray) -> np.ndarray:
    return check_points(np.reshape(x, (len(x), -1)), "the features")
