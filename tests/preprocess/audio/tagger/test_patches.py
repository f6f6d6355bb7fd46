"""patches, and the pieces of decode that they are cut from."""

import numpy as np
import pytest
import soundfile

from musiclust.errors import InputError
from musiclust.preprocess.audio import decode
from musiclust.preprocess.audio.tagger import patches
from musiclust.stretches import add_stretch

RATE = 16_000


def write(path, samples, rate=RATE, **how):
    with soundfile.SoundFile(path, "w", rate, 1, **how) as file:
        for start in range(0, len(samples), rate):  # libsndfile dies of much ogg at a time
            file.write(samples[start : start + rate])
    return str(path)


def noise(seconds, rate=RATE, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * rate)).astype(np.float32)


@pytest.mark.parametrize(
    ("duration", "count", "expected"),
    [
        (60, 5, [4.504, 16.504, 28.504, 40.504, 52.504]),
        (10, 5, [0.171, 3.504, 6.837]),  # three fit side by side
        (2, 5, [0]),
        (2.992, 0, [0]),
        (9, 0, [0, 2.992, 5.984]),
    ],
)
def test_windows_are_spread_over_the_song(duration, count, expected):
    starts = decode.place_pieces(duration, seconds=patches.WINDOW_SECONDS, count=count)
    np.testing.assert_allclose(starts, expected, atol=1e-3)


def test_all_of_a_song_is_what_the_networks_own_tool_cuts(tmp_path):
    from librosa.feature import melspectrogram

    samples = noise(10)
    cut = patches.cut_patches(write(tmp_path / "song.wav", samples, subtype="FLOAT"), 10.0, 0)
    whole = melspectrogram(y=samples, sr=RATE, n_fft=512, hop_length=256, n_mels=96).T.astype(np.float16)
    np.testing.assert_allclose(cut, whole[: 3 * 187].reshape(3, 187, 96), rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3"])
def test_a_window_of_a_long_file_is_what_lies_there(tmp_path, suffix):
    """A minute in which each second has its own pitch."""
    time = np.arange(60 * 44_100) / 44_100
    samples = 0.5 * np.sin(2 * np.pi * (200 + 50 * time.astype(int)) * time)
    path = write(tmp_path / f"song.{suffix}", samples, 44_100)
    cut = patches.cut_patches(path, 60.0, 5)
    assert cut.shape == (5, 187, 96)
    assert cut.dtype == np.float16
    frequencies = np.fft.rfftfreq(RATE, 1 / RATE)
    for start in decode.place_pieces(60.0, seconds=patches.WINDOW_SECONDS, count=5):
        [piece] = decode.decode_pieces(path, [round(start) + 0.0], sample_rate=RATE, seconds=1.0)
        assert len(piece) == RATE
        loudest = frequencies[np.abs(np.fft.rfft(piece)).argmax()]
        assert loudest == pytest.approx(200 + 50 * round(start), abs=3)


def test_a_song_shorter_than_a_window_is_repeated(tmp_path):
    samples = noise(1)
    short = patches.cut_patches(write(tmp_path / "short.wav", samples, subtype="FLOAT"), 1.0, 5)
    longer = write(tmp_path / "longer.wav", np.tile(samples, 4), subtype="FLOAT")
    assert short.shape == (1, 187, 96)
    [piece] = decode.decode_pieces(longer, [0.0], sample_rate=RATE, seconds=patches._SAMPLES / RATE)
    np.testing.assert_array_equal(short[0], patches._analyse(piece))


def test_before_the_start_there_is_silence_and_the_end_is_the_end(tmp_path):
    samples = noise(2)
    path = write(tmp_path / "song.wav", samples, subtype="FLOAT")
    before, last = decode.decode_pieces(path, [-0.5, 1.5], sample_rate=RATE, seconds=1.0)
    np.testing.assert_allclose(before, np.concatenate([np.zeros(8000), samples[:8000]]), atol=1e-6)
    np.testing.assert_allclose(last, samples[24_000:], atol=1e-6)
    start = add_stretch(path, 0.5, 1.5)
    [piece] = decode.decode_pieces(start, [0.25], sample_rate=RATE, seconds=0.5)
    np.testing.assert_allclose(piece, samples[12_000:20_000], atol=1e-6)


def test_damage_is_named(tmp_path):
    samples = noise(20)
    samples[15 * RATE] = np.nan
    path = write(tmp_path / "nan.wav", samples, subtype="FLOAT")
    with pytest.raises(InputError, match=r"nan.wav: damaged around 1\d s; convert or remove it"):
        patches.cut_patches(path, 20.0, 0)
    with pytest.raises(InputError, match=r"none of its windows of 3 s decodes"):
        patches.cut_patches(write(tmp_path / "short.wav", noise(1)), 60.0, 1)
