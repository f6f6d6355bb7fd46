"""The map in a real browser without a window, started once for all of these tests, which are skipped without one."""

import os
import time
import wave
from pathlib import Path

import numpy as np
import pytest

from benchmarks.browser import find_chromium, start_chromium
from musiclust.listening.playlists import Song, format_m3u8
from musiclust.preprocess.audio.previews import make_preview
from musiclust.report.map import MapSongs, write_map_page
from musiclust.stretches import split_stretch

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="needs chromium")

VILE = '</script><img src=x onerror="pwned=1"><script>pwned=1</script>\n#EXTINF:1,forged\u2028&amp; "\'`${pwned=1}'
DASH = "\N{EN DASH}"
# Four columns and three rows of songs, a step of 1 apart, row after row from below.
XY = np.array([(i % 4, i // 4) for i in range(12)], dtype=float)


@pytest.fixture(scope="module")
def browser():
    with start_chromium(find_chromium()) as page:
        yield page


NAMES = [f'audio/{i:02d} it\'s "é" #1 100% a:b? 夜.wav' for i in range(12)]
NAMES[4:6] = "audio/#5.wav", "audio/05.wav"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the page, and songs of a quarter of a second; the one that is a stretch of a file lasts two."""
    folder = tmp_path_factory.mktemp("map")
    (folder / "audio").mkdir()
    for name in NAMES:
        with wave.open(str(folder / name), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            tone = 8000 * np.sin(np.arange(16000 if name == NAMES[5] else 2000) / 4)
            file.writeframes(tone.astype("<i2").tobytes())
    write_map_page(folder / "map.html", make_songs(folder), heading="Songs", trustworthiness=0.97)
    return folder


def make_songs(folder):
    path = [str(folder / name) for name in NAMES]
    path[5] += "#t=0.5,0.75"
    path[3] = ""
    return MapSongs(
        xy=XY * 7 - 100,
        title=["Air", "Bärenlied", VILE, "Mute", "Erlkönig", "Stretch", *(f"Song {i}" for i in range(6, 12))],
        artist=["J. S. Bach", "<b>Anon</b>", VILE, "Bach", *["Someone"] * 8],
        path=path,
        seconds=np.array([0.25, np.nan, 200.6, *[0.25] * 9]),
        clusters=np.array([0, 0, 1, 1, 0, 0, 1, 1, -1, -1, -1, -1]),
        cluster_names=["0: piano, slow", f"1: {VILE}"],
        certainty=["sure", "between 0 and 1", VILE, *["sure"] * 9],
        tags=["piano 0.78, slow 0.40", "voice 0.50", VILE, *["flute 0.31"] * 9],
        columns={"class": ["art", VILE, *["folk"] * 9, ""], "tempo": np.r_[np.nan, np.arange(11) * 10.0 + 60]},
        typical={0: [1, 0]},
        fresh=np.arange(12) == 7,
    )


@pytest.fixture
def page(browser, place):
    browser.show_as(1200, 900)
    browser.open(place / "map.html")
    yield browser
    assert not browser.errors()
    assert {address.partition(":")[0] for address in browser.addresses()} <= {"file", "blob", "data"}
    assert browser.evaluate("typeof pwned") == "undefined"


def box(page, element):
    """Left, top, width and height of an element in the window."""
    measured = f"document.getElementById('{element}').getBoundingClientRect()"
    return page.evaluate(f"(box => [box.x, box.y, box.width, box.height])({measured})")


def where(page, song):
    """The pixel of a song while the whole map is shown."""
    left, top, wide, high = box(page, "map-marks")
    margin = min(24, wide / 12)
    scale = min((wide - 2 * margin) / 3, (high - 2 * margin) / 2)
    return left + wide / 2 + scale * (XY[song, 0] - 1.5), top + high / 2 - scale * (XY[song, 1] - 1)


def text(page, element):
    return page.evaluate(f"document.getElementById('{element}').innerText")


def listed(page):
    return page.evaluate(
        "[...document.querySelectorAll('#map-list [role=option] .line:first-child')].map(e => e.textContent)"
    )


def playing(page):
    """The address of what has begun to play."""
    return page.wait_until(
        "(a => !a.paused && a.currentTime > 0 && decodeURIComponent(a.src))(document.getElementById('song-audio'))"
    )


def wait_for(path):
    """The content of a file that the browser saves."""
    end = time.monotonic() + 10
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.02)
    return path.read_bytes()


def wait_for_any(folder):
    """The files of a folder, once the browser has saved one."""
    end = time.monotonic() + 10
    while not (found := list(folder.glob("*.m3u8"))) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def test_a_click_plays_a_song(page):
    page.click(*where(page, 0))
    assert playing(page).endswith('/audio/00 it\'s "é" #1 100% a:b? 夜.wav')
    assert text(page, "song-now") == f"Air {DASH} J. S. Bach"
    page.click(*where(page, 5))
    assert playing(page).endswith("/audio/05.wav#t=0.5,0.75")
    assert page.evaluate("document.getElementById('song-audio').currentTime") >= 0.5
    page.click(*where(page, 3))
    assert text(page, "song-now") == f"Mute {DASH} Bach: no audio file"
    assert page.evaluate("document.getElementById('song-audio').paused")


def test_a_file_that_is_gone_is_told(page, place):
    gone = place / "audio" / "#5.wav"
    gone.rename(place / "elsewhere.wav")
    try:
        page.click(*where(page, 4))
        page.wait_until("document.getElementById('song-now').textContent.includes('cannot be played here')")
    finally:
        (place / "elsewhere.wav").rename(gone)


def test_hovering_tells_what_a_song_is(page):
    page.mouse("mouseMoved", *where(page, 0))
    assert text(page, "map-card").split("\n") == [
        "Air", "J. S. Bach", "0: piano, slow", "sure", "piano 0.78, slow 0.40", "class: art"
    ]  # fmt: skip
    page.mouse("mouseMoved", *where(page, 7))
    assert text(page, "map-card").split("\n")[-1] == "new"
    page.mouse("mouseMoved", *np.add(where(page, 7), 60))
    assert page.evaluate("document.getElementById('map-card').hidden")


def test_what_songs_are_called_stays_text(page):
    page.mouse("mouseMoved", *where(page, 2))
    assert VILE.split("\n")[0] in text(page, "map-card")
    page.click(*where(page, 2))
    assert playing(page)
    assert VILE.split("\n")[0] in text(page, "song-now")
    assert VILE.split("\n")[0] in text(page, "map-legend")
    assert VILE in listed(page)
    assert page.evaluate("document.querySelectorAll('img, b, script:not(#song-data):not(:last-of-type)').length") == 0


def test_search(page):
    page.evaluate("document.getElementById('map-search').focus()")
    page.write("BARENLIED")  # without its diaeresis
    assert listed(page) == ["Bärenlied"]
    page.evaluate("document.getElementById('map-search').select()")
    page.write("bach")
    assert listed(page) == ["Air", "Mute"]
    assert text(page, "map-found") == "2 found"
    assert text(page, "map-chosen") == "2 of 12 songs: “bach”"
    page.press("Enter")
    assert text(page, "map-found") == "1 of 2"
    assert text(page, "map-said").startswith(f"Air {DASH} J. S. Bach. 0: piano, slow. sure. piano 0.78")
    page.press("Enter")
    assert text(page, "map-said").startswith("Mute")
    page.press("Enter", shift=True)
    assert text(page, "map-said").startswith("Air")
    page.evaluate("document.getElementById('map-search').select()")
    page.write("flute song 11")
    assert listed(page) == ["Song 11"]
    page.write("x")
    assert text(page, "map-found") == "none found"
    assert page.evaluate("document.getElementById('map-listen').disabled")
    page.press("Escape")
    assert text(page, "map-chosen") == "12 songs"


def lasso(page, songs):
    """Draws around songs, which span a rectangle."""
    corners = np.array([where(page, song) for song in songs])
    (left, top), (right, bottom) = corners.min(axis=0) - 18, corners.max(axis=0) + 18
    page.evaluate("document.getElementById('map-lasso').click()")
    page.drag([(left, top), (right, top), (right, bottom), (left, bottom)])


def test_a_lasso_selects_songs_that_are_played_through(page):
    lasso(page, [4, 5, 8, 9])
    assert listed(page) == ["Erlkönig", "Stretch", "Song 8", "Song 9"]
    assert text(page, "map-chosen") == "4 of 12 songs: lasso"
    page.evaluate("window.heard = []; document.getElementById('song-audio').addEventListener('playing', "
                  "event => heard.push(decodeURIComponent(event.target.src.split('/').pop())))")  # fmt: skip
    page.evaluate("document.getElementById('map-listen').click()")
    assert text(page, "song-place") == "1 of 4"
    page.wait_until("heard.length === 4")
    assert page.evaluate("heard") == [
        "#5.wav", "05.wav#t=0.5,0.75", *(f"0{i} it's \"é\" #1 100% a:b? 夜.wav" for i in (8, 9))
    ]  # fmt: skip
    page.evaluate("document.getElementById('song-back').click()")
    page.wait_until("heard.length === 5")
    assert page.evaluate("heard[4]").startswith("08")
    page.evaluate("document.getElementById('map-clear').click()")
    assert text(page, "map-chosen") == "12 songs"


def test_a_playlist_is_that_of_the_library(page, place, tmp_path):
    page.save_downloads(tmp_path)
    lasso(page, range(12))
    page.evaluate("document.getElementById('map-save').click()")
    saved = wait_for(tmp_path / "lasso.m3u8")
    songs = make_songs(place)
    rows = zip(songs.path, songs.title, songs.artist, songs.seconds.tolist(), strict=True)
    wanted = [
        Song(Path(split_stretch(path)[0]), title, artist, seconds=long) for path, title, artist, long in rows if path
    ]
    written = format_m3u8("lasso", wanted, folder=place)
    assert saved == written
    assert saved.startswith(b"#EXTM3U\n#PLAYLIST:lasso\n#EXTINF:1,J. S. Bach - Air\naudio/00 it's")
    assert len(saved.decode().splitlines()) == 2 + 2 * 11
    assert text(page, "map-note").startswith("11 songs saved, 1 song left out")


def test_a_playlist_of_a_vile_kind_has_no_line_more(page, tmp_path):
    page.save_downloads(tmp_path)
    page.evaluate("document.querySelectorAll('#map-legend .kind')[1].click()")
    assert listed(page)[0] == VILE
    page.evaluate("document.getElementById('map-save').click()")
    name = page.wait_until("document.getElementById('map-note').textContent") and next(iter(wait_for_any(tmp_path)))
    lines = name.read_bytes().decode().splitlines()
    assert len(lines) == 2 + 2 * 3
    assert [line for line in lines if line.startswith("#EXTINF:1,forged")] == []
    assert name.name.startswith("1- --script--img src=x onerror=-pwned=1-")
    assert name.suffix == ".m3u8"


def test_a_button_of_the_page_plays_its_song(page):
    page.evaluate("document.querySelector('h1').insertAdjacentHTML('afterend', '<button data-song=8>play</button>')")
    page.evaluate("document.querySelector('[data-song]').click()")
    assert "/08 it's" in playing(page)
    assert text(page, "map-card").startswith("Song 8")


def test_files_that_lie_elsewhere_or_are_no_utf8(browser, tmp_path):
    music = tmp_path / "my music"
    music.mkdir()
    names = [os.fsdecode(b"caf\xe9 \x7f.wav"), "two\nlines.wav", "Lied.wav", "gone.wav"]
    for name in names[:3]:
        with wave.open(os.fspath(music / name), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(bytes(4000))
    songs = MapSongs(
        xy=XY[[0, 1, 2, 4]],
        title=["caf\udce9", "two\nlines", "Lied", ""],
        artist=["\udce9", "", "", ""],
        path=[str(music / name) for name in names],
        seconds=np.full(4, 0.25),
        clusters=np.zeros(4, int),
        cluster_names=["all"],
        certainty=[""] * 4,
        tags=[""] * 4,
    )
    (tmp_path / "page").mkdir()
    write_map_page(tmp_path / "page" / "map.html", songs, heading="Songs")
    moved = tmp_path / "moved" / "deep"  # the page alone: it still finds the songs
    moved.mkdir(parents=True)
    (tmp_path / "page" / "map.html").rename(moved / "map.html")
    browser.show_as(1200, 900)
    browser.open(moved / "map.html")
    for row in range(3):
        left, top, _, _ = box(browser, f"song-{row}")
        browser.click(left + 50, top + 20)
        assert browser.evaluate("document.querySelector('#map-list [aria-current]').id") == f"song-{row}"
        browser.wait_until("(a => !a.paused && a.currentTime > 0)(document.getElementById('song-audio'))")
    browser.save_downloads(tmp_path)
    browser.evaluate("document.getElementById('map-save').click()")
    saved = wait_for(tmp_path / "Songs.m3u8")
    assert saved.splitlines() == [
        b"#EXTM3U", b"#PLAYLIST:Songs",
        b"#EXTINF:1,\xe9 - caf\xe9", b"../my music/caf\xe9 \x7f.wav",
        b"#EXTINF:1,Lied", b"../my music/Lied.wav",
        b"#EXTINF:1,gone", b"../my music/gone.wav",
    ]  # fmt: skip
    assert text(browser, "map-note").startswith("3 songs saved, 1 song left out")
    assert not browser.errors()


def test_keys_alone_will_do(page):
    page.evaluate("document.getElementById('map-marks').focus()")
    page.press("ArrowRight")  # from nowhere: to a song in the middle
    first = text(page, "map-said")
    assert first
    walked = []
    for key in ("ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowDown", "ArrowDown", "ArrowRight", "ArrowUp"):
        page.press(key)
        walked.append(text(page, "map-said").split(f" {DASH} ")[0])
    assert walked[-3:] == ["Air", "Bärenlied", "Stretch"]
    assert page.evaluate("document.querySelector('#map-list [aria-selected=true] .line').textContent") == "Stretch"
    page.press("Enter")
    assert playing(page).endswith("05.wav#t=0.5,0.75")
    page.press("+")
    page.press("0")
    page.press("Escape")
    assert page.evaluate("document.getElementById('map-card').hidden")
    page.evaluate("document.getElementById('map-list').focus()")
    page.press("End")
    said = page.evaluate(
        "document.getElementById(document.getElementById('map-list').getAttribute('aria-activedescendant')).innerText"
    )
    assert said.split("\n")[:2] == ["Song 11", "Someone · noise"]
    page.press("Home")
    page.press("ArrowDown")
    page.press("Enter")
    assert "/01 it's" in playing(page)


def test_the_wheel_and_a_drag_move_the_map(page):
    at = where(page, 6)
    page.mouse("mouseWheel", *at, deltaX=0, deltaY=-240)
    page.mouse("mouseMoved", *at)  # the song under the pointer stays there
    assert text(page, "map-card").startswith("Song 6")
    away = (at[0] + 90, at[1] + 50)
    page.drag([at, (at[0] + 40, at[1] + 20), away])
    page.mouse("mouseMoved", *away)
    assert text(page, "map-card").startswith("Song 6")
    assert page.evaluate("document.getElementById('song-audio').hidden")  # a drag is no click
    page.evaluate("document.getElementById('map-whole').click()")
    page.mouse("mouseMoved", *where(page, 9))
    assert text(page, "map-card").startswith("Song 9")


def test_colours_and_legend(page):
    kinds = page.evaluate(
        "[...document.querySelectorAll('#map-legend .kind')].map(e => e.innerText.replace(/\\s+/g, ' '))"
    )
    assert kinds[0] == "0: piano, slow 4"
    assert kinds[-2:] == ["noise 4", "new 1"]
    page.evaluate("document.querySelector('#map-legend .kind').click()")
    assert listed(page) == ["Air", "Bärenlied", "Erlkönig", "Stretch"]
    page.evaluate("document.querySelector('#map-legend .listen').click()")
    assert "/01 it's" in playing(page)  # the most typical first
    page.evaluate("document.querySelector('#map-legend .kind').click()")
    assert text(page, "map-chosen") == "12 songs"
    colour = "(e => {e.value = %d; e.dispatchEvent(new Event('change'))})(document.getElementById('map-colour'))"
    page.evaluate(colour % 2)
    assert text(page, "map-legend").split() == ["60", "160", "not", "known", "new", "1"]
    page.evaluate("document.querySelector('#map-legend .kind').click()")
    assert listed(page) == ["Song 7"]
    page.evaluate("document.getElementById('map-clear').click()")
    page.evaluate(colour % 1)
    assert page.evaluate("[...document.querySelectorAll('#map-legend .kind')].map(e => e.dataset.code)") == [
        "0",
        "1",
        "2",
        "-1",
        "new",
    ]


def test_light_and_dark(page):
    ground = "[...document.getElementById('map-dots').getContext('2d').getImageData(3, 3, 1, 1).data]"
    assert page.evaluate(ground) == [255, 255, 255, 255]
    page.show_as(1200, 900, dark=True)
    page.evaluate("document.getElementById('map-colour').dispatchEvent(new Event('change'))")  # before the next frame
    page.wait_until(f"{ground}[0] < 50")


def test_a_phone(browser, place):
    browser.show_as(390, 844, ratio=2, touch=True)
    browser.open(place / "map.html")
    assert browser.evaluate("document.documentElement.scrollWidth") == 390
    for name in ("map-marks", "map-legend", "map-list", "map-search", "map-colour"):
        left, _, wide, high = box(browser, name)
        assert 0 <= left < left + wide <= 390
        assert high > 30
    x, y = where(browser, 6)
    browser.touch("touchStart", [(x - 20, y), (x + 20, y)])
    browser.touch("touchMove", [(x - 60, y), (x + 60, y)])
    browser.touch("touchMove", [(x - 90, y), (x + 90, y)])
    browser.touch("touchEnd", [])
    browser.touch("touchStart", [(x, y)])
    browser.touch("touchEnd", [])
    assert "/06 it's" in playing(browser)
    assert not browser.errors()


def test_many_songs_are_few_elements(browser, tmp_path):
    count = 20_000
    songs = MapSongs(
        xy=np.random.default_rng(0).normal(size=(count, 2)),
        title=[f"Song {i}" for i in range(count)],
        artist=[""] * count,
        path=[""] * count,
        seconds=np.full(count, np.nan),
        clusters=np.zeros(count, int),
        cluster_names=["all"],
        certainty=[""] * count,
        tags=[""] * count,
    )
    write_map_page(tmp_path / "map.html", songs, heading="Many")
    browser.show_as(1200, 900)
    browser.open(tmp_path / "map.html")
    assert browser.evaluate("document.querySelectorAll('*').length") < 200
    browser.evaluate("document.getElementById('map-list').focus()")
    browser.press("End")
    assert listed(browser)[-1] == "Song 19999"
    about = browser.evaluate("(e => [e.ariaPosInSet, e.ariaSetSize])(document.querySelector('[aria-selected=true]'))")
    assert about == ["20000", "20000"]
    assert not browser.evaluate("document.querySelectorAll('audio, #map-save').length")
    assert not browser.errors()


def test_a_page_with_previews_needs_no_file(browser, place, tmp_path):
    songs = make_songs(place)
    previews = [make_preview(path) if path else b"" for path in songs.path]
    assert all(preview[:1] == b"\xff" for preview in previews if preview)  # frames of MPEG
    write_map_page(tmp_path / "map.html", songs._replace(previews=previews), heading="Songs")
    assert str(place) not in (tmp_path / "map.html").read_text()
    browser.show_as(1200, 900)
    browser.open(tmp_path / "map.html")
    for song in (0, 5):
        browser.click(*where(browser, song))
        assert playing(browser).startswith("data:audio/mpeg;base64,")
    browser.click(*where(browser, 3))
    assert text(browser, "song-now").endswith("no audio file")
    assert not browser.evaluate("document.querySelectorAll('#map-save').length")
    browser.press("Escape")
    assert not browser.errors()
