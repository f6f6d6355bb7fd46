"""Collections without clusters, and mixtures, that more than one benchmark draws: points (n, columns)."""

import numpy as np

CLIPS = 4  # of a song


def log_normal(rng: np.random.Generator, n: int, columns: int) -> np.ndarray:
    """Independent skewed columns."""
    return np.exp(rng.normal(size=(n, columns)))


def square(rng: np.random.Generator, n: int) -> np.ndarray:
    """A uniform square."""
    return rng.random((n, 2))


def ring(rng: np.random.Generator, n: int) -> np.ndarray:
    """A circle with a little noise: not a cloud, but nothing in it is a cluster."""
    angle = 2 * np.pi * rng.random(n)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1) + 0.05 * rng.normal(size=(n, 2))


def heavy_tails(rng: np.random.Generator, n: int, columns: int) -> np.ndarray:
    """Student's t with 3 degrees of freedom."""
    return rng.normal(size=(n, columns)) / np.sqrt(rng.chisquare(3, size=(n, 1)) / 3)


def songs(rng: np.random.Generator, n: int, columns: int) -> np.ndarray:
    """A Gaussian of songs, each of `CLIPS` clips that are alike."""
    centres = rng.normal(size=(-(-n // CLIPS), columns))
    return np.repeat(centres, CLIPS, axis=0)[:n] + 0.3 * rng.normal(size=(n, columns))


def song_of_clip(n: int) -> np.ndarray:
    """(n,) int, the song of each clip of `songs`."""
    return np.arange(n) // CLIPS


def mixture(rng: np.random.Generator, n: int, *, k: int, columns: int, apart: float) -> np.ndarray:
    """k Gaussians of unit variance, at least so far apart; the centres' spread grows until each has its place."""
    centres, spread = np.empty((0, columns)), 0.7 * apart
    while len(centres) < k:
        centre = spread * rng.normal(size=columns)
        if (np.linalg.norm(centres - centre, axis=1) >= apart).all():
            centres = np.append(centres, centre[None], axis=0)
        spread *= 1.005
    return centres[rng.integers(k, size=n)] + rng.normal(size=(n, columns))
