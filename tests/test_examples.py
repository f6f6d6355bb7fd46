"""The notebooks run from top to bottom, and are committed with small outputs of a run without errors."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.ipynb"))
LARGEST = 150_000  # bytes of a notebook with its pictures


def code_cells(notebook: Path) -> list[dict]:
    return [cell for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("notebook", EXAMPLES, ids=lambda path: path.name)
def test_notebooks_are_small_and_were_run_in_order(notebook):
    assert notebook.stat().st_size <= LARGEST
    cells = code_cells(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert not [out for cell in cells for out in cell["outputs"] if out["output_type"] == "error"]


@pytest.mark.slow
def test_own_array_finds_the_groups_that_are_there(monkeypatch, optimised):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    pytest.importorskip("matplotlib").use("Agg")
    names: dict = {"__name__": "__main__"}
    for cell in code_cells(ROOT / "examples" / "own_array.ipynb"):
        exec(compile("".join(cell["source"]), "own_array.ipynb", "exec"), names)
    assert names["scores"]["nmi"] > 0.9
    assert names["scores"]["silhouette"] > names["null"]
    assert names["scores"]["silhouette"] == pytest.approx(names["mc"].silhouette(names["z"], names["groups"].clusters))
    assert len(names["found"]) == len(names["x"])
