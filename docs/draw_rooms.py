"""Draws docs/rooms.svg, who imports whom, from the imports in the code: python docs/draw_rooms.py [FILE]

A room is a file or a folder, or a few files that do one job. `count` reads every import of every file by `ast`, those
inside functions too. An arrow goes from the room that imports to the room that is imported, and its number is how many
pairs of a file and an imported module it stands for. Rooms stand in the order of the flow, so an arrow that goes up
leads to what was there before, and an arrow that goes down, drawn in red on the left, runs back.

The counted arrows stand in the file's description as JSON, and a test holds them against the code.
"""

import ast
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOT = Path(__file__).parent.parent
PICTURE = ROOT / "docs" / "rooms.svg"

# Room -> the modules in it, a folder standing for all that is below; in the order of the flow.
LIBRARY: dict[str, tuple[str, ...]] = {
    "types": (
        "musiclust.types",
        "musiclust.errors",
        *("musiclust.files", "musiclust.digests", "musiclust.records", "musiclust.csv_records", "musiclust.arrays"),
        "musiclust.points",
        "musiclust.noise",
        "musiclust.splits",
        "musiclust.spreadsheet",
        "musiclust.stretches",
    ),
    "records": (
        *("musiclust.files", "musiclust.digests", "musiclust.records", "musiclust.csv_records"),
        "musiclust.arrays",
    ),
    "store": ("musiclust.store", "musiclust.blocks", "musiclust.rows", "musiclust.alignment"),
    "preprocess": ("musiclust.preprocess",),
    "streaming": ("musiclust.streaming",),
    "fusion": ("musiclust.fusion",),
    "models": ("musiclust.models",),
    "training": (
        *("musiclust.objectives", "musiclust.neighbours", "musiclust.schedules"),
        *("musiclust.training", "musiclust.devices", "musiclust.bounds", "musiclust.population"),
    ),
    "checkpoint": ("musiclust.checkpoint",),
    "baselines": ("musiclust.embedding", "musiclust.baselines"),
    "cluster": ("musiclust.nearest", "musiclust.large", "musiclust.cluster"),
    "metrics": ("musiclust.metrics",),
    "listening": ("musiclust.listening",),
    "sweep": ("musiclust.epochs", "musiclust.streamed_epochs", "musiclust.sweep"),
    "fit": ("musiclust.fit",),
    "report": ("musiclust.report",),
    "estimator": ("musiclust.estimator",),
    "the door": ("musiclust",),
}
EXPERIMENTS: dict[str, tuple[str, ...]] = {
    "musiclust": ("musiclust",),
    "configs": ("experiments.configs",),
    "cli": ("experiments.cli",),
    "study": ("experiments.study",),
    "published": ("experiments.published",),
    "commands": ("experiments",),
}
PREPROCESS: dict[str, tuple[str, ...]] = {
    "workers": ("musiclust.preprocess.workers",),
    "audio": ("musiclust.preprocess.audio",),
    "demo": ("musiclust.preprocess.demo",),
    "corpora": ("musiclust.preprocess.corpora",),
    "writing": ("musiclust.preprocess.writing",),
    "lyrics": ("musiclust.preprocess.lyrics",),
    "pipeline": ("musiclust.preprocess.pipeline",),
}
PICTURES = {
    "musiclust": LIBRARY,
    "musiclust/preprocess": PREPROCESS,
    "experiments": EXPERIMENTS,
}
# Every room imports these, so their arrows are counted and not drawn.
EVERYWHERE = ("types",)

Arrows = dict[tuple[str, str], int]


def modules() -> dict[str, Path]:
    """The name of every module of musiclust and experiments, with its file."""
    files = [path for top in ("musiclust", "experiments") for path in sorted((ROOT / top).rglob("*.py"))]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


def imports(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """The `known` modules that a file imports anywhere, be it in a function or for the type checker."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            both = [(node.module or "", f"{node.module}.{alias.name}") for alias in node.names]
            names = [inner if inner in known else outer for outer, inner in both]
        else:
            continue
        yield from (name for name in names if name in known)


def count(rooms: Mapping[str, Sequence[str]]) -> Arrows:
    """(importing room, imported room) -> pairs of a file and a module; what is in no room is left out."""
    known = modules()
    pairs = {(name, other) for name, path in known.items() for other in imports(path, known) if other != name}
    found = Counter((_room(name, rooms), _room(other, rooms)) for name, other in pairs)
    return {(one, other): n for (one, other), n in sorted(found.items()) if one and other and one != other}


def backward(rooms: Mapping[str, Sequence[str]], arrows: Arrows) -> list[tuple[str, str]]:
    """The arrows that run against the flow: the imported room stands below the importing one."""
    order = list(rooms)
    return [(one, other) for one, other in arrows if order.index(other) > order.index(one)]


def drawn(picture: Path = PICTURE) -> dict[str, dict[str, int]]:
    """The arrows that a picture was drawn from: a name in PICTURES -> "one -> other" -> number."""
    described = re.search(r"<dc:description>(.*?)</dc:description>", picture.read_text(encoding="utf-8"), re.DOTALL)
    if described is None:
        raise ValueError(f"{picture} has no description: draw it again with python docs/draw_rooms.py")
    return json.loads(unescape(described[1]))


def counted() -> dict[str, dict[str, int]]:
    """The arrows that the code has now, as `drawn` gives them."""
    return {
        title: {f"{one} -> {other}": n for (one, other), n in count(rooms).items()} for title, rooms in PICTURES.items()
    }


def draw(out: Path = PICTURE) -> None:
    """Writes the picture as SVG, or in the format that the name of `out` asks for."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "musiclust", "font.size": 10})
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 9), layout="constrained")
    panels = figure.subplot_mosaic("LP;LE", width_ratios=(1.15, 1))
    for panel, (title, rooms) in zip("LPE", PICTURES.items(), strict=True):
        _draw_rooms(panels[panel], title, rooms)
    about = {"Description": json.dumps(counted()), "Date": None} if out.suffix == ".svg" else None
    figure.savefig(out, metadata=about, dpi=90)


def _draw_rooms(axes: "Axes", title: str, rooms: Mapping[str, Sequence[str]]) -> None:
    order, arrows = list(rooms), count(rooms)
    shown = {pair: n for pair, n in arrows.items() if pair[1] not in EVERYWHERE}
    runs_back = backward(rooms, arrows)
    for (one, other), n in shown.items():
        back = (one, other) in runs_back
        start, end = order.index(one), order.index(other)
        colour = "#c0392b" if back else _COLOURS[end % len(_COLOURS)]
        _draw_arrow(axes, start, end, n, side=-1 if back else 1, colour=colour)
    for row, name in enumerate(order):
        box = {"boxstyle": "round,pad=0.35", "facecolor": "#eaf2f8", "edgecolor": "#555555"}
        axes.text(0, row, name, ha="center", va="center", weight="bold", bbox=box, zorder=3)
        axes.text(-1.2, row, _contents(rooms, name), ha="right", va="center", size=8, color="#444444", zorder=3)
        if name in EVERYWHERE:
            users = len({one for one, other in arrows if other == name})
            axes.text(1.2, row, f"{users} rooms import these: no arrows drawn", va="center", size=8)
    plural = "" if len(shown) == 1 else "s"
    axes.set_title(f"{title}: {len(shown)} arrow{plural}, {len(runs_back)} running back", loc="left", weight="bold")
    widest = max(abs(order.index(one) - order.index(other)) for one, other in shown)
    axes.set(xlim=(-5.2, 1.5 + 0.5 * widest), ylim=(len(order) - 0.5, -0.5))
    axes.axis("off")


_COLOURS = ("#1f618d", "#148f77", "#7d3c98", "#b9770e", "#616a6b", "#2e4053")


def _draw_arrow(axes: "Axes", start: int, end: int, n: int, *, side: int, colour: str) -> None:
    """An arc beside the rooms from one row to another with its number at the farthest point."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Curve

    edge, out = 0.95 * side, (1.3 + 0.55 * abs(start - end)) * side
    begin, stop = start - 0.15, end + 0.15
    curve = Curve([(edge, begin), (out, begin), (out, stop), (edge, stop)], [Curve.MOVETO] + 3 * [Curve.CURVE4])
    width = 0.7 + 0.35 * n**0.5
    arrow = FancyArrowPatch(path=curve, arrowstyle="-|>", mutation_scale=9, linewidth=width, color=colour, alpha=0.75)
    axes.add_patch(arrow)
    farthest = edge + 0.75 * (out - edge)
    about = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.9}
    axes.text(farthest, (begin + stop) / 2, str(n), color=colour, size=8, ha="center", va="center", bbox=about)


def _contents(rooms: Mapping[str, Sequence[str]], name: str) -> str:
    """The files and folders of a room, in lines of at most 36 letters; "" where the room is one file."""
    within = [module for module in modules() if _room(module, rooms) == name]
    if len(rooms[name]) > 1:
        words = [module.rpartition(".")[2] for module in rooms[name]]
    else:
        words = sorted({module.removeprefix(f"{rooms[name][0]}.").split(".")[0] for module in within} - {"musiclust"})
        words = [word for word in words if word not in ("experiments", name)]
    lines = [""]
    for word in words if name not in ("musiclust", "the door") else []:
        lines = [*lines[:-1], f"{lines[-1]} {word}"] if len(lines[-1]) + len(word) < 36 else [*lines, word]
    return "\n".join(line.strip() for line in lines)


def _room(module: str, rooms: Mapping[str, Sequence[str]]) -> str:
    """The room of a module: the one with the longest of the names that the module is or is below; "" for none."""
    found = {prefix: room for room, within in rooms.items() for prefix in within}
    fitting = [prefix for prefix in found if module == prefix or module.startswith(f"{prefix}.")]
    return found[max(fitting, key=len)] if fitting else ""


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE)
