"""Grouping tags: what is written is read back by others, all else stays byte for byte, and all of it can be undone."""

import base64
import hashlib
import io
import json
import os
import random
import shutil

import numpy as np
import pytest
import soundfile
from tinytag import TinyTag

from musiclust.errors import InputError
from musiclust.listening import tagging
from musiclust.listening.grouping_tag import UnwritableError, find_grouping
from musiclust.listening.tagging import propose, undo_tags, write_tags

NAME = "piano, solo"


def sound(kind: str) -> bytes:
    """Half a second of noise as mp3 or FLAC, without tags of its own."""
    file = io.BytesIO()
    noise = np.random.default_rng(0).normal(size=11025) * 0.1
    soundfile.write(file, noise, 22050, format=kind.upper(), subtype={"mp3": "MPEG_LAYER_III"}.get(kind))
    return file.getvalue()


MP3, FLAC = sound("mp3"), sound("flac")


def seven_bits(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def frame(name: bytes, content: bytes, version: int = 3) -> bytes:
    size = len(content).to_bytes(4, "big") if version == 3 else seven_bits(len(content))
    return name + size + b"\0\0" + content


def id3(*frames: bytes, version: int = 3, flags: int = 0, padding: int = 0) -> bytes:
    body = b"".join(frames) + bytes(padding)
    return b"ID3" + bytes([version, 0, flags]) + seven_bits(len(body)) + body


def block(kind: int, content: bytes, last: bool = False) -> bytes:
    return bytes([kind | 0x80 * last]) + len(content).to_bytes(3, "big") + content


def comments(*texts: str) -> bytes:
    parts = [b"me", *(text.encode() for text in texts)]
    lines = [len(part).to_bytes(4, "little") + part for part in parts]
    return lines[0] + len(texts).to_bytes(4, "little") + b"".join(lines[1:])


def flac(*blocks: bytes) -> bytes:
    """A FLAC file of our sound with these blocks after STREAMINFO, the last of them marked so."""
    at, last = 4, False
    while not last:
        last = bool(FLAC[at] & 0x80)
        at += 4 + int.from_bytes(FLAC[at + 1 : at + 4], "big")
    streaminfo = bytes([0 if blocks else 0x80]) + FLAC[5:42]
    return b"fLaC" + streaminfo + b"".join(blocks) + FLAC[at:]


TITLE3 = frame(b"TIT2", b"\1" + "Für Elise".encode("utf-16"))
TITLE4 = frame(b"TIT2", "\3Für Elise".encode(), 4)
COVER = frame(b"APIC", b"\0image/png\0\3\0" + bytes(range(256)) * 1000)
COVER4 = frame(b"APIC", b"\0image/png\0\3\0" + bytes(range(256)) * 1000, 4)
PICTURE = b"\0\0\0\3\0\0\0\x09image/png" + bytes(20) + (51200).to_bytes(4, "big") + bytes(range(256)) * 200
TITLED = {
    "ID3v2.3.mp3": id3(TITLE3, COVER, padding=1000) + MP3,
    "ID3v2.3 without padding.mp3": id3(COVER, TITLE3) + MP3,
    "ID3v2.4.mp3": id3(COVER4, TITLE4, version=4, padding=7) + MP3,
    "comments.flac": flac(block(1, bytes(500)), block(4, comments("TITLE=Für Elise")), block(6, PICTURE, last=True)),
    "comments last.flac": flac(block(4, comments("ARTIST=B", "title=Für Elise"), last=True)),
}
UNTITLED = {
    "bare.mp3": MP3,
    "bare.flac": FLAC,
    "STREAMINFO alone.flac": flac(),
    "no comments.flac": flac(block(1, bytes(500), last=True)),
}


def put(folder, files: dict[str, bytes]):
    paths = []
    for name, content in files.items():
        paths.append(folder / name)
        paths[-1].write_bytes(content)
        os.utime(paths[-1], ns=(10**18, 10**18))
    return paths


def tagged(*frames: bytes, version: int = 3) -> bytes:
    return id3(*frames, version=version) + MP3


def grouping(path) -> list[str]:
    return TinyTag.get(path).other.get("grouping", [])


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", [NAME, "Чайковский, 静か 𝄞"])
def test_others_read_the_name_and_all_the_rest_as_before(tmp_path, name):
    music, backup = tmp_path / "music", tmp_path / "out" / "backup.jsonl"
    music.mkdir()
    files = TITLED | UNTITLED
    paths = put(music, files)
    paths[0].chmod(0o640)
    before = [(TinyTag.get(path, image=True), soundfile.read(path)[0]) for path in paths]
    changes = propose(paths, [name] * len(paths), backup=backup)
    assert [(one.now, one.wanted, one.refused) for one in changes] == [("", name, "")] * len(paths)
    assert contents(music) == files  # a proposal changes nothing
    outcome = write_tags(changes, backup)
    assert (outcome.done, outcome.left) == (paths, [])
    for path, (tag, samples) in zip(paths, before, strict=True):
        after = TinyTag.get(path, image=True)
        assert grouping(path) == [name]
        assert after.title == tag.title == ("Für Elise" if path.name in TITLED else None)
        assert (after.artist, after.duration) == (tag.artist, tag.duration)
        assert {key: value for key, value in after.other.items() if key != "grouping"} == tag.other
        if tag.images.any:
            assert after.images.any.data == tag.images.any.data
        np.testing.assert_array_equal(soundfile.read(path)[0], samples)
        assert path.stat().st_mtime_ns != 10**18
    assert paths[0].stat().st_mode & 0o777 == 0o640
    assert not any(one.due for one in propose(paths, [name] * len(paths), backup=backup))  # there is nothing more to do
    assert len(backup.read_bytes()) < 1000 * len(paths)  # covers are not copied into it
    outcome = undo_tags(backup)
    assert (sorted(outcome.done), outcome.left) == (sorted(paths), [])
    assert contents(music) == files
    assert {path.stat().st_mtime_ns for path in paths} == {10**18}
    assert not backup.exists()


@pytest.mark.parametrize(
    ("content", "now"),
    [
        (tagged(frame(b"TIT1", b"\0Caf\xe9"), TITLE3), "Café"),
        (tagged(COVER, frame(b"TIT1", b"\1" + "Café\0".encode("utf-16")), TITLE3), "Café"),
        (tagged(COVER4, frame(b"TIT1", b"\3Summer\0Caf\xc3\xa9\0", 4), TITLE4, version=4), "Summer / Café"),
        (tagged(frame(b"TIT1", b"\0the work"), frame(b"GRP1", "\2Café".encode("utf-16-be")[1:]), TITLE3), "Café"),
        (flac(block(4, comments("grouping=Summer", "TITLE=A", "Grouping=Café", "X=y"), last=True)), "Summer / Café"),
    ],
    ids=["Latin-1", "UTF-16", "two texts", "GRP1 of iTunes", "two comments"],
)
def test_what_somebody_else_wrote_stays_and_our_own_name_gives_way(tmp_path, content, now):
    music, backup = tmp_path / "music", tmp_path / "backup.jsonl"
    music.mkdir()
    (path,) = put(music, {"a.flac" if content.startswith(b"fLaC") else "a.mp3": content})
    first = propose([path], [NAME], backup=backup)
    assert (first[0].now, first[0].wanted) == (now, f"{now} / {NAME}")
    assert write_tags(first, backup).done == [path]
    assert grouping(path) == [f"{now} / {NAME}"]
    assert write_tags(propose([path], ["metal"], backup=backup), backup).done == [path]
    assert grouping(path) == [f"{now} / metal"]
    assert propose([path], ["jazz"])[0].wanted == f"{now} / metal / jazz"  # without the list, nothing is known as ours
    assert undo_tags(backup).done == [path]
    assert path.read_bytes() == content


def test_a_text_that_is_there_already_is_no_change(tmp_path):
    (path,) = put(tmp_path, {"a.mp3": tagged(frame(b"TIT1", b"\0Summer / piano, solo"))})
    assert not propose([path], [NAME])[0].due
    backup = tmp_path / "backup.jsonl"
    assert write_tags(propose([path], [NAME]), backup) == ([], [])
    assert not backup.exists()


@pytest.mark.parametrize("file", ["a.mp3", "a.flac"])
def test_a_name_is_one_line(tmp_path, file):
    (path,) = put(tmp_path, {file: MP3 if file.endswith("mp3") else FLAC})
    backup = tmp_path / "backup.jsonl"
    changes = propose([path], ["a\r\nTITLE=b\0c\x1b[31m\u2028d \ud800"], backup=backup)
    assert write_tags(changes, backup).left == []
    assert grouping(path) == ["a TITLE=b c [31m d ?"]
    assert TinyTag.get(path).title is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"OggS" + bytes(100), "neither mp3 nor FLAC"),
        (b"", "neither mp3 nor FLAC"),
        (b"\xff\xf1\x50\x80" + bytes(100), "neither mp3 nor FLAC"),  # AAC
        (id3(version=2) + MP3, "mp3 with an ID3v2.2 tag"),
        (id3(TITLE3, flags=0x80) + MP3, "mp3 with an unsynchronised tag"),
        (id3(TITLE3, flags=0x40) + MP3, "mp3 with an extended header"),
        (id3(TITLE4, version=4, flags=0x10) + MP3, "mp3 with a footer or other flags"),
        (id3(TITLE3) + id3(TITLE3) + MP3, "mp3 with two tags in front"),
        (id3(TITLE3) + FLAC, "no mp3 sound after its tag"),
        (id3(TITLE3, frame(b"CHAP", bytes(30))) + MP3, "mp3 with CHAP, which counts bytes of the file"),
        (id3(frame(b"TIT1", b"\0a"), frame(b"TIT1", b"\0b")) + MP3, "mp3 with TIT1 twice"),
        (id3(b"TIT1\0\0\0\2\0\x80\0a") + MP3, "mp3 with TIT1 read-only, compressed or encrypted"),
        (id3(frame(b"TIT1", b"\1\xff\xfea")) + MP3, "damaged: the text of its TIT1 cannot be read"),
        (id3(frame(b"TIT1", b"\7a")) + MP3, "damaged: the text of its TIT1 cannot be read"),
        (id3(COVER)[:5000], "damaged: its tag is cut off"),
        (b"ID3\3", "damaged: its tag is cut off"),
        (b"ID3\3\0\0\0\0\xff\0" + MP3, "damaged: its tag has a wrong size"),
        (id3(TITLE3[:-3], COVER) + MP3, "damaged: its tag has something that is no frame"),
        (id3(TITLE3, COVER[:-3]) + MP3, "damaged: its frame APIC does not fit into the tag"),
        (id3(TITLE3, bytes(20), b"rest") + MP3, "damaged: its tag has something after the last frame"),
        (MP3 + b"TAG" + bytes(125), "mp3 with an ID3v1 tag alone, which a new tag would hide"),
        (MP3 + b"APETAGEX" + bytes(24), "mp3 with an APEv2 tag alone, which a new tag would hide"),
        (flac(block(6, PICTURE, last=True))[:500], "damaged: its metadata is cut off"),
        (b"fLaC" + block(1, bytes(34), last=True), "damaged: its metadata does not begin with STREAMINFO"),
        (flac(block(4, comments()), block(4, comments(), last=True)), "FLAC with two blocks of comments"),
        (flac(block(4, comments("A=b")[:-1], last=True)), "damaged: its comments are cut off"),
        (flac(block(4, comments("A=b") + b"c", last=True)), "damaged: its comments have something after the last one"),
        (b"fLaC" + block(0, bytes(34), last=True), "damaged: no sound after its metadata"),
    ],
)
def test_what_is_not_written_is_told_in_a_word(tmp_path, content, reason):
    path, good = put(tmp_path, {"a": content, "good.mp3": MP3})
    backup = tmp_path / "backup.jsonl"
    changes = propose([path, good], [NAME, NAME])
    assert [one.refused for one in changes] == [reason, ""]
    assert write_tags(changes, backup).done == [good]  # it costs only itself
    assert path.read_bytes() == content


def test_no_room_in_a_block_of_comments(tmp_path):
    huge = flac(block(4, comments("A=" + "b" * (2**24 - 30)), last=True))
    (path,) = put(tmp_path, {"a.flac": huge})
    outcome = write_tags(propose([path], [NAME]), tmp_path / "backup.jsonl")
    assert outcome.left == [(path, "no room: its comments would be too large")]
    assert path.read_bytes() == huge


@pytest.mark.parametrize("name", [*TITLED, *UNTITLED])
def test_damage_anywhere_in_the_metadata_ends_in_a_word(name):
    content, dice = (TITLED | UNTITLED)[name], random.Random(0)
    metadata = len(content) - len(MP3 if name.endswith("mp3") else flac()) + 60
    for _ in range(400):
        damaged = bytearray(content)
        for _ in range(dice.randint(1, 3)):
            at = dice.choice([dice.randrange(60), dice.randrange(metadata)])
            damaged[at] = dice.randrange(256)
        damaged = damaged[: dice.choice([len(content), dice.randrange(metadata)])]
        try:
            find_grouping(io.BytesIO(bytes(damaged))).set_text(NAME)
        except UnwritableError:
            continue


def test_files_that_may_not_be_written_cost_only_themselves(tmp_path):
    music, backup = tmp_path / "music", tmp_path / "backup.jsonl"
    music.mkdir()
    names = ("locked", "gone", "edited", "two names", "link", "good")
    paths = locked, gone, edited, two_names, link, good = [music / f"{name}.mp3" for name in names]
    real = tmp_path / "real.mp3"
    put(music, {path.name: MP3 for path in paths if path != link})
    real.write_bytes(MP3)
    link.symlink_to(real)
    changes = propose(paths, [NAME] * 6)
    locked.chmod(0o444)
    gone.unlink()
    edited.write_bytes(tagged(frame(b"TIT1", b"\0mine")))
    os.link(two_names, music / "other name.mp3")
    outcome = write_tags(changes, backup)
    assert outcome.done == [link, good]
    assert outcome.left == [
        (locked, "read-only"),
        (gone, "there is no such file"),
        (edited, "its tag was changed since it was read"),
        (two_names, "a hard link: the same file has another name too"),
    ]
    assert link.is_symlink()
    assert grouping(real) == [NAME]
    refused = [one.refused for one in propose([locked, gone, two_names, music], [NAME] * 4)]
    assert refused[:2] == ["read-only", "there is no such file"]
    assert refused[3] == "not a file"
    assert undo_tags(backup).left == []
    assert real.read_bytes() == good.read_bytes() == MP3


def test_a_name_that_is_no_utf8(tmp_path):
    path, backup = tmp_path / os.fsdecode(b"caf\xe9.mp3"), tmp_path / "backup.jsonl"
    path.write_bytes(MP3)
    assert write_tags(propose([path], [NAME]), backup).done == [path]
    assert undo_tags(backup).done == [path]
    assert path.read_bytes() == MP3


class Killed(BaseException):
    """Stands for a signal that ends the process."""


@pytest.mark.parametrize("moment", ["before the line", "half a line", "before the replace", "after the replace"])
def test_killed_at_any_moment_each_file_is_whole_and_undone(tmp_path, monkeypatch, moment):
    music, backup = tmp_path / "music", tmp_path / "backup.jsonl"
    music.mkdir()
    files = {f"{number}.mp3": id3(TITLE3, COVER) + MP3 for number in range(3)}
    paths = put(music, files)
    replace, append, copied = os.replace, tagging._append, []

    def keep_temporary():  # as it would lie there: a killed program does not tidy up
        for temporary in music.glob(".musiclust-tag-*"):
            copied.append(temporary.name)
            shutil.copyfile(temporary, tmp_path / "left")
        raise Killed

    def killed_replace(source, target):
        if target != paths[1]:
            replace(source, target)
            return
        if moment == "after the replace":
            replace(source, target)
        keep_temporary()

    def killed_append(lines, line):
        if str(paths[1]).encode() in line and moment in ("before the line", "half a line"):
            lines.write(line[: len(line) // 2] if moment == "half a line" else b"")
            keep_temporary()
        append(lines, line)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed_replace)
        patch.setattr(tagging, "_append", killed_append)
        with pytest.raises(Killed):
            write_tags(propose(paths, [NAME] * 3), backup)
    for name in copied:
        shutil.copyfile(tmp_path / "left", music / name)
    assert [grouping(path) for path in paths] == [[NAME], [NAME] if moment == "after the replace" else [], []]
    again = shutil.copyfile(backup, tmp_path / "again.jsonl")
    saved = contents(music)
    undo_tags(backup)
    assert contents(music) == files  # and nothing lies beside them

    put(music, saved)  # or the same command again, and then undone
    changes = propose(paths, [NAME] * 3, backup=again)
    assert [one.wanted for one in changes] == [NAME] * 3
    assert write_tags(changes, again).left == []
    assert {path.name for path in music.iterdir()} == set(files)
    assert [grouping(path) for path in paths] == [[NAME]] * 3
    assert undo_tags(again).left == []
    assert contents(music) == files


def test_a_file_that_was_changed_since_is_left_and_can_be_undone_later(tmp_path):
    music, backup = tmp_path / "music", tmp_path / "backup.jsonl"
    music.mkdir()
    a, b = put(music, {"a.mp3": MP3, "b.flac": FLAC})
    write_tags(propose([a, b], [NAME] * 2), backup)
    written = a.read_bytes()
    a.write_bytes(written + b"more")
    outcome = undo_tags(backup)
    assert (outcome.done, outcome.left) == ([b], [(a, "it was changed since its tag was written")])
    assert a.read_bytes() == written + b"more"
    assert b.read_bytes() == FLAC
    a.write_bytes(written)
    assert undo_tags(backup).done == [a]
    assert a.read_bytes() == MP3
    with pytest.raises(InputError, match="no tags were written that could be undone"):
        undo_tags(backup)


def test_a_list_that_was_tampered_with_puts_nothing_else_into_a_file(tmp_path):
    (path,) = put(tmp_path, {"a.mp3": MP3})
    backup = tmp_path / "backup.jsonl"
    write_tags(propose([path], [NAME]), backup)
    written, line = path.read_bytes(), json.loads(backup.read_text())
    line["edits"][0][1] = base64.b64encode(b"other bytes").decode()
    backup.write_text(json.dumps(line) + "\n")
    assert undo_tags(backup).left == [(path, "the backup list does not give its bytes of before")]
    assert path.read_bytes() == written
    for damage in ("{}\n", "[1]\n", "no json\n", json.dumps(line | {"edits": [["x", "", ""]]}) + "\n"):
        backup.write_text(damage)
        with pytest.raises(InputError, match="is damaged"):
            undo_tags(backup)
        with pytest.raises(InputError, match="is damaged"):
            propose([path], [NAME], backup=backup)


def test_without_a_list_nothing_is_written(tmp_path):
    (path,) = put(tmp_path, {"a.mp3": MP3})
    with pytest.raises(InputError, match="cannot be written"):
        write_tags(propose([path], [NAME]), path / "backup.jsonl")
    with pytest.raises(InputError, match="cannot be written"), open("/dev/full", "ab", buffering=0) as full:
        tagging._append(full, b"a line\n")
    assert contents(tmp_path) == {"a.mp3": MP3}


def test_a_backup_list_of_somebody_else_changes_tags_alone(tmp_path):
    """Who knows what is in a file can write a list that would make something else of it."""
    backup = tmp_path / "tags-backup.jsonl"
    text, song = tmp_path / "settings.sh", tmp_path / "song.mp3"
    text.write_bytes(b"export A=1\n")
    song.write_bytes(tagged(frame(b"TIT1", b"\0Summer")))
    sound = find_grouping(io.BytesIO(song.read_bytes())).sound

    def forge(path, place, before, after):
        """A line by which `after` at that place becomes `before`, as if it had been so."""
        now = path.read_bytes()
        assert now[place : place + len(after)] == after
        then = now[:place] + before + now[place + len(after) :]
        edits = [[place, base64.b64encode(before).decode(), base64.b64encode(after).decode()]]
        line = {"path": str(path), "mtime_ns": 0, "grouping": "", "others": "", "edits": edits}
        line |= {"before": hashlib.sha256(then).hexdigest(), "after": hashlib.sha256(now).hexdigest()}
        return json.dumps(line) + "\n"

    pipe = tmp_path / "pipe.mp3"
    os.mkfifo(pipe)
    lines = [forge(text, 0, b"rm -r ~; ", b""), forge(song, sound + 4, b"noise", song.read_bytes()[sound + 4 :][:5])]
    backup.write_text("".join(lines) + lines[0].replace(str(text), str(pipe)))
    contents = [text.read_bytes(), song.read_bytes()]
    outcome = undo_tags(backup)
    assert outcome.done == []
    assert dict(outcome.left) == {
        text: "neither mp3 nor FLAC",
        song: "the backup list would change more than its tag",
        pipe: "not a file",
    }
    assert [text.read_bytes(), song.read_bytes()] == contents
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".musiclust")]


def test_a_backup_list_is_not_written_through_a_link(tmp_path):
    mine, backup = tmp_path / "mine.txt", tmp_path / "tags-backup.jsonl"
    mine.write_text("half a line")
    backup.symlink_to(mine)
    (path,) = put(tmp_path, {"a.mp3": tagged(TITLE3)})
    with pytest.raises(InputError, match=r"cannot be written \(it is a link\)"):
        write_tags(propose([path], [NAME]), backup)
    assert mine.read_text() == "half a line"
