"""Paths that name a stretch of a file: song.wav#t=10,20 is what lies between the seconds 10 and 20 of song.wav.

The form is that of W3C's Media Fragments URI (4.2.1), by which a browser plays no more than the stretch.
"""

import re

_FRAGMENT = re.compile(r"(.+)#t=(\d+(?:\.\d+)?),(\d+(?:\.\d+)?)", re.DOTALL)


def add_stretch(path: str, start: float, end: float) -> str:
    """Returns the path of seconds `start` to `end` of a file.

    Example:
      >>> add_stretch("song.wav", 10.0, 20.0)
      'song.wav#t=10,20'
    """
    return f"{path}#t={start:g},{end:g}"


def split_stretch(path: str) -> tuple[str, tuple[float, float] | None]:
    """Returns the file that a path names, and the stretch of it in seconds (start, end), None for the whole.

    Example:
      >>> split_stretch("song.wav#t=10,20")
      ('song.wav', (10.0, 20.0))
    """
    match = _FRAGMENT.fullmatch(path)
    return (match[1], (float(match[2]), float(match[3]))) if match else (path, None)
