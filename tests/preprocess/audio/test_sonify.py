import json

import numpy as np
import pytest

from musiclust.errors import InputError
from musiclust.preprocess.audio.sonify import sonify, sonify_folder

librosa = pytest.importorskip("librosa")
RATE, N_FFT, HOP = 22_050, 2048, 512


def log_mel(hertz, seconds=1.0, loudness=0.5):
    wave = loudness * np.sin(2 * np.pi * hertz * np.arange(int(RATE * seconds)) / RATE)
    return librosa.power_to_db(librosa.feature.melspectrogram(y=wave, sr=RATE, n_fft=N_FFT, hop_length=HOP))


def strongest(wave):
    return np.argmax(np.abs(np.fft.rfft(wave * np.hanning(len(wave))))) * RATE / len(wave)


@pytest.mark.parametrize("hertz", [220, *(pytest.param(hertz, marks=pytest.mark.slow) for hertz in (440, 1500))])
def test_a_tone_comes_back_at_its_pitch_and_loudness(hertz):
    wave = sonify(log_mel(hertz), sample_rate=RATE, n_fft=N_FFT, hop_length=HOP)
    assert wave.dtype == np.float32
    assert abs(strongest(wave) - hertz) < 40  # a mel band is so wide
    assert 0.15 < np.sqrt(np.mean(wave**2)) < 0.7  # 0.35 went in
    again = sonify(log_mel(hertz), sample_rate=RATE, n_fft=N_FFT, hop_length=HOP)
    np.testing.assert_array_equal(wave, again)


@pytest.mark.slow
def test_steps_of_a_folder_follow_one_another(tmp_path):
    import soundfile

    values = np.stack([[log_mel(300, 4), log_mel(1200, 4)], [log_mel(300, 4, 0.05), log_mel(300, 4)]])
    np.save(tmp_path / "traversals.npy", values)
    spec = {"dimensions": [3, 11], "sample_rate": RATE, "n_fft": N_FFT, "hop_length": HOP}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    assert [path.name for path in sonify_folder(tmp_path)] == ["dim_03.wav", "dim_11.wav"]
    wave, rate = soundfile.read(tmp_path / "dim_03.wav")
    half = len(wave) // 2
    assert rate == RATE
    assert half / rate == pytest.approx(3.25, abs=0.1)
    assert strongest(wave[:half]) < 500 < 1000 < strongest(wave[half:])
    soft, _ = soundfile.read(tmp_path / "dim_11.wav")
    assert np.abs(soft[:half]).max() < 0.3 * np.abs(soft[half:]).max()  # one factor for all


def test_bad_folders_are_named(tmp_path):
    with pytest.raises(InputError, match=r"is missing: .* holds no traversals, make them"):
        sonify_folder(tmp_path)
    np.save(tmp_path / "traversals.npy", np.zeros((2, 7, 20)))
    (tmp_path / "spec.json").write_text('{"dimensions": [0, 1]}')
    with pytest.raises(InputError, match="only a run on melspec can be heard"):
        sonify_folder(tmp_path)
