"""Two runs beside each other as one HTML file: a diagram of where the songs went, and the same as tables.

Conventions: the page opens from disk, has no program and loads nothing. The template is flow.html beside this file,
filled by Jinja2 with escaping on. In the diagram clusters before stand on the left and clusters after on the right, and
a ribbon's height is the number of songs that are in both of the clusters that it joins (after Sankey, 1898). The
ribbons are SVG that is drawn as wide as there is room; the names beside them are text, so that they stay readable on a
phone. All that the diagram shows stands in a table below it.
"""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from musiclust.files import atomic
from musiclust.metrics.matching import NOISE, Change
from musiclust.report.change import ScoreLine, Side, describe_change, pair_cells
from musiclust.report.plots import GREY, PALETTE
from musiclust.report.reading import number

MOST_SONGS = 300  # of those that moved, and of those that one run alone has
_MOST_CLUSTERS = 24  # of one run in the diagram; of more, the smallest are one
_STAYED = {True: "stayed", False: "moved"}
_OTHERS = -2  # the number that those have
# Pixels: the height of all songs, the least room for a name, and what lies between two clusters.
_HEIGHT, _NAME, _GAP = 420.0, 50.0, 6.0
_EDGE = 2.0  # width of a cluster's bar, of 100
_BEND = 50.0  # where the curves turn, of 100


class MovedSong(NamedTuple):
    """A song that moved: what it is called, its artist, and its clusters before and after."""

    title: str
    artist: str
    before: int
    after: int


class Node(NamedTuple):
    """A cluster in the diagram.

    Attributes:
      title: what it is called.
      songs: how many it has.
      colour: of its bar; a cluster after has the colour of its partner before.
      top: where its name begins, in pixels.
      room: height of its name's place, in pixels.
      bar: where its bar begins, in pixels.
      height: of its bar, in pixels.
    """

    title: str
    songs: int
    colour: str
    top: float
    room: float
    bar: float
    height: float


class Ribbon(NamedTuple):
    """Songs on their way. path: of SVG; stays: whether they are still with their cluster; title: a sentence."""

    path: str
    colour: str
    stays: bool
    title: str


class Diagram(NamedTuple):
    """The flow diagram. height: in pixels; its width is 100."""

    left: list[Node]
    right: list[Node]
    ribbons: list[Ribbon]
    height: float


def write_comparison(
    path: Path,
    change: Change,
    before: Side,
    after: Side,
    *,
    scores: Sequence[ScoreLine],
    moved: Sequence[MovedSong],
    only_before: Sequence[tuple[str, str]] = (),
    only_after: Sequence[tuple[str, str]] = (),
) -> None:
    """Writes the page, whole or not at all.

    Args:
      path: of the page.
      change: between the partitions of the songs that both runs have.
      before, after: the two runs.
      scores: of both, as `change.compare_scores` gives them.
      moved: songs that moved, the most telling first; the first 300 are shown.
      only_before, only_after: title and artist of the songs that one run alone has; the first 300 are shown.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    template = (files("musiclust.report") / "flow.html").read_text(encoding="utf-8")
    stayed = len(change.moved) - int(change.moved.sum())
    tiles = [
        ("songs in both", f"{len(change.moved):,}"),
        ("kept their cluster", f"{stayed:,}"),
        ("moved", f"{int(change.moved.sum()):,}"),
        ("ARI", number(change.ari)),
        ("AMI", number(change.ami)),
    ]
    flows = [
        (*(before.title(flow.before), after.title(flow.after)), f"{flow.songs:,}", _STAYED[change.stays(flow)])
        for flow in change.flows
    ]
    text = (
        Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        .from_string(template)
        .render(
            style=Markup((files("musiclust.report") / "page.css").read_text(encoding="utf-8")),
            before=before,
            after=after,
            tiles=tiles,
            sentences=describe_change(change, before, after),
            diagram=lay_out(change, before, after),
            flows=flows,
            pairs=[pair_cells(pair, before, after) for pair in change.list_pairs()],
            scores=scores,
            moved=moved[:MOST_SONGS],
            more=max(0, len(moved) - MOST_SONGS),
            alone=[
                (side.name, songs[:MOST_SONGS], max(0, len(songs) - MOST_SONGS))
                for side, songs in ((before, only_before), (after, only_after))
                if songs
            ],
        )
    )
    with atomic(path, "wb") as file:
        # A tag that was not UTF-8 carries lone surrogates, which no encoding takes.
        file.write(text.encode("utf-8", errors="replace"))


def lay_out(change: Change, before: Side, after: Side) -> Diagram:
    """Lays out the diagram: clusters before by size, those after in the order that crosses the fewest ribbons.

    Where a run has more than 24 clusters, the smallest of them are one node. Noise stands last.
    """
    left_of, right_of = _fold(change.sizes_before), _fold(change.sizes_after)
    cells: dict[tuple[int, int, bool], int] = {}
    for flow in change.flows:
        cell = left_of[flow.before], right_of[flow.after], change.stays(flow)
        cells[cell] = cells.get(cell, 0) + flow.songs
    left = sorted(set(left_of.values()), key=lambda one: (one == NOISE, one == _OTHERS, one))
    place = {cluster: row for row, cluster in enumerate(left)}
    right = sorted(
        set(right_of.values()), key=lambda one: (one == NOISE, one == _OTHERS, _middle(one, cells, place), one)
    )
    scale = _HEIGHT / max(len(change.moved), 1)
    sizes = [
        {one: sum(songs for cell, songs in cells.items() if cell[side] == one) for one in order}
        for side, order in enumerate((left, right))
    ]
    heights = [sum(max(scale * songs, _NAME) + _GAP for songs in size.values()) for size in sizes]
    tones = {one: GREY if one < 0 else PALETTE[row % len(PALETTE)] for row, one in enumerate(left)}
    nodes = []
    for side, order, size, height in zip((before, after), (left, right), sizes, heights, strict=True):
        top, found = (max(heights) - height) / 2, {}
        folded = sum(one == _OTHERS for one in (left_of if side is before else right_of).values())
        for one in order:
            bar = scale * size[one]
            room = max(bar, _NAME)
            title = f"{folded} smaller clusters" if one == _OTHERS else side.title(one)
            tone = tones[one] if side is before else tones.get(change.partner.get(one, NOISE), GREY)
            found[one] = Node(title, size[one], tone, top, room, top + (room - bar) / 2, bar)
            top += room + _GAP
        nodes.append(found)
    return Diagram(
        list(nodes[0].values()), list(nodes[1].values()), _draw_ribbons(cells, nodes[0], nodes[1], scale), max(heights)
    )


def _fold(sizes: dict[int, int]) -> dict[int, int]:
    """Cluster -> itself, or `_OTHERS` for the smallest of too many."""
    by_size = sorted((one for one in sizes if one != NOISE), key=lambda one: -sizes[one])
    shown = set(by_size if len(by_size) <= _MOST_CLUSTERS else by_size[: _MOST_CLUSTERS - 1])
    return {one: one if one in shown or one == NOISE else _OTHERS for one in sizes}


def _middle(right: int, cells: dict[tuple[int, int, bool], int], place: dict[int, int]) -> float:
    """The mean place on the left of the songs of a cluster on the right."""
    here = [(place[cell[0]], songs) for cell, songs in cells.items() if cell[1] == right]
    return sum(row * songs for row, songs in here) / sum(songs for _, songs in here)


def _draw_ribbons(
    cells: dict[tuple[int, int, bool], int], left: dict[int, Node], right: dict[int, Node], scale: float
) -> list[Ribbon]:
    """The ribbons, in the order of their ends on both sides, so that those of one cluster do not cross there."""
    begin = {one: node.bar for one, node in left.items()}
    end = {one: node.bar for one, node in right.items()}
    starts, stops = {}, {}
    for cell in sorted(cells, key=lambda cell: right[cell[1]].top):
        starts[cell] = begin[cell[0]]
        begin[cell[0]] += scale * cells[cell]
    for cell in sorted(cells, key=lambda cell: left[cell[0]].top):
        stops[cell] = end[cell[1]]
        end[cell[1]] += scale * cells[cell]
    ribbons = []
    for cell, songs in sorted(cells.items(), key=lambda item: -item[1]):
        one, other, stays = cell
        y, to, height = starts[cell], stops[cell], scale * songs
        x, far = _EDGE, 100 - _EDGE
        path = (
            f"M{x:g},{y:.1f}C{_BEND:g},{y:.1f} {_BEND:g},{to:.1f} {far:g},{to:.1f}V{to + height:.1f}"
            f"C{_BEND:g},{to + height:.1f} {_BEND:g},{y + height:.1f} {x:g},{y + height:.1f}Z"
        )
        plural = "song" if songs == 1 else "songs"
        title = f"{songs:,} {plural} from {left[one].title} to {right[other].title}"
        ribbons.append(Ribbon(path, left[one].colour, stays, title))
    return ribbons
