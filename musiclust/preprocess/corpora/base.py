"""What a corpus is, and what may be asked of one.

Conventions: paths are absolute; track_ids are NFC-normalised, unique and sorted; "" is an unknown class or tag.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from musiclust.types import Block, Tracks


class TableRequest(NamedTuple):
    """Says which columns of a table are what; "" where that is left open, see `table.table`.

    Attributes:
      path: the table itself: CSV, CSV.gz, Parquet or NPY.
      tracks_table: a CSV that knows the classes and the rest of each track, joined by id.
      header_rows: how many rows at the top of a CSV name its columns.
      id_column: the column of track ids.
      class_column: the columns of classes, any number of them.
      group_column: the column of what several tracks share, such as the song that clips are cut from.
      title_column: the column of titles.
      artist_column: the column of artists.
      text_column: the column of lyrics.
      transcript_column: the columns of what machines have heard, any number of them.
      block: (name, glob) pairs; each picks feature columns for the block of that name.
    """

    path: Path
    tracks_table: Path | None = None
    header_rows: int = 1
    id_column: str = ""
    class_column: tuple[str, ...] = ()
    group_column: str = ""
    title_column: str = ""
    artist_column: str = ""
    text_column: str = ""
    transcript_column: tuple[str, ...] = ()
    block: tuple[tuple[str, str], ...] = ()


class Request(NamedTuple):
    """What may be asked of a corpus; each corpus takes what concerns it.

    Attributes:
      audio_dir: the folder of a corpus of files. The demo is rendered there, by default in `cache_dir`.
      cache_dir: the folder for what is made once; None is the user's own cache.
      seed: of the demo, which draws its excerpts by it.
      workers: how many processes render the demo.
      progress: is called with (done, total) while a corpus is made.
      table: the table of the corpus "table"; other corpora do not look at it, see `join.join_table`.
      clips: how many clips the corpus "gtzan" cuts from each song.
      split_file: lists of songs of the corpus "gtzan", any number of them.
      metadata_dir: the folder of the tables of the corpus "fma".
      subset: the subset of the corpus "fma".
    """

    audio_dir: Path | None = None
    cache_dir: Path | None = None
    seed: int = 0
    workers: int = 1
    progress: Callable[[int, int], None] | None = None
    table: TableRequest | None = None
    clips: int = 1
    split_file: tuple[Path, ...] = ()
    metadata_dir: Path | None = None
    subset: str | None = None


class Corpus(NamedTuple):
    """N tracks before anything was heard of them.

    Attributes:
      tracks: their names, paths, classes and groups.
      words: track_id -> words sung, where the corpus itself knows them (from scores, from a column).
      others: how many files were passed over as not audio by their names.
      skipped: (path or id, reason) of what cannot be used.
      source: what tells this corpus from another, JSON-able.
      blocks: features that the corpus brings ready-made, for each of `tracks` at least. Without audio (every path "")
        they are all there is.
      warnings: (path or name, what is amiss) of what is used all the same.
      transcripts: track_id -> what one or several machines heard in it, to be judged before it counts as words.
    """

    tracks: Tracks
    words: Mapping[str, str]
    others: int
    skipped: Sequence[tuple[str, str]]
    source: Mapping[str, Any]
    blocks: Sequence[Block] = ()
    warnings: Sequence[tuple[str, str]] = ()
    transcripts: Mapping[str, Sequence[str]] = {}
