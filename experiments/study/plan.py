"""What a run was asked for, as its config.json keeps it: shared by the commands that start, restore and use runs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from experiments.configs import Config
from musiclust.digests import atomic_with_digest
from musiclust.errors import InputError
from musiclust.records import Record, read_record

FORMAT = 2

_REMEDY = "start the run anew"


class Plan(NamedTuple):
    """A completed configuration, on which store, written where.

    music: the folder of the store's audio files, "" where there are none or it is not known.
    fingerprint: of the store as it was when the run began, see `store.fingerprint`; empty for a run that has not begun,
    or has by an earlier version.
    """

    config: Config
    store: Path
    run_dir: Path
    command: str
    music: str = ""
    fingerprint: Mapping[str, str] = {}


class _Record(Record, frozen=True):
    """config.json."""

    format: int
    command: str
    store: str
    config: dict[str, Any]
    music: str = ""
    fingerprint: dict[str, str] = msgspec.field(default_factory=dict)


def write_plan(plan: Plan) -> None:
    """Writes config.json; `read_plan` is the inverse."""
    record = {
        "format": FORMAT,
        "command": plan.command,
        "store": str(plan.store),
        "music": plan.music,
        "config": plan.config.to_json(),
        "fingerprint": dict(plan.fingerprint),
    }
    with atomic_with_digest(plan.run_dir / "config.json") as file:
        json.dump(record, file, indent=1)


def read_plan(run_dir: Path) -> Plan:
    """What a run was started with, from its config.json.

    Raises:
      InputError: if there is no run, or one of another version.
    """
    path = run_dir / "config.json"
    if not path.exists():
        raise InputError(f"{run_dir} is not a run (no config.json): give the folder of one, such as runs/...")
    # A path may have bytes that are not UTF-8.
    record = read_record(path, _Record, version=FORMAT, lenient=True, remedy=_REMEDY)
    try:
        config = Config.from_json(record.config)
        if "\0" in record.store + record.music:
            raise ValueError("a folder has a name that no folder has")
    except ValueError as error:
        raise InputError(f"{path} is damaged or of another version ({error}): {_REMEDY}") from error
    return Plan(config, Path(record.store), run_dir, record.command, record.music, record.fingerprint)
