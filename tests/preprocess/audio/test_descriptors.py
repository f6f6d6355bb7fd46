"""Descriptors, held against librosa's own functions bit for bit."""

import warnings
from collections.abc import Callable

import librosa
import numpy as np
import pytest

from musiclust.preprocess.audio import descriptors
from musiclust.preprocess.audio.descriptors import HOP_LENGTH, N_FFT

RATE = 22_050
HOP = {"n_fft": N_FFT, "hop_length": HOP_LENGTH}


def notes(seconds: float, rate: int, tuning: float) -> np.ndarray:
    """Four notes a second with overtones that fade, `tuning` semitones sharp, over a little noise: (n,) float32."""
    rng = np.random.default_rng(round(1000 * seconds))
    time = np.arange(round(seconds * rate)) / rate
    y = 0.001 * rng.standard_normal(len(time))
    for start in range(0, len(y), rate // 4):
        after = time[: len(y) - start]
        pitch = 440 * 2 ** ((rng.integers(-24, 24) + tuning) / 12)
        for overtone in range(1, 6):
            y[start:] += 0.1 / overtone * np.sin(2 * np.pi * overtone * pitch * after) * np.exp(-5 * overtone * after)
    return y.astype(np.float32)


SOUNDS = {
    "notes": notes(7.3, RATE, 0.2),
    "flat": notes(4.0, RATE, -0.37),
    "another rate": notes(3.0, 44_100, 0.1),
    "low rate": notes(3.0, 16_000, 0.0),
    "noise": 0.1 * np.random.default_rng(3).standard_normal(40_001).astype(np.float32),
    "with silence": np.concatenate([notes(1.0, RATE, 0.0), np.zeros(RATE, np.float32), notes(0.5, RATE, 0.0)]),
    "silence": np.zeros(10_000, np.float32),
    "one window": notes(1.0, RATE, 0.0)[:N_FFT],
    "a sample more than whole hops": notes(1.0, RATE, 0.0)[: 8 * HOP_LENGTH + 1],
    "clicks": np.where(np.arange(6 * RATE) % (RATE // 2), 0, 1).astype(np.float32),
    "square": np.sign(np.sin(2 * np.pi * 100 * np.arange(RATE) / RATE)).astype(np.float32),
    "as loud as decode lets through": 1e6 * notes(0.5, RATE, 0.0),
    "faint": np.float32(1e-9) * notes(1.0, RATE, 0.0),
    "denormal": np.full(RATE, 1e-42, np.float32),
}
RATES = {"another rate": 44_100, "low rate": 16_000}

Made = tuple[np.ndarray, int, np.ndarray, np.ndarray]


@pytest.fixture(scope="module", params=SOUNDS)
def made(request: pytest.FixtureRequest) -> Made:
    """Samples, rate, and librosa's magnitude and power, (F, T)."""
    y, rate = SOUNDS[request.param], RATES.get(request.param, RATE)
    magnitude = np.abs(librosa.stft(y, **HOP))
    return y, rate, magnitude, magnitude**2


def log_mel(power: np.ndarray, rate: int) -> np.ndarray:
    return librosa.power_to_db(librosa.feature.melspectrogram(S=power, sr=rate))


def centroid(magnitude: np.ndarray, rate: int) -> np.ndarray:
    both = librosa.feature.spectral_centroid, librosa.feature.spectral_bandwidth
    return np.concatenate([measure(S=magnitude, sr=rate) for measure in both])


feature = librosa.feature
# name -> (ours of frames first, librosa's), each of samples, rate, magnitude and power
PAIRS: dict[str, tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]] = {
    "magnitude": (lambda y, rate, s, p: descriptors.take_magnitudes(y).T, lambda y, rate, s, p: s),
    "mel": (
        lambda y, rate, s, p: descriptors.find_mels(p.T, rate),
        lambda y, rate, s, p: feature.melspectrogram(S=p, sr=rate),
    ),
    "chroma": (
        lambda y, rate, s, p: descriptors.find_chroma(p.T, rate),
        lambda y, rate, s, p: feature.chroma_stft(S=p, sr=rate),
    ),
    "tuning": (
        lambda y, rate, s, p: np.array(descriptors.estimate_tuning(p.T, rate)),
        lambda y, rate, s, p: np.array(librosa.estimate_tuning(S=p, sr=rate)),
    ),
    "centroid": (
        lambda y, rate, s, p: descriptors.measure_centroid(s.T, rate),
        lambda y, rate, s, p: centroid(s, rate),
    ),
    "rolloff": (
        lambda y, rate, s, p: descriptors.measure_rolloff(s.T, rate),
        lambda y, rate, s, p: feature.spectral_rolloff(S=s, sr=rate),
    ),
    "contrast": (
        lambda y, rate, s, p: descriptors.measure_contrast(s.T, rate),
        lambda y, rate, s, p: feature.spectral_contrast(S=s, sr=rate),
    ),
    "flatness": (
        lambda y, rate, s, p: descriptors.measure_flatness(p.T),
        lambda y, rate, s, p: feature.spectral_flatness(S=s),
    ),
    "zero crossings": (
        lambda y, rate, s, p: descriptors.count_zero_crossings(y),
        lambda y, rate, s, p: feature.zero_crossing_rate(y),
    ),
    "rms": (lambda y, rate, s, p: descriptors.measure_rms(y), lambda y, rate, s, p: feature.rms(y=y)),
    "tempo": (
        lambda y, rate, s, p: descriptors.estimate_tempo([log_mel(p, rate)], rate),
        lambda y, rate, s, p: feature.tempo(
            onset_envelope=librosa.onset.onset_strength(S=log_mel(p, rate), sr=rate, hop_length=HOP_LENGTH),
            sr=rate,
            hop_length=HOP_LENGTH,
        ),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_values_are_librosas_bit_for_bit(made: Made, name: str):
    ours, theirs = PAIRS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # librosa warns of silence, which has no tuning
        found, expected = ours(*made), theirs(*made)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_a_spectrogram_is_c_contiguous_as_the_sums_assume():
    magnitude = descriptors.take_magnitudes(SOUNDS["notes"])
    assert magnitude.flags.c_contiguous
    assert np.abs(librosa.stft(SOUNDS["notes"], **HOP)).flags.f_contiguous


def test_the_tempo_of_pieces_is_that_of_all_their_tempograms():
    pieces = [notes(9.0, RATE, 0.0), notes(5.0, RATE, 0.0)]
    log_mels = [log_mel(np.abs(librosa.stft(y, **HOP)) ** 2, RATE) for y in pieces]
    hop = {"sr": RATE, "hop_length": HOP_LENGTH}
    window = librosa.time_to_frames(8.0, **hop).item()
    tempograms = [
        feature.tempogram(onset_envelope=librosa.onset.onset_strength(S=one, **hop), win_length=window, **hop)
        for one in log_mels
    ]
    expected = feature.tempo(tg=np.concatenate(tempograms, axis=1), **hop)
    np.testing.assert_array_equal(descriptors.estimate_tempo(log_mels, RATE), expected)


def test_each_filterbank_is_made_once(monkeypatch: pytest.MonkeyPatch):
    power = np.square(descriptors.take_magnitudes(SOUNDS["notes"]))
    descriptors.find_mels(power, RATE)
    descriptors.find_chroma(power, RATE)
    monkeypatch.setattr(librosa.filters, "mel", None)
    monkeypatch.setattr(librosa.filters, "chroma", None)
    descriptors.find_mels(power, RATE)
    descriptors.find_chroma(power, RATE)
