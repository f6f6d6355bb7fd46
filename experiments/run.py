"""The main job: features -> a trained VAE -> clusters, scores, figures and a page.

Examples:
  python -m experiments.run --model=vae           # on the demo corpus
  python -m experiments.run --model=beta_vae --store=stores/mine \\
      --beta=1,2,4,8 --seed=0,1,2,3               # 16 models in one program
  python -m experiments.run --resume --run_dir=runs/...   # goes on after a kill

Everything is written to --run_dir (config.json, checkpoints/, metrics.json,
latents.npy, tracks.csv, figures/, report.html).
"""

import shlex
import sys
import time
from datetime import datetime
from pathlib import Path

from absl import flags

from experiments.cli import config_flags
from experiments.cli.console import console, print_line
from experiments.cli.program import run
from experiments.cli.progress import show_progress
from experiments.study import hosts, inputs, trusted_paths
from experiments.study.demo import make_demo_store
from experiments.study.jax_setup import set_up_jax
from experiments.study.job import carry_out, check
from experiments.study.plan import Plan, read_plan, write_plan
from experiments.study.run_store import find_store, holds_tracks
from musiclust import store
from musiclust.devices import is_first_host
from musiclust.errors import InputError

_STORE = flags.DEFINE_string(
    "store",
    None,
    "Folder of features to read; by default the demo corpus, rendered when needed. With --resume it is where the run's "
    "store is now, if it is no longer where it was.",
)
_RUN_DIR = flags.DEFINE_string("run_dir", None, "Folder that the run is written to; by default runs/<time>-<model>.")
_RESUME = flags.DEFINE_bool(
    "resume", False, "Goes on with the run in --run_dir, with the settings it was started with."
)
_TRUST_PATHS = flags.DEFINE_bool(
    "trust_paths", False, "Takes songs of a store that lie outside of the folder of its music, as somebody else's may."
)
_CHECKPOINT_SECONDS = flags.DEFINE_float(
    "checkpoint_seconds", 20.0, "Least time between two checkpoints, in seconds.", lower_bound=0.0
)
_COORDINATOR = flags.DEFINE_string(
    "coordinator",
    None,
    "Where several hosts train together: host:port of process 0, or auto where the cluster tells (SLURM, Kubernetes).",
)
_PROCESSES = flags.DEFINE_integer("processes", None, "How many processes train together.", lower_bound=1)
_PROCESS = flags.DEFINE_integer("process", None, "Which of them this is, from 0; 0 writes the run.", lower_bound=0)
_CACHE_DIR = flags.DEFINE_string(
    "cache_dir", None, "Folder used in place of the user's cache folder (XDG_CACHE_HOME, ~/.cache)."
)
flags.adopt_module_key_flags(config_flags)
FLAG_GROUPS = {
    **config_flags.FLAG_GROUPS,
    "Files": ("store", "run_dir", "resume", "trust_paths", "checkpoint_seconds", "cache_dir"),
    "Several hosts": ("coordinator", "processes", "process"),
}


def main(argv: list[str]) -> int:
    started = time.monotonic()
    set_up_jax(_CACHE_DIR.value)
    _join_hosts()
    plan = _resumed() if _RESUME.value else _new()
    print_line(f"run: {plan.run_dir}")
    with show_progress() as report:
        done = carry_out(plan, report, resume=_RESUME.value, checkpoint_seconds=_CHECKPOINT_SECONDS.value)
    if done is None:
        print_line(f"trained: process 0 scores and writes {plan.run_dir}, this one waits")
        return 0
    from experiments.study import report_files, results  # loaded while the job was under way

    page = report_files.write_report(plan.run_dir, done.results, done.inputs, done.fitted.checkpoint, done.scored)
    cond = done.inputs.data.cond
    if cond.shape[1] and (cond == cond[:1]).all():
        console.print("every track has the same condition, so it tells the model nothing")
    results.print_results(done.results)
    console.print(
        f"trained in {done.fitted.training_seconds:.1f} s after {done.fitted.compile_seconds:.1f} s of compilation, "
        f"{time.monotonic() - started:.0f} s in all"
    )
    shown = page or f"{plan.run_dir} (no figures and no page: pip install 'musiclust[viz]')"
    print_line(f"written: {shown}")
    return 0


def _join_hosts() -> None:
    if not _COORDINATOR.value:
        if _PROCESSES.present or _PROCESS.present:
            raise InputError("--processes and --process need --coordinator: the address of process 0")
        return
    if not _RUN_DIR.value:
        raise InputError("--coordinator needs --run_dir: the folder of the run, which all processes can see")
    hosts.join_hosts(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value)


def _resumed() -> Plan:
    if not _RUN_DIR.value:
        raise InputError("--resume needs --run_dir: the run to go on with")
    plan = read_plan(Path(_RUN_DIR.value).expanduser())
    given = [name for name in config_flags.NAMES if flags.FLAGS[name].present]
    given += ["store"] if _STORE.present and holds_tracks(plan.store) else []
    if given:
        raise InputError(f"--resume takes the settings from the run: leave out --{', --'.join(given)}")
    plan = plan._replace(store=find_store(plan, _STORE.value))
    if _STORE.value:
        _check_paths(plan.store)
        write_plan(plan)
    return plan


def _new() -> Plan:
    config = config_flags.config_from_flags()
    root = Path(_STORE.value).expanduser() if _STORE.value else make_demo_store(_CACHE_DIR.value)
    _check_condition(config.condition, root)
    _check_paths(root)
    keep = {f"keep_{name}": bool(flags.FLAGS[name].present) for name in ("features", "baselines", "controls")}
    completed = inputs.complete(config, root, **keep)
    for line in inputs.tell_choices(config, completed, root):
        console.print(line, soft_wrap=True)
    check(completed)
    run_dir = Path(_RUN_DIR.value or f"runs/{datetime.now():%Y%m%d-%H%M%S}-{completed.model}").expanduser()
    if run_dir.exists() and not run_dir.is_dir():
        raise InputError(f"--run_dir={run_dir} is a file: name a folder, which need not be there")
    if is_first_host() and (run_dir / "config.json").exists():
        raise InputError(f"{run_dir} holds a run already: add --resume to go on with it, or name another --run_dir")
    command = f"python -m experiments.run {shlex.join(sys.argv[1:])}".strip()
    return Plan(completed, root.absolute(), run_dir, command, trusted_paths.find_music(root))


def _check_paths(root: Path) -> None:
    """Refuses songs that lie where the store's maker never looked: the page would play them."""
    if not _TRUST_PATHS.value:
        trusted_paths.check_store(root)


def _check_condition(condition: str, root: Path) -> None:
    """Raises InputError for the name that a condition had before, where no classes of the store have that name."""
    name, _, form = condition.partition(":")
    if name == "label" and "label" not in store.load_tracks(root).classes:
        raise InputError(f"--condition={condition}: it is called {':'.join(filter(None, ('class', form)))} now")


if __name__ == "__main__":
    run(main, groups=FLAG_GROUPS, go_on="run again with --resume and --run_dir to go on from the last checkpoint")
