"""Makes docs/flags.md, the page of all commands and their flags.

python -m experiments.cli.flags_page        # run from the root of the repository
"""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from experiments.cli.commands import COMMANDS, command_module
from experiments.cli.help import FlagHelp, ProgramHelp, describe_in_full, format_flag

PAGE = Path("docs/flags.md")
_OPENING = """# Flags

The commands and their flags, as `--help` of each shows them. Made by `python -m experiments.cli.flags_page`.
"""
# Two commands define flags of the same name, so each is described in a process of its own.
_DESCRIBE = """
import importlib, json, sys
from experiments.cli.help import describe_program
module = importlib.import_module(sys.argv[1])
print(json.dumps(describe_program(module.FLAG_GROUPS, sys.argv[1])))
"""


def describe_command(name: str) -> ProgramHelp:
    """Returns the help of the command `experiments.<name>`."""
    code = [sys.executable, "-c", _DESCRIBE, command_module(name)]
    done = subprocess.run(code, capture_output=True, text=True, check=True)
    about, groups = json.loads(done.stdout)
    return ProgramHelp(about, [(heading, [FlagHelp(*flag) for flag in listed]) for heading, listed in groups])


def write_page(programs: dict[str, ProgramHelp]) -> str:
    """Returns the page in Markdown: a section a command, a list a heading."""
    parts = [_OPENING]
    for name, program in programs.items():
        parts.append(f"## {name}\n\n```\n{program.about}\n```\n")
        for heading, listed in program.groups:
            lines = [f"- `{format_flag(flag)}` {_escape(describe_in_full(flag))}" for flag in listed]
            parts.append(f"### {heading}\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def _escape(text: str) -> str:
    """Markdown would take an asterisk for emphasis and <name> for a tag."""
    return text.replace("*", "\\*").replace("<", "\\<")


def main() -> None:
    with ThreadPoolExecutor() as pool:
        programs = dict(zip(COMMANDS, pool.map(describe_command, COMMANDS), strict=True))
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(write_page(programs), encoding="utf-8")
    print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
