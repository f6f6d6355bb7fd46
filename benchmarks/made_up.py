"""Points made up to be grouped, with the component that each was drawn from."""

from collections.abc import Callable

import numpy as np

K, DIMENSIONS = 8, 32


def mixture(n: int, apart: float = 1.0, dimensions: int = DIMENSIONS) -> tuple[np.ndarray, np.ndarray]:
    """(z (n, d) float32, component (n,)) of n points of 8 Gaussians of unequal weights, at least one point of each.

    Their variance is 1, and in 32 dimensions their centres lie about 8 `apart` apart.
    """
    rng = np.random.default_rng(0)
    centres = apart * rng.normal(size=(K, dimensions))
    weights = rng.dirichlet(np.full(K, 5.0))
    component = np.concatenate([np.arange(K), rng.choice(K, n - K, p=weights)])
    return (centres[component] + rng.normal(size=(n, dimensions))).astype(np.float32), component


def cloud(n: int) -> tuple[np.ndarray, np.ndarray]:
    """(z (n, 32) float32, (n,) zeros) of one Gaussian, each of whose columns is less spread than the one before."""
    z = np.random.default_rng(0).normal(size=(n, DIMENSIONS)) / np.sqrt(np.arange(1, DIMENSIONS + 1))
    return z.astype(np.float32), np.zeros(n, int)


# name -> points (n, 32) and their components (n,)
COLLECTIONS: dict[str, Callable[[int], tuple[np.ndarray, np.ndarray]]] = {
    "apart": mixture,
    "touching": lambda n: mixture(n, 0.5),
    "one cloud": cloud,
}
