"""The corpus "gtzan" (Tzanetakis and Cook, 2002) as it is distributed: folders of genres, 100 clips of 30 s in each.

    genres/blues/blues.00000.wav      or .au; Kaggle's folder is called genres_original

Conventions: the id of a song is blues/blues.00000; its `group` is the song, however many clips are cut from it. Its
faults are documented (Sturm, 2013, "The GTZAN dataset: Its contents, its faults, their effects on evaluation, and its
future use"): jazz.00054 is damaged in most copies, which decoding finds out; recordings that are there twice, sample
by sample, are found here and share a group; for repeated versions and artists there are the fault-filtered lists
(Kereliuk, Sturm and Larsen, 2015: train_filtered.txt, valid_filtered.txt, test_filtered.txt).
"""

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from musiclust.errors import InputError
from musiclust.files import read_bytes
from musiclust.preprocess.corpora.audio_files import find_audio, resolve_folder
from musiclust.preprocess.corpora.base import Corpus, Request
from musiclust.preprocess.corpora.make_tracks import make_tracks, merge_groups
from musiclust.preprocess.corpora.messages import list_first
from musiclust.stretches import add_stretch

CLIP_SECONDS = 10.0

_SONG = re.compile(r"([^/]+)/(\1\.\d{5})\.(?:wav|au)", re.IGNORECASE)  # genre/genre.00000.wav
_LONGEST_LIST = 2**20  # bytes
_HEADER = 4096  # bytes, in which the samples of a .wav begin


def gtzan(request: Request) -> Corpus:
    """Takes the songs of GTZAN, each once or as `clips` consecutive clips of 10 s from its beginning on.

    Classes are "genre" and, with `split_file` (lists of songs by name), "split": the stem of the list that a song is
    in. Songs in no list are left out.

    Raises:
      InputError: if audio_dir has no such folders, or a list is missing, has no song of them, or shares one with
        another.
    """
    root = resolve_folder(request.audio_dir, "audio_dir", "GTZAN's genres")
    if request.clips < 1:
        raise InputError(f"`clips={request.clips}`: name 1 or more")
    names, others, skipped = find_audio(root)
    songs: dict[str, str] = {}
    for name in names:
        match = _SONG.fullmatch("/".join(Path(name).parts[-2:]))
        song = f"{match[1]}/{match[2]}" if match else ""
        if not song:
            others += 1
        elif song in songs:
            skipped.append((str(root / name), f"the song has another file, {os.path.relpath(songs[song], root)}"))
        else:
            songs[song] = str(root / name)
    if not songs:
        raise InputError(f"{root} has no songs named as GTZAN's, blues/blues.00000.wav or .au: check `audio_dir`")
    warnings: list[tuple[str, str]] = []
    splits = _read_splits(request.split_file, songs, warnings)
    order = sorted(splits if request.split_file else songs)
    copies = _find_copies([Path(songs[song]) for song in order])
    warnings += [
        (songs[order[rows[0]]], "the same samples as " + ", ".join(order[i] for i in rows[1:])) for rows in copies
    ]
    group = dict(zip(order, merge_groups(order, copies), strict=True))
    track_id, path, song_of = [], [], []
    for song in order:
        if request.clips == 1:
            clips = {song: songs[song]}
        else:
            clips = {
                f"{song}#{i}": add_stretch(songs[song], CLIP_SECONDS * i, CLIP_SECONDS * (i + 1))
                for i in range(request.clips)
            }
        track_id += clips.keys()
        path += clips.values()
        song_of += [song] * len(clips)
    by_id = sorted(range(len(track_id)), key=track_id.__getitem__)  # "#10" stands before "#2"
    song_of = [song_of[i] for i in by_id]
    classes = {"genre": [song.partition("/")[0] for song in song_of]}
    if request.split_file:
        classes["split"] = [splits[song] for song in song_of]
    tracks = make_tracks(
        [track_id[i] for i in by_id],
        path=[path[i] for i in by_id],
        meta={"title": [track_id[i].partition("/")[2] for i in by_id]},
        classes=classes,
        group=[group[song] for song in song_of],
    )
    source = {"corpus": "gtzan", "audio_dir": str(root), "clips": request.clips}
    return Corpus(tracks, {}, others, skipped, source, (), warnings)


def _read_splits(files: Sequence[Path], songs: dict[str, str], warnings: list[tuple[str, str]]) -> dict[str, str]:
    """Returns song -> the stem of the list that it is in.

    A line of a list begins with a path or a name, with or without extension.
    """
    found: dict[str, str] = {}
    by_stem = {song.partition("/")[2]: song for song in songs}
    for file in files:
        path = file.expanduser()
        try:
            lines = read_bytes(path, most=_LONGEST_LIST).decode("utf-8-sig").splitlines()
        except InputError as error:
            raise InputError(f"{error}: check `split_file`") from error
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not a list of songs: check `split_file`") from error
        names = [Path(line.split()[0]).name for line in lines if line.strip()]
        stems = [re.sub(r"\.(wav|au|mp3)$", "", name, flags=re.IGNORECASE) for name in names]
        here = [by_stem[stem] for stem in stems if stem in by_stem]
        if not here:
            raise InputError(f"{path} names no song that is there (such as {list_first(stems, 1) or 'none'})")
        twice = [song for song in here if found.get(song, path.stem) != path.stem]
        if twice:
            raise InputError(f"{path}: {twice[0]} is in {found[twice[0]]} too: lists may not share songs")
        unknown = [stem for stem in stems if stem not in by_stem]
        if unknown:
            warnings.append((path.name, f"{len(unknown)} of its songs are not there: {list_first(unknown)}"))
        found |= dict.fromkeys(here, path.stem)
    return found


def _find_copies(paths: Sequence[Path]) -> list[list[int]]:
    """Returns lists of two or more indices of files with the very same samples; files not readable have no copy."""
    by_size: dict[int, list[int]] = defaultdict(list)
    for i, path in enumerate(paths):
        try:
            with path.open("rb") as file:
                by_size[path.stat().st_size - _find_samples(file.read(_HEADER))].append(i)
        except OSError:  # the pipeline names it
            continue
    same: dict[bytes, list[int]] = defaultdict(list)
    for size, rows in by_size.items():
        if size > 0 and len(rows) > 1:
            for i in rows:
                same[_hash_samples(paths[i])].append(i)
    return sorted(rows for rows in same.values() if len(rows) > 1)


def _hash_samples(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(_find_samples(file.read(_HEADER)))
        return hashlib.file_digest(file, "sha256").digest()


def _find_samples(head: bytes) -> int:
    """Returns the place where the samples begin.

    An .au says so itself; in a .wav the mark "data" and a length stand before them.
    """
    if head.startswith(b".snd"):
        return int.from_bytes(head[4:8], "big")
    mark = head.find(b"data")
    return mark + 8 if mark >= 0 else 0
