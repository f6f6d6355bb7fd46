"""The import rules of the house."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LIBRARY = sorted((ROOT / "musiclust").rglob("*.py"))
HEAVY = {"torch", "whisper", "sentence_transformers", "librosa", "transformers"}


def imported(path: Path) -> set[str]:
    """Full names of all modules imported anywhere in a file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def tops(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(path)}


def room(path: Path) -> str:
    return path.relative_to(ROOT / "musiclust").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_room_imports_only_what_it_may(path):
    names = imported(path)
    assert "experiments" not in tops(path)
    assert "absl" not in tops(path)
    if room(path) != "preprocess":
        assert not tops(path) & HEAVY
        assert not {name for name in names if name.startswith("musiclust.preprocess")}
    if room(path) == "preprocess":
        assert not {name for name in names if name.startswith(("musiclust.models", "musiclust.train"))}
        top_level = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
        outermost = {alias.name.partition(".")[0] for node in top_level for alias in node.names} | {
            (node.module or "").partition(".")[0] for node in top_level if isinstance(node, ast.ImportFrom)
        }
        assert not outermost & HEAVY
    if room(path) in ("metrics", "cluster"):
        assert not tops(path) & {"jax", "flax", "optax"}
    if room(path) in ("train", "models", "fusion", "objectives"):
        assert "labels" not in {node.attr for node in ast.walk(ast.parse(path.read_text())) if hasattr(node, "attr")}
    if room(path) != "checkpoint":
        assert "orbax" not in tops(path)


def test_no_utils():
    assert not [path for path in ROOT.rglob("utils.py") if ".venv" not in path.parts]


@pytest.mark.parametrize(
    "module", ["experiments.run", "experiments.evaluate", "musiclust.fit", "musiclust.report.page"]
)
def test_the_training_side_never_loads_torch_or_librosa(module):
    code = f"import sys, {module}; print(*({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
