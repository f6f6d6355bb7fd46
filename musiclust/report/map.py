"""The interactive map: each dot is a song, to be read by hovering and, where it has an audio file, heard by a click.

Conventions: a page carries its data, its program (map*.js beside this file) and its style within itself, and loads
nothing but the songs' own files. Whatever comes from a tag or a file name reaches the browser as JSON, and the program
shows it as text, never as markup. Any element of the page with a `data-song` attribute (a row of the songs) plays that
song when it is clicked. Where no song has a file there is no player, and the page must have no such element.
"""

import base64
import html
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import numpy as np

from musiclust.files import atomic
from musiclust.listening.playlists import path_from
from musiclust.report.plots import GREY, PALETTE
from musiclust.stretches import split_stretch
from musiclust.types import AnyArray, Tracks

# The shapes of `plots` as the program calls them.
_SHAPES = ("circle", "triangle", "square", "diamond", "cross")
_TITLE = "\x7f"  # a control character that JSON needs no escape for; twice where a name has it itself
_PROGRAM = (
    *("map_songs", "map_grid", "map_dots", "map_view", "map_choice", "map_painter"),
    *("map_legend", "map_list", "map_player", "map_playlist", "map_pointers", "map"),
)


class MapSongs(NamedTuple):
    """N songs as the map shows them.

    Attributes:
      xy: (N, 2) places, in any unit.
      title: (N,) str, what each is called.
      artist: (N,) str, "" where not known.
      path: (N,) str, the audio file of each, "" where there is none. It may be a stretch: "song.wav#t=10,20".
      seconds: (N,) how long each is, NaN where not known.
      clusters: (N,) int, -1 for those in no cluster.
      cluster_names: what each cluster from 0 on is called, its number within the name.
      certainty: (N,) str, how sure the cluster of each is: "sure", "between 2 and 5", "".
      tags: (N,) str, what each sounds like, parts separated by ", ": "piano 0.78, jazz 0.60".
      columns: what else the dots can be coloured by, by its name: (N,) str, "" where not known, or (N,) numbers, NaN
        where not known.
      typical: rows of the most typical songs of a cluster, the most typical first.
      fresh: (N,) bool, those that came after the others were clustered; None for none.
      no_cluster: what those in no cluster are called.
      previews: MP3s that are played instead of the files, as `preprocess.audio.previews.make_preview` makes them, b""
        where there is none. The page then holds all that it plays, and neither paths nor a way to save playlists.
    """

    xy: AnyArray
    title: Sequence[str] | AnyArray
    artist: Sequence[str] | AnyArray
    path: Sequence[str] | AnyArray
    seconds: AnyArray
    clusters: AnyArray
    cluster_names: Sequence[str]
    certainty: Sequence[str] | AnyArray
    tags: Sequence[str] | AnyArray
    columns: Mapping[str, Sequence[Any] | AnyArray] = {}
    typical: Mapping[int, Sequence[int]] = {}
    fresh: AnyArray | None = None
    no_cluster: str = "noise"
    previews: Sequence[bytes] | None = None


def song_map(songs: MapSongs, page_dir: Path) -> str:
    """Returns an HTML fragment: the map with its legend and list, the player where there is audio, and their program.

    The page's head needs `map_style()`.

    Args:
      page_dir: folder where the page will lie. Audio below it is linked by relative path, so that the folder can be
        moved whole; audio elsewhere is linked by its place on disk.

    Raises:
      ValueError: if the songs' columns differ in length, a place is not finite, or a cluster has no name.
    """
    data = _pack(songs, page_dir)
    audio = any(songs.path if songs.previews is None else songs.previews)
    listen = '<button type="button" id="map-listen">Listen through</button>'
    save = '<button type="button" id="map-save">Save .m3u8</button>'
    fragment = Template(_read("map.html")).substitute(actions=(listen + save * (songs.previews is None)) * audio)
    player = _read("map_player.html") if audio else ""
    return (
        f"{fragment}{player}"
        f'<script type="application/json" id="song-data">{_json(data)}</script>\n'
        f"<script>\n{map_program()}</script>\n"
    )


def write_map_page(
    path: Path, songs: MapSongs, *, heading: str, sentence: str = "", trustworthiness: float | None = None
) -> None:
    """Writes a page of its own with the map, the list and the player, whole or not at all.

    Args:
      path: where the page is to lie. Audio files below its folder are linked by relative path.
      heading: what the page is called.
      sentence: what is to be said below the heading.
      trustworthiness: of the map, as `embedding.trustworthiness` measures it; None where that is not known.

    Raises:
      ValueError: as `song_map`.
    """
    title = html.escape(heading)
    told = f'<p class="reading">{html.escape(sentence)}</p>\n' if sentence else ""
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{map_style()}</style>\n</head>\n<body>\n<main>\n"
        f"<header>\n<h1>{title}</h1>\n{told}</header>\n"
        f"{song_map(songs, path.parent)}"
        f'<p class="quiet">{html.escape(explain_map(trustworthiness))}</p>\n'
        "</main>\n</body>\n</html>\n"
    )
    with atomic(path, "wb") as file:
        # A heading that was not UTF-8 carries lone surrogates, which no encoding takes.
        file.write(page.encode("utf-8", errors="replace"))


def map_style() -> str:
    """Returns the style of a page with a map."""
    return _read("page.css") + _read("map.css")


def map_program() -> str:
    """Returns the program of a page with a map: its files as one function, which leaves no name behind."""
    parts = "\n".join(_read(f"{name}.js") for name in _PROGRAM)
    return f'(() => {{\n"use strict";\n{parts}\nstartMap();\n}})();\n'


def explain_map(trustworthiness: float | None = None) -> str:
    """Returns in plain words what the map shows, what it does not, and how far its neighbours are to be trusted.

    >>> explain_map()
    'Songs side by side are alike to the model. The axes, the size of a patch and the way between two mean nothing.'
    >>> explain_map(0.973).removeprefix(explain_map())
    ' Neighbours here are nearly always neighbours to the model too (trustworthiness 0.97 of 1, Venna and Kaski 2001).'
    """
    words = (
        "Songs side by side are alike to the model. The axes, the size of a patch and the way between two mean nothing."
    )
    if trustworthiness is None or not math.isfinite(trustworthiness):
        return words
    often = "nearly always" if trustworthiness >= 0.95 else "mostly" if trustworthiness >= 0.85 else "often not"
    # Rounded down: only a map that keeps all neighbours has 1.00.
    measured = f"trustworthiness {math.floor(100 * trustworthiness) / 100:.2f} of 1, Venna and Kaski 2001"
    return f"{words} Neighbours here are {often} neighbours to the model{' too' * (often != 'often not')} ({measured})."


def has_audio(tracks: Tracks) -> bool:
    """Tells whether any of the tracks has an audio file."""
    return any(str(path) for path in tracks.path)


def song_titles(tracks: Tracks) -> list[str]:
    """Returns (N,) what to call each song: its title, else its file's name, else its track_id."""
    rows = zip(tracks.meta["title"], tracks.path, tracks.track_id, strict=True)
    return [str(title) or Path(str(path)).stem or str(track_id) for title, path, track_id in rows]


def _pack(songs: MapSongs, page_dir: Path) -> dict[str, Any]:
    """Returns what the program reads, as JSON has it; the counterpart of `readSongs` in map_songs.js."""
    xy, clusters = np.asarray(songs.xy, dtype=np.float64), np.asarray(songs.clusters)
    count, names = len(songs.title), list(map(str, songs.cluster_names))
    fresh = np.zeros(count, bool) if songs.fresh is None else np.asarray(songs.fresh, dtype=bool)
    own = {name: getattr(songs, name) for name in ("artist", "path", "seconds", "clusters", "certainty", "tags")}
    previews = [b""] * count if songs.previews is None else songs.previews
    for name, column in {**own, **songs.columns, "fresh": fresh, "previews": previews}.items():
        if len(column) != count:
            raise ValueError(f"{count} titles, but {name} has {len(column)} rows")
    if xy.shape != (count, 2) or not np.isfinite(xy).all():
        raise ValueError(f"xy has shape {xy.shape}, expected ({count}, 2), and every place must be finite")
    if clusters.max(initial=-1) >= len(names):
        raise ValueError(f"cluster {clusters.max()} has no name, there are {len(names)}")
    colourings = [
        {"name": "cluster", "none": songs.no_cluster, "names": names, "codes": _array(clusters.astype(np.int32))}
    ]
    colourings += [_colouring(name, column) for name, column in songs.columns.items()]
    folders, names_of_files = _split_paths([""] * count if songs.previews else songs.path, page_dir)
    spread = xy - xy.min(axis=0, initial=np.inf) if count else xy
    tags = [[part for part in str(one).split(", ") if part] for one in songs.tags]
    words = _code([part for one in tags for part in one])
    return {
        "xy": _array((spread / (spread.max(initial=0) or 1)).astype(np.float32)),
        "title": list(map(str, songs.title)),
        "artist": _code(songs.artist),
        "certainty": _code(songs.certainty),
        "tags": {**words, "ends": _array(np.cumsum([len(one) for one in tags]).astype(np.int32))},
        "folder": _code(folders),
        "file": [_shorten(name, str(title)) for name, title in zip(names_of_files, songs.title, strict=True)],
        "root": "" if songs.previews else Path(os.path.abspath(page_dir)).as_posix(),
        "previews": [base64.b64encode(preview).decode() for preview in songs.previews or ()],
        "seconds": _array(np.asarray(songs.seconds, dtype=np.float32)),
        "fresh": np.flatnonzero(fresh).tolist(),
        "typical": {str(cluster): list(map(int, rows)) for cluster, rows in songs.typical.items()},
        "colourings": colourings,
        "palette": PALETTE,
        "shapes": _SHAPES,
        "grey": GREY,
    }


def _colouring(name: str, column: Sequence[Any] | AnyArray) -> dict[str, Any]:
    values = np.asarray(column)
    if values.dtype.kind in "biuf":
        return {"name": name, "values": _array(values.astype(np.float32))}
    kinds = sorted({str(value) for value in values.tolist()} - {""})
    code = {kind: number for number, kind in enumerate(kinds)} | {"": -1}
    codes = np.array([code[str(value)] for value in values.tolist()], dtype=np.int32)
    return {"name": name, "none": "unknown", "names": kinds, "codes": _array(codes)}


def _code(strings: Sequence[str] | AnyArray) -> dict[str, Any]:
    """Strings of which many are the same, each once, and a number for each."""
    number: dict[str, int] = {}
    codes = [number.setdefault(str(one), len(number)) for one in strings]
    return {"names": list(number), "codes": _array(np.array(codes, dtype=np.int32))}


def _array(values: np.ndarray) -> dict[str, str]:
    """Numbers as little-endian bytes; integers in as few bytes as hold them."""
    if values.dtype.kind == "i":
        most = np.abs(values).max(initial=0)
        values = values.astype(np.int8 if most < 128 else np.int16 if most < 32768 else np.int32)
    raw = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).tobytes()
    return {"type": f"{values.dtype.kind}{values.dtype.itemsize}", "base64": base64.b64encode(raw).decode()}


def _split_paths(paths: Sequence[str] | AnyArray, page_dir: Path) -> tuple[list[str], list[str]]:
    """Returns the folder of each path, seen from the page's, with "/" at its end, and the rest: the file's name.

    A folder on another drive is absolute. A stretch of a file stays with its name.
    """
    start, seen = os.path.abspath(page_dir), {}
    folders, names = [], []
    for path in map(str, paths):
        file, _ = split_stretch(path)
        folder, name = os.path.split(file)
        if folder not in seen:
            seen[folder] = _from(start, folder)
        folders.append(seen[folder] if path else "")
        names.append(name + path[len(file) :])
    return folders, names


def _shorten(name: str, title: str) -> str:
    """Returns a file's name with _TITLE in place of the song's title, which it most often has within it.

    >>> _shorten("07 - Air.flac", "Air")
    '07 - \\x7f.flac'
    """
    if _TITLE in name or not title:
        return name.replace(_TITLE, 2 * _TITLE)
    return name.replace(title, _TITLE, 1)


def _from(start: str, folder: str) -> str:
    place = path_from(folder, start) or os.path.abspath(folder).replace(os.sep, "/")
    return "" if place == "." else place.rstrip("/") + "/"


def _read(name: str) -> str:
    return (files("musiclust.report") / name).read_text(encoding="utf-8")


def _json(data: dict) -> str:
    # Within a script element only "<" can do harm ("</script>", "<!--"). A lone surrogate has no UTF-8: it is escaped.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False, ensure_ascii=False).replace("<", "\\u003c")
    return re.sub(r"[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)
