"""The interactive map: a dot a song, hover to read, click to listen.

Conventions: the fragment carries plotly.js and its data within itself and loads nothing but the songs' own files.
Whatever comes from a tag or a file name reaches the browser as JSON and is escaped before it is shown. Any element of
the page with a `data-song` attribute (a row of `tracks`) plays that song when it is clicked.
"""

import html
import json
import os
import re
from pathlib import Path
from urllib.parse import quote_from_bytes

import numpy as np

from musiclust.report.plots import GREY, PALETTE
from musiclust.types import Tracks

_STRETCH = re.compile(r"#t=[\d.]+,[\d.]+$")
# The shapes of `plots` under plotly's names.
_SYMBOLS = ("circle", "triangle-up", "square", "diamond", "cross")


def song_map(xy: np.ndarray, tracks: Tracks, clusters: np.ndarray, classes: str | None, page_dir: Path) -> str:
    """An HTML fragment: the map, the player below it, and the script of both.

    Args:
      xy: (N, 2) places. clusters: (N,) clusters, -1 noise.
      classes: the classes of `tracks` that the colours can be switched to; None for no such switch.
      page_dir: where the page will lie. Audio below it is linked by relative path, so that the folder can be moved
        whole; audio elsewhere by a file:// address.

    Raises:
      ValueError: if xy or clusters do not have a row per track.
    """
    if xy.shape != (len(tracks), 2) or clusters.shape != (len(tracks),):
        raise ValueError(f"{len(tracks)} tracks, xy {xy.shape}, clusters {clusters.shape}")
    from plotly.offline import get_plotlyjs

    names = [f"cluster {code}" for code in range(clusters.max(initial=-1) + 1)]
    colourings = [{"name": "cluster", "codes": clusters.tolist(), "names": names, "none": "noise"}]
    if classes is not None:
        codes, named = tracks.classes[classes].tolist(), list(tracks.class_names[classes])
        colourings.append({"name": classes, "codes": codes, "names": named, "none": "unknown"})
    data = {
        "x": [float(f"{x:.5g}") for x in xy[:, 0]],
        "y": [float(f"{y:.5g}") for y in xy[:, 1]],
        "title": song_titles(tracks),
        "artist": [str(artist) for artist in tracks.meta["artist"]],
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
    return (
        f"{switch if classes is not None else ''}\n"
        f'<div id="song-map" role="img" aria-label="Map of {len(tracks)} songs, similar ones close together"></div>\n'
        '<div class="player"><span id="song-now" aria-live="polite">Click a dot to hear the song.</span>'
        '<audio id="song-audio" controls preload="none"></audio></div>\n'
        f"<script>{get_plotlyjs()}</script>\n"
        f'<script type="application/json" id="song-data">{_json(data)}</script>\n'
        f"<script>{_SCRIPT}</script>\n"
    )


def song_titles(tracks: Tracks) -> list[str]:
    """(N,) what to call each song: its title, else its file's name, else its track_id."""
    rows = zip(tracks.meta["title"], tracks.path, tracks.track_id, strict=True)
    return [str(title) or Path(str(path)).stem or str(track_id) for title, path, track_id in rows]


def audio_address(path: str, page_dir: Path) -> str:
    """The address of an audio file for a page in `page_dir`, percent-encoded; "" where there is no file.

    A stretch of a file ("song.wav#t=10,20") keeps its fragment, by which a browser plays no more than that.
    """
    if not path:
        return ""
    stretch = _STRETCH.search(path)
    name, fragment = (path[: stretch.start()], stretch.group()) if stretch else (path, "")
    file, folder = Path(os.path.abspath(name)), Path(os.path.abspath(page_dir))
    if file.is_relative_to(folder):
        return quote_from_bytes(os.fsencode(file.relative_to(folder).as_posix())) + fragment
    return file.as_uri() + fragment


def _json(data: dict) -> str:
    # Within a script element only "<" can do harm ("</script>", "<!--"); everything past ASCII is \u-escaped already.
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


_SCRIPT = """
(() => {
  const data = JSON.parse(document.getElementById("song-data").textContent);
  const plot = document.getElementById("song-map");
  const audio = document.getElementById("song-audio");
  const now = document.getElementById("song-now");
  const narrow = matchMedia("(max-width: 700px)");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  // plotly takes some HTML in its texts for markup.
  const plain = text => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const called = (colouring, code) => code < 0 ? colouring.none : colouring.names[code];
  let colouring = data.colourings[0], playing = null;

  const hover = i => [
    `<b>${plain(data.title[i])}</b>`, plain(data.artist[i]),
    ...data.colourings.map((c, n) => plain((n ? c.name + ": " : "") + called(c, c.codes[i]))),
  ].filter(line => line).join("<br>");

  function traces() {
    const groups = new Map();
    colouring.codes.forEach((code, i) => groups.has(code) ? groups.get(code).push(i) : groups.set(code, [i]));
    const codes = [...groups.keys()].sort((a, b) => (a < 0) - (b < 0) || a - b);
    const kinds = codes.map(code => {
      const rows = groups.get(code);
      return {
        type: data.x.length > 5000 ? "scattergl" : "scatter", mode: "markers",
        name: plain(`${called(colouring, code)} (${rows.length})`),
        x: rows.map(i => data.x[i]), y: rows.map(i => data.y[i]), customdata: rows,
        text: rows.map(hover), hovertemplate: "%{text}<extra></extra>",
        marker: {
          size: data.x.length > 2000 ? 6 : 9, opacity: 0.9, line: {width: 0.6, color: "rgba(128,128,128,0.7)"},
          color: code < 0 ? data.grey : data.palette[code % data.palette.length],
          symbol: data.symbols[code < 0 ? 0 : Math.floor(code / data.palette.length) % data.symbols.length],
        },
      };
    });
    const here = playing === null ? [] : [playing];
    const ring = {
      type: "scatter", mode: "markers", x: here.map(i => data.x[i]), y: here.map(i => data.y[i]),
      hoverinfo: "skip", showlegend: false,
      marker: {size: 18, symbol: "circle-open", color: getComputedStyle(plot).color, line: {width: 3}},
    };
    return [...kinds, ring];
  }

  function draw() {
    const style = getComputedStyle(plot), clear = "rgba(0,0,0,0)";
    const axis = {visible: false, zeroline: false};
    return Plotly.react(plot, traces(), {
      autosize: true, height: narrow.matches ? 560 : 600, margin: {l: 4, r: 4, t: 30, b: 4}, hovermode: "closest",
      paper_bgcolor: clear, plot_bgcolor: clear, font: {color: style.color, family: style.fontFamily, size: 13},
      xaxis: axis, yaxis: axis, dragmode: "pan", hoverlabel: {align: "left"}, uirevision: "keep",
      modebar: {bgcolor: clear, color: "#888888", activecolor: style.color},
      legend: narrow.matches ? {orientation: "h", y: 0, yanchor: "top"} : {itemsizing: "constant"},
    }, {displaylogo: false, responsive: true, modeBarButtons: [["zoomIn2d", "zoomOut2d", "resetScale2d", "toImage"]]});
  }

  function play(i) {
    playing = i;
    const name = [data.title[i], data.artist[i]].filter(part => part).join(" \\u2013 ");
    now.textContent = data.audio[i] ? name : `${name}: no audio file`;
    audio.pause();
    if (data.audio[i]) {
      audio.src = data.audio[i];
      audio.play().catch(() => {});  // the "error" event below tells of a file that cannot be played
    } else {
      audio.removeAttribute("src");
    }
    draw();
  }

  audio.addEventListener("error", () => {
    if (audio.hasAttribute("src")) now.textContent = `${data.title[playing]}: cannot be played here (${audio.src})`;
  });
  document.addEventListener("click", event => {
    const button = event.target.closest("[data-song], [data-colouring]");
    if (!button) return;
    if ("song" in button.dataset) return play(Number(button.dataset.song));
    colouring = data.colourings[Number(button.dataset.colouring)];
    document.querySelectorAll("[data-colouring]").forEach(b => b.setAttribute("aria-pressed", b === button));
    draw();
  });
  narrow.addEventListener("change", draw);
  dark.addEventListener("change", draw);
  draw().then(() => plot.on("plotly_click", event => play(event.points[0].customdata)));
})();
"""
