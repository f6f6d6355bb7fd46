"""Audio files, or tables of features -> a store of features.

  python -m experiments.preprocess --corpus=folder --audio_dir=~/Music --store=stores/mine
  python -m experiments.preprocess --corpus=demo
  python -m experiments.preprocess --corpus=gtzan --audio_dir=genres --clips=3 --store=stores/gtzan
  python -m experiments.preprocess --corpus=fma --metadata_dir=fma_metadata --audio_dir=fma_small --store=stores/fma
  python -m experiments.preprocess --corpus=table --table=features_30_sec.csv --id_column=filename \\
      --class_column=label --block='mfcc40:mfcc*' --block='table:[!l]*' --store=stores/gtzan-table

Run it again and it does what is new, changed or was broken off, and no more.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from absl import flags
from rich.table import Table

from experiments.cli.console import cache_root, console, default_store, progress, run
from musiclust.errors import InputError
from musiclust.preprocess.corpora import base, fma, registry
from musiclust.preprocess.lyrics import embed, gate, update, whisper_model
from musiclust.preprocess.pipeline import Summary, preprocess


def _thresholds() -> str:
    return ", ".join(f"{name}={value}" for name, value in asdict(gate.Gate()).items())


_CORPUS = flags.DEFINE_enum(
    "corpus", None, list(registry.CORPORA), "by default told by the flags: table, fma, folder, and without any demo"
)
_AUDIO_DIR = flags.DEFINE_string(
    "audio_dir", None, "folder of audio files (folder, gtzan: its genres, fma: fma_small), or to render into (demo)"
)
_STORE = flags.DEFINE_string("store", None, "folder to write; the demo has a default place in the cache")
_LYRICS = flags.DEFINE_enum(
    "lyrics",
    "auto",
    list(update.SOURCES),
    "where to look for words: auto is what is written down (score, sidecar, tags) and, for tracks without any and "
    "only where --whisper_model is given, Whisper; whisper is Whisper for every track",
)
_WHISPER_MODEL = flags.DEFINE_string(
    "whisper_model", None, "transcribes: tiny, base, small, medium, large, turbo, ... (fetched once), or a .pt file"
)
_LANGUAGE = flags.DEFINE_string("language", "auto", "of what is sung, for Whisper: auto detects it, or en, de, ...")
_DEVICE = flags.DEFINE_string("device", None, "for Whisper: cpu, or cuda (half precision); by default a GPU if any")
_GATE = flags.DEFINE_string(
    "gate", "", f"thresholds for words that Whisper heard: off, or name=value,... with {_thresholds()}"
)
_EMBEDDER = flags.DEFINE_string("embedder", "auto", "auto, sbert, tfidf, or sbert:<folder or model name>")
_WORKERS = flags.DEFINE_integer("workers", None, "processes; by default one for each core", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "of the demo corpus", lower_bound=0)
_CACHE_DIR = flags.DEFINE_string("cache_dir", None, "in place of the user's cache folder (XDG_CACHE_HOME, ~/.cache)")

_TABLE = flags.DEFINE_string("table", None, "table: features as CSV (or .csv.gz), Parquet or NPY (N, D)")
_TRACKS_TABLE = flags.DEFINE_string(
    "tracks_table", None, "table: CSV of classes, titles and words, joined by id; with an NPY row by row"
)
_HEADER_ROWS = flags.DEFINE_integer("header_rows", 1, "table: header rows, joined by _ into names", lower_bound=1)
_ID_COLUMN = flags.DEFINE_string("id_column", "", "table: by default the first called id or filename, or of text")
_CLASS_COLUMN = flags.DEFINE_list("class_column", [], "table: columns that are classes, not features")
_GROUP_COLUMN = flags.DEFINE_string("group_column", "", "table: what tracks share, by default the artist")
_TITLE_COLUMN = flags.DEFINE_string("title_column", "", "table: the title of each track")
_ARTIST_COLUMN = flags.DEFINE_string("artist_column", "", "table: the artist of each track")
_TEXT_COLUMN = flags.DEFINE_string("text_column", "", "table: the words of each track")
_TRANSCRIPT_COLUMN = flags.DEFINE_list(
    "transcript_column", [], "of words that a machine heard, judged by --gate (table); of several the first counts"
)
_BLOCK = flags.DEFINE_multi_string(
    "block", [], "table: NAME:GLOB, the columns of a block, as mfcc40:mfcc*; by default all numbers as 'table'"
)
_CLIPS = flags.DEFINE_integer("clips", 1, "gtzan: clips of 10 s from each song, 1 for the whole song", lower_bound=1)
_SPLIT_FILE = flags.DEFINE_multi_string(
    "split_file", [], "gtzan: list of songs, as train_filtered.txt; songs in no list are left out"
)
_METADATA_DIR = flags.DEFINE_string("metadata_dir", None, "fma: folder of tracks.csv, features.csv and genres.csv")
_SUBSET = flags.DEFINE_enum("subset", None, list(fma.SUBSETS), "fma: each holds those before it; by default all")

# Flags that one corpus alone understands.
_OF_CORPUS = {
    "table": (
        *("table", "tracks_table", "header_rows", "id_column", "class_column", "group_column", "title_column"),
        *("artist_column", "text_column", "transcript_column", "block"),
    ),
    "gtzan": ("clips", "split_file"),
    "fma": ("metadata_dir", "subset"),
}

_MOST_LISTED = 20


def main(argv: list[str]) -> int:
    started = time.monotonic()
    name = _corpus()
    if _STORE.value:
        root = Path(_STORE.value).expanduser()
    elif name == "demo":
        root = default_store(_CACHE_DIR.value, _SEED.value)
    else:
        raise InputError("no store is named: add --store=<folder to write>")
    workers = _WORKERS.value or _cores()
    embed.choose(_EMBEDDER.value)  # a wrong name is told before anything is rendered or heard
    thresholds, whisper = gate.parse(_GATE.value), _whisper()
    with progress() as report:
        corpus_request = _request(workers, lambda done, total: report("rendering", done, total))
        corpus = registry.CORPORA[name](corpus_request)
        summary = preprocess(
            corpus,
            root,
            lyrics=_LYRICS.value,
            embedder=_EMBEDDER.value,
            whisper=whisper,
            gate=thresholds,
            workers=workers,
            progress=report,
        )
    show(summary, root, corpus.source.get("audio_dir"), time.monotonic() - started)
    return 0 if summary.used else 1


def _whisper() -> whisper_model.Settings | None:
    if not _WHISPER_MODEL.value and _LYRICS.value != "whisper":
        return None
    language = None if _LANGUAGE.value == "auto" else _LANGUAGE.value
    settings = whisper_model.Settings(_WHISPER_MODEL.value or "base", language, _DEVICE.value)
    whisper_model.check(settings)
    return settings


def _corpus() -> str:
    """The corpus that is asked for. Raises InputError if another corpus's flag is given."""
    given = {flag: corpus for corpus, names in _OF_CORPUS.items() for flag in names if flags.FLAGS[flag].present}
    by_flags = next(iter(given.values()), "folder" if _AUDIO_DIR.value else "demo")
    name = _CORPUS.value or by_flags
    for flag, corpus in given.items():
        if corpus != name:
            raise InputError(f"--{flag} is of the corpus {corpus}, not {name}: leave it out, or add --corpus={corpus}")
    return name


def _request(workers: int, progress: Callable[[int, int], None]) -> base.Request:
    """What the flags say."""
    return base.Request(
        audio_dir=_path(_AUDIO_DIR.value),
        cache_dir=cache_root(_CACHE_DIR.value),
        seed=_SEED.value,
        workers=workers,
        progress=progress,
        table=_table(),
        clips=_CLIPS.value,
        split_file=tuple(map(Path, _SPLIT_FILE.value)),
        metadata_dir=_path(_METADATA_DIR.value),
        subset=_SUBSET.value,
    )


def _table() -> base.TableRequest | None:
    if not _TABLE.value:
        return None
    blocks = [one.partition(":") for one in _BLOCK.value]
    for name, colon, glob in blocks:
        if not (name and glob):
            raise InputError(f"--block={name}{colon}{glob} is not NAME:GLOB, as in --block='mfcc40:mfcc*'")
    return base.TableRequest(
        path=Path(_TABLE.value),
        tracks_table=_path(_TRACKS_TABLE.value),
        header_rows=_HEADER_ROWS.value,
        id_column=_ID_COLUMN.value,
        class_column=tuple(_CLASS_COLUMN.value),
        group_column=_GROUP_COLUMN.value,
        title_column=_TITLE_COLUMN.value,
        artist_column=_ARTIST_COLUMN.value,
        text_column=_TEXT_COLUMN.value,
        transcript_column=tuple(_TRANSCRIPT_COLUMN.value),
        block=tuple((name, glob) for name, _, glob in blocks),
    )


def _path(value: str | None) -> Path | None:
    return Path(value) if value else None


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def show(summary: Summary, root: Path, audio_dir: str | None, seconds: float) -> None:
    """Prints what was found, used and skipped, the blocks, and where the words come from."""
    console.print(f"store: {root}", markup=False, soft_wrap=True)
    table = Table(show_header=False)
    table.add_row(
        "found", f"{summary.found} {summary.things}" + (f", {summary.others} others" if summary.others else "")
    )
    computed = "" if summary.things == "rows" else f", of which {summary.computed} computed now"
    table.add_row("used", f"{summary.used}{computed}")
    table.add_row("skipped", str(len(summary.skipped)))
    for name, (shape, dtype, valid) in summary.blocks.items():
        what = "with words" if name == "lyrics" else "valid"
        partly = "" if valid == shape[0] else f", {what}: {valid}"
        table.add_row(f"block {name}", f"{' x '.join(map(str, shape))} {dtype}{partly}")
    table.add_row("lyrics from", ", ".join(f"{source} {n}" for source, n in summary.lyrics.items()))
    for name, value in _lyrics_rows(summary.words):
        table.add_row(name, value)
    table.add_row("embedder", _embedder(summary))
    table.add_row("seconds", f"{seconds:.1f}")
    console.print(table)
    _list("skipped", [(_relative(path, audio_dir), reason) for path, reason in summary.skipped])
    _list("used with a warning", [(_relative(path, audio_dir), reason) for path, reason in summary.warnings])
    _list("texts not taken for lyrics", summary.refused)


def _lyrics_rows(words: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The FMA report's lyrics statistics, and languages."""
    tracks = max(1, words["tracks"])
    rows = [
        (f"{kind} tracks", f"{words[name]} ({100 * words[name] / tracks:.1f}%)")
        for kind, name in (("vocal", "vocal"), ("instrumental/minimal", "instrumental"))
    ]
    if words["mean"] is not None:
        numbers = ", ".join(f"{name} {words[name]:.4f}" for name in ("mean", "std", "min", "max"))
        rows += [("embedding values", numbers)]
        rows += [("languages", ", ".join(f"{code} {n}" for code, n in words["languages"].items()))]
    return rows


def _embedder(summary: Summary) -> str:
    if summary.embedder is None:
        return "none: no words, so no block of lyrics"
    return summary.embedder.name + (f", because {summary.embedder.why}" if summary.embedder.why else "")


def _relative(path: str, audio_dir: str | None) -> str:
    if audio_dir is None or not Path(path).is_relative_to(audio_dir):
        return path
    return str(Path(path).relative_to(audio_dir))


def _list(title: str, rows: Sequence[tuple[str, str]]) -> None:
    """Each name with its reason; of a long list the first, and how many there are of each reason in the rest."""
    if not rows:
        return
    console.print(f"\n{title}:")
    for name, reason in rows[:_MOST_LISTED]:
        shown = name if name.isprintable() else repr(name)
        console.print(f"  {shown}: {reason}", markup=False, soft_wrap=True)
    for reason, times in Counter(reason for _, reason in rows[_MOST_LISTED:]).most_common(_MOST_LISTED):
        console.print(f"  {times} more: {reason}", markup=False, soft_wrap=True)


if __name__ == "__main__":
    run(main)
