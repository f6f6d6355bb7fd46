"""The demo corpus on disk: its folder, the manifest in it, and the tracks that the manifest tells of.

Conventions: the manifest is JSON lines, first the version and the seed, then a record for each excerpt. It is written
when all excerpts are there, and its digest stands in digests.json beside it.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from musiclust.digests import atomic_with_digest, read_verified
from musiclust.errors import InputError
from musiclust.preprocess.demo.factors import FACTORS
from musiclust.preprocess.demo.repertories import REPERTORIES
from musiclust.records import Record, parse_record

if TYPE_CHECKING:  # importing it loads JAX, which the worker processes do without
    from musiclust.types import Tracks

VERSION = 1  # of the corpus: raised whenever the same seed would give other excerpts
SECONDS = 10.0  # of an excerpt
_MANIFEST = "manifest.jsonl"
_MOST = 2**26  # bytes of the manifest


class _Head(Record, frozen=True):
    """The first line."""

    version: int
    corpus: str = ""
    seed: int | None = None


class _Excerpt(Record, frozen=True):
    """Each other line; the factors stand last, and are lacking in manifests of an earlier version."""

    track_id: str
    file: str
    repertory: str
    title: str
    artist: str
    album: str
    group: str
    words: str
    instrument: str | None = None
    voices: str | None = None
    tempo: str | None = None
    register: str | None = None
    mode: str | None = None

    def __post_init__(self) -> None:
        values = {"repertory": [repertory.name for repertory in REPERTORIES], **FACTORS}
        if strange := [name for name, known in values.items() if getattr(self, name) not in (None, *known)]:
            raise ValueError(f"{strange[0]} is {str(getattr(self, strange[0]))[:40]!r}, which is unknown")
        if PurePosixPath(self.file).is_absolute() or ".." in PurePosixPath(self.file).parts or "\0" in self.file:
            raise ValueError("a file lies outside of the corpus")

    @property
    def has_factors(self) -> bool:
        """Whether it is not of an earlier version, which did not note the factors."""
        return all(getattr(self, name) is not None for name in FACTORS)


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
    with atomic_with_digest(out_dir / _MANIFEST) as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def remove_manifest(out_dir: Path) -> None:
    """Removes the manifest: from then on the corpus does not count as rendered."""
    (out_dir / _MANIFEST).unlink(missing_ok=True)


def is_rendered(out_dir: Path, *, seed: int = 0) -> bool:
    """Returns whether `render` has ended in this folder, with this seed, and its audio is still there.

    A manifest that is damaged, or of an earlier version that does not tell the factors, does not count. `render` then
    writes it again and keeps the audio as it is.
    """
    if not (out_dir / _MANIFEST).is_file():
        return False
    try:
        head, excerpts = _read_manifest(out_dir / _MANIFEST)
    except InputError:
        return False
    known = (head.version, head.seed) == (VERSION, seed)
    return known and all((out_dir / one.file).is_file() and one.has_factors for one in excerpts)


def _read_manifest(manifest: Path) -> tuple[_Head, list[_Excerpt]]:
    """Raises InputError."""
    remedy = f"delete {manifest.parent} and render again"
    try:
        first, *lines = read_verified(manifest, most=_MOST).removesuffix(b"\n").split(b"\n")
        head = parse_record(first, _Head)
        if head.version != VERSION:
            raise ValueError(f"is of version {head.version}, expected {VERSION}")
        return head, [parse_record(line, _Excerpt) for line in lines]
    except InputError as error:
        raise InputError(f"{error}: {remedy}") from error
    except ValueError as error:
        raise InputError(f"{manifest} {error}: {remedy}") from error


def load(out_dir: Path) -> "tuple[Tracks, dict[str, str]]":
    """Loads what `render` wrote: the tracks, and the words sung in each by track_id (only where words are sung).

    The classes "repertory", in the order of REPERTORIES, come first and then those of FACTORS. `group` is the piece;
    for a quartet it is the whole work.

    Raises:
      InputError: if the manifest is missing, damaged, another version's, or does not tell the factors.
    """
    from musiclust.types import Tracks

    manifest = out_dir / _MANIFEST
    if not manifest.exists():
        raise InputError(f"{manifest}: no such file; render the demo corpus there first")
    _, excerpts = _read_manifest(manifest)
    if not all(one.has_factors for one in excerpts):
        raise InputError(f"{manifest} does not tell the factors yet: render the demo corpus again; its audio is kept")

    def column(key: str) -> np.ndarray:
        return np.array([getattr(one, key) for one in excerpts])

    def codes(key: str, values: Sequence[str]) -> np.ndarray:
        return np.array([values.index(getattr(one, key)) for one in excerpts], np.int32)

    names = [repertory.name for repertory in REPERTORIES]
    titles = tuple(repertory.title for repertory in REPERTORIES)
    tracks = Tracks(
        track_id=column("track_id"),
        path=np.array([str(out_dir / one.file) for one in excerpts]),
        meta={"duration": np.full(len(excerpts), SECONDS)} | {key: column(key) for key in ("title", "artist", "album")},
        classes={"repertory": codes("repertory", names)} | {name: codes(name, FACTORS[name]) for name in FACTORS},
        class_names={"repertory": titles, **FACTORS},
        group=column("group"),
    )
    return tracks, {one.track_id: one.words for one in excerpts if one.words}
