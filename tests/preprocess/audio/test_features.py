"""Audio features, against librosa called function by function and scipy.stats."""

import json
import warnings
from importlib.metadata import version

import librosa
import numpy as np
import pytest
import scipy.stats

from musiclust.preprocess.audio import features
from musiclust.preprocess.audio.features import BLOCKS, N_FFT, SAMPLE_RATE, extract, spec

RATE = 44_100


def music(seconds: float, sample_rate: int = SAMPLE_RATE, seed: int = 0, tuning: float = 0.2) -> np.ndarray:
    """Plucked notes with overtones at four a second, `tuning` semitones sharp, and a little noise: (n,) float32."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    y = 0.001 * rng.standard_normal(len(time))
    for onset in np.arange(0, seconds, 0.25):
        pitch = 440 * 2 ** ((rng.integers(-24, 24) + tuning) / 12)
        start = round(onset * sample_rate)
        after = time[: min(len(time) - start, sample_rate // 2)]
        for overtone in range(1, 6):
            tone = np.sin(2 * np.pi * overtone * pitch * after) * np.exp(-4 * overtone * after)
            y[start : start + len(after)] += 0.2 / overtone * tone
    return y.astype(np.float32)


SIGNALS = {
    "music": music(10.0),
    "longer, flat": music(12.3, seed=1, tuning=-0.3),
    "short": music(0.3, seed=2),
    "noise": 0.1 * np.random.default_rng(3).standard_normal(30_000).astype(np.float32),
    "with silence": np.concatenate([music(1.0), np.zeros(SAMPLE_RATE, np.float32)]),
}


@pytest.fixture(scope="module", params=SIGNALS)
def pair(request: pytest.FixtureRequest) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Ours and librosa's, in double precision."""
    y = SIGNALS[request.param]
    feature = librosa.feature
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # librosa warns of clips shorter than a window of the tempogram
        mfcc = feature.mfcc(y=y, n_mfcc=20).astype(float)
        series = [
            feature.spectral_centroid(y=y),
            feature.spectral_bandwidth(y=y),
            feature.spectral_rolloff(y=y),
            feature.spectral_contrast(y=y),
            feature.spectral_flatness(y=y),
            feature.zero_crossing_rate(y),
            feature.rms(y=y),
        ]
        series = np.concatenate(series).astype(float)
        chroma = feature.chroma_stft(y=y).astype(float)
        statistics = [mfcc.mean(1), mfcc.std(1), scipy.stats.skew(mfcc, 1), scipy.stats.kurtosis(mfcc, 1)]
        statistics += [np.median(mfcc, 1), mfcc.min(1), mfcc.max(1)]
        reference = {
            "mfcc_mean": mfcc.mean(1),
            "mfcc_stats": np.stack(statistics, axis=1),
            "mfcc40": feature.mfcc(y=y, n_mfcc=40).astype(float).mean(1),
            "chroma": np.stack([chroma.mean(1), chroma.std(1)], axis=1),
            "spectral": np.append(np.stack([series.mean(1), series.std(1)], axis=1), feature.tempo(y=y)),
        }
    return extract(y), reference


@pytest.mark.parametrize("name", ["mfcc_mean", "mfcc_stats", "mfcc40", "chroma", "spectral"])
def test_blocks_agree_with_librosa_called_one_by_one(pair, name: str):
    ours, reference = pair
    # 1e-3 dB where a coefficient passes through 0
    atol = 1e-3 if name.startswith("mfcc") else 1e-7
    np.testing.assert_allclose(ours[name], reference[name], rtol=1e-4, atol=atol)


def test_features_at_another_sample_rate():
    y = music(2.0, RATE)
    out = extract(y, sample_rate=RATE)
    mfcc = librosa.feature.mfcc(y=y, sr=RATE, n_mfcc=40).mean(1)
    contrast = librosa.feature.spectral_contrast(y=y, sr=RATE).mean(1)
    np.testing.assert_allclose(out["mfcc40"], mfcc, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(out["spectral"][6:20:2], contrast, rtol=1e-4)
    np.testing.assert_allclose(out["spectral"][-1], librosa.feature.tempo(y=y, sr=RATE)[0], rtol=1e-6)
    np.testing.assert_allclose(out["chroma"][:, 0], librosa.feature.chroma_stft(y=y, sr=RATE).mean(1), rtol=1e-4)


def test_melspec_of_ten_seconds_is_librosas():
    expected = librosa.power_to_db(librosa.feature.melspectrogram(y=SIGNALS["music"]))
    assert expected.shape == (128, 431)
    np.testing.assert_allclose(extract(SIGNALS["music"])["melspec"], expected.astype(np.float16), atol=2**-4)
    assert np.mean(extract(SIGNALS["music"])["melspec"] == expected.astype(np.float16)) > 0.99


def test_melspec_of_a_longer_clip_is_its_centre():
    mel = librosa.feature.melspectrogram(y=SIGNALS["longer, flat"])
    start = (mel.shape[1] - 431) // 2
    expected = librosa.power_to_db(mel[:, start : start + 431])
    np.testing.assert_allclose(extract(SIGNALS["longer, flat"])["melspec"], expected.astype(np.float16), atol=2**-4)


def test_melspec_of_a_shorter_clip_ends_in_the_floor():
    melspec = extract(SIGNALS["short"])["melspec"].astype(np.float32)
    frames = 1 + len(SIGNALS["short"]) // 512
    expected = librosa.power_to_db(librosa.feature.melspectrogram(y=SIGNALS["short"]))
    np.testing.assert_allclose(melspec[:, :frames], expected.astype(np.float16), atol=2**-4)
    np.testing.assert_allclose(melspec[:, frames:], expected.max() - 80, atol=2**-4)


def test_tuning_is_heard():
    """A mistuned C major chord lands on C, E and G."""
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    notes = 2 ** ((np.array([-9, -5, -2]) + 0.4) / 12)
    chord = np.sin(2 * np.pi * 440 * np.outer(notes, time)).sum(axis=0)
    mean = extract(chord.astype(np.float32))["chroma"][:, 0]
    assert set(np.argsort(mean)[-3:]) == {0, 4, 7}


def test_a_click_track_has_its_tempo():
    y = np.zeros(20 * SAMPLE_RATE, np.float32)
    y[:: SAMPLE_RATE // 2] = 1.0
    assert extract(y)["spectral"][-1] == pytest.approx(120, rel=0.03)


def test_statistics_of_a_constant_series_are_defined():
    """scipy.stats has NaN here."""
    series = np.stack([np.full(50, -7.3), np.zeros(50), np.arange(50)]).astype(np.float32)
    statistics = features._statistics(series)
    np.testing.assert_allclose(statistics[0], [-7.3, 0, 0, 0, -7.3, -7.3, -7.3], atol=1e-6)
    np.testing.assert_array_equal(statistics[1], 0)
    np.testing.assert_allclose(statistics[2, 3], scipy.stats.kurtosis(np.arange(50)))


TIME = np.arange(SAMPLE_RATE) / SAMPLE_RATE
ODD = {
    "tone": np.sin(2 * np.pi * 440 * TIME),
    "below hearing": np.sin(2 * np.pi * 5 * TIME),
    "constant": np.ones(SAMPLE_RATE),
    "half the sample rate": np.cos(np.pi * np.arange(SAMPLE_RATE)),
    "square": np.sign(np.sin(2 * np.pi * 100 * TIME)),
    "impulse": np.eye(1, SAMPLE_RATE, 5000)[0],
    "impulse at the end": np.eye(1, SAMPLE_RATE, SAMPLE_RATE - 1)[0],
    "one window": np.sin(2 * np.pi * 440 * TIME[:N_FFT]),
    "0.3 seconds": np.sin(2 * np.pi * 440 * TIME[:6615]),
    "as loud as decode lets through": 1e6 * np.sign(np.sin(2 * np.pi * 440 * TIME)),
    "as soft as decode lets through": 1e-4 * np.sin(2 * np.pi * 440 * TIME),
    "silent": np.zeros(SAMPLE_RATE),
    "denormal": np.full(SAMPLE_RATE, 1e-42),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_signals_give_finite_values(name: str):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = extract(ODD[name].astype(np.float32))
    assert out.keys() == BLOCKS.keys()
    for block, values in out.items():
        assert values.shape == BLOCKS[block].shape
        assert values.dtype == BLOCKS[block].dtype
        assert np.isfinite(values).all(), block


@pytest.mark.parametrize(
    "y",
    [
        np.zeros(N_FFT),
        np.zeros((2, N_FFT), np.float32),
        np.zeros(N_FFT - 1, np.float32),
        np.full(N_FFT, np.nan, np.float32),
    ],
    ids=["double", "stereo", "short", "nan"],
)
def test_extract_refuses_what_is_no_clip(y: np.ndarray):
    with pytest.raises(ValueError, match="expected at least 2048"):
        extract(y)


def test_extract_refuses_a_rate_without_the_top_band():
    with pytest.raises(ValueError, match="12800"):
        extract(music(1.0), sample_rate=12_800)


@pytest.mark.parametrize("name", BLOCKS)
def test_spec_tells_what_a_block_is(name: str):
    block = json.loads(json.dumps(spec(name)))
    assert block["shape"] == list(BLOCKS[name].shape)
    assert (block["sample_rate"], block["n_fft"], block["hop_length"]) == (22_050, 2048, 512)
    assert block["columns"] == [] or len(set(block["columns"])) == block["shape"][-1]
    assert block["extractor"] == f"librosa {version('librosa')}"
