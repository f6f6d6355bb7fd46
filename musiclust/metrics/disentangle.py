"""Whether single latent dimensions stand for single factors of the music: tempo, register, mode, instrument, voices.

Conventions:
- z (N, L) are posterior means. `factors` are classes of the tracks by name, (N,) integers each, -1 unknown; factors of
  which fewer than two values are known take no part.
- MIG, SAP and DCI are 1 where each factor is told by one dimension of its own and 0 where no dimension tells one better
  than another. A score of 0 does not say that the factor is not in z: turned by 45 degrees, z still holds it.
- With few tracks all of them are above 0 by chance alone, so `disentanglement` gives each beside what it is when
  the tracks change their factors, whole groups at a time.
- Factors of real music are not independent (a repertory has its instruments), and then no z reaches 1.
- UDR needs no factors: it asks whether models of other seeds have found the same dimensions.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy.stats import rankdata
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold

from musiclust.metrics.probes import shuffle_groups
from musiclust.points import check_points
from musiclust.types import AnyArray

BINS = 20
DRAWS = 19  # shuffles, the fewest that can be beyond chance at 0.05
INFORMATIVE = 0.01  # nats of KL from which on a dimension counts for UDR (Duan et al. 2020)
_FOLDS = 3
_TREES = 10

Factors = Mapping[str, np.ndarray]


def disentanglement(
    z: AnyArray, factors: Factors, *, group: np.ndarray | None = None, seed: int = 0
) -> dict[str, dict[str, float]]:
    """All that is said of a latent space's dimensions and known factors, each score beside its chance.

    Args:
      z: (N, L) posterior means.
      factors: name -> (N,) codes, -1 unknown.
      group: (N,) what tracks share: the clips of a song, the songs of an artist.
      seed: of the shuffles and forests.

    Returns:
      "mig", "sap", "disentanglement", "completeness", "informativeness" (the last three are DCI) -> "score"; "null",
        the mean over 19 shuffles of whole groups; "p", how often a shuffle reaches the score, 0.05 to 1. NaN where no
        factor has two values.

    Raises:
      InputError: if z is not two-dimensional and finite. ValueError: if a length differs.

    Example:
      >>> rng = np.random.default_rng(0)
      >>> factors = {"tempo": rng.integers(0, 3, 300), "mode": rng.integers(0, 2, 300)}
      >>> found = disentanglement(np.stack([*factors.values()], axis=1), factors)
      >>> round(found["sap"]["score"], 1), found["sap"]["null"] < 0.1, found["sap"]["p"]
      (1.0, True, 0.05)
    """
    z = check_points(z, "the latents")
    rng = np.random.default_rng(seed)
    _, group = np.unique(np.arange(len(z)) if group is None else group, return_inverse=True)

    def scores(moved: Factors) -> dict[str, float]:
        return {"mig": mig(z, moved), "sap": sap(z, moved, group=group), **dci(z, moved, group=group, seed=seed)}

    true = scores(factors)
    shuffled = []
    for _ in range(DRAWS):
        rows = shuffle_groups(group, rng)
        shuffled.append(scores({name: codes[rows] for name, codes in factors.items()}))
    found = {}
    for name, score in true.items():
        by_chance = np.array([one[name] for one in shuffled])
        p = (1 + np.count_nonzero(by_chance >= score - 1e-9)) / (1 + DRAWS) if np.isfinite(score) else np.nan
        found[name] = {"score": score, "null": float(by_chance.mean()), "p": float(p)}
    return found


def mig(z: AnyArray, factors: Factors) -> float:
    """Mutual information gap (Chen et al., NeurIPS 2018): how far a factor's best dimension is ahead of the second.

    Each dimension is cut into 20 bins of the same width. The gap of the mutual informations is divided by the factor's
    entropy, and the mean is taken over factors.

    Args:
      z: (N, L). factors: name -> (N,) codes, -1 unknown.

    Returns:
      0 to 1; NaN where no factor has two values.
    """
    gaps = []
    for known, y in _known(z, factors):
        bins = _bin(known)
        information = np.array([_mutual_information(one, y) for one in bins.T])
        gaps.append(_gap(information) / _entropy(np.bincount(y)))
    return float(np.mean(gaps)) if gaps else float("nan")


def sap(z: AnyArray, factors: Factors, *, group: np.ndarray | None = None) -> float:
    """Separated attribute predictability (Kumar et al., ICLR 2018): the gap of the best two dimensions' accuracies.

    As there, a factor's values are told from one dimension by thresholds on it: here the edges of 20 bins of the same
    width, each of which stands for the value that is commonest there for its size. Accuracy is balanced, taken on
    tracks whose groups the bins have not seen (10 folds), and scaled so that chance is 0.

    Args:
      z: (N, L). factors: name -> (N,) codes, -1 unknown. group: (N,) what tracks share.

    Returns:
      0 to 1; NaN where no factor has two values.
    """
    z = check_points(z, "the latents")
    _, group = np.unique(np.arange(len(z)) if group is None else group, return_inverse=True)
    # Groups go to folds in an order that has nothing to do with that of the tracks.
    fold = (np.random.default_rng(0).permutation(int(group.max(initial=0)) + 1) % 10)[group]
    gaps = []
    for known, y, own in _known(z, factors, fold):
        accuracy = np.array([_bin_accuracy(one, y, own) for one in _bin(known).T])
        gaps.append(_gap(np.maximum(accuracy, 0)))
    return float(np.mean(gaps)) if gaps else float("nan")


def dci(z: AnyArray, factors: Factors, *, group: np.ndarray | None = None, seed: int = 0) -> dict[str, float]:
    """Disentanglement, completeness and informativeness (Eastwood & Williams, ICLR 2018) by random forests.

    A forest that sees all dimensions predicts each factor; R[i, j] is the importance of dimension i for factor j, its
    share of the fall of impurity.
    - disentanglement: 1 - the entropy of row i over the factors, to the base of their number, weighted by how
      important the dimension is in all. 1 where each dimension serves one factor.
    - completeness: 1 - the entropy of column j over the dimensions, to the base of their number, weighted likewise. 1
      where one dimension is enough for a factor.
    - informativeness: balanced accuracy on tracks whose groups the forest has not seen (3 folds), scaled so that chance
      is 0, at least 0. (Theirs is an error; here more is better.)

    Args:
      z: (N, L). factors: name -> (N,) codes, -1 unknown. group: (N,) what tracks share. seed: of folds and forests.

    Returns:
      "disentanglement" (NaN with one factor), "completeness" (NaN with one dimension), "informativeness": 0 to 1; NaN
      where no factor has two values.
    """
    z = check_points(z, "the latents")
    _, group = np.unique(np.arange(len(z)) if group is None else group, return_inverse=True)
    importances, accuracies = [], []
    for known, y, own in _known(z, factors, group):
        importance, accuracy = _forest(known, y, own, seed)
        importances.append(importance)
        accuracies.append(accuracy)
    if not importances:
        return dict.fromkeys(("disentanglement", "completeness", "informativeness"), float("nan"))
    matrix = np.stack(importances, axis=1)
    return {
        "disentanglement": _concentration(matrix),
        "completeness": _concentration(matrix.T),
        "informativeness": float(np.mean(accuracies)),
    }


def udr(latents: Sequence[tuple[AnyArray, AnyArray]]) -> np.ndarray:
    """Unsupervised disentanglement ranking (Duan et al., ICLR 2020), by Spearman's correlation.

    Of two models, R[a, b] is the absolute rank correlation of their dimensions a and b. Each informative dimension
    scores its largest correlation squared over the sum of all: 1 if one dimension of the other model is the same and no
    other is like it. The pair's score is the mean over the dimensions of both.

    Args:
      latents: of M >= 2 models that differ by their seeds, z (N, L), of the same tracks, and KL per dimension (L,) in
        nats. Dimensions below 0.01 nats do not count.

    Returns:
      (M,) 0 to 1: of each model the median over the others. A model without informative dimensions scores 0. Hold it
      against `udr_null`.

    Raises:
      ValueError: if there are fewer than two models, or their numbers of tracks differ.
    """
    ranks = [_ranks(z, kl) for z, kl in latents]
    if len(ranks) < 2 or len({len(one) for one in ranks}) > 1:
        raise ValueError(f"{len(ranks)} models of {[len(one) for one in ranks]} tracks; expected two or more of one N")
    pairs = np.array([[_same_axes(one, other) for other in ranks] for one in ranks])
    others = ~np.eye(len(ranks), dtype=bool)
    return np.array([np.median(row[mask]) for row, mask in zip(pairs, others, strict=True)])


def udr_null(latents: Sequence[tuple[AnyArray, AnyArray]], *, seed: int = 0, draws: int = 10) -> np.ndarray:
    """What `udr` is of the same spaces when their axes mean nothing: each is turned at random, the mean over draws.

    Only the informative dimensions are turned, each divided by its standard deviation before.

    Args:
      latents: as for `udr`. seed, draws: of the rotations, and how many.

    Returns:
      (M,) 0 to 1.
    """
    rng = np.random.default_rng(seed)
    turned = np.zeros(len(latents))
    for _ in range(draws):
        models = []
        for z, kl in latents:
            used = check_points(z, "the latents")[:, np.asarray(kl) >= INFORMATIVE]
            used = (used - used.mean(axis=0)) / np.maximum(used.std(axis=0), np.finfo(float).tiny)
            if used.shape[1] == 0:
                models.append((np.zeros((len(used), 1)), np.zeros(1)))
                continue
            rotation = np.linalg.qr(rng.normal(size=(used.shape[1], used.shape[1])))[0]
            models.append((used @ rotation, np.full(used.shape[1], INFORMATIVE)))
        turned += udr(models)
    return turned / draws


def _known(z: AnyArray, factors: Factors, *columns: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """z, the codes from 0 on, and the columns, of the tracks for which a factor is known, for each factor of use."""
    z = check_points(z, "the latents")
    for name, codes in factors.items():
        if codes.shape != (len(z),):
            raise ValueError(f"factor {name}: shape {codes.shape}; expected ({len(z)},)")
        rows = codes >= 0
        values, y = np.unique(codes[rows], return_inverse=True)
        if len(values) >= 2:
            yield z[rows], y, *(column[rows] for column in columns)


def _bin(z: np.ndarray) -> np.ndarray:
    """(N, L) the bin that each value falls into, 0 to 19, of bins of one width from the least to the largest."""
    low, width = z.min(axis=0), np.ptp(z, axis=0)
    share = np.divide(z - low, width, out=np.zeros_like(z), where=width > 0)
    return np.minimum((share * BINS).astype(int), BINS - 1)


def _gap(scores: np.ndarray) -> float:
    """How far the largest is ahead of the second, which is 0 where there is none."""
    first, second = np.sort(np.append(scores, 0.0))[::-1][:2]
    return float(first - second)


def _mutual_information(bins: np.ndarray, y: np.ndarray) -> float:
    joint = np.bincount(bins * (y.max() + 1) + y, minlength=BINS * (y.max() + 1)).reshape(BINS, -1)
    return _entropy(joint.sum(axis=1)) + _entropy(joint.sum(axis=0)) - _entropy(joint.ravel())


def _entropy(counts: np.ndarray) -> float:
    """In nats."""
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log(p)).sum())


def _bin_accuracy(bins: np.ndarray, y: np.ndarray, fold: np.ndarray) -> float:
    """Balanced accuracy of the commonest value of a track's bin in other folds, scaled: 0 is chance, 1 perfect."""
    size, values = np.bincount(y), int(y.max()) + 1
    counts = np.zeros((fold.max() + 1, BINS, values))
    np.add.at(counts, (fold, bins, y), 1.0)
    learnt = (counts.sum(axis=0) - counts) / size
    right = learnt.argmax(axis=2)[fold, bins] == y
    accuracy = (np.bincount(y, right, minlength=values) / size).mean()
    return float((accuracy - 1 / values) / (1 - 1 / values))


def _forest(z: np.ndarray, y: np.ndarray, group: np.ndarray, seed: int) -> tuple[np.ndarray, float]:
    """The importances (L,) for a factor, which add up to 1 (or are all 0), and its scaled balanced accuracy."""
    values = int(y.max()) + 1
    importance, predicted = np.zeros(z.shape[1]), np.full(len(y), -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a value has fewer tracks than there are folds
        splits = list(StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed).split(z, y, group))
    for train, test in splits:
        if len(train) == 0 or len(test) == 0:
            continue
        # With all dimensions to choose from at each node: else those that tell nothing would be taken in their turn.
        forest = RandomForestClassifier(
            _TREES,
            max_features=None,  # pyright: ignore[reportArgumentType]
            min_samples_leaf=3,
            class_weight="balanced",
            random_state=seed,
        ).fit(z[train], y[train])
        importance += forest.feature_importances_
        predicted[test] = forest.predict(z[test])
    accuracy = (np.bincount(y, predicted == y, minlength=values) / np.bincount(y)).mean()
    total = importance.sum()
    return importance / total if total > 0 else importance, max(0.0, float((accuracy - 1 / values) / (1 - 1 / values)))


def _concentration(matrix: np.ndarray) -> float:
    """1 - the entropy of each row, to the base of its length, weighted by the row's share of the whole."""
    of_row = matrix.sum(axis=1)
    if matrix.shape[1] < 2 or not of_row.any():
        return float("nan")
    p = matrix[of_row > 0] / of_row[of_row > 0, None]
    entropy = -np.sum(p * np.log(np.where(p > 0, p, 1)), axis=1) / np.log(matrix.shape[1])
    return float(np.average(1 - entropy, weights=of_row[of_row > 0]))


def _ranks(z: AnyArray, kl: AnyArray) -> np.ndarray:
    """(N, informative dimensions) ranks with mean 0 and length 1, so that products are Spearman's correlations."""
    z, kl = check_points(z, "the latents"), np.asarray(kl)
    if kl.shape != (z.shape[1],):
        raise ValueError(f"KL per dimension has shape {kl.shape}; expected ({z.shape[1]},)")
    ranks = rankdata(z[:, kl >= INFORMATIVE], axis=0)
    ranks = ranks - ranks.mean(axis=0)
    return ranks / np.maximum(np.linalg.norm(ranks, axis=0), np.finfo(float).tiny)


def _same_axes(one: np.ndarray, other: np.ndarray) -> float:
    """The score of a pair of models, given their ranks."""
    if one.shape[1] == 0 or other.shape[1] == 0:
        return 0.0
    matrix = np.abs(one.T @ other)
    each = []
    for axis in (0, 1):
        total = matrix.sum(axis=axis)
        each.append(np.divide(matrix.max(axis=axis) ** 2, total, out=np.zeros_like(total), where=total > 0))
    return float(np.concatenate(each).mean())
