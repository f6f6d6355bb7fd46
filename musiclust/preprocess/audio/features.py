"""Audio features: every block of one clip from one STFT, by librosa (McFee et al., SciPy 2015).

Conventions: F = 1 + n_fft // 2 bins by T frames, centred at multiples of hop_length; Hann window. Values are those of
librosa's functions with their defaults, called on the samples one by one; the tests hold them to it. Where a function
of librosa does more work than is needed, descriptors.py has its values for less.

`decode` and its conventions live in decode.py and are offered here too: the room is used through this module.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from threading import Lock
from typing import Any

import numpy as np

from musiclust.preprocess.audio import descriptors
from musiclust.preprocess.audio.decode import CLIP_SECONDS, SAMPLE_RATE, Clip, decode
from musiclust.preprocess.audio.descriptors import HOP_LENGTH, N_FFT, N_MELS

__all__ = [
    "BLOCKS",
    "CLIP_SECONDS",
    "EXTRACTOR_VERSION",
    "HOP_LENGTH",
    "N_FFT",
    "SAMPLE_RATE",
    "BlockSpec",
    "Clip",
    "decode",
    "extract",
    "spec",
    "warm_up",
]

TOP_DB = 80.0  # depth of a decibel scale, librosa's default
EXTRACTOR_VERSION = 1  # raise it whenever a value changes: stores are checked against it
MELSPEC_FRAMES = 431  # 10 s at 22,050 Hz
_WARMING = Lock()

STATISTICS = ("mean", "std", "skew", "kurtosis", "median", "min", "max")  # the order of FMA's features.py


@dataclass(frozen=True)
class BlockSpec:
    """What a block holds for each track.

    Attributes:
      shape: of one track's values.
      dtype: as NumPy names it.
      units: of the values.
      description: what they are.
      columns: names along the last axis, () where that axis is time.
    """

    shape: tuple[int, ...]
    dtype: str
    units: str
    description: str
    columns: tuple[str, ...]


_SPECTRAL = (
    "centroid",
    "bandwidth",
    "rolloff",
    *(f"contrast_{band}" for band in range(1, 8)),
    "flatness",
    "zero_crossing_rate",
    "rms",
)

BLOCKS: Mapping[str, BlockSpec] = {
    "mfcc_mean": BlockSpec(
        (20,), "float32", "dB", "means over time of 20 MFCC", tuple(f"mfcc_{i:02d}" for i in range(1, 21))
    ),
    "mfcc_stats": BlockSpec(
        (20, 7), "float32", "dB; skew and kurtosis without unit", "FMA's seven statistics of 20 MFCC", STATISTICS
    ),
    "mfcc40": BlockSpec(
        (40,), "float32", "dB", "means over time of 40 MFCC", tuple(f"mfcc_{i:02d}" for i in range(1, 41))
    ),
    "melspec": BlockSpec(
        (N_MELS, MELSPEC_FRAMES),
        "float16",
        "dB, reference power 1, 80 dB deep",
        "log-mel spectrogram of the central 431 frames, a shorter clip followed by the floor",
        (),
    ),
    "chroma": BlockSpec(
        (12, 2), "float32", "1", "mean and standard deviation of 12 pitch classes, from C on", ("mean", "std")
    ),
    "spectral": BlockSpec(
        (27,),
        "float32",
        "Hz (centroid, bandwidth, rolloff), dB (contrast), 1 (flatness, zero_crossing_rate, rms), BPM (tempo)",
        "means and standard deviations over time of descriptors of the spectrum, and the tempo",
        (*(f"{name}_{statistic}" for name in _SPECTRAL for statistic in ("mean", "std")), "tempo"),
    ),
}


def spec(name: str, *, windows: int = 1) -> dict[str, Any]:
    """Describes how the values of block `name` come about, JSON-able. Raises KeyError for an unknown name.

    Args:
      windows: how many pieces the clip is made of.

    Example:
      >>> spec("mfcc_stats")["shape"], spec("mfcc_stats")["sample_rate"]
      ([20, 7], 22050)
    """
    block = BLOCKS[name]
    return {
        "shape": list(block.shape),
        "dtype": block.dtype,
        "units": block.units,
        "description": block.description,
        "columns": list(block.columns),
        "sample_rate": SAMPLE_RATE,
        "n_fft": N_FFT,
        "hop_length": HOP_LENGTH,
        "clip_seconds": CLIP_SECONDS,
        **({"clip_windows": windows} if windows > 1 else {}),
        "extractor": f"librosa {version('librosa')}",
        "extractor_version": EXTRACTOR_VERSION,
    }


def warm_up() -> None:
    """Lets numba compile what librosa uses, once and into its cache on disk: half a minute in a fresh environment.

    It may be called from several threads: one of them compiles, the others wait for it.
    """
    with _WARMING:
        _warm_up_once()


@cache
def _warm_up_once() -> None:
    extract(np.random.default_rng(0).normal(size=SAMPLE_RATE).astype(np.float32))


def extract(
    y: np.ndarray, *, sample_rate: int = SAMPLE_RATE, pieces: Sequence[np.ndarray] = ()
) -> dict[str, np.ndarray]:
    """Extracts every block of one clip, with the shapes and dtypes of BLOCKS. All values are finite.

    Args:
      y: (n,) float32 mono, at least N_FFT samples, full scale 1.0.
      pieces: sound from all through the song, each like y. Where there are any, all blocks but the spectrogram describe
        their frames together; no frame reaches from one into the next.
      sample_rate: Hz, above 12,800: the top band of the spectral contrast begins at 6,400 Hz.

    Raises:
      ValueError: if y is no such array, or the rate is too low.

    Example:
      >>> y = np.sin(2 * np.pi * 440 * np.arange(22_050) / 22_050).astype(np.float32)
      >>> extract(y)["mfcc_stats"].shape
      (20, 7)
    """
    for one in (y, *pieces):
        if one.ndim != 1 or one.dtype != np.float32 or len(one) < N_FFT or not np.isfinite(one).all():
            raise ValueError(f"y is {one.dtype} {one.shape}, expected at least {N_FFT} finite float32 samples")
    if sample_rate <= 12_800:
        raise ValueError(f"sample_rate is {sample_rate} Hz, expected more than 12800")
    with warnings.catch_warnings():
        # Of clips shorter than a window of the tempogram, and of silence, which has no tuning.
        warnings.simplefilter("ignore", UserWarning)
        found = _blocks(y, pieces or (y,), sample_rate)
        return {name: values.astype(BLOCKS[name].dtype) for name, values in found.items()}


def _blocks(y: np.ndarray, pieces: Sequence[np.ndarray], sample_rate: int) -> dict[str, np.ndarray]:
    from librosa import feature

    magnitudes = [descriptors.take_magnitudes(one) for one in pieces]
    magnitude = magnitudes[0] if len(magnitudes) == 1 else np.concatenate(magnitudes)
    power = np.square(magnitude)
    decibels = _find_decibels(power, sample_rate)
    log_mel = _limit_depth(decibels)
    mfcc = feature.mfcc(S=log_mel, n_mfcc=40)
    series = np.concatenate(
        [
            descriptors.measure_centroid(magnitude, sample_rate),
            descriptors.measure_rolloff(magnitude, sample_rate),
            descriptors.measure_contrast(magnitude, sample_rate),
            descriptors.measure_flatness(power),
            np.concatenate([descriptors.count_zero_crossings(one) for one in pieces], axis=1),
            np.concatenate([descriptors.measure_rms(one) for one in pieces], axis=1),
        ]
    )
    ends = np.cumsum([len(one) for one in magnitudes])[:-1]
    tempo = descriptors.estimate_tempo(np.split(log_mel, ends, axis=1), sample_rate)
    if pieces[0] is not y:
        decibels = _find_decibels(np.square(descriptors.take_magnitudes(y)), sample_rate)
    return {
        "mfcc_mean": mfcc[:20].mean(axis=1, dtype=np.float64),
        "mfcc_stats": _statistics(mfcc[:20]),
        "mfcc40": mfcc.mean(axis=1, dtype=np.float64),
        "melspec": _centre_frames(decibels),
        "chroma": _mean_and_std(descriptors.find_chroma(power, sample_rate)),
        "spectral": np.append(_mean_and_std(series), tempo),
    }


def _find_decibels(power: np.ndarray, sample_rate: int) -> np.ndarray:
    """Returns the mel spectrogram in decibels, of any depth: (T, F) -> (N_MELS, T)."""
    import librosa

    return librosa.power_to_db(descriptors.find_mels(power, sample_rate), top_db=None)


def _limit_depth(decibels: np.ndarray) -> np.ndarray:
    return np.maximum(decibels, decibels.max() - TOP_DB)


def _centre_frames(decibels: np.ndarray) -> np.ndarray:
    """Returns the central frames, (128, 431), TOP_DB deep, followed by the floor where there are fewer."""
    start = max(0, (decibels.shape[1] - MELSPEC_FRAMES) // 2)
    centre = _limit_depth(decibels[:, start : start + MELSPEC_FRAMES])
    missing = MELSPEC_FRAMES - centre.shape[1]
    return np.pad(centre, [(0, 0), (0, missing)], constant_values=centre.max() - TOP_DB)


def _mean_and_std(series: np.ndarray) -> np.ndarray:
    """Returns the mean and the standard deviation over time of each series: (D, T) -> (D, 2)."""
    return np.column_stack([series.mean(axis=1, dtype=np.float64), series.std(axis=1, dtype=np.float64)])


def _statistics(series: np.ndarray) -> np.ndarray:
    """Returns FMA's statistics over time of each series: (D, T) float32 -> (D, 7).

    Standard deviation, skewness and excess kurtosis are the biased ones of scipy.stats; a series that is constant to
    the precision of float32, for which the last two are undefined, has 0 for both.
    """
    x = series.astype(np.float64)
    mean = x.mean(axis=1)
    deviation = x - mean[:, None]
    square = deviation**2
    variance = square.mean(axis=1)
    constant = variance <= (np.finfo(np.float32).eps * mean) ** 2
    scale = np.where(constant, 1.0, variance)
    skew = np.where(constant, 0.0, (square * deviation).mean(axis=1) / scale**1.5)
    kurtosis = np.where(constant, 0.0, (square**2).mean(axis=1) / scale**2 - 3)
    return np.column_stack(
        [mean, np.sqrt(variance), skew, kurtosis, np.median(x, axis=1), x.min(axis=1), x.max(axis=1)]
    )
