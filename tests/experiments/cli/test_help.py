"""The help of each command, and the page that is made of all."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from experiments.cli.commands import COMMANDS, command_module
from experiments.cli.flag_names import RENAMED
from experiments.cli.flags_page import PAGE, describe_command, write_page
from experiments.cli.help import FlagHelp, ProgramHelp, describe_in_full, format_flag, format_help

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def programs() -> dict[str, ProgramHelp]:
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(COMMANDS, pool.map(describe_command, COMMANDS), strict=True))


def all_flags(program: ProgramHelp) -> list[FlagHelp]:
    return [flag for _, listed in program.groups for flag in listed]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_opens_with_three_examples_and_fits_a_terminal(programs, name):
    lines = format_help(programs[name]).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].endswith(".")
    assert lines[1:3] == ["", "Examples:"]
    examples = lines[3 : lines.index("", 3)]
    assert sum(line.startswith(f"  python -m experiments.{name}") for line in examples) == 3
    assert all(line.startswith("  ") for line in examples)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_flag_stands_under_one_heading_and_has_a_sentence(programs, name):
    flags = all_flags(programs[name])
    names = [flag.name for flag in flags]
    assert len(set(names)) == len(names)
    source = (ROOT / f"{command_module(name).replace('.', '/')}.py").read_text()
    source += (ROOT / "experiments" / "cli" / "config_flags.py").read_text() if name == "run" else ""
    assert source.count("flags.DEFINE_") == len(names)
    for flag in flags:
        assert flag.text.endswith("."), flag
        assert flag.text[0].isupper() or flag.text.startswith("auto"), flag
        assert flag.text.split()[0] not in ("Of", "For", "In", "At", "By"), flag


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_name_flags_that_exist(programs, name):
    names = {flag.name for flag in all_flags(programs[name])}
    words = programs[name].about.replace("\\\n", " ").split()
    assert {word[2:].rstrip(":,").partition("=")[0] for word in words if word.startswith("--")} <= names


def test_a_flag_shows_its_choices_and_its_default():
    flag = FlagHelp("level", "NAME", "Level of the task.", ("easy", "hard"), "easy")
    assert format_flag(flag) == "--level=NAME"
    assert describe_in_full(flag) == "Level of the task. One of: easy, hard. Default: easy."
    assert format_flag(flag._replace(name="quick", value="")) == "--[no]quick"


def test_old_names_lead_to_flags(programs):
    names = {flag.name for program in programs.values() for flag in all_flags(program)}
    assert set(RENAMED.values()) <= names
    assert not names & set(RENAMED)


def test_the_page_is_what_the_command_makes(programs):
    assert (ROOT / PAGE).read_text(encoding="utf-8") == write_page(programs), "python -m experiments.cli.flags_page"
