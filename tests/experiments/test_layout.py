"""experiments/ has only commands at its top."""

import ast
from pathlib import Path

from experiments.cli.commands import COMMANDS

TOP = Path(__file__).parents[2] / "experiments"


def test_every_file_at_the_top_is_a_command():
    files = {path.stem for path in TOP.glob("*.py")} - {"configs", "__init__"}
    without = [name for name in files if 'if __name__ == "__main__":' not in (TOP / f"{name}.py").read_text()]
    assert not without
    assert files == set(COMMANDS)


def test_commands_do_not_import_one_another():
    for name in COMMANDS:
        tree = ast.parse((TOP / f"{name}.py").read_text())
        modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not modules & {f"experiments.{other}" for other in COMMANDS}
