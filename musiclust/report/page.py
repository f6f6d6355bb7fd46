"""The report of a run as one HTML file that opens from disk and loads nothing from a network.

Conventions: the template is page.html beside this file, filled by Jinja2 with escaping on. It opens with the songs: the
map and the clusters; what the clusters are worth follows. Figures are PNG within the page. Numbers are those of
`tables`, so that the page and the terminal cannot disagree.
"""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from musiclust.files import atomic
from musiclust.metrics.latent import IN_USE
from musiclust.report.cluster_table import cluster_titles, explain, recovery
from musiclust.report.map import MapSongs, explain_map, has_audio, map_style, song_map, song_titles
from musiclust.report.plots import DPI, GREY, PALETTE
from musiclust.report.reading import number, reading
from musiclust.report.summary import summary
from musiclust.report.tables import KINDS, MAX_ROWS, results_sheet, summary_sheet
from musiclust.report.trust import answers
from musiclust.types import AnyArray, Tracks

_MEMBERS = 8  # songs listed of the noise
_OFTEN = 0.25  # share of a cluster from which on its commonest class is named

# Name of a figure -> its heading and how to read it. A figure of another name is shown under that name.
CAPTIONS = {
    "training_curves": (
        "Training",
        "Each line is a replica. Falling and then flat is as it should be; a KL near zero is a collapse.",
    ),
    "map_by_cluster": (
        "Map by cluster",
        "Near dots are similar songs; the distance between far patches, and their size, mean nothing in t-SNE.",
    ),
    "map_by_class": (
        "Map by class",
        "The same places by class: one colour in one patch means that the features tell the class.",
    ),
    "cluster_sizes": ("Cluster sizes", "One huge bar beside slivers is a partition to distrust."),
    "contingency": (
        "Clusters and classes",
        "How many songs of each class a cluster holds: a dark cell to a row is agreement, an even row is chance.",
    ),
    "kl_per_dim": (
        "Use of the latent space",
        f"What each latent dimension costs to tell; those in grey tell next to nothing of a song, under {IN_USE} nats.",
    ),
    "reconstructions": (
        "Reconstructions",
        "What went in and what the model made of it, for a few songs; what differs is lost to the clusters.",
    ),
}


def write_page(
    path: Path,
    results: Mapping[str, Any],
    *,
    figures: Mapping[str, bytes],
    tracks: Tracks,
    clusters: np.ndarray,
    xy: np.ndarray,
    classes: str | None,
    song_tags: Sequence[str],
    certainty: Sequence[str],
    columns: Mapping[str, Sequence[Any] | AnyArray] = MappingProxyType({}),
    trustworthiness: float | None = None,
) -> None:
    """Writes the report, whole or not at all.

    Args:
      path: where report.html is to lie. Audio files below its folder are linked by relative path.
      results: what metrics.json holds, "clusters" with their names among it.
      figures: PNG images of 150 dpi by name, in the order of the page; CAPTIONS has the names that it can explain.
      tracks: N songs.
      clusters: (N,) their clusters, -1 noise.
      xy: (N, 2) their places on the map.
      classes: name of the classes of `tracks` to show beside the clusters, or None.
      song_tags: the strongest tags of N songs, "" where none are known.
      certainty: how sure the cluster of each of N songs is, in a word or two.
      columns: what else the dots can be coloured by, as `map.MapSongs` has it.
      trustworthiness: of the map, as `embedding.trustworthiness` measures it; None where that is not known.

    Raises:
      ValueError: if tracks, clusters and xy differ in length.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    template = (files("musiclust.report") / "page.html").read_text(encoding="utf-8")
    names = cluster_titles(results["clusters"], int(clusters.max(initial=-1)) + 1)
    songs = _map_songs(results, tracks, clusters, xy, classes, names, song_tags, certainty, columns)
    known = [" · ".join(filter(None, one)) for one in zip(certainty, song_tags, strict=True)]
    several_seeds = len(results["rows"]) <= MAX_ROWS and any(entry["n"] > 1 for entry in summary(results))
    text = (
        Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        .from_string(template)
        .render(
            results=results,
            opening=_opening(len(tracks), len(results["clusters"])),
            reading=reading(results),
            created=_date(results["created"]),
            tiles=_tiles(results),
            style=Markup(map_style()),
            map=Markup(song_map(songs, path.parent)),
            about_map=explain_map(trustworthiness),
            audio=has_audio(tracks),
            sheets=[results_sheet(results), *([summary_sheet(results)] if several_seeds else [])],
            clusters=_clusters(results["clusters"], tracks, clusters, classes, known),
            trust=answers(results),
            figures=[_figure(name, image) for name, image in figures.items()],
            settings=_settings(results),
            kinds=KINDS,
        )
    )
    with atomic(path, "wb") as file:
        # A tag or path that was not UTF-8 carries lone surrogates, which no encoding takes.
        file.write(text.encode("utf-8", errors="replace"))


def _map_songs(
    results: Mapping[str, Any],
    tracks: Tracks,
    clusters: np.ndarray,
    xy: np.ndarray,
    classes: str | None,
    names: Sequence[str],
    song_tags: Sequence[str],
    certainty: Sequence[str],
    columns: Mapping[str, Sequence[Any] | AnyArray],
) -> MapSongs:
    row_of = {track_id: row for row, track_id in enumerate(tracks.track_id.tolist())}
    known = {} if classes is None else {classes: [*tracks.class_names[classes], ""]}
    return MapSongs(
        xy=xy,
        title=song_titles(tracks),
        artist=tracks.meta["artist"],
        path=tracks.path,
        seconds=tracks.meta["duration"],
        clusters=clusters,
        cluster_names=names,
        certainty=certainty,
        tags=song_tags,
        columns={name: [kinds[code] for code in tracks.classes[name]] for name, kinds in known.items()} | {**columns},
        typical={one["cluster"]: [row_of[song["track_id"]] for song in one["typical"]] for one in results["clusters"]},
    )


def _opening(songs: int, clusters: int) -> str:
    """Returns the first words of the page.

    >>> _opening(320, 8), _opening(2, 1)
    ('320 songs in 8 clusters.', '2 songs in 1 cluster.')
    """
    return f"{songs:,} {'song' if songs == 1 else 'songs'} in {clusters} {'cluster' if clusters == 1 else 'clusters'}."


def _date(created: str) -> str:
    moment = datetime.fromisoformat(created)
    return f"{moment.day} {moment:%B %Y, %H:%M %Z}".strip()


def _tiles(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns the few numbers under the heading, each as (what, how much)."""
    corpus, model = results["corpus"], results["model"]
    row = results["rows"][results["chosen"]]
    return [
        ("songs", f"{corpus['tracks']:,}"),
        ("clusters", number(row["scores"]["n_clusters"], "count")),
        ("features", " + ".join(corpus["features"])),
        ("parameters", f"{model['parameters']:,}"),
        ("replicas", f"{model['replicas']:,}"),
        ("training", f"{number(model['training_seconds'], 'significant')} s on {model['device']}"),
    ]


def _clusters(
    described: Sequence[Mapping[str, Any]],
    tracks: Tracks,
    clusters: np.ndarray,
    classes: str | None,
    song_tags: Sequence[str],
) -> list[dict[str, Any]]:
    """Returns for each cluster what the page tells of it; the noise, which has no name and no typical songs, last."""
    titles = song_titles(tracks)
    row_of = {track_id: row for row, track_id in enumerate(tracks.track_id.tolist())}

    def song(row: int, distance: float | None = None) -> dict[str, Any]:
        return {
            "row": row,
            "title": titles[row],
            "artist": str(tracks.meta["artist"][row]),
            "audio": bool(str(tracks.path[row])),
            "tags": song_tags[row],
            "distance": distance,
        }

    shown = []
    for one in described:
        rows = np.flatnonzero(clusters == one["cluster"])
        shown.append(
            {
                "title": f"Cluster {one['cluster']}: {one['name']}",
                "colour": PALETTE[one["cluster"] % len(PALETTE)],
                "size": len(rows),
                "recovery": recovery(one.get("jaccard")),
                "holds": _commonest(_values(tracks, rows, classes), len(rows)),
                "reasons": [explain(reason) for reason in one["reasons"]],
                "heading": "Most typical",
                "songs": [song(row_of[typical["track_id"]]) for typical in one["typical"]],
                "oddest": [song(row_of[odd["track_id"]], odd["distance"]) for odd in one["oddest"]],
            }
        )
    noise = np.flatnonzero(clusters < 0)
    if len(noise):
        some = noise[np.unique(np.linspace(0, len(noise) - 1, _MEMBERS).round().astype(int))]
        shown.append(
            {
                "title": "Noise",
                "colour": GREY,
                "size": len(noise),
                "recovery": "",
                "holds": _commonest(_values(tracks, noise, classes), len(noise)),
                "reasons": [],
                "heading": "Some of them",
                "songs": [song(int(row)) for row in some],
                "oddest": [],
            }
        )
    return shown


def _values(tracks: Tracks, rows: np.ndarray, classes: str | None) -> np.ndarray:
    """Returns the known classes of these rows by name; the known artists where there are no classes."""
    if classes is not None:
        codes = tracks.classes[classes][rows]
        return np.array(tracks.class_names[classes], dtype=object)[codes[codes >= 0]].astype(str)
    artists = tracks.meta["artist"][rows]
    return artists[artists != ""].astype(str)


def _commonest(values: np.ndarray, songs: int) -> str:
    """Tells what most of the songs of a cluster are, or what they are most often; "" where that says nothing.

    "mostly" needs more than half of the songs. "most often" needs a quarter of them, and nothing else as often. Both
    need two songs.

    >>> _commonest(np.array(["folk", "folk", "art"]), 3)
    'mostly folk (2 of 3)'
    >>> _commonest(np.array(["folk", "folk", "art"]), 4)
    'most often folk (2 of 4)'
    >>> _commonest(np.array(["folk", "folk", "art", "art"]), 4)
    ''
    """
    names, counts = np.unique(values, return_counts=True)
    most = counts.max(initial=0)
    if most < 2 or most < _OFTEN * songs or (counts == most).sum() > 1:
        return ""
    return f"{'mostly' if most > songs / 2 else 'most often'} {names[counts.argmax()]} ({most} of {songs})"


def _figure(name: str, image: bytes) -> dict[str, Any]:
    title, how = CAPTIONS.get(name, (name.replace("_", " ").capitalize(), ""))
    wide = int.from_bytes(image[16:20]) >= 9 * DPI  # 9 inches; too small to read in half a page
    return {"title": title, "how": how, "png": base64.b64encode(image).decode(), "wide": wide}


def _settings(results: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Returns the configuration as headed lists of (name, value)."""
    clustering = {"clusterer": results["clusterer"], "k": results["k"]}
    parts = {"Corpus": results["corpus"], "Model": results["model"], "Clustering": clustering}
    return [
        (title, [(key.replace("_", " "), _value(value)) for key, value in part.items()])
        for title, part in parts.items()
    ]


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_value(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value))
    if isinstance(value, float):
        return number(value, "setting")
    return f"{value:,}" if isinstance(value, int) else "none" if value is None else str(value)
