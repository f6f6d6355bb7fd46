"""content: files by what is in them."""

import os

import numpy as np

from musiclust.listening.content import content_key, find_copies, follow_moved, nominate_copies


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_copies_are_told_by_all_their_bytes(tmp_path):
    sound = os.urandom(200_000)
    changed = bytes([sound[0] ^ 1]) + sound[1:]  # differs far from the middle
    paths = [
        write(tmp_path / "a.mp3", sound),
        write(tmp_path / "b.mp3", changed),
        write(tmp_path / "c.mp3", sound[:-1]),
        write(tmp_path / "copy/a.mp3", sound),
        tmp_path / "a.mp3",
        write(tmp_path / "empty", b""),
        write(tmp_path / "also empty", b""),
        tmp_path / "missing",
        write(tmp_path / "d.mp3", changed),
    ]
    assert content_key(paths[0]) == content_key(paths[1]) != content_key(paths[2])
    assert find_copies(paths).tolist() == [0, 1, 2, 0, 0, 5, 6, 7, 1]
    assert find_copies([]).dtype == np.int64


def test_what_was_moved_is_found_again(tmp_path):
    sounds = [os.urandom(100_000 + i % 2) for i in range(4)]
    keys = {str(i): content_key(write(tmp_path / f"old{i}", sound)) for i, sound in enumerate(sounds[:3])}
    files = [write(tmp_path / f"new/{i}", sounds[i]) for i in (3, 2, 0)] + [tmp_path / "gone"]
    assert follow_moved(keys, files) == {"0": tmp_path / "new/0", "2": tmp_path / "new/2"}


def test_several_places_of_a_file_tell_more_than_its_middle(tmp_path):
    quiet = bytes(400_000)
    one = write(tmp_path / "one.wav", b"\x01" * 100_000 + quiet + b"\x02" * 100_000)
    other = write(tmp_path / "other.wav", b"\x03" * 100_000 + quiet + b"\x04" * 100_000)
    assert content_key(one) == content_key(other)
    assert content_key(one, places=9) != content_key(other, places=9)
    assert content_key(one, places=3) == content_key(write(tmp_path / "again.wav", one.read_bytes()), places=3)


def test_copies_are_nominated_by_duration_and_place_or_title():
    rng = np.random.default_rng(0)
    z, seconds, title = rng.normal(size=(1000, 8)), rng.uniform(120, 300, 1000), [""] * 1000
    z[500], seconds[500] = z[10] + 0.05, seconds[10] + 0.5
    z[501], seconds[501] = z[11] + 0.05, seconds[11] + 2.0  # too long
    z[502], seconds[502] = z[12] + 9, seconds[12] - 1.4  # far away, but of that title
    title[12], title[502] = "Élan", "éLAN"
    seconds[13] = np.nan
    z[503] = z[13]
    pairs = list(map(tuple, nominate_copies(z, seconds, title=title).tolist()))
    assert (10, 500) in pairs
    assert (12, 502) in pairs
    assert not {(11, 501), (13, 503)} & set(pairs)
    assert len(pairs) == len(set(pairs)) < 1000  # of half a million
    away = np.linalg.norm(z[:, None] - z[None], axis=2)
    usual = np.median(np.sort(away[np.isfinite(seconds)][:, np.isfinite(seconds)], axis=1)[:, 20])
    expected = {
        (i, j)
        for i in range(1000)
        for j in np.argsort(away[i])[1:200]
        if i < j and away[i, j] < 0.98 * usual and abs(seconds[i] - seconds[j]) <= 1.5
    }
    assert expected <= set(pairs)
    assert max(away[i, j] for i, j in pairs if (i, j) != (12, 502)) < 1.02 * usual


def test_a_crowd_of_clips_nominates_few_each():
    z = np.random.default_rng(0).normal(size=(300, 2))
    pairs = nominate_copies(z, np.full(300, 30.0), title=[""] * 300)
    assert len(pairs) <= 300 * 10
    away = np.linalg.norm(z[:, None] - z[None], axis=2)
    nearest = away[0].argsort()[1:4]
    assert {(0, int(row)) for row in nearest} <= set(map(tuple, pairs.tolist()))


def test_few_songs_and_none_nominate_few_and_none():
    assert nominate_copies(np.zeros((1, 2)), np.array([9.0]), title=["a"]).shape == (0, 2)
    assert nominate_copies(np.zeros((2, 2)), np.array([9.0, 10.0]), title=["", ""]).tolist() == [[0, 1]]
    assert nominate_copies(np.zeros((2, 2)), np.array([np.nan, 10.0]), title=["a", "a"]).shape == (0, 2)
