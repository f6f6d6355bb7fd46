"""csv_records: one line for whatever a table holds that it should not."""

import csv
import math
import os

import pytest

from musiclust.csv_records import read_name, read_number, read_table, read_text, read_whole
from musiclust.errors import InputError

COLUMNS = {"id": read_name, "title": read_text, "count": read_whole, "seconds": read_number}
ROWS = [
    ("id", "title", "count", "seconds"),
    ("a", 'x, "y"\r\nz', "3", "1.5"),
    ("b", "", "-1", ""),
    ("c", "ü", "0", "1e-05"),
]


def read(path, **options):
    return read_table(path, COLUMNS, remedy="write it again", **options)


def write(path, rows=ROWS):
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def test_a_table_is_read_as_it_was_written(tmp_path):
    found = read(write(tmp_path / "a.csv"))
    assert found["id"] == ["a", "b", "c"]
    assert found["title"] == ['x, "y"\r\nz', "", "ü"]
    assert found["count"] == [3, -1, 0]
    assert found["seconds"][::2] == [1.5, 1e-05]
    assert math.isnan(found["seconds"][1])
    assert read(write(tmp_path / "a.csv", ROWS[:1])) == {"id": [], "title": [], "count": [], "seconds": []}
    long = "x" * 300_000
    assert read(write(tmp_path / "a.csv", [ROWS[0], ("a", long, "1", "")]))["title"] == [long]


def test_columns_of_earlier_versions_and_of_any_name(tmp_path):
    path = write(tmp_path / "a.csv", [("id", "count", "seconds", "class:genre"), ("a", "1", "2", "folk")])
    found = read(path, optional=("title",), others=("class:", "label:"))
    assert found == {"id": ["a"], "count": [1], "seconds": [2.0], "class:genre": ["folk"]}
    with pytest.raises(InputError, match=r"lacks the columns \['title'\]: write it again"):
        read(path, others=("class:",))
    with pytest.raises(InputError, match="has a column that this version does not know: 'class:genre'"):
        read(path, optional=("title",))


def test_wherever_it_is_cut_it_is_no_table(tmp_path):
    path = write(tmp_path / "a.csv")
    content = path.read_bytes()
    ends = {content.index(row) + len(row) for row in (b"seconds\r\n", b"3,1.5\r\n", b"b,,-1,\r\n")}
    for end in range(len(content)):
        if end in ends:
            continue  # that rows are lacking, only their digest tells
        path.write_bytes(content[:end])
        with pytest.raises(InputError, match=r"a\.csv (is cut off|is damaged|lacks)[^\n]*: write it again"):
            read(path)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "lacks the columns"),
        (b"\x00" * 50, "lacks the columns"),
        (b"id,title,count,seconds\na,b,1\n", "row 1: it has 3 cells, and there are 4 columns"),
        (b"id,title,count,seconds\na,b,1,2,3\n", "row 1: it has 5 cells"),
        (b"id,title,count,seconds\n\na,b,1,2\n", "row 1: it has 0 cells"),
        (b"id,title,count,seconds,id\n", "has a column twice: 'id'"),
        (b"id,title,count,seconds\n,b,1,2\n", "row 1: its id is empty"),
        (b"id,title,count,seconds\na,b,1.0,2\n", "row 1: its count is no whole number: '1.0'"),
        (b"id,title,count,seconds\na,b,1_0,2\n", "is no whole number"),
        (b"id,title,count,seconds\na,b,,2\n", "is no whole number: ''"),
        (b"id,title,count,seconds\na,b,1,inf\n", "its seconds is no number: 'inf'"),
        (b"id,title,count,seconds\na,b,1,0x1\n", "is no number"),
        (b'id,title,count,seconds\na,"b,1,2\n', "is damaged at line"),
        (b'id,title,count,seconds\na,"b"x,1,2\n', "is damaged at line"),
        (b"id,title,count,seconds\na,\xff,1,2\n", "not in UTF-8 .at byte 25"),
        ("id,title,count,seconds\na,b,1,2\n".encode("utf-16"), "not in UTF-8"),
        ("id,title,count,seconds\na,b,1,2\n".encode("utf-16-le"), "damaged|lacks the columns"),
        (b'{"format": 1}', "lacks the columns"),
    ],
)
def test_what_is_no_table_is_one_line(tmp_path, content, fault):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputError, match=fault) as caught:
        read(tmp_path / "a.csv")
    assert str(caught.value).startswith(str(tmp_path / "a.csv"))
    assert str(caught.value).endswith(": write it again")
    assert "\n" not in str(caught.value)


def test_only_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, fault in ((tmp_path, "is a folder"), (tmp_path / "pipe", "is a pipe"), (tmp_path / "no", "is missing")):
        with pytest.raises(InputError, match=f"{fault}.*: write it again"):
            read(path)
