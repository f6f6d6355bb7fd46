"""The library's parameters become flags where they are printed, and the library itself names none."""

import ast
import re
import tokenize
from pathlib import Path

import pytest
from absl import flags

from experiments.cli import config_flags
from experiments.cli.flag_names import name_flags

ROOT = Path(__file__).parents[3]
LIBRARY = sorted((ROOT / "musiclust").rglob("*.py"))
A_FLAG = re.compile(r"--[a-z_]+")
OF_PIP = re.compile(r"--(no-deps|only-binary|disable-pip-version-check|quiet|timeout|retries|dest)\b")


@pytest.mark.parametrize(
    ("message", "printed"),
    [
        ("k = 3 is larger than the 2 tracks: choose `k` of at most 2", "choose --k of at most 2"),
        ("lower `learning_rate` or `beta`", "lower --learning_rate or --beta"),
        ("choose `clusterer=kmeans`", "choose --clusterer=kmeans"),
        ("call `pip install 'musiclust[text]'`", "call `pip install 'musiclust[text]'`"),
        ("`no_such_thing` and `K` stay", "`no_such_thing` and `K` stay"),
        ("`weights=` of `features`", "--weights= of --features"),
        ("a lone ` and `k", "a lone ` and `k"),
    ],
)
def test_a_backticked_parameter_becomes_its_flag(message, printed):
    assert name_flags(message).endswith(printed)


def texts(path: Path) -> list[str]:
    """All string constants of a file, docstrings and parts of f-strings among them, and its comments."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    strings = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    with tokenize.open(path) as file:
        comments = [one.string for one in tokenize.generate_tokens(file.readline) if one.type == tokenize.COMMENT]
    return strings + comments


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_library_names_no_flag(path):
    assert not [text for text in texts(path) if A_FLAG.search(OF_PIP.sub("", text))]


def template(node: ast.expr) -> str:
    """A message with {} for what is put in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return template(node.left) + template(node.right)
    return "{}"


def messages(path: Path) -> list[str]:
    """The texts of all InputErrors that a file raises."""
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    return [
        template(argument)
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "InputError"
        for argument in call.args
    ]


def defined_flags() -> set[str]:
    """Names of the flags of all commands, read from their sources: they cannot all be defined in one process."""
    found = set()
    for path in (ROOT / "experiments").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and "DEFINE_" in node.func.attr:
                assert isinstance(node.args[0], ast.Constant)
                found.add(node.args[0].value)
    return found


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_parameter_that_a_message_names_is_a_flag(path):
    named = {name for text in messages(path) for name in re.findall(r"`([a-z][a-z0-9_]*)(?:=[^`]*)?`", text)}
    assert named <= defined_flags()


def test_the_flags_of_a_run_are_found_in_the_sources():
    assert set(config_flags.NAMES) <= defined_flags()
    assert set(config_flags.NAMES) <= set(flags.FLAGS)
