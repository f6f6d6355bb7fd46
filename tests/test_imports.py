"""The import rules of the house, held by reading every file and by asking fresh interpreters what they have loaded."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LIBRARY = sorted((ROOT / "musiclust").rglob("*.py"))
EXPERIMENTS = sorted((ROOT / "experiments").rglob("*.py"))

HEAVY = {"torch", "whisper", "sentence_transformers", "librosa", "transformers"}
NETWORKS = {"jax", "flax", "optax"}
# The side that must not know what the corpus says of a track.
TRAINING = {
    "training",
    "population",
    "sweep",
    "fit",
    "models",
    "fusion",
    "objectives",
    "neighbours",
    "schedules",
    "noise",
    "streaming",
    "epochs",
    "streamed_epochs",
    "devices",
}
# All that preprocess may import of the library beside itself.
BELOW_PREPROCESS = {
    *("types", "errors", "files", "digests", "records", "csv_records", "arrays", "store"),
    *("points", "noise", "spreadsheet", "stretches"),
}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(nodes: Iterator[ast.AST] | list[ast.stmt]) -> set[str]:
    """Full names of all modules that the import statements among `nodes` name."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def tops(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def rooms(names: set[str]) -> set[str]:
    """The rooms of musiclust among full names of modules."""
    return {name.split(".")[1] for name in names if name.startswith("musiclust.")}


def room(path: Path) -> str:
    return path.relative_to(ROOT / "musiclust").parts[0].removesuffix(".py")


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after `code`."""
    code += "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_room_imports_only_what_it_may(path):
    names = imported(ast.walk(tree(path)))
    assert not tops(names) & {"experiments", "benchmarks", "absl"}
    if room(path) == "preprocess":
        assert rooms(names) <= {"preprocess"} | BELOW_PREPROCESS
        assert not tops(imported(tree(path).body)) & HEAVY, "heavy libraries are imported inside functions"
        assert not tops(names) & {"optax", "orbax"}
        assert not tops(names) & {"jax", "flax"} or "tagger" in path.parts
    else:
        assert not tops(names) & HEAVY
        assert "preprocess" not in rooms(names)
    if room(path) in ("metrics", "cluster", "points"):
        assert not tops(names) & NETWORKS
    if room(path) == "types":
        assert rooms(names) <= {"errors"}
    if room(path) != "checkpoint":
        assert "orbax" not in tops(names)


@pytest.mark.parametrize(
    "path", [path for path in LIBRARY if room(path) in TRAINING], ids=lambda path: str(path.relative_to(ROOT))
)
def test_the_training_side_sees_no_classes(path):
    nodes = list(ast.walk(tree(path)))
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    used |= {node.id for node in nodes if isinstance(node, ast.Name)}
    used |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    assert not used & {"classes", "class_names", "truth", "labels"}
    assert "Tracks" not in used


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_experiments_load_no_heavy_library_and_preprocess_from_one_place(path):
    names = imported(ast.walk(tree(path)))
    assert not tops(names) & HEAVY
    assert "orbax" not in tops(names)
    if path.relative_to(ROOT / "experiments").parts[0] in (
        "run.py",
        "evaluate.py",
        "reproduce.py",
        "lessons.py",
        "traverse.py",
        "study",
    ):
        assert "preprocess" not in rooms(names)


@pytest.mark.parametrize("path", [*LIBRARY, *EXPERIMENTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_registries_are_literal_and_nobody_adds_to_them(path):
    def is_registry(node: ast.AST) -> bool:
        name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
        return name.isupper() and not name.startswith("_")

    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.Delete):
            targets = [node.target] if isinstance(node, ast.AugAssign) else node.targets
            assert not [t for t in targets if isinstance(t, ast.Subscript) and is_registry(t.value)], ast.unparse(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and is_registry(node.func.value):
            assert node.func.attr not in ("update", "setdefault", "pop", "popitem", "clear"), ast.unparse(node)
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            assert not [one for one in node.decorator_list if "register" in ast.unparse(one)], (
                "no registering decorators"
            )


@pytest.mark.parametrize(
    ("module", "registry"),
    [
        ("musiclust/models/__init__.py", "MODELS"),
        ("musiclust/cluster.py", "CLUSTERERS"),
        ("musiclust/fusion.py", "FUSIONS"),
        ("musiclust/fusion.py", "SCALINGS"),
        ("musiclust/baselines.py", "BASELINES"),
        ("musiclust/schedules.py", "SCHEDULES"),
        ("musiclust/schedules.py", "BETA_SCHEDULES"),
        ("musiclust/preprocess/corpora/registry.py", "CORPORA"),
        ("experiments/configs.py", "DEFAULTS"),
        ("experiments/configs.py", "PRESETS"),
    ],
)
def test_a_registry_is_one_literal_in_one_place(module, registry):
    def assigned(path: Path) -> list[ast.expr | None]:
        found = []
        for node in tree(path).body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            found += [getattr(node, "value", None) for t in targets if isinstance(t, ast.Name) and t.id == registry]
        return found

    assert [type(value) for value in assigned(ROOT / module)] == [ast.Dict]
    others = [path for path in [*LIBRARY, *EXPERIMENTS] if path != ROOT / module and assigned(path)]
    assert others == []


def test_no_room_is_called_after_nothing():
    names = {"utils", "util", "helpers", "common", "misc"}
    paths = [*LIBRARY, *EXPERIMENTS, *(ROOT / "benchmarks").rglob("*.py")]
    assert [path for path in paths if path.stem in names or path.parent.name in names] == []


@pytest.mark.parametrize(
    "module",
    ["musiclust", "experiments.run", "experiments.evaluate", "musiclust.fit", "musiclust.report.page"],
)
def test_the_training_side_never_loads_torch_or_librosa(module):
    assert not loaded_by(f"import {module}") & HEAVY


def test_the_door_loads_nothing_until_it_is_used():
    heavy = {"jax", "jaxlib", "flax", "optax", "orbax", "numpy", "scipy", "sklearn", "matplotlib"}
    assert not loaded_by("import musiclust; musiclust.__version__") & heavy


@pytest.mark.parametrize("module", ["musiclust.metrics.partition", "musiclust.metrics.reference", "musiclust.cluster"])
def test_scores_and_clusters_load_no_network_library(module):
    assert not loaded_by(f"import {module}") & {"flax", "optax", "orbax"}


def test_preprocessing_loads_no_network_library():
    assert not loaded_by("import musiclust.preprocess.pipeline") & {"flax", "optax", "orbax", *HEAVY}
