"""Log-mel spectrograms made audible, by Griffin and Lim's algorithm: python -m musiclust.preprocess.audio.sonify FOLDER

A process of its own, because librosa has no place where models are trained. It reads what `experiments.traverse` wrote
into the folder and writes a WAV file beside it for each dimension.

    traversals.npy   (K, S, mel, frame) dB, reference power 1: K dimensions, S steps each
    spec.json        "dimensions" (K), "sample_rate" (Hz), "n_fft", "hop_length" (samples)
    dim_<d>.wav      the steps of dimension d one after the other, a pause between them

A mel spectrogram has lost the phases and most of the pitch above a few kHz: one hears register, density, timbre and
loudness, not the recording.
"""

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from musiclust.arrays import read_array
from musiclust.errors import InputError
from musiclust.records import read_record

SECONDS = 3.0  # of each step, from the middle
_PAUSE = 0.25  # seconds
_ITERATIONS = 32
_PEAK = 0.9
# A decoder may leave the range of real spectrograms; louder than this is no music.
_LOUDEST = 60.0  # dB

_Positive = Annotated[int, Meta(ge=1, le=2**24)]


class _Spec(msgspec.Struct):
    """What is read here of spec.json; spectrograms alone have the last three."""

    dimensions: list[Annotated[int, Meta(ge=0)]]
    sample_rate: _Positive | None = None
    n_fft: _Positive | None = None
    hop_length: _Positive | None = None


def sonify(log_mel: np.ndarray, *, sample_rate: int, n_fft: int, hop_length: int) -> np.ndarray:
    """A log-mel spectrogram as sound.

    Args:
      log_mel: (mel, frame) dB, reference power 1.
      sample_rate: Hz. n_fft, hop_length: samples.

    Returns:
      (n,) float32 samples, at the loudness that the spectrogram has.
    """
    from librosa import db_to_power, griffinlim
    from librosa.feature.inverse import mel_to_stft

    power = db_to_power(np.minimum(log_mel.astype(np.float32), _LOUDEST))
    magnitude = mel_to_stft(power, sr=sample_rate, n_fft=n_fft)
    wave = griffinlim(magnitude, n_iter=_ITERATIONS, hop_length=hop_length, n_fft=n_fft, random_state=0)
    return wave.astype(np.float32)


def sonify_folder(folder: Path) -> list[Path]:
    """Writes a WAV file for each dimension; returns the paths.

    The steps of all dimensions are scaled by one factor, so that a dimension of loudness is heard as such.

    Raises:
      InputError: if the folder holds no traversals of spectrograms.
    """
    import soundfile

    values, dimensions, rate, n_fft, hop = _load(folder)
    frames = min(values.shape[3], int(np.ceil(SECONDS * rate / hop)))
    start = (values.shape[3] - frames) // 2
    waves = [
        [sonify(step[:, start : start + frames], sample_rate=rate, n_fft=n_fft, hop_length=hop) for step in steps]
        for steps in values
    ]
    loudest = max(float(np.abs(wave).max(initial=0.0)) for steps in waves for wave in steps)
    pause, paths = np.zeros(int(_PAUSE * rate), np.float32), []
    for dimension, steps in zip(dimensions, waves, strict=True):
        path = folder / f"dim_{dimension:02d}.wav"
        parts = [part * (_PEAK / max(loudest, 1e-9)) for wave in steps for part in (wave, pause)]
        soundfile.write(path, np.concatenate(parts), rate, "PCM_16")
        paths.append(path)
    return paths


def _load(folder: Path) -> tuple[np.ndarray, list[int], int, int, int]:
    """The spectrograms, their dimensions, sample rate, n_fft and hop length."""
    remedy = f"{folder} holds no traversals, make them with experiments.traverse"
    values = read_array(folder / "traversals.npy", remedy=remedy)
    spec = read_record(folder / "spec.json", _Spec, lenient=True, remedy=remedy)
    if values.ndim != 4 or spec.sample_rate is None or spec.n_fft is None or spec.hop_length is None:
        raise InputError(f"{folder} holds no traversals of spectrograms: only a run on melspec can be heard")
    if values.dtype.kind != "f" or not np.isfinite(values).all() or len(values) != len(spec.dimensions):
        raise InputError(f"{folder / 'traversals.npy'} is damaged: {remedy}")
    return values, spec.dimensions, spec.sample_rate, spec.n_fft, spec.hop_length


if __name__ == "__main__":
    try:
        print(*sonify_folder(Path(sys.argv[1])), sep="\n")
    except InputError as error:
        sys.exit(f"error: {error}")
