"""One run, from its plan to its table: trains what is to be trained, scores it, and leaves it under the run's folder.

config.json   checkpoints/model/   checkpoints/autoencoder/   checkpoints/clusters/   metrics.json
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.cli.progress import Report
from experiments.configs import Config
from experiments.study import inputs
from experiments.study.plan import Plan, write_plan
from musiclust import checkpoint
from musiclust.errors import InputError
from musiclust.fit import Fitted, fit
from musiclust.fusion import Fusion
from musiclust.models import MODELS, Model
from musiclust.sweep import Prepared, prepare, product
from musiclust.training import Recipe, Setting
from musiclust.types import Data

if TYPE_CHECKING:
    from experiments.study.scoring import Scored


class Done(NamedTuple):
    """results: what metrics.json holds. inputs, fitted, scored: what it came from."""

    results: dict[str, Any]
    inputs: inputs.Inputs
    fitted: Fitted
    scored: "Scored"


def carry_out(plan: Plan, report: Report, *, resume: bool = False, checkpoint_seconds: float = 20.0) -> Done:
    """Trains, clusters, scores and writes one run.

    Args:
      resume: go on from the run's checkpoints, where there are any.
      checkpoint_seconds: the least time between two checkpoints.

    Raises:
      InputError: if the store does not fit the configuration, or a loss is not finite.
    """
    check(plan.config)
    data = inputs.load(plan.config, plan.store)
    fitted, autoencoder = _train(plan, data.data, data.fusion, report, resume, checkpoint_seconds)
    from experiments.study import results, run_files  # with scikit-learn and more, loaded while training was under way
    from experiments.study.scoring import score_all

    scored = score_all(
        plan.config,
        data,
        fitted.checkpoint,
        autoencoder,
        lambda done, total: report("clustering and scoring", done, total),
    )
    checkpoint.save_arrays(plan.run_dir / "checkpoints" / "clusters", scored.clustering.state)
    seconds = {"compile": fitted.compile_seconds, "training": fitted.training_seconds}
    outcome = results.assemble_results(
        plan.config, data, fitted.checkpoint, scored, command=plan.command, seconds=seconds
    )
    run_files.write_metrics(plan.run_dir, outcome)
    return Done(outcome, data, fitted, scored)


def check(config: Config) -> None:
    """Raises InputError where a model and its condition do not go together."""
    model = MODELS[config.model]
    if model.conditional and config.condition == "none":
        raise InputError(f"{config.model} needs a condition: --condition=modality, or the name of classes")
    if not model.conditional and config.condition != "none":
        raise InputError(f"{config.model} does not look at a condition: leave out --condition, or take --model=cvae")
    if model.multimodal and (config.condition != "modality" or config.fusion != "concat"):
        raise InputError(f"{config.model} has an encoder for each block: it takes --condition=modality --fusion=concat")


def build_model(config: Config, fusion: Fusion, input_shape: tuple[int, ...]) -> Model:
    """The configuration's network for inputs of that shape and fusion."""
    kind, given = MODELS[config.model], dict(config.options)
    if kind.multimodal:
        given["modalities"] = fusion.widths
    return kind(input_shape=input_shape, latent_dim=config.latent_dim, **given)


def _train(
    plan: Plan, data: Data, fusion: Fusion, report: Report, resume: bool, checkpoint_seconds: float
) -> tuple[Fitted, checkpoint.Checkpoint | None]:
    """The model's population and, unless it is one itself, the autoencoder of the baseline, one for each seed."""
    config, x = plan.config, data.x
    limit = int(config.max_memory * 2**30) or None
    recipe = Recipe(
        config.batch_size, config.schedule, config.beta_schedule, config.neighbours, config.patience, config.precision
    )
    model = build_model(config, fusion, x.shape[1:])
    settings = product(config.seed, config.beta, config.learning_rate, config.bootstrap)
    works: dict[str, tuple[Model, Recipe, Data, list[Setting]]] = {"model": (model, recipe, data, settings)}
    if config.model != "autoencoder":
        # An image has tens of thousands of columns: the baseline's first layer is kept narrow.
        hidden = (512, 256, 128) if x.ndim == 2 else (128, 64)
        baseline = MODELS["autoencoder"](input_shape=x.shape[1:], latent_dim=config.latent_dim, hidden=hidden)
        settings = product(config.seed, config.beta[:1], config.learning_rate[:1])
        works["autoencoder"] = baseline, replace(recipe, neighbours=0.0), Data(x), settings

    def ready(model: Model, recipe: Recipe, seen: Data, settings: list[Setting]) -> Prepared:
        return prepare(model, recipe, seen, settings=settings, epochs=config.epochs, max_memory=limit)

    report("compiling", 0, 1)
    first = ready(*works["model"])
    report("compiling", 1, 1)
    if not resume:
        write_plan(plan)  # only now: a run that cannot start leaves nothing behind
    fitted: dict[str, Fitted] = {}
    # The baseline's program is compiled, and what scoring needs is loaded, while the model trains.
    with ThreadPoolExecutor(2) as pool:
        pool.submit(import_module, "experiments.study.results")
        coming = {name: pool.submit(ready, *work) for name, work in works.items() if name != "model"}
        for name, work in works.items():
            title = f"training {name}" + (f" x {len(work[3])}" if len(work[3]) > 1 else "")
            report(title, 0, config.epochs)
            fitted[name] = fit(
                coming[name].result() if name in coming else first,
                fusion=fusion,
                root=plan.run_dir / "checkpoints" / name,
                meta={"config": config.to_json()},
                resume=resume,
                checkpoint_seconds=checkpoint_seconds,
                on_epochs=lambda done, _, title=title: report(title, done, config.epochs),
            )
    return fitted["model"], fitted["autoencoder"].checkpoint if "autoencoder" in fitted else None
