"""One recording in several encodings is one; other takes, versions and silences are not."""

import numpy as np
import pytest
import soundfile
import soxr
from tunes import RATE, play, write

from musiclust.errors import InputError
from musiclust.preprocess.audio.fingerprint import (
    MOST_DIFFERENT,
    Fingerprint,
    find_same_recordings,
    load_fingerprints,
    measure_difference,
    save_fingerprints,
    take_fingerprint,
)

SECONDS = 20.0


def fingerprint(path):
    return take_fingerprint(path, soundfile.info(path).duration)


@pytest.fixture(scope="module")
def tune():
    return play(1)


@pytest.fixture(scope="module")
def original(tune, tmp_path_factory):
    return fingerprint(write(tmp_path_factory.mktemp("original") / "song.flac", tune))


@pytest.mark.parametrize(
    ("name", "gain", "cut", "rate", "how"),
    [
        ("good.mp3", 1.0, 0.0, RATE, {"compression_level": 0.1, "bitrate_mode": "CONSTANT"}),
        ("poor.mp3", 0.5, 0.0, RATE, {"compression_level": 0.9, "bitrate_mode": "CONSTANT"}),
        ("poor.ogg", 2.0, 0.0, 44_100, {"compression_level": 0.9}),
        ("quiet.wav", 0.05, 0.0, 48_000, {"subtype": "PCM_16"}),
        ("trimmed.mp3", 1.0, 0.3, RATE, {"compression_level": 0.6, "bitrate_mode": "VARIABLE"}),
        ("longer.flac", 0.7, -1.2, 44_100, {}),
    ],
)
def test_encodings_of_a_recording_are_one(name, gain, cut, rate, how, tune, original, tmp_path):
    first = round(cut * RATE)
    samples = tune[first:] if first > 0 else np.concatenate([np.zeros(-first, np.float32), tune])
    copy = fingerprint(write(tmp_path / name, soxr.resample(gain * samples, RATE, rate), rate, **how))
    assert measure_difference(original, copy) < MOST_DIFFERENT
    assert measure_difference(copy, original) < MOST_DIFFERENT


@pytest.mark.parametrize(
    "how",
    [
        {"seed": 2},
        {"seed": 1, "jitter": 0.05},  # another take
        {"seed": 1, "overtones": (0.3, 0.1, 1.0, 0.6)},  # another instrument
        {"seed": 1, "semitones": 1.0},
        {"seed": 1, "tempo": 1.02},
    ],
    ids=str,
)
def test_other_songs_takes_and_versions_are_others(how, original, tmp_path):
    assert measure_difference(original, fingerprint(write(tmp_path / "other.flac", play(**how)))) > 1.2 * MOST_DIFFERENT


def test_a_song_without_its_voice_is_another(tune, tmp_path):
    voice = play(7, overtones=(1.0, 0.8, 0.6, 0.4))
    voice[: len(voice) // 3] = 0  # it begins after a third
    paths = [write(tmp_path / "sung.flac", tune + voice), write(tmp_path / "played.flac", tune)]
    assert measure_difference(*map(fingerprint, paths)) > MOST_DIFFERENT


def test_what_hardly_changes_is_the_same_as_nothing(tmp_path):
    """Silence, a drone and a fade are not evidence, however equal they are."""
    time = np.arange(round(SECONDS * RATE)) / RATE
    sounds = {
        "silence": np.zeros(len(time)),
        "other silence": np.zeros(len(time)),
        "drone": 0.3 * np.sin(2 * np.pi * 440 * time),
        "fade": 0.3 * np.exp(-time / 8) * np.random.default_rng(0).normal(size=len(time)).cumsum().clip(-1, 1),
    }
    found = {}
    for name, samples in sounds.items():
        found[name] = fingerprint(write(tmp_path / f"{name}.wav", samples.astype(np.float32)))
    assert measure_difference(found["silence"], found["other silence"]) == np.inf
    assert measure_difference(found["silence"], found["silence"]) == np.inf
    for name in ("silence", "fade"):
        assert measure_difference(found["drone"], found[name]) > MOST_DIFFERENT


def test_a_pause_at_one_place_makes_no_two_songs_alike(tune, tmp_path):
    """Of each second, six tenths are silent in both songs, where their bits agree."""
    pause = (np.arange(len(tune)) % RATE > 0.4 * RATE) & (np.arange(len(tune)) // RATE % 4 > 0)
    other = play(2)
    mine, theirs = (
        fingerprint(write(tmp_path / f"{i}.wav", np.where(pause, 0, one))) for i, one in enumerate((tune, other))
    )
    assert measure_difference(mine, theirs) > 1.2 * MOST_DIFFERENT
    again = fingerprint(write(tmp_path / "again.mp3", 0.5 * np.where(pause, 0, tune)))
    assert measure_difference(mine, again) < MOST_DIFFERENT


def test_excerpts_have_to_agree_on_one_lag(original):
    """A song played faster has each excerpt, but not at one distance."""
    moved = original.bits.copy()
    moved[0], moved[2] = np.roll(moved[0], -60), np.roll(moved[2], 60)
    assert measure_difference(original, Fingerprint(original.seconds, moved)) > MOST_DIFFERENT
    for i in range(3):
        moved[i] = np.roll(original.bits[i], 60)
    assert measure_difference(original, Fingerprint(original.seconds, moved)) == 0


def test_pairs_are_compared_and_fingerprints_kept(tune, tmp_path):
    paths = [
        write(tmp_path / "a.flac", tune),
        write(tmp_path / "b.mp3", 0.5 * tune),
        write(tmp_path / "c.flac", play(2)),
        str(tmp_path / "noise.mp3"),
        str(tmp_path / "cut.flac"),
        str(tmp_path / "gone.flac"),
    ]
    (tmp_path / "noise.mp3").write_bytes(np.random.default_rng(0).bytes(20_000))
    (tmp_path / "cut.flac").write_bytes((tmp_path / "a.flac").read_bytes()[:100_000])
    pairs = np.array([(0, row) for row in range(1, 6)])
    keys = {row: f"key {row}" for row in range(6)}
    seconds, kept, told = [SECONDS] * 6, tmp_path / "out" / "fingerprints.npz", []
    how = {"keys": keys, "kept": kept, "workers": 2}
    found = find_same_recordings(paths, seconds, pairs, **how, report=lambda *one: told.append(one))
    assert found.same == [(0, 1)]
    assert sorted(found.unheard) == [3, 4, 5]
    assert all(paths[row] in reason for row, reason in found.unheard.items())
    assert (told[5][1:], told[-1][1:]) == ((6, 6), (5, 5))
    for path in paths[:3]:  # the songs are not needed again
        (tmp_path / path).unlink()
    assert find_same_recordings(paths, seconds, pairs[:2], **how).same == [(0, 1)]
    kept.write_bytes(kept.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"fingerprints\.npz is damaged .* delete it"):
        find_same_recordings(paths, seconds, pairs[:2], **how)


def test_what_was_heard_is_kept_when_it_is_broken_off(tune, tmp_path):
    paths = [write(tmp_path / f"{i}.wav", tune[: 8 * RATE]) for i in range(3)]

    def stop(stage, done, total):
        raise KeyboardInterrupt

    kept = tmp_path / "fingerprints.npz"
    with pytest.raises(KeyboardInterrupt):
        find_same_recordings(
            paths, [8.0] * 3, np.array([(0, 1), (1, 2)]), keys=dict(enumerate("abc")), kept=kept, workers=1, report=stop
        )
    assert len(load_fingerprints(kept)) == 1


def test_fingerprints_survive_a_file(original, tmp_path):
    path = tmp_path / "fingerprints.npz"
    save_fingerprints(path, {"one": original, "näm\u0301e": original._replace(seconds=3.0)})
    found = load_fingerprints(path)
    assert list(found) == ["one", "näm\u0301e"]
    np.testing.assert_array_equal(found["one"].bits, original.bits)
    assert found["näm\u0301e"].seconds == 3.0
    np.savez(path, key=np.array(["one"]), seconds=np.ones(1), bits=np.zeros((1, 3, 9), np.uint32))
    with pytest.raises(InputError, match="of shape"):
        load_fingerprints(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match="is a folder"):
        load_fingerprints(path)
