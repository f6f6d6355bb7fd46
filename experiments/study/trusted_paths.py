"""Which paths of a store or a run are taken as they are: those below the folder that was named as that of its music.

A store or a run that somebody else has made may name any file of this machine: as a song whose sound goes into a page,
or whose tags are written. So a path outside of that folder is refused, and a person who knows who made it can say so.
Links that lie within the folder are followed, as they were when it was heard: only who may write there can lay one.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from musiclust import store
from musiclust.errors import InputError

_TRUST = "add --trust_paths if you know who made it"


def find_stray(paths: Iterable[str], folder: str) -> str | None:
    """Returns the first path that does not lie below the folder or has ".." in it, None where all do; "" is no path.

    >>> find_stray(["/music/a.mp3", "", "/music/b/c.mp3#t=0,10"], "/music")
    >>> find_stray(["/music/a.mp3", "/music/../elsewhere/b.mp3"], "/music"), find_stray(["/musical/a.mp3"], "/music")
    ('/music/../elsewhere/b.mp3', '/musical/a.mp3')
    """
    inside = folder.rstrip(os.sep) + os.sep
    return next((path for path in paths if path and not (path.startswith(inside) and not _climbs(path))), None)


def check_run(run_dir: Path, paths: Iterable[str], music: str, *, music_dir: str | None) -> None:
    """Refuses paths of a run that lead out of the folder of its music.

    Args:
      music: that folder, as the run has it; "" where it does not know.
      music_dir: the folder that the user says the music is in now. Then only ".." could lead out of it.

    Raises:
      InputError: for the first such path, or where the folder is not known.
    """
    paths = [path for path in paths if path]
    if music_dir is not None:
        stray = next(filter(_climbs, paths), None)
    elif not music:
        raise InputError(
            f"{run_dir} does not tell which folder its music is in, as runs of earlier versions do not: name it by "
            f"--music_dir (the first song is {paths[0]}), or {_TRUST}"
        )
    else:
        stray = find_stray(paths, music)
    if stray is not None:
        raise InputError(f"{run_dir} has the path {stray}, which is not below {music_dir or music}: {_TRUST}")


def check_store(root: Path) -> None:
    """Refuses the paths of a store that lead out of the folder that was named when it was made.

    Raises:
      InputError: for the first such path, or where there are paths and no folder is known.
    """
    paths = [path for path in store.load_tracks(root).path.tolist() if path]
    folder = find_music(root)
    if paths and not folder:
        raise InputError(f"{root} does not tell which folder its music is in: {_TRUST}")
    stray = find_stray(paths, folder)
    if stray is not None:
        raise InputError(f"{root} has the path {stray}, which is not below {folder}, the folder of its music: {_TRUST}")


def find_music(root: Path) -> str:
    """Returns the folder of a store's music, as its corpus.json has it; "" where it has none."""
    return str((store.load_corpus(root) or {}).get("audio_dir", ""))


def _climbs(path: str) -> bool:
    return ".." in path.replace(os.altsep or os.sep, os.sep).split(os.sep)
