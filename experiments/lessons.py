"""Measures every number of docs/what-the-reports-show.md anew and writes the page.

Examples:
  python -m experiments.lessons                  # the demo corpus, into docs/
  python -m experiments.lessons --store=stores/mine --out=runs/lessons
  python -m experiments.lessons --quick          # less of all; the page says so

It writes <out>/what-the-reports-show.md, <out>/figures/*.png and the numbers,
<out>/figures/collapse.json.
"""

import json
import platform
import shlex
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from absl import flags

from experiments.cli.console import print_line
from experiments.cli.program import run
from experiments.cli.progress import show_progress
from experiments.published.measurements import FULL, QUICK, measure
from experiments.study.demo import make_demo_store
from experiments.study.jax_setup import set_up_jax
from musiclust.errors import InputError
from musiclust.files import atomic, remove_temporary
from musiclust.report import lessons

_STORE = flags.DEFINE_string("store", None, "Folder of features to read; by default that of the demo corpus.")
_OUT = flags.DEFINE_string("out", "docs", "Folder that the page and its figures are written to.")
_QUICK = flags.DEFINE_bool("quick", False, "Takes fewer seeds, draws and epochs, for a look.")
_CACHE_DIR = flags.DEFINE_string(
    "cache_dir", None, "Folder used in place of the user's cache folder (XDG_CACHE_HOME, ~/.cache)."
)
FLAG_GROUPS = {"Input": ("store",), "Effort": ("quick",), "Files": ("out", "cache_dir")}


def main(argv: list[str]) -> int:
    missing = [name for name in ("matplotlib", "jinja2") if find_spec(name) is None]
    if missing:
        raise InputError(f"the page needs {' and '.join(missing)}: pip install 'musiclust[viz]'")
    set_up_jax(_CACHE_DIR.value)
    root = Path(_STORE.value).expanduser() if _STORE.value else make_demo_store(_CACHE_DIR.value)
    out = Path(_OUT.value).expanduser()
    for folder in (out, out / "figures"):
        remove_temporary(folder)
    size = QUICK if _QUICK.value else FULL
    with show_progress() as report:
        facts = measure(root, size, report)
    packages = ("jax", "flax", "optax", "numpy", "scikit-learn")
    facts["command"] = f"python -m experiments.lessons {shlex.join(sys.argv[1:])}".strip()
    facts["quick"] = _QUICK.value
    facts["versions"] = {"python": platform.python_version(), **{name: version(name) for name in packages}}
    with atomic(out / "figures" / "collapse.json") as file:
        json.dump(facts, file, indent=1, allow_nan=False)
        file.write("\n")
    page = lessons.write_lessons(out, facts)
    print_line(f"written: {page}")
    return 0


if __name__ == "__main__":
    run(main, groups=FLAG_GROUPS)
