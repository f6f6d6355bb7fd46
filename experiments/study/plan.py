"""What a run was asked for, as its config.json keeps it: shared by the commands that start, restore and use runs."""

import json
from pathlib import Path
from typing import NamedTuple

from experiments.configs import Config
from musiclust.errors import InputError
from musiclust.files import atomic

FORMAT = 2


class Plan(NamedTuple):
    """A completed configuration, on which store, written where.

    music: the folder of the store's audio files, "" where there are none or it is not known.
    """

    config: Config
    store: Path
    run_dir: Path
    command: str
    music: str = ""


def write_plan(plan: Plan) -> None:
    """Writes config.json; `read_plan` is the inverse."""
    record = {
        "format": FORMAT,
        "command": plan.command,
        "store": str(plan.store),
        "music": plan.music,
        "config": plan.config.to_json(),
    }
    with atomic(plan.run_dir / "config.json") as file:
        json.dump(record, file, indent=1)


def read_plan(run_dir: Path) -> Plan:
    """What a run was started with, from its config.json.

    Raises:
      InputError: if there is no run, or one of another version.
    """
    path = run_dir / "config.json"
    if not path.exists():
        raise InputError(f"{run_dir} is not a run (no config.json): give the folder of one, such as runs/...")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["format"] != FORMAT:
            raise ValueError(f"format {record['format']}, this version reads {FORMAT}")
        config, music = Config.from_json(record["config"]), str(record.get("music", ""))
        return Plan(config, Path(record["store"]), run_dir, record["command"], music)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged or of another version ({error}): start the run anew") from error
