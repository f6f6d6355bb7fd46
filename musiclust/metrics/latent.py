"""How much of its latent space a posterior uses.

Everything is taken from q(z|x) = N(mean, exp(logvar)), (N, L) each, natural logarithms, nats.
"""

import numpy as np

from musiclust.points import check_points
from musiclust.types import AnyArray


def active_units(mean: AnyArray, threshold: float = 0.01) -> int:
    """Dimensions whose posterior mean varies over the tracks by more than the threshold.

    Args:
      mean: (N, L).
      threshold: of the variance over N; the prior's is 1.

    Returns:
      0 to L: the count of Var_x(E_q[z]) > threshold (Burda, Grosse & Salakhutdinov, ICLR 2016).
    """
    return int(np.count_nonzero(check_points(mean, "the posterior means").var(axis=0) > threshold))


def kl_per_dim(mean: AnyArray, logvar: AnyArray) -> np.ndarray:
    """KL(q(z|x) || N(0, I)) of each dimension, averaged over the tracks.

    Args:
      mean, logvar: (N, L).

    Returns:
      (L,) nats, >= 0 (Kingma & Welling, ICLR 2014, appendix B).

    Raises:
      InputError: if a value is not finite. ValueError: if the shapes differ.
    """
    mean, logvar = check_points(mean, "the posterior means"), check_points(logvar, "the posterior log-variances")
    if mean.shape != logvar.shape:
        raise ValueError(f"means {mean.shape}, log-variances {logvar.shape}")
    return 0.5 * (mean**2 + np.expm1(logvar) - logvar).mean(axis=0)


def total_kl(mean: AnyArray, logvar: AnyArray) -> float:
    """KL(q(z|x) || N(0, I)) summed over the dimensions and averaged over the tracks, nats; mean, logvar: (N, L)."""
    return float(kl_per_dim(mean, logvar).sum())


def is_collapsed(mean: AnyArray, logvar: AnyArray, *, k: int = 8) -> bool:
    """Whether the posterior says too little of a track for its latents to be worth clustering into k.

    It is collapsed if either
    - it has at most one active unit. All tracks then lie on a line, where k-means has a high silhouette (0.53 with
      k = 8) and a low Davies-Bouldin for want of dimensions, not for clusters; or
    - its total KL is less than ln k nats. The mean KL is an upper bound on the mutual information of track and code
      (Hoffman & Johnson 2016), and to tell k equal clusters apart takes ln k: 2.08 nats for k = 8. This also catches
      a posterior that uses two or more dimensions, each so weakly that the sample drowns its mean. The published row
      with 0.56 nats over 32 dimensions could not tell two clusters apart (0.69).

    Args:
      mean, logvar: (N, L).
      k: the clusters wanted, >= 2.
    """
    return bool(total_kl(mean, logvar) < np.log(k)) or active_units(mean) <= 1
