"""Decoding, against soundfile reading whole files and librosa resampling them."""

from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile

from musiclust.errors import InputError
from musiclust.preprocess.audio.features import SAMPLE_RATE, decode, extract

RATE = 44_100


def mono(seconds: float, base: float = 220.0) -> np.ndarray:
    """Overtones of a pitch that rises and swells, so that no two stretches are alike: (n,) float32."""
    time = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * base * (time + 0.01 * time**2)
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * 1.3 * time)
    return (swell * sum(0.2 / overtone * np.sin(overtone * phase) for overtone in range(1, 6))).astype(np.float32)


def stereo(seconds: float) -> np.ndarray:
    return np.stack([mono(seconds), mono(seconds, 330.0)], axis=1)


def write(path: Path, samples: np.ndarray, sample_rate: int = RATE, subtype: str | None = None) -> Path:
    # in pieces: libsndfile's Vorbis encoder overflows its stack on long ones
    with soundfile.SoundFile(path, "w", sample_rate, samples.ndim, subtype) as file:
        for start in range(0, len(samples), 4096):
            file.write(samples[start : start + 4096])
    return path


@pytest.mark.parametrize("extension", ["wav", "flac", "au", "aiff", "ogg", "mp3"])
def test_decode_takes_the_centre_of_each_format(tmp_path: Path, extension: str):
    samples = stereo(6.0)
    path = write(tmp_path / f"song.{extension}", samples)
    clip = decode(path, seconds=2.0)
    centre = samples[2 * RATE : 4 * RATE].mean(axis=1)
    expected = librosa.resample(centre, orig_sr=RATE, target_sr=SAMPLE_RATE, res_type="soxr_hq")
    assert clip.samples.shape == (2 * SAMPLE_RATE,)
    assert clip.samples.dtype == np.float32
    assert clip.duration == pytest.approx(6.0, abs=0.06)
    assert clip.warning == ""
    error = np.sqrt(np.mean((clip.samples - expected) ** 2) / np.mean(expected**2))
    assert error < (0.2 if extension in ("ogg", "mp3") else 0.005)


@pytest.mark.parametrize("sample_rate", [SAMPLE_RATE, 16_000])
def test_a_short_file_is_taken_whole(tmp_path: Path, sample_rate: int):
    samples = stereo(1.7)
    clip = decode(write(tmp_path / "short.wav", samples, subtype="FLOAT"), sample_rate=sample_rate)
    expected = librosa.resample(samples.mean(axis=1), orig_sr=RATE, target_sr=sample_rate, res_type="soxr_hq")
    np.testing.assert_allclose(clip.samples, expected, atol=1e-6)
    assert clip.duration == 1.7


@pytest.mark.parametrize("extension", ["mp3", "flac"])
def test_decode_reads_only_the_centre(tmp_path: Path, extension: str, monkeypatch: pytest.MonkeyPatch):
    path = write(tmp_path / f"long.{extension}", stereo(20.0))
    whole = soundfile.read(path)[0]
    read, count = soundfile.SoundFile.read, []

    def counting(self, *args, **kwargs):
        block = read(self, *args, **kwargs)
        count.append(len(block))
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    samples = decode(path, sample_rate=RATE, seconds=3.0).samples
    assert sum(count) < 4 * RATE
    start = (len(whole) - 3 * RATE) // 2
    np.testing.assert_allclose(samples, whole[start : start + 3 * RATE].mean(axis=1), atol=1e-5)


@pytest.mark.parametrize("extension", ["mp3", "flac"])
@pytest.mark.parametrize("kept", [0.2, 0.5])
def test_a_file_cut_short_is_taken_for_what_decodes(tmp_path: Path, extension: str, kept: float):
    path = write(tmp_path / f"song.{extension}", stereo(20.0))
    whole = soundfile.read(path)[0].mean(axis=1)
    path.write_bytes(path.read_bytes()[: round(kept * path.stat().st_size)])
    clip = decode(path, sample_rate=RATE, seconds=1.0)
    assert "cut short" in clip.warning
    assert "of 20.0 s" in clip.warning
    assert clip.duration == pytest.approx(20 * kept, rel=0.2)
    start = (round(clip.duration * RATE) - RATE) // 2
    np.testing.assert_allclose(clip.samples, whole[start : start + RATE], atol=1e-5)


def test_damage_beyond_the_centre_changes_nothing(tmp_path: Path):
    path = write(tmp_path / "song.mp3", stereo(20.0))
    intact = decode(path, seconds=3.0)
    path.write_bytes(path.read_bytes()[: round(0.9 * path.stat().st_size)])
    cut = decode(path, seconds=3.0)
    np.testing.assert_array_equal(cut.samples, intact.samples)
    assert cut.warning == ""


def test_a_third_of_a_second_is_enough(tmp_path: Path):
    clip = decode(write(tmp_path / "jingle.wav", mono(0.3)))
    assert len(clip.samples) == 6615
    assert extract(clip.samples)["mfcc_mean"].shape == (20,)


def test_decode_takes_any_name(tmp_path: Path):
    name = 'it\'s a "song" with spaces, ü and 🎵.wav'
    assert decode(write(tmp_path / name, mono(1.0))).duration == 1.0


def _nan(path: Path) -> None:
    samples = mono(1.0)
    samples[1000] = np.nan
    write(path, samples, subtype="FLOAT")


BROKEN = {
    "missing.mp3": (lambda path: None, "No such file"),
    "folder.wav": (Path.mkdir, "directory"),
    "empty.mp3": (Path.touch, "empty file"),
    "text.mp3": (lambda path: path.write_text("la la la\n" * 500), "not audio"),
    "text.wav": (lambda path: path.write_text("la la la\n" * 500), "not audio"),
    "text.raw": (lambda path: path.write_text("la la la\n" * 500), "not audio"),
    "header.wav": (lambda path: write(path, np.zeros(0, np.float32)), "too short"),
    "blip.wav": (lambda path: write(path, mono(0.08)), "too short"),
    "silent.wav": (lambda path: write(path, np.zeros(RATE, np.float32)), "silent"),
    "dither.wav": (lambda path: write(path, np.tile(np.array([3e-5, -3e-5]), RATE)), "silent"),
    "nan.wav": (_nan, "damaged"),
    "integers.wav": (lambda path: write(path, 1e9 * mono(1.0), subtype="FLOAT"), "damaged"),
    "rate.wav": (lambda path: write(path, mono(1.0), 100), "100 Hz"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_decode_names_the_file_and_the_reason(tmp_path: Path, name: str):
    make, reason = BROKEN[name]
    make(tmp_path / name)
    with pytest.raises(InputError, match=reason) as error:
        decode(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / name}: ")
    assert "\n" not in str(error.value)
