"""The main job: features -> a trained VAE -> clusters, scores, figures and a page.

  python -m experiments.run --model=cvae                                      # on the demo corpus
  python -m experiments.run --model=beta_vae --store=stores/mine --beta=1,2,4,8 --seed=0,1,2,3
  python -m experiments.run --resume --run_dir=runs/...                       # goes on after a kill

Everything is written under --run_dir: config.json, checkpoints/, metrics.json, latents.npy, tracks.csv, figures/,
report.html.
"""

import shlex
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

from absl import flags

from experiments import inputs, options, results
from experiments.configs import Config
from experiments.console import Report, check_stop, console, default_store, progress, run
from experiments.plan import Plan, compilation_cache, read_plan, write_plan
from experiments.scoring import score_all, unconditioned
from musiclust import checkpoint
from musiclust.errors import InputError
from musiclust.fit import Fitted, fit, product
from musiclust.models import MODELS, Model
from musiclust.train import Recipe, Setting
from musiclust.types import Data

_STORE = flags.DEFINE_string("store", None, "Folder of features; by default the demo corpus, rendered when needed.")
_RUN_DIR = flags.DEFINE_string("run_dir", None, "Where the run is written; by default runs/<time>-<model>.")
_RESUME = flags.DEFINE_bool("resume", False, "Go on with the run in --run_dir, with the settings it was started with.")
_CHECKPOINT_SECONDS = flags.DEFINE_float("checkpoint_seconds", 20.0, "At least so long between checkpoints.", 0.0)
_CACHE_DIR = flags.DEFINE_string("cache_dir", None, "In place of the user's cache folder (XDG_CACHE_HOME, ~/.cache).")
flags.adopt_module_key_flags(options)


def main(argv: list[str]) -> int:
    started = time.monotonic()
    compilation_cache(_CACHE_DIR.value)
    plan = _resumed() if _RESUME.value else _new()
    data = inputs.load(plan.config, plan.store)
    if not _RESUME.value:
        write_plan(plan)  # only now: a run that cannot start leaves nothing behind
    console.print(f"run: {plan.run_dir}", markup=False, soft_wrap=True)
    cond = data.data.cond
    if cond.shape[1] and (cond == cond[:1]).all():
        console.print("every track has the same condition, so it tells the model nothing")
    with progress() as report:
        fitted, autoencoder = _train(plan, data, report)
        scored = score_all(
            plan.config,
            data,
            fitted.checkpoint,
            autoencoder,
            lambda done, total: report("clustering and scoring", done, total),
        )
    checkpoint.save_arrays(plan.run_dir / "checkpoints" / "clusters", scored.clustering.state)
    seconds = {"compile": fitted.compile_seconds, "training": fitted.training_seconds}
    outcome = results.assemble(plan.config, data, fitted.checkpoint, scored, command=plan.command, seconds=seconds)
    results.write_metrics(plan.run_dir, outcome)
    page = results.write_people_files(plan.run_dir, outcome, data, fitted.checkpoint, scored)
    results.show(outcome)
    console.print(
        f"trained in {fitted.training_seconds:.1f} s after {fitted.compile_seconds:.1f} s of compilation, "
        f"{time.monotonic() - started:.0f} s in all"
    )
    shown = page or f"{plan.run_dir} (no figures and no page: pip install 'musiclust[viz]')"
    console.print(f"written: {shown}", markup=False, soft_wrap=True)
    return 0


def build_model(config: Config, input_shape: tuple[int, ...]) -> Model:
    """The configuration's network for inputs of that shape."""
    return MODELS[config.model](input_shape=input_shape, latent_dim=config.latent_dim, **dict(config.options))


def _resumed() -> Plan:
    if not _RUN_DIR.value:
        raise InputError("--resume needs --run_dir: the run to go on with")
    given = [name for name in options.NAMES if flags.FLAGS[name].present] + (["store"] if _STORE.present else [])
    if given:
        raise InputError(f"--resume takes the settings from the run: leave out --{', --'.join(given)}")
    return read_plan(Path(_RUN_DIR.value).expanduser())


def _new() -> Plan:
    config = options.from_flags()
    root = Path(_STORE.value).expanduser() if _STORE.value else _demo_store()
    completed = inputs.complete(config, root, keep_features=bool(flags.FLAGS["features"].present))
    if completed.features != config.features:
        console.print(f"the store holds no lyrics: {', '.join(completed.features)} alone")
    _check_condition(completed)
    run_dir = Path(_RUN_DIR.value or f"runs/{datetime.now():%Y%m%d-%H%M%S}-{completed.model}").expanduser()
    if (run_dir / "config.json").exists():
        raise InputError(f"{run_dir} holds a run already: add --resume to go on with it, or name another --run_dir")
    return Plan(completed, root.absolute(), run_dir, f"python -m experiments.run {shlex.join(sys.argv[1:])}".strip())


def _check_condition(config: Config) -> None:
    conditional = MODELS[config.model].conditional
    if conditional and config.condition == "none":
        raise InputError(f"{config.model} needs a condition: --condition=modality, or a label's name")
    if not conditional and config.condition != "none":
        raise InputError(f"{config.model} does not look at a condition: leave out --condition, or take --model=cvae")


def _demo_store() -> Path:
    """The demo corpus's store, made by the preprocessing stage in a process of its own where it is not there yet."""
    root = default_store(_CACHE_DIR.value)
    if not (root / "tracks.csv").exists():
        console.print("no --store is named: making the demo corpus, once")
        place = [f"--cache_dir={_CACHE_DIR.value}"] if _CACHE_DIR.value else []
        done = subprocess.run([sys.executable, "-m", "experiments.preprocess", "--corpus=demo", *place], check=False)
        check_stop()
        if done.returncode:
            raise InputError("the demo corpus could not be made: mend what is named above, or give --store")
    return root


def _train(plan: Plan, data: inputs.Inputs, report: Report) -> tuple[Fitted, checkpoint.Checkpoint | None]:
    """The model's population and, unless it is one itself, the autoencoder of the baseline."""
    config, x = plan.config, data.data.x
    recipe = Recipe(config.epochs, config.batch_size, config.schedule, config.beta_schedule)
    settings = product(config.seed, config.beta, config.learning_rate)

    def train(name: str, model: Model, seen: Data, settings: list[Setting]) -> Fitted:
        title = f"training {name}" + (f" x {len(settings)}" if len(settings) > 1 else "")
        report(title, 0, recipe.epochs)
        return fit(
            model,
            recipe,
            seen,
            settings=settings,
            fusion=data.fusion,
            root=plan.run_dir / "checkpoints" / name,
            meta={"config": config.to_json()},
            resume=_RESUME.value,
            checkpoint_seconds=_CHECKPOINT_SECONDS.value,
            on_epochs=lambda done, _: report(title, done, recipe.epochs),
        )

    fitted = train("model", build_model(config, x.shape[1:]), data.data, settings)
    if config.model == "autoencoder":
        return fitted, None
    # An image has tens of thousands of columns: the baseline's first layer is kept narrow.
    hidden = (512, 256, 128) if x.ndim == 2 else (128, 64)
    baseline = MODELS["autoencoder"](input_shape=x.shape[1:], latent_dim=config.latent_dim, hidden=hidden)
    return fitted, train("autoencoder", baseline, unconditioned(data.data), settings[:1]).checkpoint


if __name__ == "__main__":
    run(main, go_on="run again with --resume and --run_dir to go on from the last checkpoint")
