"""What a spectrum says frame by frame: brightness, contrast, chroma, tempo.

Conventions: T frames, F = 1 + n_fft // 2 bins. Frames are centred at multiples of `hop_length`, the clip padded with
zeros at both ends, so T = 1 + n // hop_length; the window is Hann. Arrays are frame-major, (T, F): a frame's bins lie
together in memory. Each function gives what librosa 0.11's of the like name gives with its defaults on `y`.
"""

from functools import lru_cache
from itertools import pairwise

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view

from musiclust.preprocess import filterbanks
from musiclust.preprocess.decode import MIN_SAMPLES

N_FFT = MIN_SAMPLES  # 2048
HOP_LENGTH = 512
TOP_DB = 80.0  # dynamic range of every decibel scale, as in librosa.power_to_db
CONTRAST_EDGES = (0.0, *(200.0 * 2.0**octave for octave in range(7)))  # Hz, seven bands

_AMIN = 1e-10  # librosa's floor under logarithms
_FRAMES_AT_ONCE = 32  # so that a block of the STFT stays in the cache


def stft_magnitude(y: np.ndarray) -> np.ndarray:
    """|STFT|, (n,) -> (T, F) float32; the transform in double precision, as librosa's."""
    frames = sliding_window_view(np.pad(y, N_FFT // 2), N_FFT)[::HOP_LENGTH]
    window = filterbanks.hann(N_FFT)
    magnitude = np.empty((len(frames), 1 + N_FFT // 2), np.float32)
    for start in range(0, len(frames), _FRAMES_AT_ONCE):
        rows = slice(start, start + _FRAMES_AT_ONCE)
        np.abs(np.asarray(scipy.fft.rfft(frames[rows] * window), np.complex64), out=magnitude[rows])
    return magnitude


def decibels(power: np.ndarray) -> np.ndarray:
    """10 log10 of `power`, nothing more than TOP_DB below the maximum."""
    level = 10 * np.log10(np.maximum(_AMIN, power))
    return np.maximum(level, level.max() - TOP_DB)


def centroid_and_bandwidth(magnitude: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of frequency, weighted by magnitude: (T,), (T,) float64, Hz; 0 in silence."""
    hertz = filterbanks.frequencies(sample_rate, N_FFT)
    # Moments about the middle of the axis, in double precision: the variance is a difference.
    offset = hertz - hertz[-1] / 2
    total, first, second = (magnitude.astype(np.float64) @ np.stack([offset**0, offset, offset**2], axis=1)).T
    silent = total < np.finfo(np.float32).tiny
    total[silent] = 1.0
    mean = first / total
    variance = np.maximum(0.0, second / total - mean**2)
    return np.where(silent, 0.0, mean + hertz[-1] / 2), np.where(silent, 0.0, np.sqrt(variance))


def rolloff(magnitude: np.ndarray, sample_rate: int) -> np.ndarray:
    """The lowest frequency below which lie 85 % of the magnitude, (T,) float64, Hz."""
    cumulative = np.cumsum(magnitude, axis=1)
    bins = np.sum(cumulative < np.float32(0.85) * cumulative[:, -1:], axis=1)
    return filterbanks.frequencies(sample_rate, N_FFT)[bins]


@lru_cache
def _contrast_bands(sample_rate: int) -> tuple[tuple[slice, int], ...]:
    """Of each band the bins, and how many of them make its valley and its peak (2 %)."""
    hertz = filterbanks.frequencies(sample_rate, N_FFT)
    bands = []
    for low, high in pairwise(CONTRAST_EDGES):
        inside = np.flatnonzero((hertz >= low) & (hertz <= high))
        first, end = max(0, int(inside[0]) - 1), int(inside[-1]) + 1
        if high == CONTRAST_EDGES[-1]:
            end = len(hertz)  # the top band reaches up to half the sample rate
        n = max(1, round(0.02 * (end - first)))
        # librosa counts the last bin of every band, but leaves it out of all but the top one
        bands.append((slice(first, end if end == len(hertz) else end - 1), n))
    return tuple(bands)


def contrast(magnitude: np.ndarray, sample_rate: int) -> np.ndarray:
    """Peak over valley of seven octave bands, (T, 7), dB (Jiang et al., ICME 2002)."""
    peak, valley = np.empty((2, len(magnitude), len(CONTRAST_EDGES) - 1))
    for band, (bins, n) in enumerate(_contrast_bands(sample_rate)):
        ordered = np.sort(magnitude[:, bins], axis=1)  # several times as fast as np.partition: it has vector code
        valley[:, band] = ordered[:, :n].mean(axis=1)
        peak[:, band] = ordered[:, -n:].mean(axis=1)
    return decibels(peak) - decibels(valley)


def flatness(power: np.ndarray) -> np.ndarray:
    """Geometric over arithmetic mean of the power, (T,), in (0, 1]."""
    power = np.maximum(_AMIN, power)
    return np.exp(np.log(power).mean(axis=1)) / power.mean(axis=1)


def _per_frame(per_sample: np.ndarray) -> np.ndarray:
    """Sums over each frame, (T,), of a series (n + n_fft,), by way of sums over each hop."""
    hops = len(per_sample) // HOP_LENGTH
    by_hop = per_sample[: hops * HOP_LENGTH].reshape(hops, HOP_LENGTH).sum(axis=1)
    return sliding_window_view(by_hop, N_FFT // HOP_LENGTH).sum(axis=1)


def rms(y: np.ndarray) -> np.ndarray:
    """Root mean square, (T,) float64."""
    return np.sqrt(_per_frame(np.pad(y, N_FFT // 2).astype(np.float64) ** 2) / N_FFT)


def zero_crossing_rate(y: np.ndarray) -> np.ndarray:
    """Changes of sign for each sample, (T,) float64; the ends of the clip are held, samples up to 1e-10 count as 0."""
    negative = np.pad(y, N_FFT // 2, mode="edge") < -1e-10
    crossings = np.append(0, negative[1:] != negative[:-1])
    # a frame's first sample has no predecessor within the frame
    first = crossings[::HOP_LENGTH][: 1 + len(y) // HOP_LENGTH]
    return (_per_frame(crossings) - first) / N_FFT


def chroma(power: np.ndarray, sample_rate: int) -> np.ndarray:
    """Energy of the 12 pitch classes, the strongest of each frame 1, (T, 12) float32."""
    raw = power @ filterbanks.chroma(sample_rate, N_FFT, tuning(power, sample_rate))
    strongest = raw.max(axis=1, keepdims=True)
    return raw / np.where(strongest < np.finfo(np.float32).tiny, 1, strongest)


def tuning(power: np.ndarray, sample_rate: int) -> float:
    """Deviation from A = 440 Hz, in [-0.5, 0.5) semitones, to 0.01: the commonest among the stronger spectral peaks."""
    hertz = filterbanks.frequencies(sample_rate, N_FFT)
    low, high = np.searchsorted(hertz, [150.0, min(4000.0, sample_rate / 2)])
    band = power[:, low - 1 : high + 1]
    loud = np.where(band > np.float32(0.1) * power.max(axis=1, keepdims=True), band, 0)
    frame, peak = np.nonzero((loud[:, 1:-1] > loud[:, :-2]) & (loud[:, 1:-1] >= loud[:, 2:]))
    if not len(frame):
        return 0.0
    # a parabola through each peak and its neighbours
    left, centre, right = (band[frame, peak + i] for i in range(3))
    curvature = right.astype(np.float64) + left - 2 * centre.astype(np.float64)
    slope = (right.astype(np.float64) - left) / 2
    inside = np.abs(slope) < np.abs(curvature)
    shift = np.where(inside, -slope / np.where(inside, curvature, 1), 0).astype(np.float32)
    height = centre + (0.5 * ((right - left) / 2) * shift).astype(np.float32)
    pitch = ((peak + low + shift) * sample_rate / N_FFT).astype(np.float32)
    octaves = np.log2(pitch[height >= np.median(height)] / np.float32(440 / 16))
    residual = np.mod(12 * octaves, 1)
    residual[residual >= 0.5] -= 1
    counts, edges = np.histogram(residual, np.linspace(-0.5, 0.5, 101))
    return float(edges[np.argmax(counts)])


def tempo(log_mel: np.ndarray, sample_rate: int) -> float:
    """Beats a minute: the strongest lag of the onset envelope's autocorrelation, weighted towards 120 (Ellis 2007)."""
    onset = np.maximum(0, np.diff(log_mel, axis=0)).mean(axis=1)
    delay = 1 + N_FFT // (2 * HOP_LENGTH)  # the lag of the difference, and half a window
    envelope = np.pad(onset, (delay, 0))[: len(log_mel)]
    n = int(8.0 * sample_rate) // HOP_LENGTH
    padded = np.pad(envelope, n // 2, mode="linear_ramp")
    frames = sliding_window_view(padded, n)[: len(envelope)] * filterbanks.hann(n)
    # Each frame's autocorrelation is divided by its largest value, at lag 0, then averaged. Both are linear, so one
    # inverse transform of the averaged spectrum does.
    energy = np.einsum("tn,tn->t", frames, frames)
    weight = 1 / np.where(energy < np.finfo(np.float64).tiny, 1, energy) / len(frames)
    size = scipy.fft.next_fast_len(2 * n - 1, real=True)
    spectrum = np.asarray(scipy.fft.rfft(frames, size))
    mean_power = weight @ (np.real(spectrum) ** 2 + np.imag(spectrum) ** 2)
    autocorrelation = np.asarray(scipy.fft.irfft(mean_power, size))[1:n]
    tempi = 60 * sample_rate / (HOP_LENGTH * np.arange(1, n))
    prior = np.where(tempi < 320, -0.5 * np.log2(tempi / 120) ** 2, -np.inf)
    return float(tempi[np.argmax(np.log1p(1e6 * autocorrelation) + prior)])
