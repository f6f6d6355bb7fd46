"""written: where words are found, and what is not taken for words."""

import pytest

from musiclust.preprocess.lyrics.update import SOURCES
from musiclust.preprocess.lyrics.written import clean_lines, find_words, is_refused, separate_notices

SONG = "Early one morning\njust as the sun was rising\nI heard a maid sing\nin the valley below\n"


def of(tmp_path, score="", sources="auto", audio=b"x"):
    path = tmp_path / "song.mp3"
    path.write_bytes(audio)
    return find_words("song", str(path), score, SOURCES[sources])


def uslt(text):
    """An ID3v2.3 tag with one USLT frame in UTF-16, by hand."""
    content = b"\x01eng" + b"\xff\xfe\0\0" + text.encode("utf-16")
    body = b"USLT" + len(content).to_bytes(4, "big") + b"\0\0" + content
    return b"ID3\x03\0\0" + bytes(len(body) >> shift & 0x7F for shift in (21, 14, 7, 0)) + body + b"\0" * 200


def sylt(lines):
    """An ID3v2.3 tag with one SYLT frame: (milliseconds, line) in Latin-1, by hand."""
    content = b"\x00eng\x02\x01\0" + b"".join(line.encode() + b"\0" + ms.to_bytes(4, "big") for ms, line in lines)
    body = b"SYLT" + len(content).to_bytes(4, "big") + b"\0\0" + content
    return b"ID3\x03\0\0" + bytes(len(body) >> shift & 0x7F for shift in (21, 14, 7, 0)) + body + b"\0" * 200


def vorbis_comment(field):
    """An empty FLAC file with one Vorbis comment."""
    comment = b"\0\0\0\0" + (1).to_bytes(4, "little") + len(field).to_bytes(4, "little") + field
    return b"fLaC\0" + (34).to_bytes(3, "big") + b"\0" * 34 + b"\x84" + len(comment).to_bytes(3, "big") + comment


def test_every_kind_of_tag_is_read(tmp_path):
    synced = of(tmp_path, audio=sylt([(0, "Early one morning"), (61_500, "as the sun rose")]))
    assert (synced["source"], synced["text"]) == ("tags", "Early one morning\nas the sun rose")
    for name in ("LYRICS", "UNSYNCEDLYRICS"):
        path = tmp_path / f"{name}.flac"
        path.write_bytes(vorbis_comment(f"{name}=Early one morning".encode()))
        assert find_words("t", str(path), "", SOURCES["auto"])["text"] == "Early one morning"


def test_the_score_comes_before_the_sidecar_before_the_tags(tmp_path):
    assert of(tmp_path)["source"] == "none"
    tagged = of(tmp_path, audio=uslt("from the\ntags"))
    assert (tagged["source"], tagged["text"]) == ("tags", "from the\ntags")
    (tmp_path / "song.txt").write_text(SONG)
    assert of(tmp_path, audio=uslt("from the tags"))["text"] == SONG.strip()
    (tmp_path / "song.lrc").write_text("[00:01.00]timed words")
    record = of(tmp_path, audio=uslt("from the tags"))
    assert (record["text"], record["reason"], record["confidence"]) == ("timed words", "song.lrc", 1.0)
    assert of(tmp_path, score="sung words")["source"] == "score"


def test_only_the_places_asked_for_are_looked_at(tmp_path):
    (tmp_path / "song.txt").write_text(SONG)
    assert of(tmp_path, score="sung", sources="sidecar")["source"] == "sidecar"
    assert of(tmp_path, score="sung", sources="tags")["source"] == "none"
    assert of(tmp_path, score="sung", sources="none")["source"] == "none"
    assert of(tmp_path, score="sung", sources="whisper")["source"] == "none"


def test_lrc_loses_stamps_tags_and_signs():
    lrc = "[ar:Somebody]\n[offset:+100]\n[00:12.00][01:15.5]Early <00:13.10>one  morning\n[00:20]♪ ♪\n[Chorus]\n\n"
    assert clean_lines(lrc + "[1:02:03]x") == "Early one morning\nx"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1"])
def test_encodings(tmp_path, encoding):
    text = "Grüße aus dem Café\nnaïve Straße"
    (tmp_path / "song.txt").write_bytes(text.encode(encoding) + (b"\x81" if encoding == "latin-1" else b""))
    assert of(tmp_path)["text"].startswith(text)


@pytest.mark.parametrize(
    "notice",
    [
        "Waltz by Somebody\nhttps://example.org/sounds/1\nCC BY-NC 3.0: https://creativecommons.org/licenses/by-nc/3.0/",
        "A song by A. Singer is licensed under a Creative Commons Attribution License.",
        "Recorded 1999\n(c) 1999 Somebody\nAll rights reserved.",
        "Booking: somebody@example.org",
    ],
)
def test_a_licence_beside_a_song_is_not_its_lyrics(tmp_path, notice):
    (tmp_path / "song.txt").write_text(notice)
    record = of(tmp_path)
    assert (record["source"], record["text"], record["confidence"]) == ("none", "", 0.0)
    assert record["reason"].startswith("song.txt: a licence or credit notice, not lyrics")
    assert is_refused(record)


def test_a_credit_under_a_song_sheet_is_cut_off():
    text, reason = separate_notices(SONG + SONG + "Lyrics from www.example.org", synced=False)
    assert text == (SONG + SONG).strip()
    assert reason == "left out 1 of its 9 lines, a notice"


def test_the_rule_turns_at_a_quarter():
    assert separate_notices("a\nb\nc\nhttp://x.org", synced=False)[0] == ""
    assert separate_notices("a\nb\nc\nd\nhttp://x.org", synced=False)[0] == "a\nb\nc\nd"
    assert separate_notices("a\nhttp://x.org", synced=True)[0] == "a"


def test_what_is_no_text_and_what_has_no_words(tmp_path):
    (tmp_path / "song.txt").write_bytes(b"\x89PNG\0\0")
    assert of(tmp_path)["reason"] == "song.txt: not a text"
    (tmp_path / "song.txt").write_text("[Instrumental]\n♪\n")
    assert of(tmp_path)["reason"] == "song.txt: no words in it"
    (tmp_path / "song.txt").write_text("word " * 20_000)
    assert "too long" in of(tmp_path)["reason"]


def test_a_refused_text_does_not_hide_the_tags(tmp_path):
    (tmp_path / "song.txt").write_text("https://example.org")
    assert of(tmp_path, audio=uslt("real words"))["source"] == "tags"


def test_no_words_at_all_is_no_refusal(tmp_path):
    record = of(tmp_path)
    assert record == {
        "track_id": "song",
        "text": "",
        "words": "",
        "source": "none",
        "language": None,
        "confidence": 0.0,
        "reason": "no words found",
    }
    assert not is_refused(record)


def test_a_track_without_a_file_may_have_a_score():
    assert find_words("t", "", "Kyrie eleison", SOURCES["auto"])["text"] == "Kyrie eleison"
    assert find_words("t", "", "", SOURCES["auto"])["source"] == "none"
