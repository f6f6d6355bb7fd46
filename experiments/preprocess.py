"""Audio files -> a store of features.

  python -m experiments.preprocess --corpus=folder --audio_dir=~/Music --store=stores/mine
  python -m experiments.preprocess --corpus=demo

Run it again and it does what is new, changed or was broken off, and no more.
"""

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from absl import flags
from rich.table import Table

from experiments.console import cache_root, console, default_store, progress, run
from musiclust.errors import InputError
from musiclust.preprocess import corpora, gate, lyrics, recogniser, text
from musiclust.preprocess.pipeline import Summary, preprocess


def _thresholds() -> str:
    return ", ".join(f"{name}={value}" for name, value in asdict(gate.Gate()).items())


_CORPUS = flags.DEFINE_enum("corpus", None, list(corpora.CORPORA), "folder where --audio_dir is given, else demo")
_AUDIO_DIR = flags.DEFINE_string("audio_dir", None, "folder of audio files (folder), or to render into (demo)")
_STORE = flags.DEFINE_string("store", None, "folder to write; the demo has a default place in the cache")
_LYRICS = flags.DEFINE_enum(
    "lyrics",
    "auto",
    list(lyrics.SOURCES),
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

_MOST_LISTED = 20


def main(argv: list[str]) -> int:
    started = time.monotonic()
    name = _CORPUS.value or ("folder" if _AUDIO_DIR.value else "demo")
    if _STORE.value:
        root = Path(_STORE.value).expanduser()
    elif name == "demo":
        root = default_store(_CACHE_DIR.value, _SEED.value)
    else:
        raise InputError("no store is named: add --store=<folder to write>")
    workers = _WORKERS.value or _cores()
    text.choose(_EMBEDDER.value)  # a wrong name is told before anything is rendered or heard
    thresholds, whisper = gate.parse(_GATE.value), _whisper()
    with progress() as report:
        request = corpora.Request(
            audio_dir=Path(_AUDIO_DIR.value) if _AUDIO_DIR.value else None,
            cache_dir=cache_root(_CACHE_DIR.value),
            seed=_SEED.value,
            workers=workers,
            progress=lambda done, total: report("rendering", done, total),
        )
        corpus = corpora.CORPORA[name](request)
        summary = preprocess(
            corpus,
            root,
            lyrics_from=_LYRICS.value,
            embedder=_EMBEDDER.value,
            whisper=whisper,
            gate=thresholds,
            workers=workers,
            progress=report,
        )
    show(summary, root, Path(corpus.source["audio_dir"]), time.monotonic() - started)
    return 0 if summary.used else 1


def _whisper() -> recogniser.Settings | None:
    if not _WHISPER_MODEL.value and _LYRICS.value != "whisper":
        return None
    language = None if _LANGUAGE.value == "auto" else _LANGUAGE.value
    settings = recogniser.Settings(_WHISPER_MODEL.value or "base", language, _DEVICE.value)
    recogniser.check(settings)
    return settings


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def show(summary: Summary, root: Path, audio_dir: Path, seconds: float) -> None:
    """Prints what was found, used and skipped, the blocks, and where the words come from."""
    console.print(f"store: {root}", markup=False, soft_wrap=True)
    table = Table(show_header=False)
    table.add_row("found", f"{summary.found} audio files" + (f", {summary.others} others" if summary.others else ""))
    table.add_row("used", f"{summary.used}, of which {summary.computed} computed now")
    table.add_row("skipped", str(len(summary.skipped)))
    for name, (shape, dtype, valid) in summary.blocks.items():
        partly = "" if valid == shape[0] else f", with words: {valid}"
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


def _relative(path: str, audio_dir: Path) -> str:
    return str(Path(path).relative_to(audio_dir)) if Path(path).is_relative_to(audio_dir) else path


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
