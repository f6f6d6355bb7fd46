"""What a run was asked for, as its config.json keeps it: shared by the scripts that start, restore and use runs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import jax

from experiments.cli.console import cache_root, check_stop, console, default_store, usable_cores
from experiments.configs import Config
from musiclust import store
from musiclust.errors import InputError

FORMAT = 2


class Plan(NamedTuple):
    """A completed configuration, on which store, written where."""

    config: Config
    store: Path
    run_dir: Path
    command: str


def write_plan(plan: Plan) -> None:
    """Writes config.json; `read_plan` is the inverse."""
    record = {"format": FORMAT, "command": plan.command, "store": str(plan.store), "config": plan.config.to_json()}
    with store.atomic(plan.run_dir / "config.json") as file:
        json.dump(record, file, indent=1)


def read_plan(run_dir: Path) -> Plan:
    """What a run was started with, from its config.json.

    Raises:
      InputError: if there is no run, or one of another version.
    """
    path = run_dir / "config.json"
    if not path.exists():
        raise InputError(f"{run_dir} is not a run (no config.json): give --run_dir of one under runs/")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["format"] != FORMAT:
            raise ValueError(f"format {record['format']}, this version reads {FORMAT}")
        return Plan(Config.from_json(record["config"]), Path(record["store"]), run_dir, record["command"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged or of another version ({error}): start the run anew") from error


def set_up_jax(cache_dir: str | None) -> None:
    """To be called before anything else of JAX: each core of a CPU is a device, so that replicas train side by side;
    compiled programs are kept in the user's cache, since compiling takes longer than training."""
    jax.config.update("jax_num_cpu_devices", usable_cores())
    jax.config.update("jax_compilation_cache_dir", str(cache_root(cache_dir) / "xla"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def demo_store(cache_dir: str | None) -> Path:
    """The demo corpus's store, made by the preprocessing stage in a process of its own where it is not there yet."""
    root = default_store(cache_dir)
    if not (root / "tracks.csv").exists():
        console.print("no --store is named: making the demo corpus, once")
        place = [f"--cache_dir={cache_dir}"] if cache_dir else []
        done = subprocess.run([sys.executable, "-m", "experiments.preprocess", "--corpus=demo", *place], check=False)
        check_stop()
        if done.returncode:
            raise InputError("the demo corpus could not be made: mend what is named above, or give --store")
    return root
