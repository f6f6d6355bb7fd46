"""Playlists: what players read, what no name can break, and that edits by hand stay."""

import json
import math
import os
import unicodedata
from pathlib import Path
from xml.etree import ElementTree

import pytest

from musiclust.errors import InputError
from musiclust.listening import playlists
from musiclust.listening.playlists import Song, file_names, format_m3u8, format_xspf, write_playlists

XSPF = "{http://xspf.org/ns/0/}"


def lines(content: bytes) -> list[str]:
    return content.decode("utf-8", "surrogateescape").split("\n")


def test_an_m3u8_is_as_players_need_it(tmp_path):
    songs = [
        Song(tmp_path / "music" / "Bach" / "Air & Gigue.flac", "Air", "J. S. Bach", "Suite", 312.6),
        Song(tmp_path / "music" / "unknown 50%.mp3"),
    ]
    content = format_m3u8("slow, strings", songs, folder=tmp_path / "lists")
    assert lines(content) == [
        "#EXTM3U",
        "#PLAYLIST:slow, strings",
        "#EXTINF:313,J. S. Bach - Air",
        "../music/Bach/Air & Gigue.flac",
        "#EXTINF:-1,unknown 50%",
        "../music/unknown 50%.mp3",  # not percent-encoded
        "",
    ]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_path_is_written_as_it_is_on_disk(tmp_path, form):
    path = tmp_path / (unicodedata.normalize(form, "Dvořák é") + ".mp3")
    path.touch()
    written = lines(format_m3u8("x", [Song(path)], folder=tmp_path))[3]
    assert (tmp_path / written).exists()
    assert written == path.name


@pytest.mark.skipif(os.name != "posix", reason="names that are no UTF-8")
def test_a_name_that_is_no_utf_8_opens(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp3"))
    path.touch()
    content = format_m3u8("x", [Song(path)], folder=tmp_path)
    assert b"caf\xe9.mp3\n" in content
    root = ElementTree.fromstring(format_xspf("x", [Song(path)], folder=tmp_path))
    assert root.findtext(f".//{XSPF}location") == "caf%E9.mp3"


@pytest.mark.parametrize("text", ["two\nlines", "two\r\nlines", "two\u2028lines", "two\x85lines", "two\x0blines"])
def test_nothing_that_a_song_is_called_adds_a_line(tmp_path, text):
    song = Song(tmp_path / "a.mp3", text, text, text)
    assert format_m3u8(text, [song], folder=tmp_path).decode().splitlines() == [
        "#EXTM3U", "#PLAYLIST:two lines", "#EXTINF:-1,two lines - two lines", "a.mp3",
    ]  # fmt: skip
    with pytest.raises(InputError, match="has a line break in its name"):
        format_m3u8("x", [Song(tmp_path / f"{text}.mp3")], folder=tmp_path)


def test_a_path_is_no_comment(tmp_path):
    assert lines(format_m3u8("x", [Song(tmp_path / "#1.mp3")], folder=tmp_path))[3] == "./#1.mp3"


def test_a_player_elsewhere(tmp_path):
    song = Song(tmp_path / "Bach" / "air.mp3")
    for there, path in (
        ("/storage/Music/", "/storage/Music/Bach/air.mp3"),
        ("D:\\Music", "D:\\Music\\Bach\\air.mp3"),
        ("Music", "Music/Bach/air.mp3"),
    ):
        assert lines(format_m3u8("x", [song], folder=tmp_path, base=(tmp_path, there)))[3] == path
    with pytest.raises(InputError, match="is not below"):
        format_m3u8("x", [song], folder=tmp_path, base=(tmp_path / "other", "/storage"))


def test_an_xspf_is_xml_whatever_a_song_is_called(tmp_path):
    song = Song(tmp_path / "a b & <c>.mp3", "<script>\x00", "A & B", seconds=1.5)
    root = ElementTree.fromstring(format_xspf("slow & low", [song, Song(tmp_path / "d.mp3")], folder=tmp_path))
    assert root.tag == f"{XSPF}playlist"
    assert root.get("version") == "1"
    assert root.findtext(f"{XSPF}title") == "slow & low"
    first, second = root.findall(f"{XSPF}trackList/{XSPF}track")
    assert {child.tag.removeprefix(XSPF): child.text for child in first} == {
        "location": "a%20b%20%26%20%3Cc%3E.mp3", "title": "<script>", "creator": "A & B", "duration": "1500",
    }  # fmt: skip
    assert [child.tag.removeprefix(XSPF) for child in second] == ["location", "title"]
    absolute = format_xspf("x", [song], folder=tmp_path, base=(tmp_path, "/m u"))
    assert b"<location>file:///m%20u/a%20b" in absolute


def test_lengths_are_whole_seconds(tmp_path):
    for seconds, told in ((0.2, "1"), (59.5, "60"), (0.0, "-1"), (math.nan, "-1"), (math.inf, "-1")):
        line = lines(format_m3u8("x", [Song(tmp_path / "a.mp3", "t", seconds=seconds)], folder=tmp_path))[2]
        assert line == f"#EXTINF:{told},t"


def test_file_names_are_safe_and_differ():
    names = ["a/b", "a:b", "A-B", "..", ".hidden", "x" * 300, "é" * 100, "con", "COM1.x", "tab\there", "end. "]
    found = file_names(names)
    assert found[:5] == ["a-b", "a-b (2)", "A-B (3)", "playlist", "hidden"]
    assert all(len(name.encode()) <= 128 for name in found)
    assert found[6] == "é" * 60
    assert found[7:] == ["con_", "COM1.x_", "tab here", "end"]
    assert len({name.casefold() for name in found}) == len(names)


def test_edits_by_hand_stay(tmp_path):
    one, two = b"#EXTM3U\none\n", b"#EXTM3U\ntwo\n"
    assert write_playlists(tmp_path, {"a.m3u8": one, "b.m3u8": one, "gone.m3u8": one, "kept.m3u8": one}) == []
    (tmp_path / "a.m3u8").write_bytes(one + b"mine\n")
    (tmp_path / "kept.m3u8").write_bytes(one + b"mine\n")
    (tmp_path / "own.m3u8").write_bytes(b"own")
    assert write_playlists(tmp_path, {"a.m3u8": two, "b.m3u8": two, "own.m3u8": two}) == ["a.m3u8", "own.m3u8"]
    there = {path.name: path.read_bytes() for path in tmp_path.glob("*.m3u8")}
    assert there == {
        "a.m3u8": one + b"mine\n", "b.m3u8": two, "own.m3u8": b"own", "kept.m3u8": one + b"mine\n",
    }  # fmt: skip
    # the same again changes nothing, and what was once edited is still known to be
    assert write_playlists(tmp_path, {"a.m3u8": two, "b.m3u8": two, "own.m3u8": two}) == ["a.m3u8", "own.m3u8"]
    assert write_playlists(tmp_path, {"a.m3u8": two, "own.m3u8": two}, force=True) == []
    assert (tmp_path / "a.m3u8").read_bytes() == (tmp_path / "own.m3u8").read_bytes() == two
    assert not (tmp_path / "b.m3u8").exists()


def test_a_damaged_list_of_what_was_written_is_named(tmp_path):
    (tmp_path / playlists.WRITTEN).write_text("[1")
    with pytest.raises(InputError, match="is damaged"):
        write_playlists(tmp_path, {})
    (tmp_path / playlists.WRITTEN).write_text(json.dumps([1]))
    with pytest.raises(InputError, match="is damaged"):
        write_playlists(tmp_path, {})


@pytest.mark.parametrize("name", ["../mine.txt", "/mine.txt", "..", "", "sub/mine.txt"])
def test_a_list_of_somebody_else_removes_nothing_elsewhere(tmp_path, name):
    folder, mine = tmp_path / "lists", tmp_path / "mine.txt"
    mine.write_bytes(b"keep")
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "mine.txt").write_bytes(b"keep")
    known = {name if name != "/mine.txt" else str(mine): playlists._digest(b"keep")}
    (folder / playlists.WRITTEN).write_text(json.dumps(known))
    with pytest.raises(InputError, match=r"is damaged .* is no file of this folder"):
        write_playlists(folder, {"a.m3u8": b"#EXTM3U\n"})
    assert mine.read_bytes() == (folder / "sub" / "mine.txt").read_bytes() == b"keep"


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_pipe_by_the_name_of_a_playlist_is_left(tmp_path):
    os.mkfifo(tmp_path / "a.m3u8")
    assert write_playlists(tmp_path, {"a.m3u8": b"#EXTM3U\n"}) == ["a.m3u8"]
    os.mkfifo(tmp_path / "b.m3u8")
    (tmp_path / playlists.WRITTEN).unlink()
    os.mkfifo(tmp_path / playlists.WRITTEN)
    with pytest.raises(InputError, match=r"written\.json is a pipe"):
        write_playlists(tmp_path, {})
