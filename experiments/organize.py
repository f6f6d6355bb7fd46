"""Makes playlists of a finished run: one a cluster, or of what is like a song.

Examples:
  python -m experiments.organize --run=runs/...
  python -m experiments.organize --run=runs/... --like=song.mp3 --songs=30
  python -m experiments.organize --run=runs/... --from=a.mp3 --to=b.mp3

Playlists lie in <run>/playlists, or where --out says. One that somebody has
edited since it was written stays as it is, unless --force is given.
"""

import os
from pathlib import Path

import numpy as np
from absl import flags

from experiments.cli.console import console, print_line
from experiments.cli.program import run
from experiments.study.songs import Songs, read_songs
from musiclust.errors import InputError
from musiclust.listening.playlists import FORMATS, file_names, write_playlists
from musiclust.listening.sequencing import find_path, order_smoothly, rank_alike, take

_RUN = flags.DEFINE_string("run", None, "Folder of the finished run, under runs/.")
_OUT = flags.DEFINE_string("out", None, "Folder of the playlists; by default playlists/ in the run.")
_LIKE = flags.DEFINE_multi_string("like", None, "Song, by file, track_id or title, that others shall be like; several.")
_FROM = flags.DEFINE_string("from", None, "Song, by file, track_id or title, at which a path begins.")
_TO = flags.DEFINE_string("to", None, "Song at which the path ends.")
_SONGS = flags.DEFINE_integer("songs", 0, "Most songs of a playlist; 0 for all, 30 where --like or --from is given.", 0)
_MINUTES = flags.DEFINE_float("minutes", 0, "Most minutes of a playlist; 0 for no limit.", 0)
_PER_ARTIST = flags.DEFINE_integer("per_artist", 0, "Most songs of one artist in a playlist; 0 for no limit.", 0)
_PER_ALBUM = flags.DEFINE_integer("per_album", 0, "Most songs of one album in a playlist; 0 for no limit.", 0)
_APART = flags.DEFINE_integer("apart", 3, "Other songs between two of one artist, where there are enough.", 0)
_FORMAT = flags.DEFINE_list("format", ["m3u8"], "Formats of the playlists: m3u8, xspf.")
_MUSIC_DIR = flags.DEFINE_string(
    "music_dir", None, "Folder in which the run's music is now, if it is no longer where it was."
)
_BASE_PATH = flags.DEFINE_string(
    "base_path", None, "Folder of the music where the player is, in place of relative paths."
)
_FORCE = flags.DEFINE_bool("force", False, "Write over playlists that somebody has edited.")
FLAG_GROUPS = {
    "Input": ("run", "music_dir"),
    "Which songs": ("like", "from", "to", "songs", "minutes", "per_artist", "per_album", "apart"),
    "Files": ("out", "format", "base_path", "force"),
}
_FEW = 30


def main(argv: list[str]) -> int:
    if not _RUN.value:
        raise InputError("name the run to organize: --run=runs/...")
    if not _FORMAT.value or not set(_FORMAT.value) <= set(FORMATS):
        raise InputError(f"--format={','.join(_FORMAT.value)}: choose from {', '.join(FORMATS)}")
    run_dir = Path(_RUN.value).expanduser()
    songs = read_songs(run_dir)
    root = _music_root(songs)
    if _MUSIC_DIR.value:
        songs, root = _move(songs, root)
    playable = np.array([song.path.is_file() for song in songs.song])
    if not playable.any():
        raise InputError(f"none of the {len(playable)} files of the run is there: name their folder by --music_dir")
    out = Path(_OUT.value or run_dir / "playlists").expanduser()
    asked = bool(_LIKE.value or _FROM.value or _TO.value)
    lists = _asked_for(songs, playable) if asked else _clusters(songs, playable)
    if not any(len(rows) for rows in lists.values()):
        raise InputError("no song is left by these limits: give more --songs or --minutes")
    base = (root, _BASE_PATH.value) if _BASE_PATH.value else None
    files = {
        f"{stem}.{kind}": FORMATS[kind](name, [songs.song[row] for row in lists[name]], folder=out, base=base)
        for name, stem in zip(lists, file_names(list(lists)), strict=True)
        for kind in _FORMAT.value
    }
    left = write_playlists(out, files, force=_FORCE.value, keep_others=asked)
    for name, rows in lists.items():
        console.print(f"{len(rows):>5}  {name}", markup=False, highlight=False)
    if absent := int((~playable).sum()):
        print_line(f"{absent} of {len(playable)} songs have no file here and are in no playlist")
    for name in left:
        print_line(f"{out / name} was edited and stays as it is: --force writes over it")
    print_line(f"written: {out}")
    return 0


def _music_root(songs: Songs) -> Path:
    """The folder that all files of the run lie in."""
    folders = [str(song.path.parent) for song in songs.song if song.path != Path()]
    if not folders:
        raise InputError("the songs of this run have no files (it was made from a table of features)")
    return Path(os.path.commonpath(folders))


def _move(songs: Songs, root: Path) -> tuple[Songs, Path]:
    """The songs with their paths in --music_dir, and that folder."""
    now = Path(_MUSIC_DIR.value).expanduser().absolute()
    if not now.is_dir():
        raise InputError(f"--music_dir={_MUSIC_DIR.value}: there is no such folder")
    moved = [s._replace(path=now / s.path.relative_to(root)) if s.path != Path() else s for s in songs.song]
    return songs._replace(song=moved), now


def _clusters(songs: Songs, playable: np.ndarray) -> dict[str, list[int]]:
    """Rows by the name of each cluster; of several clusters with one name, the later ones have their number too."""
    lists: dict[str, list[int]] = {}
    for number in range(int(songs.clusters.max(initial=-1)) + 1):
        rows = _once(songs, np.flatnonzero((songs.clusters == number) & playable))
        name = songs.names.get(number) or f"cluster {number}"
        # Those at the heart of the cluster first, so that limits keep them.
        heart = rows[np.argsort(((songs.z[rows] - songs.z[rows].mean(axis=0)) ** 2).sum(axis=1), kind="stable")]
        taken = _limited(songs, heart)
        lists[name if name not in lists else f"{name} ({number})"] = _smooth(songs, taken)
    return lists


def _asked_for(songs: Songs, playable: np.ndarray) -> dict[str, list[int]]:
    if _LIKE.value:
        if _FROM.value or _TO.value:
            raise InputError("--like and --from ... --to are two playlists: give one of them")
        seeds = [songs.find(wanted) for wanted in _LIKE.value]
        rows = _once(songs, np.array([*seeds, *(row for row in rank_alike(songs.z, seeds) if playable[row])]))
        title = " and ".join(songs.song[seed].called for seed in seeds)
        return {f"like {title}": _smooth(songs, _limited(songs, rows, _SONGS.value or _FEW))}
    if not (_FROM.value and _TO.value):
        raise InputError("a path needs both ends: --from=... --to=...")
    ends = [songs.find(_FROM.value), songs.find(_TO.value)]
    rows = _once(songs, np.union1d(np.array(ends), np.flatnonzero(playable)))
    start, end = (next(i for i, row in enumerate(rows) if songs.song[row].path == songs.song[one].path) for one in ends)
    path = rows[find_path(songs.z[rows], start, end, min(_SONGS.value or _FEW, len(rows)))]
    return {f"from {songs.song[ends[0]].called} to {songs.song[ends[1]].called}": _limited(songs, path)}


def _once(songs: Songs, rows: np.ndarray) -> np.ndarray:
    """The rows without further stretches of a file that is there already."""
    paths = np.array([str(songs.song[row].path) for row in rows])
    return rows[np.sort(np.unique(paths, return_index=True)[1])]


def _limited(songs: Songs, rows: np.ndarray, most: int = 0) -> list[int]:
    return take(
        rows.tolist(),
        artist=songs.artist,
        album=songs.album,
        seconds=songs.seconds,
        songs=_SONGS.value or most,
        minutes=_MINUTES.value,
        per_artist=_PER_ARTIST.value,
        per_album=_PER_ALBUM.value,
    )


def _smooth(songs: Songs, rows: list[int]) -> list[int]:
    if len(rows) < 2:
        return rows
    order = order_smoothly(songs.z[rows], artist=songs.artist[rows], apart=_APART.value)
    return [rows[place] for place in order]


if __name__ == "__main__":
    run(main, groups=FLAG_GROUPS)
