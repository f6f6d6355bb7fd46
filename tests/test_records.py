"""records: one line for whatever a file holds that it should not."""

import math

import pytest

from musiclust.errors import InputError
from musiclust.records import Record, parse_record, read_record, write_record


class Song(Record, frozen=True):
    format: int
    title: str
    seconds: float | None = None


def test_a_record_is_read_as_it_was_written(tmp_path):
    write_record(tmp_path / "song.json", Song(format=1, title="Für \u2028 Elise", seconds=2.5))
    assert read_record(tmp_path / "song.json", Song, version=1, remedy="") == Song(
        format=1, title="Für \u2028 Elise", seconds=2.5
    )
    write_record(tmp_path / "song.json", Song(format=1, title="", seconds=math.nan))
    assert read_record(tmp_path / "song.json", Song, version=1, remedy="").seconds is None


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "damaged"),
        (b'{"format": 1, "title": "a"', "damaged"),
        (b'{"format": 1, "title": 3}', r"damaged .*Expected `str`, got `int` - at `\$.title`"),
        (b'{"format": 1}', "missing required field `title`"),
        (b'{"format": 1, "title": "a", "more": 1}', "unknown field `more`"),
        (b'{"format": 1, "title": "\xff"}', "damaged"),
        ('{"format": 1, "title": "a"}'.encode("utf-16"), "damaged"),
        (b'{"format": 2, "artist": "a"}', "is of format 2, this version reads 1"),
        (b'{"format": "1", "title": "a"}', "damaged"),
        (b"[]", "damaged"),
        (b"[" * 100_000, "damaged"),
        (b'{"format": NaN, "title": "a"}', "damaged"),
    ],
)
def test_a_record_that_is_none_is_told_in_one_line(tmp_path, content, fault):
    path = tmp_path / "song.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=fault) as caught:
        read_record(path, Song, version=1, remedy="sing it again")
    assert str(caught.value).startswith(f"{path} ")
    assert str(caught.value).endswith(": sing it again")
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"of format|damaged"):
        parse_record(content, Song, version=1)


def test_a_folder_in_its_place_is_told(tmp_path):
    with pytest.raises(InputError, match="is a folder, not a file: look again"):
        read_record(tmp_path, Song, remedy="look again")
