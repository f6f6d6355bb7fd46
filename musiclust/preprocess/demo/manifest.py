"""The demo corpus on disk: its folder, the manifest in it, and the tracks that the manifest tells of.

Conventions: the manifest is JSON lines, first the version and the seed, then a record for each excerpt. It is written
when all excerpts are there.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from musiclust.errors import InputError
from musiclust.preprocess.demo.factors import FACTORS
from musiclust.preprocess.demo.repertories import REPERTORIES

if TYPE_CHECKING:  # importing it loads JAX, which the worker processes do without
    from musiclust.types import Tracks

VERSION = 1  # of the corpus: raised whenever the same seed would give other excerpts
SECONDS = 10.0  # of an excerpt
_MANIFEST = "manifest.jsonl"


def default_dir(cache_dir: Path | None = None, seed: int = 0) -> Path:
    """Returns the folder of the corpus of a seed.

    It lies in `cache_dir`; by default in $XDG_CACHE_HOME/musiclust, or else in ~/.cache/musiclust.
    """
    if cache_dir is None:
        cache_dir = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "musiclust"
    return cache_dir / f"demo-v{VERSION}-seed{seed}"


def save_manifest(out_dir: Path, seed: int, records: Sequence[Mapping[str, str]]) -> None:
    """Writes the manifest, a record for each excerpt, all at once, so that one that is there is whole."""
    head = {"corpus": "musiclust-demo", "version": VERSION, "seed": seed}
    lines = [head, *sorted(records, key=lambda record: record["track_id"])]
    temporary = out_dir / f".{_MANIFEST}.{os.getpid()}"
    temporary.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    temporary.replace(out_dir / _MANIFEST)


def remove_manifest(out_dir: Path) -> None:
    """Removes the manifest: from then on the corpus does not count as rendered."""
    (out_dir / _MANIFEST).unlink(missing_ok=True)


def is_rendered(out_dir: Path, *, seed: int = 0) -> bool:
    """Returns whether `render` has ended in this folder, with this seed, and its audio is still there.

    A manifest of an earlier version that does not tell the factors does not count. `render` then writes it again and
    keeps the audio as it is.
    """
    if not (out_dir / _MANIFEST).is_file():
        return False
    head, *records = _read_manifest(out_dir / _MANIFEST)
    known = (head.get("version"), head.get("seed")) == (VERSION, seed)
    return known and all((out_dir / record["file"]).is_file() and _has_factors(record) for record in records)


def _has_factors(record: Mapping[str, str]) -> bool:
    """Whether a record is not one of an earlier version, which did not note the factors."""
    return FACTORS.keys() <= record.keys()


def _read_manifest(manifest: Path) -> list[dict]:
    return [json.loads(line) for line in manifest.read_text(encoding="utf-8").split("\n") if line]


def load(out_dir: Path) -> "tuple[Tracks, dict[str, str]]":
    """Loads what `render` wrote: the tracks, and the words sung in each by track_id (only where words are sung).

    The classes "repertory", in the order of REPERTORIES, come first and then those of FACTORS. `group` is the piece;
    for a quartet it is the whole work.

    Raises:
      InputError: if the manifest is missing, another version's, or does not tell the factors.
    """
    from musiclust.types import Tracks

    manifest = out_dir / _MANIFEST
    if not manifest.is_file():
        raise InputError(f"{manifest}: no such file; render the demo corpus there first")
    head, *records = _read_manifest(manifest)
    if head.get("version") != VERSION:
        raise InputError(
            f"{manifest}: version {head.get('version')}, expected {VERSION}; delete {out_dir} and render again"
        )

    if not all(map(_has_factors, records)):
        raise InputError(f"{manifest} does not tell the factors yet: render the demo corpus again; its audio is kept")

    def column(key: str) -> np.ndarray:
        return np.array([record[key] for record in records])

    def codes(key: str, values: Sequence[str]) -> np.ndarray:
        return np.array([values.index(record[key]) for record in records], np.int32)

    names = [repertory.name for repertory in REPERTORIES]
    titles = tuple(repertory.title for repertory in REPERTORIES)
    tracks = Tracks(
        track_id=column("track_id"),
        path=np.array([str(out_dir / record["file"]) for record in records]),
        meta={"duration": np.full(len(records), SECONDS)} | {key: column(key) for key in ("title", "artist", "album")},
        classes={"repertory": codes("repertory", names)} | {name: codes(name, FACTORS[name]) for name in FACTORS},
        class_names={"repertory": titles, **FACTORS},
        group=column("group"),
    )
    return tracks, {record["track_id"]: record["words"] for record in records if record["words"]}
