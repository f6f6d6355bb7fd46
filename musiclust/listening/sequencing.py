"""Which songs a playlist takes, and in which order: rows of a collection, by where they lie in the latent space.

Distances are Euclidean. Names of artists and albums that are "" are not known, and set no limit.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import pairwise_distances_argmin

from musiclust.errors import InputError
from musiclust.points import check_points
from musiclust.types import AnyArray

_MENDED = 600  # songs up to which a way is mended by 2-opt: time grows with the square a round
_ROUNDS = 20
_WHOLE = 3_000  # songs up to which each step of a way looks at all of them: time grows with the square
_PIECE = 300  # songs of a piece, about, where there are more
_CUTS = 4  # rounds in which the pieces are made even
_CANDIDATES = 40  # songs near to each step of a path
_AHEAD = 200  # songs of the way among which one is looked for that may come now


def rank_alike(
    z: AnyArray, seeds: Sequence[int], *, words: AnyArray | None = None, words_weight: float | int = 0.0
) -> np.ndarray:
    """All rows but the seeds, those first that are nearest to any of the seeds: (N - seeds,) int.

    Where words count too, the distance from a seed is a mean of the Euclidean one and of the cosine distance of words,
    each in standard deviations from its mean over the other songs, so that both have the same say. A song without words
    is taken to be at the mean distance of words: that nothing is sung in it, or is known of it, makes it neither like
    the seed nor unlike it.

    Args:
      words: (N, E) vectors of what is sung, a row of zeros where nothing is; they need not be of one length.
      words_weight: of the words in that mean, 0 to 1; at 0 they are not looked at.

    Raises:
      InputError: if a seed is no row of z, or there is none; if words have a weight and there are none, or a seed has
        none.
    """
    z = check_points(z)
    if not len(seeds) or min(seeds) < 0 or max(seeds) >= len(z):
        raise InputError(f"seeds {list(seeds)}: give rows of the {len(z)} songs")
    if not 0 <= words_weight <= 1:
        raise InputError(f"`words_weight={words_weight:g}`: give 0 to 1")
    unit = _find_directions(words, z, seeds) if words_weight else None
    nearest = np.full(len(z), np.inf)
    for seed in seeds:
        away = ((z - z[seed]) ** 2).sum(axis=1)
        if unit is not None:
            sung = unit.any(axis=1)
            sound = _standardise(np.sqrt(away), np.arange(len(z)) != seed)
            spoken = _standardise(1 - unit @ unit[seed], sung & (np.arange(len(z)) != seed))
            away = (1 - words_weight) * sound + words_weight * np.where(sung, spoken, 0.0)
        nearest = np.minimum(nearest, away)
    order = np.argsort(nearest, kind="stable")
    return order[~np.isin(order, seeds)]


def _find_directions(words: AnyArray | None, z: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
    """The words (N, E) with each row at length 1, or zeros."""
    words = None if words is None else np.asarray(words, dtype=np.float64)
    if words is None or words.ndim != 2 or len(words) != len(z) or not np.isfinite(words).all():
        raise InputError(f"`words_weight` needs words: give finite vectors of the {len(z)} songs, or choose 0")
    if silent := [seed for seed in seeds if not words[seed].any()]:
        raise InputError(f"song {silent[0]} has no words that others could be like: choose `words_weight=0`")
    return words / np.maximum(np.linalg.norm(words, axis=1, keepdims=True), np.finfo(np.float64).tiny)


def _standardise(distance: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """In standard deviations from the mean over some rows; zeros where these do not differ."""
    spread = float(distance[rows].std()) if rows.any() else 0.0
    return (distance - distance[rows].mean()) / spread if spread else np.zeros(len(distance))


def take(
    order: Iterable[int],
    *,
    artist: np.ndarray,
    album: np.ndarray,
    seconds: np.ndarray,
    songs: int = 0,
    minutes: float | int = 0,
    per_artist: int = 0,
    per_album: int = 0,
) -> list[int]:
    """The first rows of an order that keep within limits; a limit of 0 is none.

    Args:
      artist, album: (N,) str. seconds: (N,) durations; one that is not known, NaN, counts as the mean of the others.
      songs, minutes: what the playlist holds at most. A song that would exceed the minutes is passed over.
      per_artist, per_album: songs of one artist, of one album of an artist, at most.
    """
    known = np.isfinite(seconds) & (seconds > 0)
    length = np.where(known, seconds, seconds[known].mean() if known.any() else 0.0)
    taken: list[int] = []
    count: dict[tuple[str, ...], int] = {}
    left = 60 * minutes if minutes else np.inf
    for row in order:
        if songs and len(taken) == songs:
            break
        keys = [
            (key, most)
            for key, most in (((artist[row],), per_artist), ((artist[row], album[row]), per_album))
            if most and key[-1]
        ]
        if length[row] > left or any(count.get(key, 0) >= most for key, most in keys):
            continue
        for key, _ in keys:
            count[key] = count.get(key, 0) + 1
        left -= length[row]
        taken.append(int(row))
    return taken


def order_smoothly(z: AnyArray, *, artist: np.ndarray | None = None, apart: int = 0) -> np.ndarray:
    """An order of all N rows of z in which neighbours are near to each other: (N,) int.

    It is a short way through all of them: from an end of the longest axis to the nearest song not yet played, and up to
    600 songs with crossings undone (2-opt, Croes 1958). More than 3,000 songs are cut into pieces of about 300 that lie
    together, and the way goes through one after the other. Then songs are put off that would repeat an artist.

    Args:
      artist: (N,) str, "" where not known. apart: other songs between two of one artist, at least, as long as there are
        any; then the artist comes who was not heard for longest.
    """
    z = check_points(z)
    way = _short_way(z)
    if not apart or artist is None:
        return way
    return np.array(_keep_apart(way.tolist(), artist.tolist(), apart))


def find_path(z: AnyArray, start: int, end: int, songs: int) -> np.ndarray:
    """Rows from one song to another by way of those nearest to even steps between them, no song twice: (songs,) int.

    Raises:
      InputError: if start and end are one song or no rows, or songs is under 2 or more than there are.
    """
    z = check_points(z)
    if start == end or not all(0 <= row < len(z) for row in (start, end)):
        raise InputError(f"a path from row {start} to {end}: give two different rows of the {len(z)} songs")
    if not 2 <= songs <= len(z):
        raise InputError(f"a path of {songs} songs: choose 2 to {len(z)}")
    steps = np.linspace(z[start], z[end], songs)[1:-1]
    others = np.setdiff1d(np.arange(len(z)), [start, end])
    distance = ((z[others] ** 2).sum(axis=1) - 2 * steps @ z[others].T) + (steps**2).sum(axis=1)[:, None]
    near = np.unique(np.argsort(distance, axis=1, kind="stable")[:, : max(_CANDIDATES, songs)])
    step, chosen = linear_sum_assignment(distance[:, near])
    return np.array([start, *others[near[chosen[np.argsort(step)]]], end])


def _keep_apart(way: list[int], artist: list[str], apart: int) -> list[int]:
    """The rows in their order, but for those put off that would repeat an artist too early."""
    played: list[int] = []
    last: dict[str, int] = {}
    left = Counter(artist[row] for row in way if artist[row])
    alike = Counter(left.values())  # artists with so many songs left
    coming = iter(way)
    ahead = list(islice(coming, _AHEAD))
    while ahead:
        # Songs since the artist was heard, as far as it counts; artists with so many songs left that they take all the
        # places there are come before all others who may come.
        waiting = len(way) - len(played)
        pressing = {songs for songs, artists in alike.items() if (songs - 1) * (apart + 1) + artists >= waiting}
        most_urgent = (apart + 1, max(pressing, default=0))
        first, highest = 0, (-1, 0)
        for place, row in enumerate(ahead):
            name = artist[row]
            since = min(apart + 1, len(played) - last[name]) if name in last else apart + 1
            urgency = (since, left[name] if since > apart and left[name] in pressing else 0)
            if urgency > highest:
                first, highest = place, urgency
                if urgency == most_urgent:
                    break
        row = ahead.pop(first)
        ahead.extend(islice(coming, 1))
        if name := artist[row]:
            last[name] = len(played)
            alike[left[name]] -= 1
            if not alike[left[name]]:
                del alike[left[name]]
            left[name] -= 1
            if left[name]:
                alike[left[name]] += 1
        played.append(row)
    return played


def _short_way(z: np.ndarray, first: int | None = None) -> np.ndarray:
    """(N,) a short way through all rows of z, from the row `first`, or else from an end of the longest axis."""
    n = len(z)
    if n > _WHOLE:
        return _way_by_pieces(z, first)
    if n < 3 and first is None:
        return np.arange(n)
    way, left = [_end_of_axis(z) if first is None else first], np.ones(n, bool)
    left[way[0]] = False
    for _ in range(n - 1):
        rows = np.flatnonzero(left)
        way.append(int(rows[((z[rows] - z[way[-1]]) ** 2).sum(axis=1).argmin()]))
        left[way[-1]] = False
    return _undo_crossings(z, np.array(way)) if n <= _MENDED else np.array(way)


def _end_of_axis(z: np.ndarray) -> int:
    centred = z - z.mean(axis=0)
    axis = np.linalg.svd(centred[: min(len(z), 5000)], full_matrices=False)[2][0]
    return int(np.argmin(centred @ axis))


def _way_by_pieces(z: np.ndarray, first: int | None) -> np.ndarray:
    """The same of many songs: by a short way through the pieces, each from the song nearest to the one before."""
    piece, centres = _cut(z)
    if len(centres) == 1:  # all songs lie at one place
        rows = np.arange(len(z))
        return rows if first is None else np.append(first, rows[rows != first])
    members = np.split(np.argsort(piece, kind="stable"), np.cumsum(np.bincount(piece))[:-1])
    way: list[np.ndarray] = []
    for number in _short_way(centres, None if first is None else int(piece[first])):
        rows = members[number]
        if way:
            start = int(((z[rows] - z[way[-1][-1]]) ** 2).sum(axis=1).argmin())
        else:
            start = None if first is None else int(np.searchsorted(rows, first))
        way.append(rows[_short_way(z[rows], start)])
    return np.concatenate(way)


def _cut(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cuts songs into pieces of about `_PIECE`, by some rounds of k-means: (N,) the piece of each, (P, L) the means."""
    centres = z[np.random.default_rng(0).choice(len(z), len(z) // _PIECE, replace=False)]
    piece = np.zeros(len(z), int)
    for _ in range(_CUTS):
        piece = np.unique(pairwise_distances_argmin(z, centres), return_inverse=True)[1]
        sizes = np.bincount(piece)
        sums = np.add.reduceat(z[np.argsort(piece, kind="stable")], np.cumsum(sizes) - sizes, axis=0)
        centres = sums / sizes[:, None]
    return piece, centres


def _undo_crossings(z: np.ndarray, way: np.ndarray) -> np.ndarray:
    """2-opt: turns a stretch of the way round wherever that makes it shorter."""
    distance = np.sqrt(np.maximum(((z[:, None] - z[None]) ** 2).sum(axis=2), 0))
    n = len(way)
    for _ in range(_ROUNDS):
        changed = False
        for i in range(n - 2):
            # Turning way[i + 1 .. j] round replaces two edges; at j = n - 1 there is no second one.
            a, b = way[i], way[i + 1]
            ends, after = way[i + 2 :], np.append(way[i + 3 :], -1)
            gain = distance[a, b] - distance[a, ends]
            gain += np.where(after >= 0, distance[ends, after] - distance[b, after], 0.0)
            best = int(gain.argmax())
            if gain[best] > 1e-9:
                j = i + 2 + best
                way[i + 1 : j + 1] = way[i + 1 : j + 1][::-1]
                changed = True
        if not changed:
            break
    return way
