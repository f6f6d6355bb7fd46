"""The interactive map: each dot is a song, to be read by hovering and, where it has an audio file, heard by a click.

Conventions: the fragment carries plotly.js, its data and its program (map.js beside this file) within itself, and loads
nothing but the songs' own files. Whatever comes from a tag or a file name reaches the browser as JSON and is escaped
before it is shown. Any element of the page with a `data-song` attribute (a row of `tracks`) plays that song when it is
clicked. Where no song has a file there is no player, and the page must have no such element.
"""

import html
import json
import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote_from_bytes

import numpy as np

from musiclust.report.plots import GREY, PALETTE
from musiclust.stretches import split_stretch
from musiclust.types import Tracks

# The shapes of `plots` under plotly's names.
_SYMBOLS = ("circle", "triangle-up", "square", "diamond", "cross")


def song_map(
    xy: np.ndarray,
    tracks: Tracks,
    clusters: np.ndarray,
    classes: str | None,
    page_dir: Path,
    *,
    names: Sequence[str],
    tags: Sequence[str],
) -> str:
    """Returns an HTML fragment: the map, the player below it where there is audio, and the script of both.

    Args:
      xy: (N, 2) places.
      clusters: (N,) clusters, -1 noise.
      classes: name of the classes of `tracks` that the colours can be switched to; None for no such switch.
      page_dir: folder where the page will lie. Audio below it is linked by relative path, so that the folder can be
        moved whole; audio elsewhere is linked by a file:// address.
      names: what each cluster from 0 on is called.
      tags: what else is known of each of N songs, shown where it is hovered over; "" for nothing.

    Raises:
      ValueError: if xy or clusters do not have a row per track.
    """
    if xy.shape != (len(tracks), 2) or clusters.shape != (len(tracks),):
        raise ValueError(f"{len(tracks)} tracks, xy {xy.shape}, clusters {clusters.shape}")
    from plotly.offline import get_plotlyjs

    colourings = [{"name": "cluster", "codes": clusters.tolist(), "names": list(names), "none": "noise"}]
    if classes is not None:
        codes, named = tracks.classes[classes].tolist(), list(tracks.class_names[classes])
        colourings.append({"name": classes, "codes": codes, "names": named, "none": "unknown"})
    data = {
        "x": [float(f"{x:.5g}") for x in xy[:, 0]],
        "y": [float(f"{y:.5g}") for y in xy[:, 1]],
        "title": song_titles(tracks),
        "artist": [str(artist) for artist in tracks.meta["artist"]],
        "tags": list(tags),
        "audio": [audio_address(str(path), page_dir) for path in tracks.path],
        "colourings": colourings,
        "palette": PALETTE,
        "symbols": _SYMBOLS,
        "grey": GREY,
    }
    buttons = "".join(
        f'<button type="button" data-colouring="{index}" aria-pressed="{str(not index).lower()}">'
        f"{html.escape(colouring['name'])}</button>"
        for index, colouring in enumerate(colourings)
    )
    switch = f'<div class="switch" role="group" aria-label="Colour of the dots">Colour by {buttons}</div>'
    player = (
        '<div class="player"><span id="song-now" aria-live="polite">Click a dot to hear the song.</span>'
        '<audio id="song-audio" controls preload="none"></audio></div>\n'
    )
    program = (files("musiclust.report") / "map.js").read_text(encoding="utf-8")
    return (
        f"{switch if classes is not None else ''}\n"
        f'<div id="song-map" role="img" aria-label="Map of {len(tracks)} songs, similar ones close together"></div>\n'
        f"{player if has_audio(tracks) else ''}"
        f"<script>{get_plotlyjs()}</script>\n"
        f'<script type="application/json" id="song-data">{_json(data)}</script>\n'
        f"<script>\n{program}</script>\n"
    )


def has_audio(tracks: Tracks) -> bool:
    """Tells whether any of the tracks has an audio file."""
    return any(str(path) for path in tracks.path)


def song_titles(tracks: Tracks) -> list[str]:
    """Returns (N,) what to call each song: its title, else its file's name, else its track_id."""
    rows = zip(tracks.meta["title"], tracks.path, tracks.track_id, strict=True)
    return [str(title) or Path(str(path)).stem or str(track_id) for title, path, track_id in rows]


def audio_address(path: str, page_dir: Path) -> str:
    """Returns the address of an audio file for a page in `page_dir`, percent-encoded; "" where there is no file.

    A stretch of a file ("song.wav#t=10,20") keeps its fragment, by which a browser plays no more than that.

    >>> audio_address("run/audio/a song.mp3#t=10,20", Path("run"))
    'audio/a%20song.mp3#t=10,20'
    """
    if not path:
        return ""
    name, _ = split_stretch(path)
    fragment = path[len(name) :]
    file, folder = Path(os.path.abspath(name)), Path(os.path.abspath(page_dir))
    if file.is_relative_to(folder):
        return quote_from_bytes(os.fsencode(file.relative_to(folder).as_posix())) + fragment
    return file.as_uri() + fragment


def _json(data: dict) -> str:
    # Within a script element only "<" can do harm ("</script>", "<!--"); everything past ASCII is \u-escaped already.
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
