"""digests: a file is the one that was written, or it is told."""

import os

import numpy as np
import pytest

from musiclust.digests import (
    DIGESTS,
    atomic_with_digest,
    check_file,
    check_files,
    digest_bytes,
    digest_file,
    forget_digests,
    list_files,
    read_digests,
    read_verified,
    write_digests,
)
from musiclust.errors import InputError


def test_the_digest_is_xxh3_of_128_bits(tmp_path):
    # The vector of xxHash's own documentation for no bytes at all.
    assert digest_bytes(b"") == digest_bytes(b"")
    assert digest_bytes(b"").xxh3_128 == "99aa06d3014798d86001c324468d497f"
    content = np.random.default_rng(0).bytes(3 * 2**20 + 7)
    (tmp_path / "a").write_bytes(content)
    assert digest_file(tmp_path / "a") == digest_bytes(content)
    assert digest_file(tmp_path / "a", size=2**20 + 1) == digest_bytes(content[: 2**20 + 1])


def test_every_flipped_bit_and_every_cut_is_found(tmp_path):
    path = tmp_path / "a.bin"
    content = np.random.default_rng(0).bytes(40)
    with atomic_with_digest(path, "wb") as file:
        file.write(content)
    assert read_verified(path, most=100) == content
    damaged = [content[:end] for end in range(len(content))] + [content + b"\0"]
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    for one in damaged:
        path.write_bytes(one)
        for read in (lambda: read_verified(path, most=100), lambda: check_file(path), lambda: check_files(tmp_path)):
            with pytest.raises(InputError, match="is not as it was written"):
                read()
    forget_digests(tmp_path)
    forget_digests(tmp_path)
    assert read_verified(path, most=100) == damaged[-1]  # nothing is known of it


def test_what_was_appended_is_not_looked_at(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"one\n")
    write_digests(tmp_path, ["a.jsonl"])
    path.write_bytes(b"one\ntwo\n")
    assert read_verified(path, most=100, appended=True) == b"one\ntwo\n"
    check_file(path, appended=True)
    for content in (b"one", b"One\ntwo\n", b""):
        path.write_bytes(content)
        with pytest.raises(InputError, match="is not as it was written"):
            read_verified(path, most=100, appended=True)


def test_whatever_the_moment_of_a_kill_the_file_has_a_digest(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    for content in ("old", "new"):
        with atomic_with_digest(path) as file:
            file.write(content)
    path.write_text("old")  # as if killed before the last of the two was renamed
    assert read_verified(path, most=100) == b"old"
    path.write_text("new")
    with atomic_with_digest(path) as file:
        file.write("newer")
    path.write_text("old")
    with pytest.raises(InputError, match="is not as it was written"):
        read_verified(path, most=100)

    def fail():
        with atomic_with_digest(path) as file:
            file.write("half")
            raise RuntimeError

    path.write_text("newer")
    with pytest.raises(RuntimeError):
        fail()
    assert read_verified(path, most=100) == b"newer"
    assert sorted(os.listdir(tmp_path)) == ["a.txt", DIGESTS]


def test_files_below_a_folder_are_checked_and_must_be_files(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_text("c")
    (tmp_path / "d").write_text("d")
    assert list_files(tmp_path) == ["a/b/c", "d"]
    write_digests(tmp_path, list_files(tmp_path))
    check_files(tmp_path)
    (tmp_path / "a" / "b" / "c").write_text("e")
    with pytest.raises(InputError, match=r"a/b/c is not as it was written"):
        check_files(tmp_path)
    (tmp_path / "a" / "b" / "c").unlink()
    with pytest.raises(InputError, match=r"a/b/c is missing"):
        check_files(tmp_path)
    forget_digests(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="pipe is a pipe"):
        check_files(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"format": 1, "files": {"a": 1}}',
        b'{"format": 2, "files": {}}',
        b'{"format": 1, "files": {"../a": []}}',
        b'{"format": 1, "files": {"/etc/passwd": []}}',
        b'{"format": 1, "files": {"\xff": []}}',
    ],
)
def test_damaged_digests_are_one_line(tmp_path, content):
    (tmp_path / "a").write_text("a")
    (tmp_path / DIGESTS).write_bytes(content)
    with pytest.raises(InputError, match=r"digests\.json is (damaged|of another version) \(delete it") as caught:
        read_verified(tmp_path / "a", most=10)
    assert "\n" not in str(caught.value)
    (tmp_path / DIGESTS).unlink()
    os.mkfifo(tmp_path / DIGESTS)
    with pytest.raises(InputError, match=r"digests\.json is a pipe"):
        read_digests(tmp_path)
