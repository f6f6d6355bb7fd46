"""files: whole or not at all, and only what is a file."""

import os
import socket
from functools import partial

import pytest

from musiclust.errors import InputError
from musiclust.files import atomic, check_regular, read_bytes, read_settled, remove_temporary


def test_a_file_that_fails_half_way_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.txt"
    with atomic(path) as file:
        file.write("old")

    def fail():
        with atomic(path) as file:
            file.write("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_only_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(tmp_path / "socket"))
    for name, fault in (("pipe", "is a pipe"), ("socket", "is a pipe"), ("", "is a folder"), ("none", "is missing")):
        with pytest.raises(InputError, match=fault):
            read_bytes(tmp_path / name, most=10)
    (tmp_path / "long").write_bytes(b"x" * 11)
    with pytest.raises(InputError, match="larger than"):
        read_bytes(tmp_path / "long", most=10)
    assert read_bytes(tmp_path / "long", most=11) == b"x" * 11
    (tmp_path / "link").symlink_to(tmp_path / "long")
    check_regular(tmp_path / "link")


def test_temporary_files_of_processes_that_are_gone_are_removed(tmp_path):
    gone = 2**22 + 7  # above the largest number that Linux gives a process
    for name in (f".a.json.{gone}.tmp", f".a.json.{os.getpid()}.tmp", ".mine.tmp", "a.json"):
        (tmp_path / name).touch()
    remove_temporary(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([f".a.json.{os.getpid()}.tmp", ".mine.tmp", "a.json"])


def test_temporary_folders_go_too_and_young_files_stay_where_several_machines_write(tmp_path):
    gone = 2**22 + 7
    old, young = tmp_path / f".wheel-a1.{gone}.tmp", tmp_path / f".a.flac.{gone}.tmp"
    old.mkdir()
    (old / "half.whl").touch()
    young.touch()
    os.utime(old, (0, 0))
    remove_temporary(tmp_path, idle=3600)
    assert os.listdir(tmp_path) == [young.name]
    remove_temporary(tmp_path)
    assert os.listdir(tmp_path) == []


def test_what_is_replaced_while_it_is_read_is_read_again(tmp_path):
    (tmp_path / "a").write_text("old")
    tries = []

    def read() -> str:
        tries.append((tmp_path / "a").read_text())
        if len(tries) < 3:
            with atomic(tmp_path / "a") as file:  # another process
                file.write(f"new {len(tries)}")
            raise InputError("the two halves do not fit")
        return tries[-1]

    assert read_settled(tmp_path, ["a"], read) == "new 2"
    with pytest.raises(InputError, match="is damaged"):
        read_settled(tmp_path, ["a"], partial(_fail, tries))
    assert tries[3:] == ["once"]


def _fail(tries: list[str]) -> None:
    tries.append("once")
    raise InputError("is damaged")
