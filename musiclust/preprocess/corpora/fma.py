"""The corpus "fma": the Free Music Archive data set (Defferrard et al., ISMIR 2017) as it is distributed.

    fma_metadata/   tracks.csv (two header rows), features.csv (three), genres.csv
    fma_small/      000/000002.mp3, 30 s clips; medium, large and full alike

Conventions: ids are FMA's, without leading zeros, so that files and tables join. "genre" is the title of the top-level
genre, unknown where a track has several or none. The features.csv of FMA are of whole tracks at their own sample rate,
those that this house extracts are of clips: they are kept apart. The reduced tables of the course ntds_2017 by FMA's
author (fma_tracks.csv with ids of genres, fma_features.csv) are read too.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from musiclust.errors import InputError
from musiclust.preprocess.audio.features import BLOCKS, STATISTICS
from musiclust.preprocess.corpora.audio_files import find_audio, read_tags, resolve_folder
from musiclust.preprocess.corpora.base import Corpus, Request
from musiclust.preprocess.corpora.columns import Columns
from musiclust.preprocess.corpora.csv_reader import open_text
from musiclust.preprocess.corpora.make_tracks import make_tracks
from musiclust.preprocess.corpora.messages import list_first, suggest_names
from musiclust.preprocess.corpora.table_reader import read_columns
from musiclust.types import Block, Tracks

SUBSETS = ("small", "medium", "large", "full")  # each holds those before it; large and full are of the same tracks

# Tracks whose length FMA's site has wrong, so that their clips were cut at the wrong place and are short or empty, by
# the author of the data set: github.com/mdeff/fma, issue 8, and its wiki.
MISCUT = frozenset(
    (
        *("1486", "5574", "65753", "80391", "98558", "98559", "98560", "98565", "98566", "98567", "98568", "98569"),
        *("98571", "99134", "105247", "108924", "108925", "126981", "127336", "133297", "143992"),
    )
)

_FIRST_CELL = 1000  # characters in which the first cell of a table ends
_MFCC = [f"mfcc_{statistic}_{i:02d}" for i in range(1, 21) for statistic in STATISTICS]
_TRACKS = {
    "genre": "track_genre_top",
    "split": "set_split",
    "subset": "set_subset",
    "title": "track_title",
    "artist": "artist_name",
    "artist id": "artist_id",
    "album": "album_title",
}


class _Facts(NamedTuple):
    """What the metadata know.

    Attributes:
      columns: for each of "genre", "split", ... track id -> value.
      known: the ids of all tracks.
    """

    columns: dict[str, dict[str, str]]
    known: set[str]

    def look_up(self, name: str, track_id: Sequence[str]) -> list[str]:
        column = self.columns.get(name, {})
        return [column.get(i, "") for i in track_id]


def fma(request: Request) -> Corpus:
    """Takes FMA from its metadata, from its audio, or from both.

    From the metadata alone: the tracks of `subset` with the blocks "mfcc_stats" (20, 7) and "mfcc_mean" (20,) out of
    features.csv; tracks without them are skipped and named. With audio: the tracks that have a file (of the subset, if
    one is named); the features of features.csv then are the block "fma_mfcc_stats", not valid where they lack. Classes
    are "genre", "split" (the official one) and "subset"; the group is the artist. From the audio alone there are no
    classes, and titles and artists are those of the tags.

    Raises:
      InputError: if a folder or a file is missing, or its columns are not FMA's.
    """
    if request.metadata_dir is None and request.audio_dir is None:
        raise InputError("no folder of FMA is named: add `metadata_dir=<fma_metadata>` or `audio_dir=<fma_small>`")
    if request.metadata_dir is None:
        if request.subset is not None:
            raise InputError(f"`subset={request.subset}` stands in tracks.csv: add `metadata_dir=<fma_metadata>`")
        return _take_audio(request)
    root = resolve_folder(request.metadata_dir, "metadata_dir", "FMA's metadata")
    facts = _read_facts(root)
    wanted = _select_subset(root, facts, request.subset)
    source = {"corpus": "fma", "metadata_dir": str(root)}
    if request.audio_dir is None:
        return _take_metadata(root, facts, wanted, source)
    audio_dir = resolve_folder(request.audio_dir, "audio_dir", "FMA's audio")
    files, others, skipped = _find_files(audio_dir)
    track_id = sorted(set(files) & wanted if request.subset else files)
    if not track_id:
        raise InputError(f"{audio_dir} and {root} have no track in common: check `audio_dir`, or `subset`")
    if request.subset:
        skipped += [(i, f"no such file below {audio_dir}") for i in sorted(wanted - set(files))]
    warnings = [(files[i], "no row in tracks.csv: no classes") for i in track_id if i not in facts.known]
    blocks = []
    if _find_table(root, "features.csv", required=False) is not None:
        stats, lacking = _read_stats(root, track_id)
        whole = np.array([i not in lacking for i in track_id])
        if whole.any():
            blocks.append(_make_block("fma_mfcc_stats", track_id, stats, whole))
        else:
            warnings.append(("features.csv", "has whole rows for none of these tracks: no block fma_mfcc_stats"))
    return Corpus(
        _make_tracks(facts, track_id, [files[i] for i in track_id]),
        {},
        others,
        skipped,
        {**source, "audio_dir": str(audio_dir)},
        blocks,
        [*warnings, *_name_miscut(files, track_id)],
    )


def _take_audio(request: Request) -> Corpus:
    root = resolve_folder(request.audio_dir, "audio_dir", "FMA's audio")
    files, others, skipped = _find_files(root)
    track_id = sorted(files)
    if not track_id:
        raise InputError(f"{root} holds no file named by an FMA id, such as 000/000002.mp3: check `audio_dir`")
    tags = [read_tags(Path(files[i])) for i in track_id]
    meta = {key: [tag.get(key, "") for tag in tags] for key in ("title", "artist", "album")}
    tracks = make_tracks(
        track_id, path=[files[i] for i in track_id], meta=meta, classes={}, group=_make_groups([], meta["artist"])
    )
    source = {"corpus": "fma", "audio_dir": str(root)}
    return Corpus(tracks, {}, others, skipped, source, warnings=_name_miscut(files, track_id))


def _take_metadata(root: Path, facts: _Facts, wanted: set[str], source: dict[str, str]) -> Corpus:
    candidates = sorted(wanted)
    stats, lacking = _read_stats(root, candidates)
    track_id = [i for i in candidates if i not in lacking]
    if not track_id:
        raise InputError(f"{root}: features.csv has whole rows for none of the {len(candidates)} tracks of tracks.csv")
    stats, everywhere = stats[[i not in lacking for i in candidates]], np.ones(len(track_id), dtype=bool)
    blocks = [
        _make_block("mfcc_stats", track_id, stats, everywhere),
        _make_block("mfcc_mean", track_id, stats[:, :, STATISTICS.index("mean")], everywhere),
    ]
    return Corpus(_make_tracks(facts, track_id, None), {}, 0, list(lacking.items()), source, blocks)


def _make_tracks(facts: _Facts, track_id: Sequence[str], path: Sequence[str] | None) -> Tracks:
    classes = {name: facts.look_up(name, track_id) for name in ("genre", "split", "subset") if name in facts.columns}
    meta = {name: facts.look_up(name, track_id) for name in ("title", "artist", "album")}
    group = _make_groups(facts.look_up("artist id", track_id), meta["artist"])
    return make_tracks(track_id, path=path, meta=meta, classes=classes, group=group)


def _make_groups(artist_id: Sequence[str], artist: Sequence[str]) -> list[str]:
    """Names the artist of each track by id, else by name, marked as such: a track of its own is called by a bare id."""
    artist_id = artist_id or [""] * len(artist)
    return [f"artist {i or name}" if i or name else "" for i, name in zip(artist_id, artist, strict=True)]


def _find_table(root: Path, name: str, *, required: bool = True) -> Path | None:
    """Finds a table of the metadata folder, also under its name in the reduced set."""
    for path in (root / name, root / f"fma_{name}"):
        if path.is_file():
            return path
    if required:
        raise InputError(f"{root} has neither {name} nor fma_{name}: check `metadata_dir`")
    return None


def _count_header_rows(path: Path, one: Sequence[str], several: int) -> int:
    """Returns 1 where the first cell of a table is one of `one`, else `several`."""
    with open_text(path) as file:
        first = file.readline(_FIRST_CELL).partition(",")[0].strip()
    return 1 if first in one else several


def _read_facts(root: Path) -> _Facts:
    path = _find_table(root, "tracks.csv")
    assert path is not None
    if _count_header_rows(path, ("track_id", "id"), 2) == 1:
        read = _read_table(path, ["genre"], [], 1)
        titles = _read_top_genres(root)
        genre = [titles.get(code, "") for code in read.text["genre"]]
        ids = read.text[read.names[0]]
        return _Facts({"genre": dict(zip(ids, genre, strict=True))}, set(ids))
    read = _read_table(path, list(_TRACKS.values()), [], 2)
    ids = read.text[read.names[0]]
    columns = {name: dict(zip(ids, read.text[column], strict=True)) for name, column in _TRACKS.items()}
    return _Facts(columns, set(ids))


def _read_table(path: Path, texts: Sequence[str], numbers: Sequence[str], header_rows: int) -> Columns:
    """Reads columns of one of FMA's tables; its first column, the ids, comes as text."""

    def choose(names: Sequence[str], first: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
        lacking = [name for name in [*texts, *numbers] if name not in names]
        if lacking:
            raise InputError(
                f"{path}, read with {header_rows} header rows, lacks {len(lacking)} of FMA's columns, the first is "
                f"{lacking[0]} ({suggest_names(lacking[0], names)})"
            )
        return [names[0], *texts], list(numbers)

    columns = read_columns(path, choose, header_rows=header_rows)
    ids = columns.text[columns.names[0]]
    wrong = [i for i in ids if not i.isdecimal()]
    if wrong or len(set(ids)) < len(ids):
        raise InputError(f"{path}: its ids are not FMA's ({wrong[0]!r})" if wrong else f"{path}: an id stands twice")
    return columns


def _read_top_genres(root: Path) -> dict[str, str]:
    """Returns id of any genre -> title of its top-level genre."""
    path = _find_table(root, "genres.csv")
    assert path is not None
    read = _read_table(path, ["title", "top_level"], [], 1)
    titles = dict(zip(read.text[read.names[0]], read.text["title"], strict=True))
    return {i: titles.get(top, "") for i, top in zip(titles, read.text["top_level"], strict=True)}


def _select_subset(root: Path, facts: _Facts, subset: str | None) -> set[str]:
    """Returns the ids of a subset; of all for "full" and where none is named."""
    if subset in (None, "full"):
        return set(facts.known)
    if "subset" not in facts.columns:
        raise InputError(f"{root}: its tracks.csv names no subsets: leave `subset` out")
    inside = SUBSETS[: SUBSETS.index(subset) + 1]
    ids = {i for i, value in facts.columns["subset"].items() if value in inside}
    if not ids:
        raise InputError(f"{root}: tracks.csv has no track of the subset {subset}: name another `subset`")
    return ids


def _read_stats(root: Path, track_id: Sequence[str]) -> tuple[np.ndarray, dict[str, str]]:
    """Reads the MFCC of features.csv in this house's order, (N, 20, 7) float32, 0 where they lack.

    Returns them, and track id -> why they lack.
    """
    path = _find_table(root, "features.csv")
    assert path is not None
    read = _read_table(path, [], _MFCC, _count_header_rows(path, ("track_id", "id"), 3))
    if len(read.numeric) < len(_MFCC):
        raise InputError(f"{path}: not numeric: {list_first(read.other)}")
    there = {i: row for row, i in enumerate(read.text[read.names[0]])}
    rows = np.array([there.get(i, -1) for i in track_id], dtype=int)
    values = read.numbers[rows]
    finite = np.isfinite(values).all(axis=1)
    values[(rows < 0) | ~finite] = 0
    lacking = {
        i: "no row in features.csv" if row < 0 else "NaN in the MFCC of features.csv"
        for i, row, whole in zip(track_id, rows.tolist(), np.array(finite), strict=True)
        if row < 0 or not whole
    }
    return values.reshape(len(track_id), 20, len(STATISTICS)), lacking


def _make_block(name: str, track_id: Sequence[str], values: np.ndarray, valid: np.ndarray) -> Block:
    like = BLOCKS["mfcc_mean" if values.ndim == 2 else "mfcc_stats"]
    spec = {
        "shape": list(like.shape),
        "dtype": "float32",
        "units": like.units,
        "description": f"{like.description}, of whole tracks, out of FMA's features.csv",
        "columns": list(like.columns),
    }
    return Block(name, np.array(track_id, dtype=str), values, valid, spec)


def _find_files(root: Path) -> tuple[dict[str, str], int, list[tuple[str, str]]]:
    """Returns track id -> path of its file; how many other files there are; (path, reason) of what cannot be used."""
    names, others, skipped = find_audio(root)
    files: dict[str, str] = {}
    for name in names:
        path, stem = str(root / name), Path(name).stem
        if not (stem.isascii() and stem.isdecimal()):
            others += 1
        elif (track_id := str(int(stem))) in files:
            skipped.append((path, f"the track {track_id} has another file, {os.path.relpath(files[track_id], root)}"))
        else:
            files[track_id] = path
    return files, others, skipped


def _name_miscut(files: dict[str, str], track_id: Sequence[str]) -> list[tuple[str, str]]:
    reason = "FMA names it as cut at the wrong place: its 30 s clip is short or empty"
    return [(files[i], reason) for i in track_id if i in MISCUT]
