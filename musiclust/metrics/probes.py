"""What a space can tell of the classes at all, asked of two simple classifiers before anyone discusses its clusters.

A class that neither the nearest neighbours nor a linear map can tell will not be found by a clusterer either, and if no
class can be told, the classes may have been joined to the wrong tracks. A probe says nothing against or for clusters:
it has seen the classes.

Conventions:
- Tracks of one group (the clips of a song, the songs of an artist) are never on both sides of a split.
- Every class counts the same: the score is balanced accuracy, the mean over classes of the share of their tracks that
  are recognised (recall), and both classifiers weigh each class by one over its size.
- Chance is measured, not calculated: what the same classifier gets when whole groups change their classes. A group
  takes over the classes and the fold of another, so that the folds of a shuffle are as balanced as the true ones.
- A class is told if its recall stands out more than the one that stands out most does in 95 % of the shuffles (the
  maximum statistic of Westfall & Young 1993). So however many classes there are, one that means nothing is called told
  in at most 5 % of collections. Over the two probes the level is halved.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from musiclust.cluster import one_thread
from musiclust.points import check_points
from musiclust.types import AnyArray

NEIGHBOURS = 10
FOLDS = 5
# More tracks than these are not needed to say whether a class can be told. Of larger classes so many groups are drawn
# that all classes together have about so many tracks.
LIMIT = 2_000
LEVEL = 0.05
SHUFFLES = {"knn": 199, "linear": 39}  # 39 is the fewest by which one of two probes can be beyond chance
_C = 0.01  # of the logistic regression: with standardised columns it converges in few steps and does not overfit


def probe(x: AnyArray, truth: np.ndarray, *, group: np.ndarray | None = None, seed: int = 0) -> dict[str, Any]:
    """How well the classes can be told from x by 10 nearest neighbours and by logistic regression.

    Columns are standardised and those that do not vary are dropped, so give of a latent space only the dimensions that
    are active: a dimension of noise counts as much as any other. Classes of fewer than two groups cannot be learnt and
    tested, so they are left out.

    Args:
      x: (N, D) features or latents, finite.
      truth: (N,) int codes of the classes, -1 unknown; such tracks are left out.
      group: (N,) what tracks share; None where each track is on its own.
      seed: of the folds and shuffles, and of the tracks drawn where there are more than `LIMIT`.

    Returns:
      "tracks": how many were used. "folds": 2 to 5; 0 where nothing could be asked.
      "left_out": codes of the classes of fewer than two groups.
      "told": code -> whether one of the probes tells this class beyond chance.
      "knn", "linear": what each probe says:
        "balanced_accuracy": 0 to 1. "chance": its mean over the shuffles.
        "p": how often a shuffle reaches it, counting the truth itself: 1/200 at best for "knn", 1/40 for "linear".
        "per_class": code -> "recall" 0 to 1, "chance", the mean over the shuffles, "p", adjusted for the number of
          classes, and "told", whether p is at most 0.025.
      With fewer than two classes of two groups, scores are NaN and there is nothing per class.

    Raises:
      InputError: if x is not two-dimensional and finite.
      ValueError: if the lengths differ or truth does not hold integers from -1 up.

    Example:
      >>> truth = np.arange(60) % 3
      >>> x = np.random.default_rng(0).normal(size=(60, 4)) + 5 * np.eye(3, 4)[truth]
      >>> found = probe(x, truth)
      >>> found["knn"]["balanced_accuracy"], found["knn"]["p"], found["told"]
      (1.0, 0.005, {0: True, 1: True, 2: True})
    """
    x = check_points(x)
    if truth.shape != (len(x),) or truth.dtype.kind not in "iu" or (len(x) and truth.min() < -1):
        raise ValueError(f"truth: shape {truth.shape}, {truth.dtype}; expected ({len(x)},) integers from -1 up")
    if group is not None and group.shape != (len(x),):
        raise ValueError(f"group: shape {group.shape}; expected ({len(x)},)")
    rng = np.random.default_rng(seed)
    _, group = np.unique(np.arange(len(x)) if group is None else group, return_inverse=True)
    groups_of = {int(c): len(np.unique(group[truth == c])) for c in np.unique(truth[truth >= 0])}
    left_out = [code for code, n in groups_of.items() if n < 2]
    rows = np.flatnonzero((truth >= 0) & ~np.isin(truth, left_out))
    rows = rows[_draw(truth[rows], group[rows], rng)]
    codes, y = np.unique(truth[rows], return_inverse=True)
    x = x[rows] if len(codes) > 1 else x[:0]
    x = x[:, np.ptp(x, axis=0) > 1e-7 * np.abs(x).max(axis=0)] if len(x) else x[:, :0]
    if x.shape[1] == 0:
        nothing = {"balanced_accuracy": np.nan, "chance": np.nan, "p": np.nan, "per_class": {}}
        return {"tracks": 0, "folds": 0, "left_out": left_out, "told": {}, "knn": nothing, "linear": dict(nothing)}
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    _, group = np.unique(group[rows], return_inverse=True)
    folds = min(FOLDS, *(groups_of[int(code)] for code in codes))
    fold = _fold(y, group, folds, seed)
    members = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
    probes = {"knn": _nearest(x, group, len(codes)), "linear": _linear(x, len(codes))}
    with warnings.catch_warnings(), one_thread():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a probe that has not quite ended is a probe
        found = {
            name: _judge(predict, codes, y, fold, members, SHUFFLES[name], rng) for name, predict in probes.items()
        }
    told = {int(code): any(one["per_class"][int(code)]["told"] for one in found.values()) for code in codes}
    return {"tracks": len(x), "folds": folds, "left_out": left_out, "told": told, **found}


def _draw(truth: np.ndarray, group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows of whole groups, about `LIMIT` of them at most, the small classes whole."""
    if len(truth) <= LIMIT:
        return np.arange(len(truth))
    quota = LIMIT // len(np.unique(truth))
    members = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
    taken, rows = np.zeros(truth.max() + 1, int), []
    for number in rng.permutation(len(members)):
        own = members[number]
        if (taken[truth[own]] < quota).any():
            rows.append(own)
            np.add.at(taken, truth[own], 1)
    return np.sort(np.concatenate(rows))


def _fold(y: np.ndarray, group: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """(N,) the fold in which each track is tested, the same for all tracks of a group."""
    fold = np.zeros(len(y), int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class has fewer tracks in all than another has folds
        splits = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(y, y, group)
        for number, (_, test) in enumerate(splits):
            fold[test] = number
    return fold


_Predict = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (N,) classes, (N,) folds -> (N,) what each is taken for


def _nearest(x: np.ndarray, group: np.ndarray, classes: int) -> _Predict:
    """The class that is commonest, for its size, among the 10 nearest tracks of other folds."""
    # Of so many neighbours 10 are in other folds, but for a few tracks where there are two folds.
    kept = min(3 * NEIGHBOURS + int(np.bincount(group).max()), len(x) - 1)
    square = (x**2).sum(axis=1)
    neighbours = np.empty((len(x), kept), int)
    for start in range(0, len(x), 1000):
        rows = slice(start, start + 1000)
        distance = square - 2 * x[rows] @ x.T  # but for each row's own square
        distance[np.arange(len(distance)), np.arange(len(x))[rows]] = np.inf
        nearest = np.argpartition(distance, kept - 1, axis=1)[:, :kept]
        order = np.argsort(np.take_along_axis(distance, nearest, axis=1), axis=1, kind="stable")
        neighbours[rows] = np.take_along_axis(nearest, order, axis=1)

    def predict(y: np.ndarray, fold: np.ndarray) -> np.ndarray:
        other = fold[neighbours] != fold[:, None]
        rank = np.cumsum(other, axis=1)
        counted = other & (rank <= NEIGHBOURS)
        row, column = np.nonzero(counted)
        voter = y[neighbours[row, column]]
        learnt = np.stack([np.bincount(y[fold != number], minlength=classes) for number in range(fold.max() + 1)])
        # Of equal votes the nearer ones count more, by too little to change any other vote.
        weight = (1 + 1e-6 * (NEIGHBOURS - rank[row, column])) / learnt[fold[row], voter]
        votes = np.bincount(row * classes + voter, weight, minlength=len(y) * classes)
        return votes.reshape(len(y), classes).argmax(axis=1)

    return predict


def _linear(x: np.ndarray, classes: int) -> _Predict:
    """The class of logistic regression, fitted to the other folds with all classes weighing the same."""
    if x.shape[1] > len(x):  # turned into as many columns as there are tracks, which changes no distance and no fit
        u, s, _ = np.linalg.svd(x, full_matrices=False)
        x = u * s

    def predict(y: np.ndarray, fold: np.ndarray) -> np.ndarray:
        predicted = np.zeros(len(y), int)
        for number in range(fold.max() + 1):
            test = fold == number
            if not test.any():
                continue
            seen = np.unique(y[~test])
            if len(seen) < 2:
                predicted[test] = seen[0]
                continue
            model = LogisticRegression(C=_C, class_weight="balanced", max_iter=200, tol=1e-3)
            predicted[test] = model.fit(x[~test], y[~test]).predict(x[test])
        return predicted

    return predict


def _judge(
    predict: _Predict,
    codes: np.ndarray,
    y: np.ndarray,
    fold: np.ndarray,
    members: Sequence[np.ndarray],
    draws: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """What one probe says, held against its own shuffles."""
    true = _recall(y, predict(y, fold), len(codes))
    shuffled = np.empty((draws, len(codes)))
    for draw in range(draws):
        rows_of = _shuffle(members, len(y), rng)
        shuffled[draw] = _recall(y[rows_of], predict(y[rows_of], fold[rows_of]), len(codes))
    chance, reached = np.nanmean(shuffled, axis=0), np.nanmean(shuffled, axis=1)
    # A class that is never recognised in any shuffle has no spread; then a recall of the truth stands out at once.
    spread = np.maximum(np.nanstd(np.vstack([shuffled, true]), axis=0), 1e-9)
    most = np.nanmax((shuffled - chance) / spread, axis=1)
    p = (1 + (most[:, None] >= (true - chance) / spread - 1e-9).sum(axis=0)) / (1 + draws)
    accuracy = float(np.mean(true))
    return {
        "balanced_accuracy": accuracy,
        "chance": float(reached.mean()),
        "p": float((1 + np.count_nonzero(reached >= accuracy - 1e-9)) / (1 + draws)),
        "per_class": {
            int(code): {
                "recall": float(true[i]),
                "chance": float(chance[i]),
                "p": float(p[i]),
                "told": bool(p[i] <= LEVEL / len(SHUFFLES)),
            }
            for i, code in enumerate(codes)
        },
    }


def _recall(y: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """(classes,) the share of each class's tracks that are recognised; NaN where a shuffle has left it no tracks."""
    size = np.bincount(y, minlength=classes)
    right = np.bincount(y, y == predicted, minlength=classes)
    return np.divide(right, size, out=np.full(classes, np.nan), where=size > 0)


def shuffle_groups(group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws for every track another one whose classes it takes over, whole groups from whole groups.

    Args:
      group: (N,) codes from 0 on of what tracks share.
      rng: the generator, which moves on.

    Returns:
      (N,) rows; where all groups are of one size, each row once. A group of another size takes as many rows as it has
      tracks, over again where the other has too few.

    Example:
      >>> shuffle_groups(np.array([0, 0, 1, 1]), np.random.default_rng(1)) // 2  # the two songs may change places
      array([0, 0, 1, 1])
    """
    members = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
    return _shuffle(members, len(group), rng)


def _shuffle(members: Sequence[np.ndarray], n: int, rng: np.random.Generator) -> np.ndarray:
    """`shuffle_groups`, given the rows of each group."""
    donor = rng.permutation(len(members))
    rows = np.empty(n, int)
    if len(members) == n:  # each track is on its own
        order = np.concatenate(members)
        rows[order] = order[donor]
        return rows
    for own, number in zip(members, donor, strict=True):
        rows[own] = np.resize(rng.permutation(members[number]), len(own))
    return rows
