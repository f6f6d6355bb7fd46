"""Where tracks come from: each corpus is a function Request -> Corpus.

Conventions: paths are absolute; track_ids are POSIX, NFC-normalised and sorted; "" is an unknown label or tag. What is
here looks at names, tags and tables only. Whether a file holds sound is found out by `pipeline`, which names those that
do not.
"""

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from musiclust.preprocess import demo as demo_corpus
from musiclust.preprocess.corpus import (
    EXTENSIONS,
    Corpus,
    Request,
    TableRequest,
    existing_folder,
    find_audio,
    make_tracks,
    read_tags,
)
from musiclust.preprocess.fma import fma
from musiclust.preprocess.gtzan import gtzan
from musiclust.preprocess.table import table

__all__ = ["CORPORA", "EXTENSIONS", "Corpus", "Request", "TableRequest", "demo", "folder"]


def folder(request: Request) -> Corpus:
    """Every audio file below `audio_dir`; hidden files and folders are left out, symbolic links followed once.

    Labels: "genre" from the tags where any has one, "folder" (the first sub-folder) where there is more than one.
    Group: the artist of the tags, for songs of one artist share a sound; without it the track itself.

    Raises:
      InputError: if audio_dir is not a folder or holds no audio file.
    """
    root = existing_folder(request.audio_dir, "--audio_dir", "audio files")
    names, others, skipped = find_audio(root)
    ids = _track_ids([name.replace(os.sep, "/") for name in names])
    order = np.argsort(np.array(ids))
    ids, names = [ids[i] for i in order], [names[i] for i in order]
    tags = [read_tags(root / name) for name in names]
    meta = {key: [tag.get(key, "") for tag in tags] for key in ("title", "artist", "album")}
    meta["title"] = [title or Path(name).stem for title, name in zip(meta["title"], names, strict=True)]
    labels = {}
    genres = [tag.get("genre", "") for tag in tags]
    folders = [name.split(os.sep)[0] if os.sep in name else "" for name in names]
    if any(genres):
        labels["genre"] = genres
    if len(set(folders) - {""}) > 1:
        labels["folder"] = folders
    path = [str(root / name) for name in names]
    tracks = make_tracks(ids, path=path, meta=meta, labels=labels, group=meta["artist"])
    return Corpus(tracks, {}, others, skipped, {"corpus": "folder", "audio_dir": str(root)})


def demo(request: Request) -> Corpus:
    """The demo corpus, rendered first where it is not yet on disk."""
    out_dir = request.audio_dir or demo_corpus.default_dir(request.cache_dir, request.seed)
    if not demo_corpus.is_rendered(out_dir, seed=request.seed):
        demo_corpus.render(out_dir, seed=request.seed, workers=request.workers, progress=request.progress)
    tracks, words = demo_corpus.load(out_dir)
    return Corpus(tracks, words, 0, (), {"corpus": "demo", "audio_dir": str(out_dir), "seed": request.seed})


CORPORA: dict[str, Callable[[Request], Corpus]] = {
    "folder": folder,
    "demo": demo,
    "table": table,
    "gtzan": gtzan,
    "fma": fma,
}


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
