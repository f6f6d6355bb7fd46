"""Files known by what is in them: copies of one file, songs that may be one recording, and files that were moved.

A file's key is its size and a digest of 64 KiB from its middle, where a song has sound and no tags. That is one short
read, also of a collection on a slow disk. Two files count as copies of one file only if all their bytes are equal.
"""

import filecmp
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from musiclust.points import check_points
from musiclust.types import AnyArray

_READ = 2**16
_APART = 1.5  # s between the durations of one recording, since encoders pad and rippers trim
_NEIGHBOUR = 20  # the usual distance is that to this neighbour,
_SAMPLE = 1000  # measured on so many songs
_MOST_NEAR = 10  # songs near to one that are nominated with it
_MOST_NAMED = 5  # of its title
_AT_ONCE = 20_000_000  # distances


def content_key(path: Path, *, places: int = 1) -> str:
    """Returns the key of a file, as "297901-9f2c...".

    Args:
      places: how many pieces of 64 KiB are looked at, spread evenly; one is the middle.

    Raises:
      OSError: if it cannot be read.
    """
    size = path.stat().st_size
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        for i in range(1, places + 1):
            file.seek(max(0, (size - _READ) * i // (places + 1)))
            digest.update(file.read(_READ))
    return f"{size}-{digest.hexdigest()}"


def find_copies(paths: Sequence[Path]) -> np.ndarray:
    """Returns (N,) int: for each path the row of the first that is the same file or has the same bytes, else its own.

    A path that is not there, cannot be read or names an empty file is a copy of none but of itself.
    """
    first = {path: row for row, path in reversed(list(enumerate(paths)))}
    copy_of = np.array([first[path] for path in paths], dtype=np.int64)
    by_size: dict[int, list[int]] = defaultdict(list)
    for path, row in sorted(first.items(), key=lambda one: one[1]):
        if path.is_file() and (size := path.stat().st_size):
            by_size[size].append(row)
    for rows in by_size.values():
        originals: dict[str, list[int]] = defaultdict(list)
        for row in rows if len(rows) > 1 else ():
            try:
                alike = originals[content_key(paths[row])]
                original = next((one for one in alike if filecmp.cmp(paths[one], paths[row], shallow=False)), row)
            except OSError:
                continue
            if original == row:
                alike.append(row)
            copy_of[row] = original
    return copy_of[copy_of]


def nominate_copies(z: AnyArray, seconds: np.ndarray, *, title: Sequence[str]) -> np.ndarray:
    """Pairs of songs that may be one recording, so that few have to be decoded to know it.

    Their durations differ by 1.5 s at most, and either they are near to each other, nearer than a song usually is to
    its 20th neighbour, or they have one title. Of the songs near to one the nearest ten count. A song that is there in
    two encodings, one of them louder, say, need not lie at one place; that it is the same, the sound has to show.

    Args:
      z: (N, L) latents. seconds: (N,) durations; a song whose duration is not known, NaN, is in no pair.
      title: of N songs, "" where not known. Case does not count.

    Returns:
      (P, 2) int rows, the lower one first, in order, no pair twice.

    Raises:
      InputError: if z is not two-dimensional and finite.

    Example:
      >>> z = np.array([[0.0], [0.1], [0.0]])
      >>> nominate_copies(z, np.array([60.0, 61.0, 90.0]), title=["a", "b", "a"]).tolist()
      [[0, 1]]
    """
    z = check_points(z)
    known = np.flatnonzero(np.isfinite(seconds))
    order = known[np.argsort(seconds[known], kind="stable")]
    pairs = [*_pair_near(z[order], seconds[order]), *_pair_named([title[int(row)] for row in order], seconds[order])]
    if not pairs:
        return np.zeros((0, 2), np.int64)
    return np.unique(np.sort(order[np.concatenate(pairs)], axis=1), axis=0)


def _pair_near(z: np.ndarray, seconds: np.ndarray) -> Iterator[np.ndarray]:
    """Yields pairs of rows by distance; the durations ascend."""
    n = len(z)
    if n < 2:
        return
    square = (z**2).sum(axis=1)

    def measure(rows: np.ndarray, low: int, high: int) -> np.ndarray:
        """Squared distances of some rows to those from low to high, infinity to themselves."""
        squared = np.maximum(square[rows, None] + square[low:high] - 2 * z[rows] @ z[low:high].T, 0)
        squared[np.arange(len(rows)), rows - low] = np.inf
        return squared

    sample = np.unique(np.linspace(0, n - 1, min(n, _SAMPLE)).astype(int))
    parts = np.array_split(sample, 1 + len(sample) * n // _AT_ONCE)
    nth = min(_NEIGHBOUR, n - 1) - 1
    usual = np.median(np.concatenate([np.partition(measure(part, 0, n), nth, axis=1)[:, nth] for part in parts]))
    step = max(1, _AT_ONCE // n)
    for start in range(0, n, step):
        rows = np.arange(start, min(start + step, n))
        low = int(np.searchsorted(seconds, seconds[rows[0]] - _APART))
        high = int(np.searchsorted(seconds, seconds[rows[-1]] + _APART, side="right"))
        squared = measure(rows, low, high)
        near = (squared <= usual) & (np.abs(seconds[rows, None] - seconds[low:high]) <= _APART)
        one, other = np.nonzero(near)
        ranked = np.lexsort((squared[one, other], one))
        rank = np.arange(len(one)) - np.searchsorted(one, one)  # `one` ascends, and lexsort keeps that
        one, other = one[ranked][rank < _MOST_NEAR], other[ranked][rank < _MOST_NEAR]
        yield np.column_stack([rows[one], low + other])


def _pair_named(title: Sequence[str], seconds: np.ndarray) -> Iterator[np.ndarray]:
    """Yields pairs of rows by title; the durations ascend."""
    named: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(title):
        if name:
            named[name.casefold()].append(row)
    for rows in named.values():
        for place, row in enumerate(rows):
            others = rows[place + 1 : place + 1 + _MOST_NAMED]
            near = [other for other in others if seconds[other] - seconds[row] <= _APART]
            if near:
                yield np.array([(row, other) for other in near])


def follow_moved(keys: Mapping[str, str], files: Sequence[Path]) -> dict[str, Path]:
    """Returns where songs are now that are no longer where they were, as far as one of the files is such a song.

    Args:
      keys: `content_key` of each song that is missing, by its name.
      files: where they may be; of several files that are one song the first counts.
    """
    sizes = {key.partition("-")[0] for key in keys.values()}
    found: dict[str, Path] = {}
    for file in files:
        try:
            if str(file.stat().st_size) in sizes:
                found.setdefault(content_key(file), file)
        except OSError:
            continue
    return {name: found[key] for name, key in keys.items() if key in found}
