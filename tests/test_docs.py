"""The pages say what the code says: examples run, links lead somewhere, flags exist, the picture is of today."""

import ast
import doctest
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "docs"))

import draw_rooms  # noqa: E402

PAGES = sorted(path for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
EXPERIMENTS = sorted((ROOT / "experiments").rglob("*.py"))


def examples() -> Iterator[doctest.DocTest]:
    """Each docstring of the library that has examples, found in the source: a checked function hides its own."""
    for path in sorted((ROOT / "musiclust").rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if ">>>" not in source:
            continue
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
                name = f"{module}.{node.name}" if hasattr(node, "name") else module
                found = doctest.DocTestParser().get_doctest(text, {"__name__": module}, name, str(path), 0)
                if found.examples:
                    yield found


@pytest.mark.parametrize("example", list(examples()), ids=lambda example: example.name)
def test_examples_in_docstrings_run(example):
    example.globs.update(vars(importlib.import_module(example.globs["__name__"])))
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(example, out=said.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(said)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        name, _, heading = target.partition("#")
        if re.match(r"\w+:", target):
            continue
        path = page.parent / name if name else page
        assert path.exists(), f"{page.name} links to {target}"
        if heading:
            titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert heading in anchors, f"{page.name} links to {target}"


def commands(page: Path) -> set[tuple[str, str]]:
    """(program, flag) for each flag of `python -m experiments.<program>` in code on a page."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    found = re.findall(r"python -m experiments\.(\w+)([^\n`#]*)", text)
    return {(program, flag) for program, rest in found for flag in re.findall(r"(?<=\s)--(\w+)", rest)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_on_pages_have_flags_that_exist(page):
    if page.name == "CHANGELOG.md":
        return
    flags = {
        flag: path.parent.name if path.stem == "__main__" else path.stem
        for path in EXPERIMENTS
        for flag in re.findall(r"DEFINE_\w+\(\s*\"(\w+)\"", path.read_text(encoding="utf-8"))
    }
    for program, flag in commands(page):
        files = [ROOT / "experiments" / f"{program}.py", ROOT / "experiments" / program / "__main__.py"]
        assert any(path.exists() for path in files), f"{page.name}: python -m experiments.{program}"
        assert flag in flags or flag in ("help", "helpfull"), f"{page.name}: {program} --{flag}"


def test_the_readme_is_short_and_opens_with_two_commands():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 100
    blocks = re.findall(r"^```bash\n(.*?)^```", "\n".join(lines), re.DOTALL | re.MULTILINE)
    assert "experiments.run" in blocks[0]
    assert "pytest" in blocks[1]


def test_the_ten_lines_of_the_readme_run(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(40, 6)))
    code = re.search(
        r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert code
    short = code[1].replace("epochs=100", "epochs=2") + "print(z.shape)\n"
    # As users run it: in a process of its own, whose arguments are not checked against annotations.
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    done = subprocess.run([sys.executable, "-c", short], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("(40, 8)\n")


def test_the_picture_is_of_the_rooms_that_there_are():
    again = "draw it again: python docs/draw_rooms.py"
    assert draw_rooms.drawn() == draw_rooms.counted(), again
    named = {module for within in draw_rooms.LIBRARY.values() for module in within}
    files = {f"musiclust.{path.stem}" for path in (ROOT / "musiclust").iterdir() if path.suffix in ("", ".py")}
    files -= {"musiclust.__init__", "musiclust.__pycache__", "musiclust.py"}
    assert files <= named, "a file of musiclust is in no room: name it in docs/draw_rooms.py"


@pytest.mark.parametrize("title", draw_rooms.PICTURES)
def test_no_room_imports_what_comes_after_it(title):
    rooms = draw_rooms.PICTURES[title]
    arrows = draw_rooms.count(rooms)
    assert arrows
    assert draw_rooms.backward(rooms, arrows) == []
    assert len(arrows) < 20 or title != "musiclust/preprocess"
