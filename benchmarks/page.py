"""The page with the map in a browser: python -m benchmarks.page [--songs=100000 --repeats=5 --positions=100]

A page of synthetic songs is written by `musiclust.report.map.write_map_page` and opened from the disk in Chromium
without a window and without a graphics card. Opening: from the navigation until the map is drawn, in a fresh page each
time. Hovering: from the moment the browser has the pointer's event until the frame is painted that shows whose dot it
is, at random places of the map. Dragging: likewise, each event draws all dots anew. Searching: from a letter until the
matches stand out. The page must ask for nothing but itself.
"""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from benchmarks.browser import Page, find_chromium, start_chromium
from benchmarks.measure import machine, summary, write
from benchmarks.rendering import show
from experiments.cli.interrupt import check_stop
from experiments.cli.program import run
from musiclust.errors import InputError
from musiclust.report.map import MapSongs, write_map_page

_SONGS = flags.DEFINE_integer("songs", 100_000, "Dots on the map.", lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 5, "How often the page is opened.", lower_bound=1)
_POSITIONS = flags.DEFINE_integer("positions", 100, "Places of the pointer.", lower_bound=1)
_OUT = flags.DEFINE_string("out", "benchmarks/results/page.json", "Where the figures are written.")

_WORDS = (
    *("Night", "River", "Blue", "Stone", "Winter", "Dance", "Letter", "Road", "Song", "Garden", "Señora", "Été"),
    *("Любовь", "Дорога", "夜曲", "Σκιά", "Light", "Rain", "House", "Train", "Mirror", "Sonata", "Waltz", "Ghost"),
)
_TAGS = ("piano", "guitar", "jazz", "rock", "electronic", "female voice", "slow", "fast", "ambient", "folk", "strings")

# Milliseconds from an event until the frame is painted that it has led to.
_LISTEN = """
window.measured = [];
const paint = new MessageChannel(), waiting = [];
paint.port1.onmessage = () => measured.push(performance.now() - waiting.shift());
for (const kind of ["pointermove", "input"]) addEventListener(kind, event => requestAnimationFrame(() => {
  waiting.push(event.timeStamp);
  paint.port2.postMessage(0);
}), true);
"""


def make_songs(count: int) -> MapSongs:
    """Returns songs of 40 clusters: 3,000 artists, albums of 12 songs, four tags a song, three columns to colour by."""
    rng = np.random.default_rng(0)
    clusters = rng.integers(-1, 40, count)
    xy = rng.normal(size=(41, 2))[clusters] * 30 + rng.normal(size=(count, 2)) * rng.uniform(1, 7, (41, 1))[clusters]
    words = np.array(_WORDS)[rng.integers(0, len(_WORDS), (count, 4))]
    albums = rng.integers(0, 3000, count // 12 + 1).tolist()
    artist = [
        f"{_WORDS[albums[i // 12] % 24]} {_WORDS[albums[i // 12] // 24 % 24]} {albums[i // 12]}" for i in range(count)
    ]
    title = [" ".join(row[: 1 + number % 4]) for number, row in enumerate(words.tolist())]
    chosen, values = rng.integers(0, len(_TAGS), (count, 4)), np.sort(rng.uniform(0.15, 0.9, (count, 4)))[:, ::-1]
    return MapSongs(
        xy=xy,
        title=title,
        artist=artist,
        path=[
            f"/music/{artist[i]}/{title[i // 12 * 12]} ({1960 + i // 12 % 60})/{1 + i % 12:02d} - {title[i]}.mp3"
            for i in range(count)
        ],
        seconds=rng.uniform(100, 400, count),
        clusters=clusters,
        cluster_names=[f"{number}: {_TAGS[number % 11]}, {_TAGS[number * 7 % 11]}" for number in range(40)],
        certainty=np.array(["sure", "between 2 and 5", "likely 3", "anywhere"])[rng.integers(0, 4, count)],
        tags=[
            ", ".join(f"{_TAGS[tag]} {value:.2f}" for tag, value in zip(*row, strict=True))
            for row in zip(chosen.tolist(), values.tolist(), strict=True)
        ],
        columns={
            "class": np.array([f"genre {number}" for number in range(20)])[rng.integers(0, 20, count)],
            "confidence": rng.uniform(size=count),
            "tempo": rng.normal(115, 25, count),
        },
    )


def measure(path: Path, program: str, repeats: int, positions: int) -> dict[str, np.ndarray]:
    """Returns the milliseconds that each thing took, as often as it was done.

    Raises:
      InputError: if the page asks for anything, or its program fails.
    """
    opened = []
    with start_chromium(program) as page:
        page.show_as(1280, 900)
        for _ in range(repeats + 1):  # the first one warms up and is not counted
            check_stop()
            opened.append(open_map(page, path))
        canvas = "document.getElementById('map-marks').getBoundingClientRect()"
        left, top, wide, high = page.evaluate(f"(box => [box.x, box.y, box.width, box.height])({canvas})")
        page.evaluate(_LISTEN)
        rng = np.random.default_rng(1)
        places = np.array([left, top]) + rng.uniform(0.05, 0.95, (positions, 2)) * np.array([wide, high])
        hovered = [_wait(page, lambda place=place: page.mouse("mouseMoved", *place)) for place in places.tolist()]
        for _ in range(4):
            page.evaluate("document.getElementById('map-in').click()")
        page.mouse("mouseMoved", left + wide / 2, top + high / 2)
        page.mouse("mousePressed", left + wide / 2, top + high / 2)
        page.evaluate("measured.length = 0")
        dragged = [
            _wait(page, lambda place=place: page.mouse("mouseMoved", *place, button="left", buttons=1))
            for place in places[:50].tolist()
        ]
        page.mouse("mouseReleased", left + wide / 2, top + high / 2)
        page.evaluate("document.getElementById('map-whole').click(); document.getElementById('map-search').focus()")
        found = [_wait(page, lambda letter=letter: page.write(letter)) for letter in "piano 夜"]
        if asked := [address for address in page.addresses() if not address.startswith("file:")]:
            raise InputError(f"the page has asked for {asked[0]}: it is to load nothing")
        if errors := page.errors():
            raise InputError(f"the page's program has failed: {errors[0]}")
    return {name: np.array(values) for name, values in {
        "opened": opened[1:], "hovered": hovered, "dragged": dragged, "first letter": found[:1], "found": found[1:],
    }.items()}  # fmt: skip


def open_map(page: Page, path: Path) -> float:
    """Opens the page, and returns the milliseconds until its map was drawn and painted."""
    page.open(path)
    return page.evaluate(
        "new Promise(done => requestAnimationFrame(() => setTimeout(() => "
        "done(performance.getEntriesByName('map-drawn')[0].startTime))))"
    )


def _wait(page: Page, act: Any) -> float:
    page.evaluate("measured.length = 0")
    act()
    end = time.monotonic() + 10
    while not (taken := page.evaluate("measured[0] || 0")):
        if time.monotonic() > end:
            raise InputError("the browser has not painted for 10 s")
    return float(taken)


def main(argv: Sequence[str]) -> None:
    program = find_chromium()
    if program is None:
        raise InputError("there is no Chromium on the path: install chromium")
    measured_on = machine(["numpy"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "map.html"
        start = time.perf_counter()
        write_map_page(path, make_songs(_SONGS.value), heading="Synthetic songs")
        written, size = time.perf_counter() - start, path.stat().st_size
        taken = measure(path, program, _REPEATS.value, _POSITIONS.value)
    told = {
        "opened": ("opening until the map is drawn, ms", "3,000 at most"),
        "hovered": (f"hovering until the card is painted, ms, {_POSITIONS.value} places", "50 at most"),
        "dragged": ("a step of a drag until it is painted, ms", ""),
        "first letter": ("the first letter of a search until it is painted, ms", ""),
        "found": ("each further letter, ms", ""),
    }
    once = {"page, MB": (size / 1e6, "12 at most"), "writing it, with the songs made up, s": (written, "")}
    rows = [{"what": what, "figure": summary(np.array([one])), "target": most} for what, (one, most) in once.items()]
    rows += [{"what": what, "figure": summary(taken[key]), "target": most} for key, (what, most) in told.items()]
    result: dict[str, Any] = {"machine": measured_on, "songs": _SONGS.value, "rows": rows}
    write(Path(_OUT.value), result)
    show("page", result, Path(_OUT.value))


if __name__ == "__main__":
    run(main)
