"""Subsamples and held-out parts of a collection, by whole groups: the clips of a song, or the songs of an artist."""

import numpy as np
from jaxtyping import Int

from musiclust.errors import InputError


def draw_subsamples(
    group: np.ndarray, *, count: int, share: float = 0.8, most: int | None = None, seed: int = 0
) -> Int[np.ndarray, "count n"]:
    """Draws subsamples of N tracks without replacement, all of one size.

    Groups come in a random order, each with all its tracks, until n rows are reached; the last group may be cut. Rows
    are drawn without replacement because a track that is there twice makes clusters tighter than they are (Hennig,
    Computational Statistics & Data Analysis 2007).

    Args:
      group: (N,) str, the song or artist of each track, as `Tracks.group`.
      count: how many subsamples, at least 1.
      share: n is this share of N, rounded.
      most: the largest n; None for no limit. n is at least 2.
      seed: a subsample is a function of this number and its own.

    Returns:
      (count, n) int32 rows, each line sorted.

    Raises:
      InputError: if there are fewer than two tracks, or a parameter is out of range.

    Example:
      >>> draw_subsamples(np.array(["a", "a", "b", "c", "c"]), count=2).shape
      (2, 4)
    """
    if len(group) < 2:
        raise InputError(f"there are {len(group)} tracks: subsamples need at least 2")
    if count < 1 or not 0 < share <= 1 or (most is not None and most < 2):
        raise InputError(
            f"count = {count}, share = {share}, most = {most}: choose a count of at least 1, `share` above 0 and at "
            "most 1, and `most` of at least 2"
        )
    size = max(2, min(round(share * len(group)), len(group) if most is None else most))
    return np.stack([np.sort(_grouped_order(group, seed, line)[:size]) for line in range(count)]).astype(np.int32)


def split_held_out(group: np.ndarray, *, share: float = 0.2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Splits N tracks into those to train on and those that are held out, by whole groups.

    Groups are looked at in a random order. One is held out where that brings the held-out part nearer to its share. If
    less than two tracks are held out then, the smallest groups are.

    Args:
      group: (N,) str, the song or artist of each track, as `Tracks.group`.
      share: share of the tracks to hold out, above 0 and below 1.
      seed: of the order.

    Returns:
      (rows to train on, rows held out), sorted int32, at least 2 each. No group is in both.

    Raises:
      InputError: if the share is out of range, or the groups are too few or too large for such a split.

    Example:
      >>> train, held_out = split_held_out(np.array(["a", "a", "b", "b", "c", "c"]), share=0.4)
      >>> len(train), len(held_out)
      (4, 2)
    """
    if not 0 < share < 1:
        raise InputError(f"share = {share}: choose `share` above 0 and below 1")
    names, sizes = np.unique(group, return_counts=True)
    if len(names) == 1:
        raise InputError(f"all {len(group)} tracks are of one group, {names[0]}: none can be held out")
    wanted, held, chosen = share * len(group), 0, []
    for index in np.random.default_rng(seed).permutation(len(names)):
        if abs(held + sizes[index] - wanted) < abs(held - wanted):
            chosen.append(index)
            held += sizes[index]
    if held < 2:
        smallest = np.argsort(sizes, kind="stable")
        chosen = smallest[: np.searchsorted(np.cumsum(sizes[smallest]), 2) + 1]
    out = np.isin(group, names[chosen])
    if out.sum() > len(group) - 2:
        raise InputError(
            f"{len(group)} tracks in {len(names)} groups, the largest ({names[sizes.argmax()]}) of {sizes.max()}: this "
            "leaves no two to hold out and two to train on"
        )
    return np.flatnonzero(~out).astype(np.int32), np.flatnonzero(out).astype(np.int32)


def _grouped_order(group: np.ndarray, seed: int, line: int) -> np.ndarray:
    """All rows, group by group: the groups in a random order, and the rows of each."""
    rng = np.random.default_rng((seed, line))
    _, codes = np.unique(group, return_inverse=True)
    place = rng.permutation(codes.max() + 1)[codes]
    return np.lexsort((rng.permutation(len(group)), place))
