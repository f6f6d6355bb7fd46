"""A folder of songs as a corpus."""

import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from musiclust.preprocess.corpora.audio_files import find_audio, read_tags, resolve_folder
from musiclust.preprocess.corpora.base import Corpus, Request
from musiclust.preprocess.corpora.make_tracks import make_tracks


def folder(request: Request) -> Corpus:
    """Takes every audio file below `audio_dir`; leaves hidden ones out and follows symbolic links once.

    Classes are "genre", from the tags where any has one, and "folder" (the first sub-folder), where there is more than
    one. The group is the artist of the tags, for songs of one artist share a sound; without it the track itself.

    Raises:
      InputError: if audio_dir is not a folder or holds no audio file.
    """
    root = resolve_folder(request.audio_dir, "audio_dir", "audio files")
    names, others, skipped = find_audio(root)
    ids = _make_ids([name.replace(os.sep, "/") for name in names])
    order = np.argsort(np.array(ids))
    ids, names = [ids[i] for i in order], [names[i] for i in order]
    tags = [read_tags(root / name) for name in names]
    meta = {key: [tag.get(key, "") for tag in tags] for key in ("title", "artist", "album")}
    meta["title"] = [title or Path(name).stem for title, name in zip(meta["title"], names, strict=True)]
    classes = {}
    genres = [tag.get("genre", "") for tag in tags]
    folders = [name.split(os.sep)[0] if os.sep in name else "" for name in names]
    if any(genres):
        classes["genre"] = genres
    if len(set(folders) - {""}) > 1:
        classes["folder"] = folders
    path = [str(root / name) for name in names]
    tracks = make_tracks(ids, path=path, meta=meta, classes=classes, group=meta["artist"])
    return Corpus(tracks, {}, others, skipped, {"corpus": "folder", "audio_dir": str(root)})


def _make_ids(names: Sequence[str]) -> list[str]:
    """Makes unique ids of relative paths: without the extension, with it where two files would share an id.

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
