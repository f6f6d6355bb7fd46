"""What a page with a map holds, read back without a browser; test_map_browser.py has what it does."""

import base64
import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from musiclust.report import map as song_map_module
from musiclust.report import plots
from musiclust.report.map import MapSongs, explain_map, map_program, map_style, song_map, write_map_page

VILE = '</script><script>alert(1)</script><!-- & "Don\'t" <img src=x onerror=alert(2)>'


def make_songs(**changes):
    songs = MapSongs(
        xy=np.array([[0.0, 0.0], [4.0, 1.0], [2.0, 2.0]]),
        title=["Air", VILE, "caf\udce9"],
        artist=["Bach", VILE, "Bach"],
        path=["", "music/a/01 Air.wav", "music/b/caf\udce9 \x7f.wav#t=1,2"],
        seconds=np.array([1.0, np.nan, 200.4]),
        clusters=np.array([0, -1, 1]),
        cluster_names=["0: piano", VILE],
        certainty=["sure", "", VILE],
        tags=["piano 0.70, slow 0.40", "", "slow 0.40"],
        columns={VILE: ["folk", "", "art"], "tempo": [120.0, np.nan, 90.0], "year": np.array([1990, 1991, 2000])},
    )
    return songs._replace(**changes)


class Scripts(HTMLParser):
    """The texts of the scripts, and every element's name."""

    def __init__(self, page):
        super().__init__()
        self.names, self.texts, self._inside = [], [], False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self._inside = tag == "script"

    def handle_data(self, data):
        if self._inside:
            self.texts.append(data)
            self._inside = False


def unpack(array):
    return np.frombuffer(base64.b64decode(array["base64"]), np.dtype(array["type"]).newbyteorder("<"))


def unpack_strings(coded):
    return [coded["names"][code] for code in unpack(coded["codes"])]


def data_of(page):
    return json.loads(Scripts(page).texts[0])


def test_what_is_known_of_the_songs_is_in_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    songs = make_songs(typical={1: [2]}, fresh=np.array([False, True, False]), no_cluster="fits none")
    data = data_of(song_map(songs, tmp_path / "page"))
    assert data["title"] == songs.title
    assert unpack_strings(data["artist"]) == songs.artist
    assert unpack_strings(data["certainty"]) == songs.certainty
    ends = unpack(data["tags"]["ends"])
    words = unpack_strings(data["tags"])
    assert [words[start:end] for start, end in zip([0, *ends], ends, strict=False)] == [
        ["piano 0.70", "slow 0.40"], [], ["slow 0.40"]
    ]  # fmt: skip
    assert unpack_strings(data["folder"]) == ["", "../music/a/", "../music/b/"]
    assert data["file"] == ["", "01 Air.wav", "caf\udce9 \x7f\x7f.wav#t=1,2"]
    assert data["root"] == str(tmp_path / "page")
    assert data["fresh"] == [1]
    assert data["typical"] == {"1": [2]}
    np.testing.assert_array_equal(unpack(data["xy"]).reshape(3, 2), np.float32([[0, 0], [1, 0.25], [0.5, 0.5]]))
    np.testing.assert_array_equal(unpack(data["seconds"]), np.float32(songs.seconds))
    cluster, vile, tempo, year = data["colourings"]
    assert (cluster["names"], cluster["none"], unpack(cluster["codes"]).tolist()) == (
        songs.cluster_names,
        "fits none",
        [0, -1, 1],
    )
    assert (vile["name"], vile["names"], unpack(vile["codes"]).tolist()) == (VILE, ["art", "folk"], [1, -1, 0])
    np.testing.assert_array_equal(unpack(tempo["values"]), np.float32([120, np.nan, 90]))
    np.testing.assert_array_equal(unpack(year["values"]), [1990, 1991, 2000])


def test_a_title_within_a_files_name_is_there_once(tmp_path):
    songs = make_songs(path=["", str(tmp_path / f"01 {'x' * 30}.wav"), str(tmp_path / "b")], title=["a", "x" * 30, ""])
    assert data_of(song_map(songs, tmp_path))["file"] == ["", "01 \x7f.wav", "b"]


def test_codes_take_as_few_bytes_as_hold_them(tmp_path):
    assert song_map_module._array(np.array([-1, 70_000]))["type"] == "i4"
    for kinds, type_ in ((100, "i1"), (1000, "i2")):
        songs = MapSongs(
            xy=np.zeros((kinds, 2)), title=[""] * kinds, artist=list(map(str, range(kinds))), path=[""] * kinds,
            seconds=np.zeros(kinds), clusters=np.zeros(kinds, int), cluster_names=["all"], certainty=[""] * kinds,
            tags=[""] * kinds,
        )  # fmt: skip
        artist = data_of(song_map(songs, tmp_path))["artist"]
        assert artist["codes"]["type"] == type_
        assert unpack_strings(artist) == songs.artist


def test_nothing_that_songs_are_called_is_markup(tmp_path):
    path = tmp_path / "map.html"
    write_map_page(path, make_songs(), heading=VILE, sentence=VILE)
    page = path.read_text(encoding="utf-8")  # it is UTF-8, whatever a title was
    read = Scripts(page)
    assert read.names.count("script") == 2
    assert "img" not in read.names
    assert "alert(2)&gt;" in page.split("<script", 1)[0]
    assert "<" not in read.texts[0]
    assert data_of(page)["title"][2] == "caf\udce9"
    assert os.listdir(tmp_path) == ["map.html"]


def test_a_failure_leaves_the_old_page(tmp_path):
    path = tmp_path / "map.html"
    write_map_page(path, make_songs(), heading="Songs")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="cluster 2 has no name"):
        write_map_page(path, make_songs(clusters=np.array([0, 1, 2])), heading="Songs")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"artist": ["Bach"]}, "3 titles, but artist has 1 rows"),
        ({"columns": {"year": [1]}}, "3 titles, but year has 1 rows"),
        ({"fresh": np.array([True])}, "3 titles, but fresh has 1 rows"),
        ({"previews": [b""]}, "3 titles, but previews has 1 rows"),
        ({"xy": np.zeros((2, 2))}, r"xy has shape \(2, 2\)"),
        ({"xy": np.full((3, 2), np.nan)}, "every place must be finite"),
    ],
)
def test_columns_that_do_not_fit(tmp_path, changes, says):
    with pytest.raises(ValueError, match=says):
        song_map(make_songs(**changes), tmp_path)


def test_without_files_nothing_is_said_of_playing(tmp_path):
    path = tmp_path / "map.html"
    write_map_page(path, make_songs(path=[""] * 3), heading="Songs")
    before_data = path.read_text(encoding="utf-8").partition('<script type="application/json"')[0]
    for word in ("<audio", "song-now", "map-save", "map-listen"):
        assert word not in before_data.partition("</style>")[2]


def test_no_songs_at_all(tmp_path):
    songs = MapSongs(np.zeros((0, 2)), [], [], [], np.zeros(0), np.zeros(0, int), [], [], [])
    assert data_of(song_map(songs, tmp_path))["title"] == []


def test_how_far_the_map_is_to_be_trusted():
    assert "nearly always neighbours to the model too (trustworthiness 0.95" in explain_map(0.951)
    assert "mostly neighbours to the model too (trustworthiness 0.90" in explain_map(0.9)
    assert "often not neighbours to the model (trustworthiness 0.60" in explain_map(0.6)
    assert "trustworthiness" not in explain_map(np.nan)


def test_program_and_style_can_stand_in_a_page():
    for text in (map_program(), map_style()):
        assert not re.search(r"</(script|style)|<!--|https?://(?!www\.w3\.org/2000/svg)|@import|\burl\(", text)
    assert "innerHTML" not in map_program()
    assert "insertAdjacentHTML" not in map_program()


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node to read JavaScript")
def test_the_program_is_javascript(tmp_path):
    (tmp_path / "map.js").write_text(map_program(), encoding="utf-8")
    done = subprocess.run(["node", "--check", tmp_path / "map.js"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_shapes_are_those_of_the_figures():
    assert len(song_map_module._SHAPES) == len(plots._MARKERS)
