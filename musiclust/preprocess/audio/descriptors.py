"""Librosa's descriptors of sound, the same values for a fraction of the work.

Librosa's functions, called one after the other, make each filterbank anew, check, normalise and copy the whole
spectrogram several times, and work out things everywhere that are needed at a few places. Here everything is made once
and only where it is needed, by the same operations on the same types: the values are librosa's bit for bit, and the
tempo, which is one of a few hundred, is the same. The tests hold them to it.

Conventions: a spectrogram is (T, F) float32 in C order, T frames centred at multiples of HOP_LENGTH by
F = 1 + N_FFT // 2 bins. Librosa's (F, T) in Fortran order is the same memory, so sums run in the same order and round
alike. What has a value a frame is (D, T), as librosa has it. Rates are in Hz.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from musiclust.preprocess.audio.decode import MIN_SAMPLES

N_FFT = MIN_SAMPLES  # 2048
HOP_LENGTH = 512
N_MELS = 128

_CHUNK = 32  # frames worked on at a time: what is made of them on the way stays in the processor's cache
_BANKS = 128  # filterbanks kept: there are 100 tunings
_PITCHES = (150.0, 4000.0)  # Hz, among which the tuning is looked for; librosa's defaults from here on
_PITCH_THRESHOLD = 0.1  # share of a frame's largest power above which a peak is a pitch
_ROLLOFF = 0.85  # share of the magnitude that lies below the roll-off
_LOWEST_BAND = 200.0  # Hz, where the lowest band of the contrast ends; six octaves follow
_QUANTILE = 0.02  # share of a band's bins that are its peak, and its valley
_LEAST_POWER = 1e-10  # of the flatness
_LEAST_SAMPLE = 1e-10  # what is smaller is 0 to zero crossings
_TEMPOGRAM_SECONDS = 8.0


def take_magnitudes(y: np.ndarray) -> np.ndarray:
    """Returns the magnitudes of the short-time Fourier transform of y, (n,) float32: (T, F), `abs(librosa.stft(y))`."""
    import scipy.fft

    frames = sliding_window_view(np.pad(y, N_FFT // 2), N_FFT)[::HOP_LENGTH]
    window = _hann(N_FFT)
    magnitude = np.empty((len(frames), 1 + N_FFT // 2), np.float32)
    for chunk in _cut(len(frames)):
        spectrum: Any = scipy.fft.rfft(frames[chunk].astype(np.float64) * window, axis=1)
        np.abs(spectrum.astype(np.complex64), out=magnitude[chunk])
    return magnitude


def find_mels(power: np.ndarray, sample_rate: int) -> np.ndarray:
    """Returns the power in N_MELS mel bands, (N_MELS, T), `librosa.feature.melspectrogram`."""
    return np.einsum("...ft,mf->...mt", power.T, _mel_bank(sample_rate), optimize=True)


def find_chroma(power: np.ndarray, sample_rate: int) -> np.ndarray:
    """Returns the strengths of the pitch classes from C on, (12, T), 1 the strongest, `librosa.feature.chroma_stft`."""
    import librosa

    bank = _chroma_bank(sample_rate, estimate_tuning(power, sample_rate))
    return librosa.util.normalize(np.einsum("cf,...ft->...ct", bank, power.T, optimize=True), norm=np.inf, axis=-2)


def estimate_tuning(power: np.ndarray, sample_rate: int) -> float:
    """Returns how far the sound is tuned from 440 Hz, in semitones from -0.5 to 0.5, `librosa.estimate_tuning`.

    Librosa interpolates a parabola at every bin of the spectrogram. Here it is interpolated at the peaks.
    """
    import librosa

    frequency = _frequencies(sample_rate)
    first, last = np.searchsorted(frequency, [_PITCHES[0], min(_PITCHES[1], sample_rate / 2)])
    here, below, above = (power[:, first + step : last + step] for step in (0, -1, 1))
    threshold = _PITCH_THRESHOLD * power.max(axis=1, keepdims=True)
    peaks = np.flatnonzero((here > threshold) & (here > below) & (here >= above))
    if not len(peaks):
        return 0.0
    frame, bins = np.divmod(peaks, last - first)
    bins += first
    top, left, right = (power[frame, bins + step] for step in (0, -1, 1))
    # Of the parabola through three points, in the types of librosa's: sums in float32, the rest in float64.
    bend = (right + left) - 2.0 * top.astype(np.float64)
    slope = (right - left).astype(np.float64) / 2
    inside = np.abs(slope) < np.abs(bend)
    shift = np.divide(-slope, bend, out=np.zeros(len(bend)), where=inside).astype(np.float32)
    pitch = ((bins + shift) * float(sample_rate) / N_FFT).astype(np.float32)
    height = top + 0.5 * ((right - left) / 2) * shift
    return float(librosa.pitch_tuning(pitch[height >= np.median(height)], bins_per_octave=12))


def measure_centroid(magnitude: np.ndarray, sample_rate: int) -> np.ndarray:
    """Returns the centroid and the bandwidth of each frame in Hz, (2, T).

    `librosa.feature.spectral_centroid` and `spectral_bandwidth`.
    """
    frequency = _frequencies(sample_rate)

    def measure(chunk: np.ndarray) -> np.ndarray:
        share = chunk.astype(np.float64)
        total = share.sum(axis=1, keepdims=True)
        total[total < np.finfo(np.float32).tiny] = 1
        share /= total
        share[...] = share.astype(np.float32)  # as librosa rounds it
        product = share * frequency
        centroid = product.sum(axis=1)
        np.subtract(centroid[:, None], frequency, out=product)
        np.square(product, out=product)
        product *= share
        return np.stack([centroid, np.sqrt(product.sum(axis=1))])

    return _by_chunk(measure, magnitude)


def measure_rolloff(magnitude: np.ndarray, sample_rate: int) -> np.ndarray:
    """Returns the frequency in Hz below which 85 % of the magnitude lie, (1, T), `librosa.feature.spectral_rolloff`."""
    frequency = _frequencies(sample_rate)

    def measure(chunk: np.ndarray) -> np.ndarray:
        below = np.cumsum(chunk, axis=1)
        return frequency[np.argmax(below >= _ROLLOFF * below[:, -1:], axis=1)][None]

    return _by_chunk(measure, magnitude)


def measure_contrast(magnitude: np.ndarray, sample_rate: int) -> np.ndarray:
    """Returns how far peaks rise above valleys in seven bands, (7, T) dB, `librosa.feature.spectral_contrast`."""
    import librosa

    valleys, peaks = [], []
    for first, last, count in _contrast_bands(sample_rate):
        band = magnitude[:, first:last]
        if count == 1:
            valleys.append(band.min(axis=1))
            peaks.append(band.max(axis=1))
        else:
            # Rank after rank is added, as librosa's array lies: its bins are not side by side here.
            ordered = np.sort(band, axis=1)
            valleys.append(np.ascontiguousarray(ordered[:, :count].T).mean(axis=0))
            peaks.append(np.ascontiguousarray(ordered[:, -count:].T).mean(axis=0))
    return librosa.power_to_db(np.array(peaks, np.float64)) - librosa.power_to_db(np.array(valleys, np.float64))


def measure_flatness(power: np.ndarray) -> np.ndarray:
    """Returns the geometric mean of the power over its mean, (1, T), `librosa.feature.spectral_flatness`."""

    def measure(chunk: np.ndarray) -> np.ndarray:
        above = np.maximum(_LEAST_POWER, chunk)
        return (np.exp(np.log(above).mean(axis=1)) / above.mean(axis=1))[None]

    return _by_chunk(measure, power)


def count_zero_crossings(y: np.ndarray) -> np.ndarray:
    """Returns the share of a frame's samples before which the sign changes, (1, T).

    `librosa.feature.zero_crossing_rate` of y, (n,) float32. They are counted hop by hop, which frames share.
    """
    negative = np.pad(y, N_FFT // 2, mode="edge") < -np.float32(_LEAST_SAMPLE)
    crossed = np.zeros(len(negative), bool)
    np.not_equal(negative[1:], negative[:-1], out=crossed[1:])
    before = crossed[: 1 - N_FFT : HOP_LENGTH]  # at the first sample of a frame, which counts for the frame before
    return ((_add_hops(_sum_hops(crossed)) - before) / N_FFT)[None]


def measure_rms(y: np.ndarray) -> np.ndarray:
    """Returns the root of the mean square of each frame of y, (n,) float32: (1, T), `librosa.feature.rms`."""
    return np.sqrt(_add_hops(_sum_hops(np.square(np.pad(y, N_FFT // 2)))) / N_FFT)[None]


def estimate_tempo(log_mels: Sequence[np.ndarray], sample_rate: int) -> np.ndarray:
    """Returns the tempo in BPM, (1,), by the tempograms of all pieces together, `librosa.feature.tempo`.

    A tempogram has the autocorrelation of the onsets about each frame, 1 at lag 0. Only their mean is needed, so the
    power spectra are averaged before they are transformed back.

    Args:
      log_mels: (N_MELS, T) dB of each piece.
    """
    import librosa
    import scipy.fft

    hop: Any = {"sr": sample_rate, "hop_length": HOP_LENGTH}
    length = librosa.time_to_frames(_TEMPOGRAM_SECONDS, **hop).item()
    size: Any = scipy.fft.next_fast_len(2 * length - 1, real=True)
    window = _hann(length)
    total, count = np.zeros(size // 2 + 1), 0
    for log_mel in log_mels:
        onsets = librosa.onset.onset_strength(S=log_mel, **hop)
        padded = np.pad(onsets, length // 2, mode="linear_ramp", end_values=0).astype(np.float64)
        frames = sliding_window_view(padded, length)[: len(onsets)]
        for chunk in _cut(len(frames)):
            windowed = frames[chunk] * window
            energy = np.square(windowed).sum(axis=1)
            energy[energy < np.finfo(np.float64).tiny] = 1
            spectrum: Any = scipy.fft.rfft(windowed, n=size, axis=1)
            total += (1 / energy) @ (np.square(spectrum.real) + np.square(spectrum.imag))
        count += len(frames)
    tempogram: Any = scipy.fft.irfft(total / count, n=size)
    return librosa.feature.tempo(tg=tempogram[:length, None], aggregate=None, **hop)


def _sum_hops(samples: np.ndarray) -> np.ndarray:
    """Sums padded samples hop by hop, (T + 3,)."""
    count = len(samples) // HOP_LENGTH
    return samples[: count * HOP_LENGTH].reshape(count, HOP_LENGTH).sum(axis=1)


def _add_hops(sums: np.ndarray) -> np.ndarray:
    """Adds the four hops of each frame, (T + 3,) -> (T,), in the order in which NumPy adds a frame's 2048 samples."""
    return (sums[:-3] + sums[1:-2]) + (sums[2:-1] + sums[3:])


def _cut(frames: int) -> Iterator[slice]:
    return (slice(start, start + _CHUNK) for start in range(0, frames, _CHUNK))


def _by_chunk(measure: Callable[[np.ndarray], np.ndarray], spectrogram: np.ndarray) -> np.ndarray:
    """Measures (B, F) -> (D, B), a few frames after the others: (T, F) -> (D, T)."""
    return np.concatenate([measure(spectrogram[chunk]) for chunk in _cut(len(spectrogram))], axis=1)


@lru_cache
def _hann(length: int) -> np.ndarray:
    import librosa

    return librosa.filters.get_window("hann", length, fftbins=True)


@lru_cache
def _frequencies(sample_rate: int) -> np.ndarray:
    """Returns the frequencies of the bins in Hz, (F,)."""
    import librosa

    return librosa.fft_frequencies(sr=sample_rate, n_fft=N_FFT)


@lru_cache
def _mel_bank(sample_rate: int) -> np.ndarray:
    """Returns the weights of bins in mel bands, (N_MELS, F)."""
    import librosa

    return librosa.filters.mel(sr=sample_rate, n_fft=N_FFT, n_mels=N_MELS)


@lru_cache(_BANKS)
def _chroma_bank(sample_rate: int, tuning: float) -> np.ndarray:
    """Returns the weights of bins in pitch classes, (12, F)."""
    import librosa

    return librosa.filters.chroma(sr=sample_rate, n_fft=N_FFT, tuning=tuning, n_chroma=12)


@lru_cache
def _contrast_bands(sample_rate: int) -> tuple[tuple[int, int, int], ...]:
    """Returns of each band its first bin, the one after its last, and how many of its bins are its peak."""
    frequency = _frequencies(sample_rate)
    edges = [0.0, *(_LOWEST_BAND * 2.0**octave for octave in range(7))]
    bands = []
    for low, high in pairwise(edges):
        top = high == edges[-1]
        first = int(np.searchsorted(frequency, low)) - (low > 0)
        last = len(frequency) if top else int(np.searchsorted(frequency, high, side="right"))
        count = max(1, round(_QUANTILE * (last - first)))
        bands.append((first, last if top else last - 1, count))
    return tuple(bands)
