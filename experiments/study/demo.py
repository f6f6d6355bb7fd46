"""The demo corpus's store, for commands that were given none."""

import subprocess
import sys
from pathlib import Path

from experiments.cli.console import console
from experiments.cli.interrupt import check_stop
from experiments.cli.places import default_store
from musiclust.errors import InputError


def make_demo_store(cache_dir: str | None) -> Path:
    """Returns the demo corpus's store.

    Where it is not there yet, the preprocessing stage makes it in a process of its own.

    Raises:
      InputError: if it cannot be made.
    """
    root = default_store(cache_dir)
    if not (root / "tracks.csv").exists():
        console.print("no --store is named: making the demo corpus, once")
        place = [f"--cache_dir={cache_dir}"] if cache_dir else []
        done = subprocess.run([sys.executable, "-m", "experiments.preprocess", "--corpus=demo", *place], check=False)
        check_stop()
        if done.returncode:
            raise InputError("the demo corpus could not be made: mend what is named above, or give --store")
    return root
