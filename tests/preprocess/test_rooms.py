"""The rooms of preprocess/: which imports which."""

import ast
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = "musiclust.preprocess"
HOUSE = Path(__file__).resolve().parents[2] / "musiclust" / "preprocess"
FILES = {path.relative_to(HOUSE).with_suffix("").as_posix(): path for path in HOUSE.rglob("*.py")}


def room(file: str) -> str:
    """A folder of preprocess/, or a file that stands there by itself."""
    return file.partition("/")[0]


def imported_files(path: Path) -> set[str]:
    """The files of preprocess/ that a file imports, at its head or inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports by a relative name"
            modules = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if file_of(name) in FILES else node.module or "" for name in modules}
    return {file_of(name) for name in names} & set(FILES)


def file_of(module: str) -> str:
    """musiclust.preprocess.audio.decode -> audio/decode; a package is its __init__; "" outside of preprocess/."""
    if module != PACKAGE and not module.startswith(f"{PACKAGE}."):
        return ""
    file = module.removeprefix(PACKAGE).removeprefix(".").replace(".", "/")
    return f"{file}/__init__".removeprefix("/") if (HOUSE / file).is_dir() else file


def test_few_imports_cross_rooms_and_none_runs_back():
    arrows = [
        (file, other)
        for file, path in FILES.items()
        for other in sorted(imported_files(path))
        if room(file) != room(other)
    ]
    assert ("pipeline", "workers") in arrows
    assert len(arrows) < 24, "\n".join(f"{one} -> {other}" for one, other in arrows)
    graph = defaultdict(set)
    for one, other in arrows:
        graph[room(one)].add(room(other))
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the rooms
