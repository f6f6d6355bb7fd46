"""Playlists as players read them: extended M3U in UTF-8 (.m3u8), and XSPF.

An .m3u8 has no byte-order mark and begins with #EXTM3U. Each song has its #EXTINF line, whole seconds (-1 where they
are not known) and "Artist - Title", and its path: relative to the playlist, with "/", letter for letter as it is on
disk, so that names in composed and decomposed Unicode, and even names that are no UTF-8, open. Nothing that a song is
called can add a line.

A folder of playlists has a list of what was written into it (`WRITTEN`). By it a file that somebody has edited since is
known, and left as it is.
"""

import hashlib
import json
import math
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote
from xml.etree import ElementTree

from musiclust.errors import InputError
from musiclust.files import atomic
from musiclust.records import read_record

WRITTEN = "written.json"
_LONGEST = 120  # bytes of a file name without its ending: file systems take 255, archives and players less
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)  # names of devices on Windows
_XSPF = "http://xspf.org/ns/0/"


class Song(NamedTuple):
    """A song of a playlist. path: of its file. title, artist, album: "" where not known; seconds: NaN likewise."""

    path: Path
    title: str = ""
    artist: str = ""
    album: str = ""
    seconds: float = math.nan

    @property
    def called(self) -> str:
        """Its title, or the name of its file without the ending, in one line."""
        return one_line(self.title) or one_line(self.path.stem)

    @property
    def lasts(self) -> bool:
        """Whether its length is known."""
        return math.isfinite(self.seconds) and self.seconds > 0


def format_m3u8(name: str, songs: Iterable[Song], *, folder: Path, base: tuple[Path, str] | None = None) -> bytes:
    """Returns the content of an .m3u8.

    Args:
      name: of the playlist.
      folder: where the file is to lie. Paths are relative to it; on another drive they are absolute.
      base: (the folder of the music here, the same folder where the player is); paths then begin with the latter.

    Raises:
      InputError: if a path has a line break, which no .m3u8 can hold, or lies outside the base.

    Example:
      >>> song = Song(Path("/music/Bach/air.flac"), "Air", "J. S. Bach", seconds=312.6)
      >>> print(format_m3u8("slow, strings", [song], folder=Path("/music/lists")).decode(), end="")
      #EXTM3U
      #PLAYLIST:slow, strings
      #EXTINF:313,J. S. Bach - Air
      ../Bach/air.flac
    """
    lines = ["#EXTM3U", f"#PLAYLIST:{one_line(name)}"]
    for song in songs:
        path = _locate(song.path, folder, base)
        if not _is_one_line(path):
            raise InputError(f"{path!r} has a line break in its name, which no .m3u8 can hold: rename it")
        seconds = max(1, round(song.seconds)) if song.lasts else -1
        artist = one_line(song.artist)
        told = f"{artist} - {song.called}" if artist else song.called
        # A line that begins with # is a comment to a player.
        lines += [f"#EXTINF:{seconds},{told}", f"./{path}" if path.startswith("#") else path]
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")


def format_xspf(name: str, songs: Iterable[Song], *, folder: Path, base: tuple[Path, str] | None = None) -> bytes:
    """Returns the content of an .xspf (version 1): as `format_m3u8`, but locations are percent-encoded, as it asks."""
    ElementTree.register_namespace("", _XSPF)
    root = ElementTree.Element(f"{{{_XSPF}}}playlist", version="1")
    _add(root, "title", name)
    tracks = ElementTree.SubElement(root, f"{{{_XSPF}}}trackList")
    for song in songs:
        track = ElementTree.SubElement(tracks, f"{{{_XSPF}}}track")
        path = _locate(song.path, folder, base)
        location = quote(path.encode("utf-8", "surrogateescape"), safe="/")
        _add(track, "location", f"file://{location}" if path.startswith("/") else location)
        _add(track, "title", song.called)
        _add(track, "creator", song.artist)
        _add(track, "album", song.album)
        if song.lasts:
            _add(track, "duration", str(round(1000 * song.seconds)))  # milliseconds
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def file_names(names: Sequence[str]) -> list[str]:
    """File names, without an ending, that every file system takes: for each name one, none of them twice.

    Example:
      >>> file_names(["piano, solo", "AC/DC: live?", "", "Piano, solo", "nul"])
      ['piano, solo', 'AC-DC- live-', 'playlist', 'Piano, solo (2)', 'nul_']
    """
    found: list[str] = []
    taken: set[str] = set()
    for name in names:
        plain = re.sub(r'[<>:"/\\|?*]', "-", one_line(unicodedata.normalize("NFC", name)))
        plain = plain.lstrip(".").encode("utf-8", "ignore")[:_LONGEST].decode("utf-8", "ignore").rstrip(". ")
        plain = plain or "playlist"
        plain = f"{plain}_" if _RESERVED.match(plain) else plain
        one, number = plain, 1
        while one.casefold() in taken:
            number += 1
            one = f"{plain} ({number})"
        taken.add(one.casefold())
        found.append(one)
    return found


def one_line(text: str) -> str:
    """Returns the text without line breaks and other control characters, a space for each run of them.

    Example:
      >>> one_line("slow\\r\\n#EXTM3U")
      'slow #EXTM3U'
    """
    kept = (" " if unicodedata.category(one) in ("Cc", "Zl", "Zp") else one for one in text)
    return " ".join("".join(kept).split())


FORMATS: dict[str, Callable[..., bytes]] = {"m3u8": format_m3u8, "xspf": format_xspf}


def write_playlists(
    folder: Path, files: Mapping[str, bytes], *, force: bool = False, keep_others: bool = False
) -> list[str]:
    """Writes playlists into a folder, in place of those that were written there before.

    A file that differs from what was written, or that is there without having been, is somebody's own, and is left.
    Those written before that are no longer wanted are removed, unless they are somebody's own by now.

    Args:
      files: contents by file name.
      force: whether to write over those that are somebody's own too.
      keep_others: whether those written before stay that are not among the files.

    Returns:
      The names that were left as they are.

    Raises:
      InputError: if the folder's list of what was written is damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    before = _read_written(folder / WRITTEN)
    left = []
    written = {name: digest for name, digest in before.items() if (folder / name).exists()}
    for name, content in files.items():
        path, digest = folder / name, _digest(content)
        if not force and path.exists() and _digest_file(path) not in (before.get(name), digest):
            left.append(name)
            continue
        with atomic(path, "wb") as file:
            file.write(content)
        written[name] = digest
    for name, digest in before.items():
        path = folder / name
        if not keep_others and name not in files and path.exists() and _digest_file(path) == digest:
            path.unlink()
            del written[name]
    with atomic(folder / WRITTEN) as file:
        json.dump(written, file, indent=1, ensure_ascii=True)
        file.write("\n")
    return left


def path_from(path: str | Path, folder: str | Path) -> str | None:
    """Returns a path as it is seen from a folder, with "/" between its parts; None where it is on another drive.

    Example:
      >>> path_from("/music/Bach/air.flac", "/music/lists")
      '../Bach/air.flac'
    """
    try:
        return os.path.relpath(path, folder).replace(os.sep, "/")
    except ValueError:
        return None


def fits_m3u8(song: Song, *, folder: Path, base: tuple[Path, str] | None = None) -> bool:
    """Whether `format_m3u8` can name a song, given the same arguments: its path there has no line break.

    Raises:
      InputError: if it lies outside the base.
    """
    return _is_one_line(_locate(song.path, folder, base))


def _is_one_line(path: str) -> bool:
    return len(path.splitlines()) == 1


def _locate(path: Path, folder: Path, base: tuple[Path, str] | None) -> str:
    """The path as a player is to find it."""
    path = path.absolute()
    if base is None:
        return path_from(path, folder) or str(path)
    here, there = base
    try:
        inside = path.relative_to(here.absolute())
    except ValueError as error:
        raise InputError(
            f"{path} is not below {here}: name the folder of the music that the base path stands for"
        ) from error
    mark = "\\" if "\\" in there and "/" not in there else "/"
    return mark.join([there.rstrip("/\\"), *inside.parts])


def _add(parent: ElementTree.Element, tag: str, text: str) -> None:
    text = one_line(text.encode("utf-8", "replace").decode())
    if text:
        ElementTree.SubElement(parent, f"{{{_XSPF}}}{tag}").text = text


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _digest_file(path: Path) -> str:
    """The digest of a file; "" for a folder or a pipe, which nobody wrote here."""
    if not path.is_file():
        return ""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_written(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    remedy = "delete it, and playlists that are there count as edited"
    written = read_record(path, dict[str, str], lenient=True, remedy=remedy)
    if strange := [name for name in written if name in ("", "..") or Path(name).name != name or "\0" in name]:
        # It might be removed as one.
        raise InputError(f"{path} is damaged ({strange[0][:80]!r} is no file of this folder): {remedy}")
    return written
