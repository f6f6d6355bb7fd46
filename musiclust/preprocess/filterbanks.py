"""The fixed matrices of spectral analysis: window, mel and chroma filters, DCT.

Conventions: F = 1 + n_fft // 2 bins; a filter bank is (F, bands), to stand to the right of frames (T, F). The
definitions are librosa 0.11's with its defaults, and the tests hold them to it; importing librosa for them would cost
half a minute of compilation in a fresh environment and seconds in each worker. Results are cached: never write to them.
"""

from functools import lru_cache

import numpy as np
import scipy.fft


@lru_cache
def hann(n: int) -> np.ndarray:
    """Periodic Hann window, (n,) float64."""
    return 0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, n + 1)[:-1])


@lru_cache
def frequencies(sample_rate: int, n_fft: int) -> np.ndarray:
    """Of the bins, (F,) float64, Hz."""
    return np.fft.rfftfreq(n_fft, 1 / sample_rate)


@lru_cache
def mel(sample_rate: int, n_fft: int, n_mels: int) -> np.ndarray:
    """Triangles on Slaney's mel scale up to half the rate, of equal area: (F, n_mels) float32.

    The scale is linear below 1 kHz, 200 / 3 Hz a mel, and logarithmic above (Slaney, Auditory Toolbox, 1998).
    """
    knee, step = 15.0, np.log(6.4) / 27  # 1 kHz in mel; a mel above it
    top = knee + np.log(sample_rate / 2 / 1000) / step if sample_rate > 2000 else sample_rate / 2 * 3 / 200
    mels = np.linspace(0, top, n_mels + 2)
    edges = np.where(mels < knee, mels * 200 / 3, 1000 * np.exp(step * (mels - knee)))
    distance = frequencies(sample_rate, n_fft)[:, None] - edges
    rising = distance[:, :-2] / np.diff(edges)[:-1]
    falling = -distance[:, 2:] / np.diff(edges)[1:]
    weights = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    weights *= 2 / (edges[2:] - edges[:-2])
    return weights


@lru_cache(maxsize=128)  # the tuning is given to 0.01 semitone, so it has 100 values
def chroma(sample_rate: int, n_fft: int, tuning: float) -> np.ndarray:
    """Gaussian bumps on the 12 pitch classes from C on, weighted to the octaves about A440: (F, 12) float32.

    tuning: of A = 440 Hz, in semitones (Ellis, Chroma feature analysis and synthesis, 2007).
    """
    hertz = np.arange(1, n_fft // 2 + 2) * sample_rate / n_fft
    semitone = 12 * np.log2(hertz / (440 * 2 ** (tuning / 12) / 16))
    semitone = np.append(semitone[0] - 18, semitone)  # the bin at 0 Hz: an octave and a half below the next
    width = np.maximum(np.diff(semitone), 1)
    semitone = semitone[:-1, None]
    distance = np.remainder(semitone - np.arange(12) + 6, 12) - 6
    bumps = np.exp(-0.5 * (2 * distance / width[:, None]) ** 2)
    bumps /= np.linalg.norm(bumps, axis=1, keepdims=True)
    bumps *= np.exp(-0.5 * ((semitone / 12 - 5) / 2) ** 2)
    return np.roll(bumps, -3, axis=1).astype(np.float32)  # from A to C


@lru_cache
def dct(n_in: int, n_out: int) -> np.ndarray:
    """The first n_out rows of the orthonormal DCT-II, transposed: (n_in, n_out) float64."""
    return np.asarray(scipy.fft.dct(np.eye(n_in), norm="ortho", axis=0))[:n_out].T
