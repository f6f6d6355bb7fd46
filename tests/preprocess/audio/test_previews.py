"""A preview is a small MP3 of the middle of a song."""

import io

import numpy as np
import pytest
import soundfile

from musiclust.errors import InputError
from musiclust.preprocess.audio.previews import make_preview, make_previews


def test_a_preview_is_the_middle_of_a_song(tmp_path):
    path = tmp_path / "song.wav"
    time = np.arange(40 * 8000) / 8000
    heard = (time > 12.5) & (time < 27.5)  # 220 Hz in the middle, 880 Hz before and after
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * np.where(heard, 220, 880) * time), 8000)
    preview = make_preview(str(path))
    assert 70_000 < len(preview) < 80_000
    samples, rate = soundfile.read(io.BytesIO(preview))
    assert rate == 22_050
    assert samples.ndim == 1
    assert len(samples) / rate == pytest.approx(15, abs=0.2)
    spectrum = np.abs(np.fft.rfft(samples[rate:-rate]))
    assert np.argmax(spectrum) * rate / (len(samples) - 2 * rate) == pytest.approx(220, abs=1)
    stretch, rate = soundfile.read(io.BytesIO(make_preview(f"{path}#t=0,4")))
    assert len(stretch) / rate == pytest.approx(4, abs=0.2)


def test_what_cannot_be_decoded_is_named(tmp_path):
    (tmp_path / "song.wav").write_text("no sound")
    with pytest.raises(InputError, match=r"song\.wav"):
        make_preview(str(tmp_path / "song.wav"))


def test_previews_of_many_are_in_their_order(tmp_path):
    for name in ("a", "b"):
        noise = np.random.default_rng(ord(name)).normal(size=8000)
        soundfile.write(tmp_path / f"{name}.wav", 0.1 * noise, 8000)
    (tmp_path / "c.wav").write_text("no sound")
    paths = ["", *(str(tmp_path / f"{name}.wav") for name in "bca")]
    told = []
    found = make_previews(paths, workers=2, report=lambda stage, done, total: told.append((done, total)))
    assert found == [b"", make_preview(paths[1]), b"", make_preview(paths[3])]
    assert told == [(1, 3), (2, 3), (3, 3)]
