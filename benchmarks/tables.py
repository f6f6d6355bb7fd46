"""The tables of docs/measurements.md, from what the benchmarks wrote: python -m benchmarks.tables [--results=FOLDER]

Prints Markdown. A benchmark whose result is missing is one line that names the command to make it.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from benchmarks.rendering import TABLES, about
from experiments.cli.program import run
from musiclust.errors import InputError

_RESULTS = flags.DEFINE_string("results", "benchmarks/results", "Where the benchmarks wrote their JSON.")


def markdown(folder: Path) -> str:
    """All tables of a folder of results.

    Raises:
      InputError: if there is no such folder, or a file in it is not a result of today's benchmarks.
    """
    if not folder.is_dir():
        raise InputError(f"--results={folder}: no such folder; a benchmark makes it, python -m benchmarks.training")
    parts = []
    for name, sections in TABLES.items():
        path = folder / f"{name}.json"
        if not path.exists():
            parts.append(f"{name}: not measured; python -m benchmarks.{name} --out={path}\n")
            continue
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            parts += [f"`{result['command']}`, {about(result)}\n", *(part.markdown() for part in sections(result))]
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            again = f"python -m benchmarks.{name} --out={path}"
            raise InputError(f"{path}: not a result of this version ({error!r}); make it anew: {again}") from error
    return "\n".join(parts)


def main(argv: Sequence[str]) -> None:
    print(markdown(Path(_RESULTS.value)), end="")


if __name__ == "__main__":
    run(main)
