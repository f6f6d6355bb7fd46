"""Log-mel spectrograms made audible, by Griffin and Lim's algorithm: python -m musiclust.preprocess.audio.sonify FOLDER

A process of its own, because librosa has no place where models are trained. It reads what `experiments.traverse` wrote
into the folder and writes a WAV file beside it for each dimension.

    traversals.npy   (K, S, mel, frame) dB, reference power 1: K dimensions, S steps each
    spec.json        "dimensions" (K), "sample_rate" (Hz), "n_fft", "hop_length" (samples)
    dim_<d>.wav      the steps of dimension d one after the other, a pause between them

A mel spectrogram has lost the phases and most of the pitch above a few kHz: one hears register, density, timbre and
loudness, not the recording.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from musiclust.errors import InputError

SECONDS = 3.0  # of each step, from the middle
_PAUSE = 0.25  # seconds
_ITERATIONS = 32
_PEAK = 0.9
# A decoder may leave the range of real spectrograms; louder than this is no music.
_LOUDEST = 60.0  # dB


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

    values, spec = _load(folder)
    rate, hop = int(spec["sample_rate"]), int(spec["hop_length"])
    frames = min(values.shape[3], int(np.ceil(SECONDS * rate / hop)))
    start = (values.shape[3] - frames) // 2
    waves = [
        [
            sonify(step[:, start : start + frames], sample_rate=rate, n_fft=int(spec["n_fft"]), hop_length=hop)
            for step in steps
        ]
        for steps in values
    ]
    loudest = max(float(np.abs(wave).max(initial=0.0)) for steps in waves for wave in steps)
    pause, paths = np.zeros(int(_PAUSE * rate), np.float32), []
    for dimension, steps in zip(spec["dimensions"], waves, strict=True):
        path = folder / f"dim_{dimension:02d}.wav"
        parts = [part * (_PEAK / max(loudest, 1e-9)) for wave in steps for part in (wave, pause)]
        soundfile.write(path, np.concatenate(parts), rate, "PCM_16")
        paths.append(path)
    return paths


def _load(folder: Path) -> tuple[np.ndarray, Mapping[str, Any]]:
    try:
        values = np.load(folder / "traversals.npy")
        spec = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} holds no traversals ({error}): make them with experiments.traverse") from error
    lacking = {"dimensions", "sample_rate", "n_fft", "hop_length"} - spec.keys()
    if values.ndim != 4 or lacking:
        raise InputError(f"{folder} holds no traversals of spectrograms: only a run on melspec can be heard")
    return values, spec


if __name__ == "__main__":
    try:
        print(*sonify_folder(Path(sys.argv[1])), sep="\n")
    except InputError as error:
        sys.exit(f"error: {error}")
