"""experiments/ has only commands at its top."""

import ast
from pathlib import Path

from experiments.cli.commands import COMMANDS, command_module

TOP = Path(__file__).parents[2] / "experiments"


def source(name: str) -> str:
    return (TOP.parent / f"{command_module(name).replace('.', '/')}.py").read_text(encoding="utf-8")


def test_every_file_at_the_top_is_a_command():
    files = {path.stem for path in TOP.glob("*.py")} - {"configs", "__init__"}
    folders = {path.parent.name for path in TOP.glob("*/__main__.py")}  # a room with a command of its name
    assert files | folders == set(COMMANDS)
    assert not [name for name in COMMANDS if 'if __name__ == "__main__":' not in source(name)]


def test_commands_do_not_import_one_another():
    for name in COMMANDS:
        nodes = [node for node in ast.walk(ast.parse(source(name))) if isinstance(node, ast.ImportFrom)]
        imported = {f"{node.module}.{alias.name}" for node in nodes for alias in node.names}
        imported |= {node.module or "" for node in nodes}
        assert not imported & {command_module(other) for other in COMMANDS}
