"""Scores of a partition: three of its shape, four against classes, and what keeps them honest.

Conventions:
- Clusters are integers, -1 for noise; truth codes are integers, -1 for unknown. Tracks of unknown truth take no part in
  the scores against classes.
- Silhouette, Calinski-Harabasz and Davies-Bouldin are taken over the points that are in a cluster. They belong to
  their space: between two latent spaces they cannot be compared (see `reference`), and they rise with every awkward
  point declared noise, so they are read beside `coverage`.
- Scores against classes are taken over every track of known truth, noise included, so that nothing is gained by
  throwing tracks away. For ARI, NMI and AMI the noise is one group more, for that is all that is said of it. Noise
  points as clusters of one would be worse than left out: all of them are pure, and 3,081 of them have an NMI of 0.4
  with 8 classes. For purity no noise point counts as right, so that declaring one more track noise can never raise it.
  A partition that is all noise scores 0 on all four.
- NMI and purity of a meaningless partition are not 0 but grow with the number of clusters; `nmi_chance` and
  `purity_chance` say how far, as the mean over shuffles of the truth. ARI and AMI are 0 at chance by construction, if
  tracks are independent.
- Clips of one song are not: they have one class and often one cluster, so that any two partitions by song agree beyond
  what single tracks would. Give `group`, and the shuffles move the classes of whole songs.
- A score that is not defined is NaN, and no key is ever missing.
"""

from collections.abc import Iterator

import numpy as np
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    calinski_harabasz_score,
    davies_bouldin_score,
    silhouette_samples,
)

from musiclust.points import check_points
from musiclust.types import AnyArray

# Silhouettes take N^2 distances. Above so many points they are estimated.
SILHOUETTE_LIMIT = 10_000
# Groups of one size are shuffled among themselves if there are so many of them; with fewer they hardly could move.
ENOUGH_GROUPS = 10


def score(
    z: AnyArray,
    clusters: np.ndarray,
    truth: np.ndarray | None = None,
    *,
    group: np.ndarray | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """All that is said of one partition.

    Args:
      z: (N, L) the points as they were clustered.
      clusters: (N,) int, the clusters, -1 noise.
      truth: (N,) int codes, -1 unknown, joined by track_id; None where there are no classes.
      group: (N,) the song or artist that tracks share, for the chance levels; None where each is a song of its own.
      seed: of the shuffles behind the chance levels and, above `SILHOUETTE_LIMIT` points, of the silhouette's sample.

    Returns:
      silhouette: -1 to 1, higher is better (Rousseeuw 1987).
      calinski_harabasz: > 0, higher is better (Calinski & Harabasz 1974).
      davies_bouldin: >= 0, lower is better (Davies & Bouldin 1979).
      ari: -0.5 to 1, 0 at chance (Hubert & Arabie 1985).
      nmi: 0 to 1, mutual information over the mean of the two entropies.
      ami: at most 1, the same less what chance gives, 0 at chance (Vinh, Epps & Bailey 2010).
      purity: 0 to 1, the share of tracks whose class is the commonest of their cluster.
      coverage: 0 to 1, the share of tracks in a cluster.
      n_clusters: how many there are, noise not counted.
      nmi_chance, purity_chance: the means of these scores over 100 shuffles of the truth; nmi_p: how often the NMI of a
        shuffle reaches that of the truth, 1/101 to 1.
      The first three are NaN with fewer than two clusters, with no two points in one cluster, and where a quotient has
      nothing below (no spread within clusters; all centres in one place). Scores against classes are NaN
      where the truth is None or has fewer than two known classes.

    Raises:
      InputError: if z is not two-dimensional and finite.
      ValueError: if the lengths differ, or clusters or truth are not integers from -1 up.
    """
    z = check_points(z)
    if group is not None:
        group = _check_group(group, len(z))
    clusters = _check_codes("clusters", clusters, len(z))
    clustered = clusters >= 0
    scores = {
        "silhouette": silhouette(z, clusters, seed=seed),
        **_dispersion_scores(z[clustered], clusters[clustered]),
        **dict.fromkeys(("ari", "nmi", "ami", "purity"), np.nan),
        "coverage": clustered.mean() if len(z) else np.nan,
        "n_clusters": len(np.unique(clusters[clustered])),
        **dict.fromkeys(("nmi_chance", "nmi_p", "purity_chance"), np.nan),
    }
    truth = np.full(len(z), -1) if truth is None else _check_codes("truth", truth, len(z))
    known = truth >= 0
    if known.any() and np.ptp(truth[known]) > 0:
        clusters, truth = clusters[known], truth[known]
        scores |= {
            "ari": adjusted_rand_score(truth, clusters),
            "nmi": nmi(clusters, truth),
            "ami": ami(clusters, truth),
            "purity": purity(clusters, truth),
        }
        scores |= chance(clusters, truth, group=None if group is None else group[known], seed=seed)
    return {name: float(value) for name, value in scores.items()}


def silhouette(z: AnyArray, clusters: np.ndarray, *, seed: int = 0) -> float:
    """Mean silhouette of the points in a cluster (Rousseeuw 1987), -1 to 1; NaN where undefined, as in `score`.

    Up to `SILHOUETTE_LIMIT` points it is exact. Above, it is estimated from about so many, drawn from each cluster in
    proportion to its size but at least 10 (or all), and weighted back: a plain sample may lose the small clusters
    that a density clusterer leaves beside a large one.

    Args:
      z: (N, L) finite points.
      clusters: (N,) int, -1 noise.
      seed: of the sample.
    """
    z, clusters = np.asarray(z)[clusters >= 0], clusters[clusters >= 0]
    _, codes, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    if not 2 <= len(sizes) < len(z) or not np.ptp(z, axis=0).any():
        return float("nan")
    if len(z) > SILHOUETTE_LIMIT:
        rng = np.random.default_rng(seed)
        wanted = np.maximum(np.minimum(sizes, 10), np.round(SILHOUETTE_LIMIT * sizes / len(z)).astype(int))
        members = np.split(np.argsort(codes, kind="stable"), np.cumsum(sizes)[:-1])
        rows = np.concatenate([rng.choice(m, n, replace=False) for m, n in zip(members, wanted, strict=True)])
        z, codes = z[rows], codes[rows]
    each = silhouette_samples(_rescaled(z), codes)
    of_cluster = np.bincount(codes, each) / np.bincount(codes)
    return float(np.average(of_cluster, weights=sizes))


def purity(clusters: np.ndarray, truth: np.ndarray) -> float:
    """Share of the tracks of known truth whose class is the commonest of their cluster; noise is never right.

    Args:
      clusters: (N,) int, -1 noise.
      truth: (N,) int, -1 unknown.

    Returns:
      0 to 1; NaN where no truth is known. (Manning, Raghavan & Schuetze 2008, section 16.3, but for the noise.)
    """
    return _purity(_contingency(clusters, truth))


def nmi(clusters: np.ndarray, truth: np.ndarray) -> float:
    """Mutual information of clusters and truth over the mean of their entropies; noise is one group.

    Args:
      clusters: (N,) int, -1 noise.
      truth: (N,) int, -1 unknown; such tracks are left out.

    Returns:
      0 to 1; NaN where no truth is known, and where neither has anything to tell (one group, one class).
    """
    return _nmi(_contingency(clusters, truth))


def ami(clusters: np.ndarray, truth: np.ndarray) -> float:
    """Adjusted mutual information (Vinh, Epps & Bailey, JMLR 2010): NMI less what chance gives; noise is one group.

    Args:
      clusters: (N,) int, -1 noise.
      truth: (N,) int, -1 unknown; such tracks are left out.

    Returns:
      At most 1, 0 at chance, normalised by the mean of the entropies; NaN where `nmi` is.
    """
    if np.isnan(nmi(clusters, truth)):
        return float("nan")
    return float(adjusted_mutual_info_score(truth[truth >= 0], clusters[truth >= 0], average_method="arithmetic"))


def chance(
    clusters: np.ndarray, truth: np.ndarray, *, group: np.ndarray | None = None, seed: int = 0, draws: int = 100
) -> dict[str, float]:
    """What NMI and purity this partition has with classes that mean nothing: the mean over shuffles of the truth.

    Where tracks share a group (clips of one song), whole groups are shuffled: a group gets the classes of another of
    its size, in their order. Of sizes that fewer than `ENOUGH_GROUPS` have, all such groups are shuffled among each
    other (and all groups there are, if these are fewer still): a group gets the classes of another, repeated or cut to
    its size, so that their mixture stays. So it is a permutation test of songs, exact where songs are exchangeable.

    Args:
      clusters: (N,) int, -1 noise.
      truth: (N,) int, -1 unknown; its known codes are shuffled among their tracks.
      group: (N,) the group of each track, of any type that can be sorted; None where each is its own.
      seed, draws: of the shuffles, and how many.

    Returns:
      "nmi_chance", "purity_chance", and "nmi_p": how often shuffled classes reach the NMI of the true ones (Phipson &
      Smyth 2010: counting the truth itself, so never 0). With few tracks or many classes NMI is high by chance, and
      scatters: then a score above "nmi_chance" may mean nothing.

    Example:
      >>> clusters, song = np.repeat([0, 1], 30), np.repeat(np.arange(6), 10)  # six songs of ten clips each
      >>> round(chance(clusters, clusters)["nmi_p"], 2)
      0.01
      >>> bool(chance(clusters, clusters, group=song)["nmi_p"] > 0.05)
      True
    """
    rng = np.random.default_rng(seed)
    known = truth >= 0
    if group is not None:
        group = np.unique(_check_group(group, len(truth))[known], return_inverse=True)[1]
    clusters, truth = clusters[known], truth[known]
    if group is None or np.bincount(group).max(initial=0) <= 1:
        shuffles = (rng.permutation(truth) for _ in range(draws))
    else:
        shuffles = _shuffled_groups(truth, group, rng, draws)
    tables = [_contingency(clusters, shuffled) for shuffled in shuffles]
    shuffled = np.array([_nmi(table) for table in tables])
    # A shuffle that only renames the classes has the very same NMI, but for rounding.
    reached = int(np.count_nonzero(shuffled >= _nmi(_contingency(clusters, truth)) - 1e-9))
    return {
        "nmi_chance": float(shuffled.mean()),
        "nmi_p": (1 + reached) / (1 + draws),
        "purity_chance": float(np.mean([_purity(table) for table in tables])),
    }


def agreement_with_mask(clusters: np.ndarray, truth: np.ndarray | None, mask: np.ndarray) -> dict[str, float]:
    """How much the clusters, and how much the classes, are the pattern of what is there and what is missing.

    If only some tracks have words, whether one has them may tell its class. A model that is given the mask then looks
    as if it had understood the words. `chance` says what such an NMI is where it means nothing.

    Args:
      clusters: (N,) int, -1 noise.
      truth: (N,) int, -1 unknown; None where there are no classes.
      mask: (N,) int from 0 up, one number for each pattern of what is there.

    Returns:
      "mask_nmi_clusters", "mask_nmi_classes": the `nmi` of each with the mask, 0 to 1, NaN where it is.

    Example:
      >>> sung = np.array([0, 0, 1, 1])
      >>> agreement_with_mask(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), sung)
      {'mask_nmi_clusters': 1.0, 'mask_nmi_classes': 0.0}
    """
    mask = _check_codes("mask", mask, len(clusters))
    return {
        "mask_nmi_clusters": nmi(clusters, mask),
        "mask_nmi_classes": float("nan") if truth is None else nmi(mask, truth),
    }


def _check_group(group: np.ndarray, n: int) -> np.ndarray:
    if np.shape(group) != (n,):
        raise ValueError(f"group: shape {np.shape(group)}; expected ({n},), the group of each track")
    return np.asarray(group)


def _shuffled_groups(
    truth: np.ndarray, group: np.ndarray, rng: np.random.Generator, draws: int
) -> Iterator[np.ndarray]:
    """The truth (N,) with the classes of groups (N,) 0 ... G - 1 moved to other groups, `draws` times."""
    sizes = np.bincount(group)
    by_group = np.argsort(group, kind="stable")
    group, starts = group[by_group], np.cumsum(sizes) - sizes
    place = np.arange(len(group)) - starts[group]  # of each track in its group
    pooled = np.bincount(sizes)[sizes] < ENOUGH_GROUPS
    if 0 < pooled.sum() < ENOUGH_GROUPS:
        pooled[:] = True
    sets = [np.flatnonzero(pooled), *(np.flatnonzero(~pooled & (sizes == size)) for size in np.unique(sizes[~pooled]))]
    for _ in range(draws):
        giver = np.arange(len(sizes))
        for members in sets:
            giver[members] = rng.permutation(members)
        # Within a group the order stays, but where it is cut to another size: then any of its tracks may be left over.
        order = np.lexsort((np.where(pooled[group], rng.random(len(group)), place), group))
        source = starts[giver[group]] + place % sizes[giver[group]]
        shuffled = np.empty_like(truth)
        shuffled[by_group] = truth[by_group[order[source]]]
        yield shuffled


def _check_codes(name: str, codes: np.ndarray, n: int) -> np.ndarray:
    if codes.shape != (n,) or codes.dtype.kind not in "iu" or (n and codes.min() < -1):
        raise ValueError(f"{name}: shape {codes.shape}, {codes.dtype}; expected ({n},) integers from -1 up")
    return codes


def _rescaled(z: np.ndarray) -> np.ndarray:
    """z about 0 with unit total variance: no score changes, and scikit-learn's absolute tolerances mean something."""
    z = z - z.mean(axis=0)
    return z / np.sqrt(z.var(axis=0).sum())


def _dispersion_scores(z: np.ndarray, clusters: np.ndarray) -> dict[str, float]:
    """Calinski-Harabasz and Davies-Bouldin, NaN where scikit-learn would say 1 or 0 to a division by zero."""
    undefined = {"calinski_harabasz": np.nan, "davies_bouldin": np.nan}
    _, codes, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    if not 2 <= len(sizes) < len(z) or not np.ptp(z, axis=0).any():
        return undefined
    z = _rescaled(z)
    centres = np.stack([z[codes == c].mean(axis=0) for c in range(len(sizes))])
    within = ((z - centres[codes]) ** 2).sum()
    tiny = np.finfo(np.float32).eps ** 2 * len(z)
    return {
        "calinski_harabasz": calinski_harabasz_score(z, codes) if within > tiny else np.nan,
        "davies_bouldin": np.nan if np.allclose(centres, centres[0]) else davies_bouldin_score(z, codes),
    }


def _contingency(clusters: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(groups, classes) counts of the tracks of known truth; row 0 is the noise."""
    rows, columns = clusters[truth >= 0].astype(np.int64) + 1, truth[truth >= 0].astype(np.int64)
    shape = (rows.max(initial=0) + 1, columns.max(initial=0) + 1)
    return np.bincount(rows * shape[1] + columns, minlength=shape[0] * shape[1]).reshape(shape)


def _purity(table: np.ndarray) -> float:
    return float(table[1:].max(axis=1).sum() / table.sum()) if table.any() else float("nan")


def _nmi(table: np.ndarray) -> float:
    joint = table / max(table.sum(), 1)
    groups, classes = _entropy(joint.sum(axis=1)), _entropy(joint.sum(axis=0))
    if groups + classes == 0:
        return float("nan")
    return float(max(0.0, groups + classes - _entropy(joint.ravel())) / ((groups + classes) / 2))


def _entropy(p: np.ndarray) -> float:
    """In nats."""
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())
