"""How much of its latent space a posterior uses, and how much it tells of a track.

Everything is taken from q(z|x) = N(mean, exp(logvar)), (N, L) each, natural logarithms, nats.

What is said here is said of the code, a sample of q(z|x). The clusters are made of the means, which are never so noisy:
means that are near to each other may still lie in clear groups, and a code that tells much may have no groups at all.
Whether clusters are there is for a null to say (`reference`, `stability`), not for this page.
"""

import numpy as np

from musiclust.points import check_points
from musiclust.types import AnyArray

IN_USE = 0.1  # nats that a dimension in use tells of a track


def active_units(mean: AnyArray, threshold: float = 0.01) -> int:
    """Dimensions whose posterior mean has a variance over the tracks above the threshold (Burda et al. 2016).

    This is the count of the literature. A dimension just above the threshold tells next to nothing where the
    posterior's own variance is near 1: 0.005 nats. `informative_units` sets the two against each other.

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
    mean, logvar = _check_posterior(mean, logvar)
    return 0.5 * (mean**2 + np.expm1(logvar) - logvar).mean(axis=0)


def total_kl(mean: AnyArray, logvar: AnyArray) -> float:
    """KL(q(z|x) || N(0, I)) summed over the dimensions and averaged over the tracks, nats; mean, logvar: (N, L)."""
    return float(kl_per_dim(mean, logvar).sum())


def information_per_dim(mean: AnyArray, logvar: AnyArray) -> np.ndarray:
    """The most that each dimension of the code can tell of a track: an upper bound on their mutual information.

    It is the mean KL to that Gaussian which lies nearest to the codes of all tracks, instead of N(0, I):
    1/2 ln(Var(mean) + E[exp(logvar)]) - 1/2 E[logvar]. With any prior the mean KL bounds the mutual information
    (Hoffman & Johnson 2016), and with this one it does most tightly. So an offset or a width that all tracks share,
    which `kl_per_dim` counts, counts nothing, and a code that is small but precise counts for what it tells.

    Args:
      mean, logvar: (N, L).

    Returns:
      (L,) nats, >= 0 and at most `kl_per_dim`. The sum over dimensions bounds what the whole code tells.

    Raises:
      InputError: if a value is not finite. ValueError: if the shapes differ.

    Example:
      >>> mean, logvar = np.array([[-1.0, 5.0], [1.0, 5.0]]), np.log([[0.25, 0.25], [0.25, 0.25]])
      >>> information_per_dim(mean, logvar).round(3).tolist()  # half of ln 5; an offset says nothing
      [0.805, 0.0]
    """
    mean, logvar = _check_posterior(mean, logvar)
    overall = mean.var(axis=0) + np.exp(logvar).mean(axis=0)
    return np.maximum(0.5 * (np.log(overall) - logvar.mean(axis=0)), 0.0)


def informative_units(mean: AnyArray, logvar: AnyArray, threshold: float = IN_USE) -> int:
    """Dimensions that can tell at least `threshold` nats of a track, by `information_per_dim`.

    0.1 nats is a mean that varies by 0.47 of the posterior's own standard deviation. (Burda's threshold of 0.01 takes a
    tenth of the standard deviation where the posterior is as wide as the prior.)

    Args:
      mean, logvar: (N, L).
      threshold: nats, > 0.

    Returns:
      0 to L.
    """
    return int(np.count_nonzero(information_per_dim(mean, logvar) >= threshold))


def tells_little(mean: AnyArray, logvar: AnyArray) -> bool:
    """Whether the code of a track cannot tell even one half of the collection from the other: "low information".

    That takes ln 2 = 0.69 nats, and the sum of `information_per_dim`, an upper bound, is less. So every posterior with
    a total KL under ln 2 is low in information, and so is one whose KL is an offset that all tracks share. How many
    clusters are wanted plays no part.

    It says that the network has thrown away nearly all that it was shown. It does not say that clusters of the means
    are an artefact: four means at the corners of a simplex, each 0.05 wide, under a posterior of variance 1, are low in
    information and yet four perfect clusters. Nor does its absence say that clusters are real: a single dimension of 5
    nats is not low, and k-means cuts it into intervals, be there gaps or not. Silhouettes and agreement are held
    against their nulls for that, and no row is left unranked for this flag alone.

    Args:
      mean, logvar: (N, L).

    Example:
      >>> rng = np.random.default_rng(0)
      >>> tells_little(0.1 * rng.normal(size=(500, 8)), np.zeros((500, 8)))
      True
      >>> tells_little(rng.normal(size=(500, 8)), np.full((500, 8), -2.0))
      False
    """
    return bool(information_per_dim(mean, logvar).sum() < np.log(2))


def _check_posterior(mean: AnyArray, logvar: AnyArray) -> tuple[np.ndarray, np.ndarray]:
    mean, logvar = check_points(mean, "the posterior means"), check_points(logvar, "the posterior log-variances")
    if mean.shape != logvar.shape:
        raise ValueError(f"means {mean.shape}, log-variances {logvar.shape}")
    return mean, logvar
