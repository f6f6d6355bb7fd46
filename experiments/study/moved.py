"""Where the files of a run's songs are now: below another folder, or moved and renamed within it.

<out>/contents.csv   the `content_key` of each song's file, as it was when it was last there
"""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from experiments.cli.progress import show_progress
from experiments.study.songs import Songs
from musiclust.csv_records import Columns, read_name, read_table
from musiclust.files import atomic
from musiclust.listening.content import content_key, follow_moved
from musiclust.stretches import split_stretch

_CONTENTS = "contents.csv"


def _read_key(cell: str) -> str:
    if "-" not in cell:
        raise ValueError("is none")
    return cell


_COLUMNS: Columns = {"track_id": read_name, "key": _read_key}


def follow(out: Path, songs: Songs, root: Path, now: Path) -> Songs:
    """The songs with their files where these are.

    A file that is not at its place below `now` is looked for by its content in all of `now`; one that is not found
    keeps the place where it should be.

    Args:
      out: where the record of contents lies. root: the folder that the run's files were in. now: the folder that they
        are in.

    Raises:
      InputError: if the record of contents is damaged.
    """
    places = {row: now / song.path.relative_to(root) for row, song in enumerate(songs.song) if song.path != Path()}
    keys = _read_keys(out / _CONTENTS)
    ids = songs.track_id.tolist()
    there = {row: place for row, place in places.items() if place.is_file()}
    missing = [row for row in places if row not in there]
    _note_contents(out / _CONTENTS, {ids[row]: place for row, place in there.items()}, keys)
    if sought := {ids[row]: keys[ids[row]] for row in missing if ids[row] in keys}:
        known = set(places.values())
        files = [file for file in sorted(now.rglob("*")) if file not in known and file.is_file()]
        found = follow_moved(sought, files)
        places |= {row: found[ids[row]] for row in missing if ids[row] in found}
    song, path = list(songs.song), songs.path.tolist()
    for row, place in places.items():
        fragment = path[row][len(split_stretch(path[row])[0]) :]
        song[row], path[row] = song[row]._replace(path=place), f"{place}{fragment}"
    return songs._replace(song=song, path=np.array(path, dtype=str))


def _note_contents(record: Path, there: Mapping[str, Path], keys: dict[str, str]) -> None:
    """Adds the keys of files that are there, and of those whose size has changed, to `keys` and to the record."""
    new = [name for name, file in there.items() if keys.get(name, "").partition("-")[0] != str(file.stat().st_size)]
    if not new:
        return
    with show_progress() as report:
        for done, name in enumerate(new, 1):
            keys[name] = content_key(there[name])
            report("remembering the files by their content", done, len(new))
    with atomic(record) as file:
        csv.writer(file).writerows([_COLUMNS, *sorted(keys.items())])


def _read_keys(record: Path) -> dict[str, str]:
    if not record.exists():
        return {}
    remedy = "delete it, and moved files are no longer followed"
    table = read_table(record, _COLUMNS, remedy=remedy)
    return dict(zip(table["track_id"], table["key"], strict=True))
