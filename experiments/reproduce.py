"""Every table of a report again: published beside measured, from one command.

Examples:
  python -m experiments.reproduce --report=fma    # on the demo corpus
  python -m experiments.reproduce --report=gtzan --store=stores/gtzan \\
      --out=reproductions/gtzan
  python -m experiments.reproduce --report=fma --quick   # a short look

It carries out what the tables need under <out>/runs, each run once: a finished
run is used again as long as the store has not changed, a broken-off one is gone
on with. It writes <out>/<report>.md, .html and .csv.
"""

import hashlib
import json
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
from absl import flags

from experiments.cli.console import print_line
from experiments.cli.numbers import parse_numbers
from experiments.cli.program import run
from experiments.cli.progress import Report as Progress
from experiments.cli.progress import show_progress
from experiments.configs import Config
from experiments.published import REPORTS, RUNS
from experiments.published import tables as report_tables
from experiments.published.fusion_tables import feature_fusions, latent_fusions, lyrics_quality
from experiments.published.rows import HYBRID_BETA_CONV, LATENTS, LEVELS, Report, ScoreTable
from experiments.study import inputs
from experiments.study.demo import make_demo_store
from experiments.study.jax_setup import set_up_jax
from experiments.study.job import carry_out, restore_finished
from experiments.study.plan import Plan, read_plan
from experiments.study.run_files import read_metrics
from musiclust import store
from musiclust.errors import InputError
from musiclust.files import remove_temporary
from musiclust.report.comparison import Comparison, write

_REPORT = flags.DEFINE_enum("report", None, list(REPORTS), "Name of the report.")
_STORE = flags.DEFINE_string(
    "store", None, "Folder of features to read; by default the demo corpus, rendered when needed."
)
_OUT = flags.DEFINE_string("out", None, "Folder to write tables and runs to; by default reproductions/<report>.")
_LEVEL = flags.DEFINE_list("level", list(LEVELS), "Levels of the report's tasks to carry out.")
_SEED = flags.DEFINE_string("seed", "0-9", "Seeds, one replica each; models of spectrograms take the first three only.")
_QUICK = flags.DEFINE_bool("quick", False, "Takes a tenth of the epochs and two seeds, to see that it works.")
_CACHE_DIR = flags.DEFINE_string(
    "cache_dir", None, "Folder used in place of the user's cache folder (XDG_CACHE_HOME, ~/.cache)."
)
FLAG_GROUPS = {
    "Report": ("report", "level"),
    "Effort": ("seed", "quick"),
    "Files": ("store", "out", "cache_dir"),
}

_SPECTROGRAM_SEEDS = 3  # a replica takes minutes on a CPU
_QUICK_SEEDS = 2


def main(argv: list[str]) -> int:
    if not _REPORT.value:
        raise InputError("name the report: --report=fma or --report=gtzan")
    unknown = set(_LEVEL.value) - set(LEVELS)
    if unknown or not _LEVEL.value:
        raise InputError(f"--level={','.join(_LEVEL.value)}: choose from {', '.join(LEVELS)}")
    started = time.monotonic()
    seeds = parse_numbers("seed", [_SEED.value], int)
    set_up_jax(_CACHE_DIR.value)
    report = REPORTS[_REPORT.value]
    root = (Path(_STORE.value).expanduser() if _STORE.value else make_demo_store(_CACHE_DIR.value)).absolute()
    out = Path(_OUT.value or f"reproductions/{_REPORT.value}").expanduser()
    remove_temporary(out)
    outcomes: dict[str, dict[str, Any] | str] = {}
    failed = []
    with show_progress() as tell:
        for name in _needed(report):
            config = _config(name, seeds)
            lacking = [block for block in config.features if block not in store.block_names(root)]
            if lacking:
                outcomes[name] = f"not run: the store has no {', '.join(lacking)}"
                continue
            try:
                outcomes[name] = _run(name, config, root, out, tell)
            except InputError as error:
                outcomes[name] = f"failed: {error}"
                failed.append(f"{name}: {error}")
        if any(table.level in _LEVEL.value and _uses_latents(table) for table in report.scores):
            outcomes[LATENTS] = latent_fusions([outcomes[name] for name in HYBRID_BETA_CONV], tell)
    tables = _tables(report, outcomes, root)
    preface = _preface(report, root, seeds, time.monotonic() - started)
    paths = write(out, _REPORT.value, f"{report.title}: published and measured", preface, tables)
    for path in paths:
        print_line(f"written: {path}")
    if failed:
        raise InputError(
            f"{len(failed)} of {len(outcomes)} runs failed, the tables lack them; the first is {failed[0]}"
        )
    return 0


def _needed(report: Report) -> list[str]:
    """The runs that the chosen levels need, each once, in the order of the tables."""
    names = [model.run for model in report.models if model.level in _LEVEL.value]
    for table in (table for table in report.scores if table.level in _LEVEL.value):
        names += [row.run for row in table.rows if row.run != LATENTS]
        names += HYBRID_BETA_CONV if _uses_latents(table) else ()
    return list(dict.fromkeys(names))


def _uses_latents(table: ScoreTable) -> bool:
    return any(row.run == LATENTS for row in table.rows)


def _config(name: str, seeds: tuple[int, ...]) -> Config:
    """The run's configuration with the seeds, and the epochs, that were asked for."""
    config = RUNS[name]
    if "melspec" in config.features:
        seeds = seeds[: 1 if _QUICK.value else _SPECTROGRAM_SEEDS]
    if _QUICK.value:
        return replace(config, seed=seeds[:_QUICK_SEEDS], epochs=max(3, config.epochs // 10))
    return replace(config, seed=seeds)


def _run(name: str, config: Config, root: Path, out: Path, tell: Progress) -> dict[str, Any]:
    """The run's results, with "run_dir" and "losses" (R, E); it is carried out where it has left none."""
    config = inputs.complete(config, root, keep_features=True)
    run_dir = out / "runs" / f"{name}-{_digest(config, root)}"
    plan = Plan(config, root, run_dir, f"python -m experiments.reproduce --report={_REPORT.value}")
    finished = run_dir / "metrics.json"
    begun = (run_dir / "config.json").exists() and read_plan(run_dir).config == config
    newest = max(path.stat().st_mtime for path in [*root.glob("*.npy"), root / "tracks.csv"])
    current = begun and (run_dir / "config.json").stat().st_mtime > newest
    if not (current and finished.exists()):
        carry_out(plan, lambda stage, done, total: tell(f"{name}: {stage}", done, total), resume=current)
    results = read_metrics(run_dir)
    losses = restore_finished(plan)["model"].history.loss
    return results | {"run_dir": str(run_dir), "losses": losses.tolist()}


def _digest(config: Config, root: Path) -> str:
    """What tells one run from another: the store, and all that is not the default (an option that comes later may not
    make the runs before it look new)."""
    plain = Config(config.model, config.features).to_json()
    given = {name: value for name, value in config.to_json().items() if value != plain[name]}
    key = json.dumps([config.model, config.features, given, str(root)], sort_keys=True)
    return hashlib.sha256(key.encode()).hexdigest()[:8]


def _tables(report: Report, outcomes: report_tables.Outcomes, root: Path) -> list[Comparison]:
    """All tables of the chosen levels, in the order of the reports."""
    levels = _LEVEL.value
    tables = [*lyrics_quality(report, root), report_tables.configurations(report, outcomes, levels)]
    tables += report_tables.losses(report, outcomes) + report_tables.cluster_sizes(report, outcomes)
    tables += feature_fusions(report, outcomes)
    tables += [report_tables.scores(report, table, outcomes) for table in report.scores if table.level in levels]
    return [*tables, report_tables.best(report, outcomes, levels)]


def _preface(report: Report, root: Path, seeds: tuple[int, ...], seconds: float) -> list[str]:
    tracks = store.load_tracks(root)
    classes = inputs.default_classes(tracks)
    told = f"with {len(tracks.class_names[classes])} classes of {classes}" if classes else "without classes"
    quick = " --quick" if _QUICK.value else ""
    over = f"{min(len(seeds), _QUICK_SEEDS)} seeds" if quick else f"{len(seeds)} seeds"
    few = 1 if quick else min(len(seeds), _SPECTROGRAM_SEEDS)
    return [
        *(["QUICK: a tenth of the epochs, two seeds. It shows that it runs, nothing more."] if quick else []),
        f"Measured on {len(tracks):,} tracks of {store.load_corpus_name(root)} {told}; the report used "
        f"{report.tracks:,} of {report.corpus.upper()}. Mean and 95 % interval over {over} ({few} for spectrograms). "
        f"Made by `python -m experiments.reproduce --report={_REPORT.value}{quick} --seed={_SEED.value}` in "
        f"{seconds / 60:.1f} min on {jax.devices()[0].device_kind}, {datetime.now(UTC):%Y-%m-%d}.",
        "Beside a score in brackets: what structureless data of that shape (null) or shuffled classes (chance) score. "
        "Silhouettes, Calinski-Harabasz and Davies-Bouldin of different latent spaces cannot be compared; the column "
        "'in the reference space' judges every partition in one space, made of the features alone. The agreement with "
        "classes that the first report prints is that of shuffled classes: docs/what-the-reports-show.md.",
    ]


if __name__ == "__main__":
    run(main, groups=FLAG_GROUPS, go_on="run the same command again: finished runs are used again")
