"""Which model to use: each on several collections, seeds and subsamples.

Examples:
  python -m experiments.study --store=stores/gtzan:table57 \\
      --store=stores/fma:mfcc_stats --store=stores/demo
  python -m experiments.study                     # the demo corpus, into docs/
  python -m experiments.study --store=stores/mine --seeds=4 --out=runs/study

It writes <out>/which-model.md and <out>/which-model.json. What is measured is
kept after each row, and the same command goes on where it was.
"""

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from absl import flags

from experiments.cli.console import console, print_line
from experiments.cli.program import run
from experiments.cli.progress import show_progress
from experiments.study import inputs, models
from experiments.study.controls import shows_mask
from experiments.study.demo import make_demo_store
from experiments.study.jax_setup import set_up_jax
from musiclust.errors import InputError
from musiclust.files import atomic, remove_temporary
from musiclust.models import MODELS
from musiclust.records import Record, read_record
from musiclust.report.which_model import write_study

_STORE = flags.DEFINE_multi_string(
    "store",
    None,
    "Folder of features, and after a colon the blocks to take in place of the models' default ones, joined by +; give "
    "several. By default the demo corpus.",
)
_MODELS = flags.DEFINE_list("models", None, "Models to measure; by default all.")
_SEEDS = flags.DEFINE_integer("seeds", 20, "Seeds of each model.", lower_bound=2)
_SUBSAMPLES = flags.DEFINE_integer("subsamples", 10, "Subsamples of each collection.", lower_bound=2)
_SHARE = flags.DEFINE_float("share", 0.8, "Share of the tracks in a subsample.", 0.1, 0.9)
_MOST = flags.DEFINE_integer("most", 128, "Most tracks in a subsample.", lower_bound=20)
_EPOCHS = flags.DEFINE_integer("epochs", 70, "Epochs of training.", lower_bound=1)
_OUT = flags.DEFINE_string("out", "docs", "Folder that the page and its figures are written to.")
_CACHE_DIR = flags.DEFINE_string(
    "cache_dir", None, "Folder used in place of the user's cache folder (XDG_CACHE_HOME, ~/.cache)."
)
FLAG_GROUPS = {
    "Input": ("store", "models"),
    "Effort": ("seeds", "subsamples", "share", "most", "epochs"),
    "Files": ("out", "cache_dir"),
}


Values = list[list[float]]  # S seeds, B subsamples


class _Row(Record, frozen=True):
    """A model or baseline of which-model.json."""

    name: str
    kind: str
    features: str
    scaling: str
    k: int
    ari: Values
    ami: Values
    reference_silhouette: Values
    stability: float
    low_information: float
    mask_seen: bool = False


class _Collection(Record, frozen=True):
    """A collection of which-model.json; of one in which nothing could be measured nothing more is known."""

    rows: list[_Row]
    left_out: dict[str, str]
    tracks: int = 0
    drawn: int = 0
    classes: str | None = None


class _Effort(Record, frozen=True):
    """`models.Effort` as JSON."""

    seeds: int
    subsamples: int
    share: float
    most: int
    epochs: int


class _Facts(Record, frozen=True):
    """which-model.json."""

    effort: _Effort
    collections: dict[str, _Collection]
    command: str = ""


def main(argv: list[str]) -> int:
    set_up_jax(_CACHE_DIR.value)
    names = _MODELS.value or list(MODELS)
    for name in names:
        if name not in MODELS:
            raise InputError(f"--models={name}: choose from {', '.join(MODELS)}")
    given = _STORE.value or [str(make_demo_store(_CACHE_DIR.value))]
    collections = [models.read_collection(text) for text in given]
    effort = models.Effort(_SEEDS.value, _SUBSAMPLES.value, _SHARE.value, _MOST.value, _EPOCHS.value)
    out = Path(_OUT.value).expanduser()
    remove_temporary(out)
    facts = _facts_so_far(out / "which-model.json", effort)
    with show_progress() as report:
        for collection in collections:
            measured = facts["collections"].setdefault(collection.name, {"rows": [], "left_out": {}})
            for name in names:
                _measure(collection, name, effort, measured, report)
                facts["command"] = f"python -m experiments.study {shlex.join(sys.argv[1:])}".strip()
                with atomic(out / "which-model.json") as file:
                    json.dump(facts, file, indent=1)
                    file.write("\n")
    page = write_study(out, facts)
    console.print(page.read_text(encoding="utf-8"), soft_wrap=True)
    print_line(f"written: {page}")
    return 0


def _measure(
    collection: models.Collection,
    name: str,
    effort: models.Effort,
    measured: dict[str, Any],
    report: Callable[[str, int, int], None],
) -> None:
    """Adds to `measured` the rows of a model and of the baselines on its features, where they are not there."""
    config = models.configure(name, collection, effort)
    given = inputs.load(config, collection.root)
    if reason := models.why_not(config, given):
        measured["left_out"][name] = reason
        return
    about = {"features": "+".join(config.features), "scaling": config.scaling, "k": config.k}
    lines = models.draw_lines(given, effort)
    measured |= {"tracks": len(given.tracks), "drawn": lines.shape[1], "classes": given.classes}
    rows = measured["rows"]
    for baseline in config.baselines:
        row = {"name": baseline, "kind": "baseline", **about, "scaling": ""}
        if not any(one["name"] == baseline and one["features"] == about["features"] for one in rows):
            report(f"{collection.name}: {baseline}", 0, 1)
            rows.append(row | models.measure_baseline(baseline, config, given, effort))
    if not any(one["name"] == name and one["features"] == about["features"] for one in rows):
        found = models.measure_model(
            config, given, effort, lambda stage, done, total: report(f"{collection.name}: {stage}", done, total)
        )
        rows.append({"name": name, "kind": "model", **about, "mask_seen": shows_mask(given), **found})


def _facts_so_far(path: Path, effort: models.Effort) -> dict[str, Any]:
    """What an earlier command of the same effort has measured.

    Raises:
      InputError: if the file is of another effort, or damaged.
    """
    own = effort._asdict()
    if not path.exists():
        return {"effort": own, "collections": {}}
    remedy = "delete it, or name another --out"
    theirs = msgspec.to_builtins(read_record(path, _Facts, lenient=True, remedy=remedy).effort)
    if theirs != own:
        flags_of = " ".join(f"--{name}={value}" for name, value in theirs.items())
        raise InputError(f"{path} was measured with {flags_of}: give these, name another --out, or delete it")
    return read_record(path, dict[str, Any], lenient=True, remedy=remedy)


if __name__ == "__main__":
    run(main, groups=FLAG_GROUPS, go_on="run the same command again to go on")
