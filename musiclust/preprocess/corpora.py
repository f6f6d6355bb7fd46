"""Where tracks come from: each corpus is a function Request -> Corpus.

Conventions: paths are absolute; track_ids are POSIX, NFC-normalised and sorted; "" is an unknown label or tag. What is
here looks at names and tags only. Whether a file holds sound is found out by `pipeline`, which names those that do not.
"""

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tinytag import TinyTag, TinyTagException

from musiclust.errors import InputError
from musiclust.preprocess import demo as demo_corpus
from musiclust.store import encode_labels
from musiclust.types import Tracks

EXTENSIONS = (".mp3", ".ogg", ".flac", ".wav", ".au", ".aif", ".aiff", ".opus")


class Request(NamedTuple):
    """What may be asked of a corpus; each takes what concerns it.

    audio_dir: the folder of a corpus of files; where the demo is rendered, by default in `cache_dir`, which itself is
    by default the user's. progress: called with (done, total) while a corpus is made.
    """

    audio_dir: Path | None = None
    cache_dir: Path | None = None
    seed: int = 0
    workers: int = 1
    progress: Callable[[int, int], None] | None = None


class Corpus(NamedTuple):
    """N tracks before anything was heard of them.

    words: track_id -> words sung, where the corpus itself knows them (from scores). others: how many files were passed
    over as not audio by their names. skipped: (path, reason) of what could not be looked into. source: what
    tells this corpus from another, JSON-able.
    """

    tracks: Tracks
    words: Mapping[str, str]
    others: int
    skipped: Sequence[tuple[str, str]]
    source: Mapping[str, Any]


def folder(request: Request) -> Corpus:
    """Every audio file below `audio_dir`; hidden files and folders are left out, symbolic links followed once.

    Labels: "genre" from the tags where any has one, "folder" (the first sub-folder) where there is more than one.
    Group: the artist of the tags, for songs of one artist share a sound; without it the track itself.

    Raises:
      InputError: if audio_dir is not a folder or holds no audio file.
    """
    if request.audio_dir is None:
        raise InputError("no folder of audio files is named: add --audio_dir=<folder>")
    root = _existing(Path(os.path.abspath(request.audio_dir.expanduser())))
    skipped: list[tuple[str, str]] = []
    names, others = [], 0
    for path in _walk(root, skipped):
        if not path.lower().endswith(EXTENSIONS):
            others += 1
        elif not _encodable(path):
            shown = path.encode(errors="backslashreplace").decode()
            skipped.append((shown, "its name is not valid UTF-8: rename it"))
        else:
            names.append(os.path.relpath(path, root))
    if not names:
        raise InputError(
            f"{root} holds no audio files (looked for {', '.join(EXTENSIONS)}; others: {others}): check --audio_dir"
        )
    ids = _track_ids([name.replace(os.sep, "/") for name in names])
    order = np.argsort(np.array(ids))
    ids, names = [ids[i] for i in order], [names[i] for i in order]
    tags = [_tags(root / name) for name in names]
    artists = [tag.get("artist", "") for tag in tags]
    labels, label_names = {}, {}
    genres = [tag.get("genre", "") for tag in tags]
    folders = [name.split(os.sep)[0] if os.sep in name else "" for name in names]
    if any(genres):
        labels["genre"], label_names["genre"] = encode_labels(genres)
    if len(set(folders) - {""}) > 1:
        labels["folder"], label_names["folder"] = encode_labels(folders)
    tracks = Tracks(
        track_id=np.array(ids, dtype=str),
        path=np.array([str(root / name) for name in names], dtype=str),
        meta={
            "title": np.array([tag.get("title") or Path(name).stem for tag, name in zip(tags, names, strict=True)]),
            "artist": np.array(artists, dtype=str),
            "album": np.array([tag.get("album", "") for tag in tags], dtype=str),
            "duration": np.full(len(ids), np.nan),
        },
        labels=labels,
        label_names=label_names,
        group=np.array([artist or track_id for artist, track_id in zip(artists, ids, strict=True)], dtype=str),
    )
    return Corpus(tracks, {}, others, skipped, {"corpus": "folder", "audio_dir": str(root)})


def demo(request: Request) -> Corpus:
    """The demo corpus, rendered first where it is not yet on disk."""
    out_dir = request.audio_dir or demo_corpus.default_dir(request.cache_dir, request.seed)
    if not demo_corpus.is_rendered(out_dir, seed=request.seed):
        demo_corpus.render(out_dir, seed=request.seed, workers=request.workers, progress=request.progress)
    tracks, words = demo_corpus.load(out_dir)
    return Corpus(tracks, words, 0, (), {"corpus": "demo", "audio_dir": str(out_dir), "seed": request.seed})


CORPORA: dict[str, Callable[[Request], Corpus]] = {"folder": folder, "demo": demo}


def _existing(root: Path) -> Path:
    if root.is_dir():
        return root
    if root.exists():
        raise InputError(f"{root} is a file: give --audio_dir the folder it lies in")
    parent = next(parent for parent in root.parents if parent.exists())
    raise InputError(f"{root} does not exist (the nearest folder that does is {parent}): check --audio_dir")


def _walk(root: Path, skipped: list[tuple[str, str]]) -> Iterator[str]:
    """Files below `root` in sorted order; folders that cannot be read are added to `skipped`."""

    def unreadable(error: OSError) -> None:
        shown = os.fsencode(error.filename).decode(errors="backslashreplace")
        skipped.append((shown, f"folder cannot be read: {error.strerror}"))

    seen = set()
    for place, folders, files in os.walk(root, onerror=unreadable, followlinks=True):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:  # a link back up, or a second way in
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(place, name) for name in sorted(files) if not name.startswith("."))


def _encodable(text: str) -> bool:
    """False where a file system's bytes are not UTF-8 (Python holds them as lone surrogates)."""
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in text)


def _track_ids(names: Sequence[str]) -> list[str]:
    """Unique ids for relative paths: without the extension, with it where two files would share an id.

    Composed (NFC), so that a store made where file names are decomposed (macOS) joins with tables made elsewhere.
    """
    full = [unicodedata.normalize("NFC", name) for name in names]
    stems = [os.path.splitext(name)[0] for name in full]
    times, taken = Counter(stems), set(full) | set(names)
    clashes = Counter(full)
    return [
        stem if times[stem] == 1 and stem not in taken else name if clashes[name] == 1 else raw
        for stem, name, raw in zip(stems, full, names, strict=True)
    ]


def _tags(path: Path) -> dict[str, str]:
    """title, artist, album and genre as far as the file's tags have them; broken tags are no tags."""
    try:
        tag = TinyTag.get(path, duration=False)
    except (TinyTagException, OSError):
        return {}
    found = {"title": tag.title, "artist": tag.artist or tag.albumartist, "album": tag.album, "genre": tag.genre}
    return {name: " ".join(value.replace("\0", " ").split()) for name, value in found.items() if value}
