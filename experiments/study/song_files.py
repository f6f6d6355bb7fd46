"""What `experiments.organize` writes of the songs beside playlists.

songs.csv        each song: its cluster, how sure that is, whether it came later, what is known of it, and of what song
                 it is a copy
neighbours.csv   the songs nearest to each in the latent space, the nearest first
map.html         the map, with the player
"""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.cli.console import print_line
from experiments.cli.progress import Report
from experiments.study.kept_names import write_record
from experiments.study.lists import UNPLACED, cluster_names
from experiments.study.songs import Songs
from musiclust.embedding import trustworthiness
from musiclust.files import atomic
from musiclust.nearest import Nearest
from musiclust.report.map import MapSongs, write_map_page
from musiclust.report.typical import find_examples
from musiclust.spreadsheet import plain_cell

_NEIGHBOURS = 10
_AT_ONCE = 2000  # songs whose neighbours are looked for at a time
_TYPICAL = 8
_COLUMNS = (
    *("track_id", "cluster", "cluster_name", "confidence", "certainty", "new", "x", "y"),
    *("title", "artist", "album", "seconds", "class", "tags", "path", "copy_of"),
)


def write_songs(
    out: Path, songs: Songs, copies: Sequence[str], previews: Sequence[bytes] | None, report: Report
) -> None:
    """Writes songs.csv, neighbours.csv, map.html where the run has a map, and the record of names.

    Args:
      copies: the track_id of the song that each is a copy of, "" where it is none.
      previews: of the songs, to lie within map.html in place of links; None for links.
    """
    names = cluster_names(songs)
    with atomic(out / "songs.csv") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for row, song in enumerate(songs.song):
            number = int(songs.clusters[row])
            told = (songs.certainty[row], song.title, song.artist, song.album, songs.classes[row], songs.tags[row])
            certainty, title, artist, album, name, tags = map(plain_cell, told)
            place = [_number(value, 4) for value in songs.xy[row]]
            where = [plain_cell(songs.track_id[row]), number, plain_cell(names.get(number, ""))]
            sure = [_number(songs.confidence[row], 3), certainty, int(songs.later[row])]
            about = [title, artist, album, _number(song.seconds, 3), name, tags, plain_cell(songs.path[row])]
            writer.writerow([*where, *sure, *place, *about, plain_cell(copies[row])])
    _write_neighbours(out / "neighbours.csv", songs, report)
    _write_map(out / "map.html", songs, names, previews)
    write_record(out, songs)


def _write_neighbours(path: Path, songs: Songs, report: Report) -> None:
    nearest = Nearest(songs.z, min(_NEIGHBOURS + 1, len(songs.z)))
    ids = [plain_cell(track_id) for track_id in songs.track_id.tolist()]
    with atomic(path) as file:
        writer = csv.writer(file)
        writer.writerow(("track_id", "neighbour", "distance"))
        for start in range(0, len(ids), _AT_ONCE):
            distance, rows = nearest(songs.z[start : start + _AT_ONCE])
            for row, (far, near) in enumerate(zip(distance, rows, strict=True), start):
                others = [(other, away) for other, away in zip(near, far, strict=True) if other != row]
                writer.writerows((ids[row], ids[other], f"{away:.6g}") for other, away in others[:_NEIGHBOURS])
            report("neighbours", min(start + _AT_ONCE, len(ids)), len(ids))


def _write_map(path: Path, songs: Songs, names: dict[int, str], previews: Sequence[bytes] | None) -> None:
    if not np.isfinite(songs.xy).all():
        print_line("the run has no map (pip install 'musiclust[viz]', then run anew): there is no map.html")
        return
    columns: dict[str, np.ndarray] = {"how sure": songs.confidence, "seconds": songs.seconds}
    if (songs.classes != "").any():
        columns["class"] = songs.classes
    settled = ~songs.later
    write_map_page(
        path,
        MapSongs(
            xy=songs.xy,
            title=[song.called for song in songs.song],
            artist=songs.artist,
            path=songs.path,
            seconds=songs.seconds,
            clusters=songs.clusters,
            cluster_names=[f"{number}: {name}" for number, name in names.items()],
            certainty=songs.certainty,
            tags=songs.tags,
            columns=columns,
            typical={
                one.cluster: np.flatnonzero(settled)[one.typical].tolist()
                for one in find_examples(
                    songs.z[settled], songs.clusters[settled], group=songs.group[settled], typical=_TYPICAL
                )
            },
            fresh=songs.later,
            no_cluster=UNPLACED if songs.later.any() else "noise",
            previews=previews,
        ),
        heading=f"{len(songs.song):,} songs",
        trustworthiness=trustworthiness(songs.z[settled], songs.xy[settled], seed=0),
    )


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else ""
