"""The folder of a corpus, the audio files below it, and their tags."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from tinytag import TinyTag, TinyTagException

from musiclust.errors import InputError

_URL = re.compile(r"[a-z][a-z0-9+]+:/")  # a path keeps one of its slashes; a drive of Windows has one letter
EXTENSIONS = (".mp3", ".ogg", ".flac", ".wav", ".au", ".aif", ".aiff", ".opus")


def resolve_folder(named: Path | None, parameter: str, what: str) -> Path:
    """Returns the absolute path of a folder.

    Args:
      named: the folder as it was given.
      parameter: the name of the parameter by which it was given, for messages.
      what: what the folder holds, for messages.

    Raises:
      InputError: if no folder was given, or there is none of that name.
    """
    if named is None:
        raise InputError(f"no folder of {what} is named: add `{parameter}=<folder>`")
    root = Path(os.path.abspath(named.expanduser()))
    if root.is_dir():
        return root
    if scheme := _URL.match(str(named)):
        raise InputError(
            f"`{parameter}` is the URL of a place, {scheme[0]}/..., and files are read from folders: mount it (rclone, "
            "s3fs, gcsfuse and others do so) and name the folder where it then is"
        )
    if root.exists():
        raise InputError(f"{root} is a file: give `{parameter}` the folder it lies in")
    parent = next(parent for parent in root.parents if parent.exists())
    raise InputError(f"{root} does not exist (the nearest folder that does is {parent}): check `{parameter}`")


def find_audio(root: Path) -> tuple[list[str], int, list[tuple[str, str]]]:
    """Finds the audio files below `root` by their names; leaves hidden ones out and follows symbolic links once.

    A pipe, socket or device with the name of an audio file is skipped: who opens it may wait for ever.

    Returns:
      The paths below root in sorted order; how many other files there are; (path, reason) of what cannot be looked
      into.

    Raises:
      InputError: if there is no audio file.
    """
    skipped: list[tuple[str, str]] = []
    names, others = [], 0
    for path in _walk(root, skipped):
        if not path.lower().endswith(EXTENSIONS):
            others += 1
        elif not _is_utf8(path):
            shown = path.encode(errors="backslashreplace").decode()
            skipped.append((shown, "its name is not valid UTF-8: rename it"))
        elif _is_no_file(path):
            skipped.append((path, "a pipe, socket or device, not a file: remove it"))
        else:
            names.append(os.path.relpath(path, root))
    if not names:
        raise InputError(
            f"{root} holds no audio files (looked for {', '.join(EXTENSIONS)}; others: {others}): check `audio_dir`"
        )
    return names, others, skipped


def _walk(root: Path, skipped: list[tuple[str, str]]) -> Iterator[str]:
    """Yields the files below `root` in sorted order; adds folders that cannot be read to `skipped`."""

    def skip(error: OSError) -> None:
        shown = os.fsencode(error.filename).decode(errors="backslashreplace")
        skipped.append((shown, f"folder cannot be read: {error.strerror}"))

    seen = set()
    for place, folders, files in os.walk(root, onerror=skip, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:  # a link back up, or a second way in
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(place, name) for name in sorted(files) if not name.startswith("."))


def _is_no_file(path: str) -> bool:
    """Whether something else than a file is there. A link to nothing is named later."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def _is_utf8(text: str) -> bool:
    """Whether the bytes of a name are UTF-8; Python holds others as lone surrogates."""
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in text)


def read_tags(path: Path) -> dict[str, str]:
    """Reads "title", "artist", "album" and "genre" as far as a file's tags have them; broken tags are no tags."""
    try:
        tag = TinyTag.get(path, duration=False)
    except (TinyTagException, OSError):
        return {}
    found = {"title": tag.title, "artist": tag.artist or tag.albumartist, "album": tag.album, "genre": tag.genre}
    return {name: " ".join(value.replace("\0", " ").split()) for name, value in found.items() if value}
