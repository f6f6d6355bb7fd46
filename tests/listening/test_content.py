"""content: files by what is in them."""

import os

import numpy as np

from musiclust.listening.content import content_key, find_copies, follow_moved


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
