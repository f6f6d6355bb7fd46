"""The help of a command: what it does, three examples, and its flags under headings.

A command's docstring opens with what it does and its examples. Its flags stand in `FLAG_GROUPS`, heading -> names of
flags, so that those that are thought of together are read together.
"""

import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from absl import flags

WIDTH = 80  # columns

Groups = Mapping[str, Sequence[str]]

NO_GROUPS: Groups = {}

# absl's name of a flag's type -> the form of its value.
_VALUES = {
    "int": "N",
    "float": "NUMBER",
    "bool": "",
    "comma separated list of strings": "NAME,...",
}


class FlagHelp(NamedTuple):
    """One flag.

    name: without dashes.
    value: the form of its value, "NAME" say; "" where it takes none.
    text: sentences that say what it does.
    choices: the values that it may have; () where they are not a list.
    default: as it would be typed; "" where the text says what happens without the flag.
    """

    name: str
    value: str
    text: str
    choices: tuple[str, ...]
    default: str


class ProgramHelp(NamedTuple):
    """A command. about: its docstring; groups: (heading, flags)."""

    about: str
    groups: list[tuple[str, list[FlagHelp]]]


def describe_program(groups: Groups, module: str = "__main__") -> ProgramHelp:
    """Returns the help of the command whose flags that module has defined.

    Args:
      groups: heading -> names of flags; NO_GROUPS puts all of them under one.
    """
    program = sys.modules[module]
    # Of the command that runs, absl knows the name it was started by.
    name = sys.argv[0] if module == "__main__" else module
    names = [flag.name for flag in flags.FLAGS.get_key_flags_for_module(name)]
    found = groups or {"Flags": names}
    return ProgramHelp(
        (program.__doc__ or "").strip("\n"),
        [(heading, [_describe_flag(name) for name in listed]) for heading, listed in found.items()],
    )


def format_help(program: ProgramHelp) -> str:
    """Returns the help as text for a terminal of 80 columns."""
    lines = [program.about]
    for heading, listed in program.groups:
        lines += ["", f"{heading}:"]
        for flag in listed:
            lines.append(f"  {format_flag(flag)}")
            lines += textwrap.wrap(
                describe_in_full(flag),
                WIDTH,
                initial_indent=" " * 6,
                subsequent_indent=" " * 6,
                break_long_words=False,
                break_on_hyphens=False,
            )
    return "\n".join(lines)


def format_flag(flag: FlagHelp) -> str:
    """Returns the flag as it is typed, "--beta=NUMBER,..." or "--[no]quick"."""
    return f"--{flag.name}={flag.value}" if flag.value else f"--[no]{flag.name}"


def describe_in_full(flag: FlagHelp) -> str:
    """Returns the flag's sentences, its choices and its default."""
    choices = f" One of: {', '.join(flag.choices)}." if flag.choices else ""
    default = f" Default: {flag.default}." if flag.default else ""
    return flag.text + choices + default


def _describe_flag(name: str) -> FlagHelp:
    flag = flags.FLAGS[name]
    choices = tuple(getattr(flag.parser, "enum_values", None) or ())
    default = ",".join(flag.default) if isinstance(flag.default, list) else flag.default
    # absl writes the choices before the text and the repetition after it.
    text = flag.help.removeprefix(f"<{'|'.join(choices)}>: ").partition(";\n    repeat this option")[0]
    if flag.flag_type().startswith("multi"):
        text += " It can be given several times."
    value = "NAME" if choices else _VALUES.get(flag.flag_type(), "VALUE")
    return FlagHelp(name, value, text, choices, "" if default in (None, "", False) else str(default))
