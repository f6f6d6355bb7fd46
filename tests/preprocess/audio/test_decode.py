"""Decoding, against soundfile reading whole files and librosa resampling them."""

import struct
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile

from musiclust.errors import InputError
from musiclust.preprocess.audio import decode as decode_module
from musiclust.preprocess.audio.decode import decode_pieces, open_audio
from musiclust.preprocess.audio.features import SAMPLE_RATE, decode, extract
from musiclust.stretches import add_stretch

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


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """20 s, by extension."""
    place = tmp_path_factory.mktemp("long")
    return {name: write(place / f"song.{name}", stereo(20.0)).read_bytes() for name in ("mp3", "flac")}


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
def test_decode_reads_only_the_centre(
    tmp_path: Path, long: dict[str, bytes], extension: str, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / f"long.{extension}"
    path.write_bytes(long[extension])
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
def test_a_file_cut_short_is_taken_for_what_decodes(
    tmp_path: Path, long: dict[str, bytes], extension: str, kept: float
):
    path = tmp_path / f"song.{extension}"
    path.write_bytes(long[extension])
    whole = soundfile.read(path)[0].mean(axis=1)
    path.write_bytes(path.read_bytes()[: round(kept * path.stat().st_size)])
    clip = decode(path, sample_rate=RATE, seconds=1.0)
    assert "cut short" in clip.warning
    assert "of 20.0 s" in clip.warning
    assert clip.duration == pytest.approx(20 * kept, rel=0.2)
    start = (round(clip.duration * RATE) - RATE) // 2
    np.testing.assert_allclose(clip.samples, whole[start : start + RATE], atol=1e-5)


def find_in(whole: np.ndarray, samples: np.ndarray) -> int:
    """Where in a file's samples others begin."""
    near = np.flatnonzero(np.abs(whole[: len(whole) - len(samples) + 1] - samples[0]) < 1e-5)
    distance = [np.abs(whole[i : i + 200] - samples[:200]).max() for i in near]
    return int(near[np.argmin(distance)])


@pytest.mark.parametrize("seconds", [3.0, 30.0])
@pytest.mark.parametrize("at", [0.02, 0.2, 0.4, 0.5, 0.52, 0.7, 0.97])
def test_a_flac_file_with_a_hole_is_taken_for_the_longest_part(
    tmp_path: Path, long: dict[str, bytes], at: float, seconds: float
):
    path = tmp_path / "song.flac"
    path.write_bytes(long["flac"])
    whole = soundfile.read(path, dtype="float32")[0].mean(axis=1)
    hole = round(at * len(long["flac"]))
    path.write_bytes(long["flac"][:hole] + bytes(512) + long["flac"][hole + 512 :])
    clip = decode(path, sample_rate=RATE, seconds=seconds)
    start = find_in(whole, clip.samples)
    np.testing.assert_allclose(clip.samples, whole[start : start + len(clip.samples)], atol=1e-5)
    longest = 20 * max(at, 1 - at)
    assert len(clip.samples) / RATE == pytest.approx(min(seconds, longest), abs=0.7 if seconds > longest else 0)
    assert clip.duration == pytest.approx(20.0, abs=0.7)
    centre = abs(at - 0.5) * 20 < seconds / 2  # the hole is in the stretch that is wanted
    assert ("damaged" in clip.warning) == centre
    assert ("2 parts of which the longest was heard" in clip.warning) == centre
    pieces = [len(piece) for piece in decode_pieces(str(path), range(0, 20, 2), sample_rate=RATE, seconds=2.0)]
    assert sum(length < 2 * RATE - 3000 for length in pieces) <= 2  # those that the hole is in


def test_what_lies_between_two_holes_is_found(tmp_path: Path, long: dict[str, bytes]):
    path, sound = tmp_path / "song.flac", bytearray(long["flac"])
    for at in (0.25, 0.9):
        hole = round(at * len(sound))
        sound[hole : hole + 2000] = bytes(2000)
    path.write_bytes(sound)
    clip = decode(path)
    assert len(clip.samples) / SAMPLE_RATE == pytest.approx(13.0, abs=0.7)
    assert "in 3 parts" in clip.warning
    second = decode(add_stretch(str(path), 4.0, 10.0))
    assert second.samples.shape == (pytest.approx(5.0 * SAMPLE_RATE, rel=0.1),)
    assert "damaged" in second.warning


def test_a_hole_without_end_is_left_alone(tmp_path: Path, long: dict[str, bytes]):
    path = tmp_path / "song.flac"
    kept = len(long["flac"]) // 5
    path.write_bytes(long["flac"][:kept] + bytes(len(long["flac"]) - kept))
    clip = decode(path)
    assert clip.duration == pytest.approx(4.0, rel=0.1)
    assert "cut short" in clip.warning


def test_damage_beyond_the_centre_changes_nothing(tmp_path: Path, long: dict[str, bytes]):
    path = tmp_path / "song.mp3"
    path.write_bytes(long["mp3"])
    intact = decode(path, seconds=3.0)
    path.write_bytes(path.read_bytes()[: round(0.9 * path.stat().st_size)])
    cut = decode(path, seconds=3.0)
    np.testing.assert_array_equal(cut.samples, intact.samples)
    assert cut.warning == ""


@pytest.mark.parametrize("extension", ["flac", "ogg", "mp3"])
def test_channels_that_cancel_are_heard(tmp_path: Path, extension: str):
    """Antiphase: the mean is silence, or what the encoder left of it."""
    sound = mono(4.0)
    both = write(tmp_path / f"both.{extension}", np.stack([sound, sound], axis=1))
    clip = decode(both, seconds=2.0)
    assert clip.warning == ""
    against = decode(write(tmp_path / f"against.{extension}", np.stack([0.9 * sound, -sound], axis=1)), seconds=2.0)
    assert against.warning == ""  # the mean is faint, and what there is
    path = write(tmp_path / f"antiphase.{extension}", np.stack([-sound, sound], axis=1))
    antiphase = decode(path, seconds=2.0)
    assert antiphase.warning == "its channels cancel each other (antiphase), so the loudest of them was heard"
    scale = np.abs(clip.samples).max()
    assert np.abs(np.abs(antiphase.samples) - np.abs(clip.samples)).max() < 0.1 * scale
    [piece] = decode_pieces(str(path), [1.0], sample_rate=SAMPLE_RATE, seconds=2.0)
    assert np.abs(piece).max() > 0.9 * scale


def test_the_loudest_of_channels_that_cancel_is_taken():
    sound = mono(1.0)
    frames = np.stack([0.25 * sound, 0.75 * sound, -sound], axis=1)
    mixed, cancelled = decode_module.mix_channels(frames)
    assert cancelled
    np.testing.assert_array_equal(mixed, -sound)
    mixed, cancelled = decode_module.mix_channels(frames[:, :2])
    assert not cancelled
    np.testing.assert_allclose(mixed, 0.5 * sound, atol=1e-7)


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
    "antiphase dither.wav": (lambda path: write(path, np.tile(np.array([[3e-5, -3e-5], [0, 0]]), (RATE, 1))), "silent"),
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


COVER = np.random.default_rng(0).bytes(100_000)


def id3v2() -> bytes:
    """A tag in front of the sound, with a cover: ID3v2.3, one frame APIC."""
    picture = b"\0image/jpeg\0\3\0" + COVER
    frame = b"APIC" + struct.pack(">I", len(picture)) + b"\0\0" + picture
    return b"ID3\3\0\0" + bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0)) + frame


def ape() -> bytes:
    """A tag behind the sound, with a cover: APEv2, one item, header and footer."""
    item = struct.pack("<II", len(COVER), 2) + b"Cover Art (Front)\0" + COVER
    header, footer = (
        b"APETAGEX" + struct.pack("<IIII", 2000, len(item) + 32, 1, flags) + bytes(8) for flags in (5 << 29, 1 << 31)
    )
    return header + item + footer


ID3V1 = b"TAG" + b"song".ljust(125, b"\0")


@pytest.fixture(scope="module")
def mp3(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """20 s at a constant bit rate, behind a frame "Info" that says how many frames there are."""
    path = tmp_path_factory.mktemp("mp3") / "song.mp3"
    with soundfile.SoundFile(path, "w", RATE, 2, bitrate_mode="CONSTANT", compression_level=0.5) as file:
        file.write(stereo(20.0))
    return path.read_bytes()


def without_info(mp3: bytes) -> bytes:
    """Without its first frame, so that nothing but the size tells the length."""
    kilobits = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)[mp3[2] >> 4]
    length = 144 * 1000 * kilobits // RATE + (mp3[2] >> 1 & 1)
    assert b"Info" in mp3[:length]
    assert mp3[length : length + 2] == mp3[:2]
    return mp3[length:]


def promising(mp3: bytes, seconds: float) -> bytes:
    """With a frame "Info" that promises so many seconds more than there are."""
    at = mp3.index(b"Info") + 8
    frames = int.from_bytes(mp3[at : at + 4], "big") + round(seconds * RATE / 1152)
    return mp3[:at] + frames.to_bytes(4, "big") + mp3[at + 4 :]


TAGS = {
    "ID3v2": (id3v2(), b""),
    "ID3v2 twice, zeros": (id3v2() + id3v2() + bytes(1000), b""),
    "ID3v1": (b"", ID3V1),
    "APEv2": (b"", ape()),
    "all": (id3v2(), ape() + ID3V1),
}


@pytest.mark.parametrize("tags", TAGS)
def test_tags_are_not_sound(tmp_path: Path, mp3: bytes, tags: str):
    before, after = TAGS[tags]
    for name, sound in ("with Info", mp3), ("without", without_info(mp3)):
        bare, tagged = tmp_path / f"bare, {name}.mp3", tmp_path / f"tagged, {name}.mp3"
        bare.write_bytes(sound)
        tagged.write_bytes(before + sound + after)
        expected, clip = decode(bare, seconds=3.0), decode(tagged, seconds=3.0)
        assert clip.duration == pytest.approx(20.0, abs=0.1), name
        assert clip.warning == "", name
        np.testing.assert_array_equal(clip.samples, expected.samples)
        with open_audio(str(tagged)) as file:
            assert file.frames / file.samplerate == pytest.approx(20.0, abs=0.1), name


@pytest.mark.parametrize("after", [b"", ID3V1[:-1], ape()[:-1], ape()[:-20] + bytes(20)])
def test_a_file_without_whole_tags_is_handed_to_the_decoder_as_it_is(
    tmp_path: Path, mp3: bytes, after: bytes, monkeypatch: pytest.MonkeyPatch
):
    opened, init = [], soundfile.SoundFile.__init__
    monkeypatch.setattr(
        soundfile.SoundFile, "__init__", lambda self, file, *args: (opened.append(file), init(self, file, *args))[1]
    )
    path = tmp_path / "song.mp3"
    path.write_bytes(mp3 + after)
    assert decode(path, seconds=3.0).warning == ""
    assert opened == [str(path)]


@pytest.mark.parametrize("tag", [b"ID3\3\0\0\x7f\x7f\x7f\x7fTIT2", b"ID3\3", id3v2()[:50_000]])
def test_a_torn_tag_alone_is_not_audio(tmp_path: Path, tag: bytes):
    (tmp_path / "torn.mp3").write_bytes(tag)
    with pytest.raises(InputError, match="not audio"):
        decode(tmp_path / "torn.mp3")


@pytest.mark.parametrize(("missing", "warned"), [(0.16, False), (0.4, False), (0.6, True)])
def test_padding_is_no_damage(tmp_path: Path, mp3: bytes, missing: float, warned: bool):
    path = tmp_path / "song.mp3"
    path.write_bytes(promising(mp3, missing))
    clip = decode(path)
    assert clip.duration == pytest.approx(20.0, abs=0.05)
    assert len(clip.samples) == pytest.approx(20 * SAMPLE_RATE, abs=0.05 * SAMPLE_RATE)
    last = decode(add_stretch(str(path), 15.0, 25.0))
    assert last.duration == pytest.approx(5.0, abs=0.05)
    assert [("cut short" in one.warning) for one in (clip, last)] == [warned] * 2


def test_a_hundredth_of_a_long_file_is_no_damage():
    """Short files are allowed half a second, long ones 1 % of what they promise."""
    assert decode_module._warn(99 * 600, 100 * 600, 100 * 600, 100) == ""
    assert decode_module._warn(99 * 600 - 1, 100 * 600, 100 * 600, 100) == (
        "damaged or cut short: 594.0 s decode of 600.0 s in its header"
    )
    assert decode_module._warn(950, 1000, 4000, 100) == ""
    assert decode_module._warn(949, 1000, 4000, 100) == "damaged or cut short: 9.5 s decode of 10.0 s"


def test_a_tagged_file_cut_short_is_still_named(tmp_path: Path, mp3: bytes):
    path = tmp_path / "song.mp3"
    path.write_bytes(id3v2() + mp3[: len(mp3) // 2])
    assert "10.0 s decode of 20.0 s in its header" in decode(path).warning
    assert "cut short" in decode(add_stretch(str(path), 5.0, 15.0)).warning
