"""One run, from its plan to its table: trains what is to be trained, scores it, and leaves it under the run's folder.

config.json   metrics.json   checkpoints/{model,autoencoder,subsamples,controls,null,clusters}/
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments.cli.console import print_line
from experiments.cli.progress import Report
from experiments.configs import DEFAULTS, Config
from experiments.study import hosts, inputs
from experiments.study.controls import make_control
from experiments.study.plan import Plan, write_plan
from musiclust import checkpoint, store
from musiclust.devices import are_several_hosts, is_first_host
from musiclust.digests import forget_digests
from musiclust.epochs import Prepared
from musiclust.errors import InputError
from musiclust.files import remove_temporary
from musiclust.fit import Fitted, fit
from musiclust.fusion import Fusion
from musiclust.models import MODELS, Model
from musiclust.splits import draw_subsamples
from musiclust.sweep import prepare, product
from musiclust.training import Recipe, Setting
from musiclust.types import Data

if TYPE_CHECKING:
    from experiments.study.scoring import Scored
    from musiclust.metrics.evidence import Evidence
    from musiclust.metrics.judge import Judge
    from musiclust.metrics.number_of_clusters import Choice

_OF_KL = ("beta", "beta_schedule", "free_bits", "capacity")  # settings of the KL term


class Done(NamedTuple):
    """results: what metrics.json holds. inputs, fitted, scored: what it came from."""

    results: dict[str, Any]
    inputs: inputs.Inputs
    fitted: Fitted
    scored: "Scored"


class _Work(NamedTuple):
    """A population to train: rows and held_out are as in `sweep.prepare`."""

    model: Model
    recipe: Recipe
    data: Data
    settings: list[Setting]
    rows: np.ndarray | None = None
    held_out: np.ndarray | None = None


def carry_out(plan: Plan, report: Report, *, resume: bool = False, checkpoint_seconds: float = 20.0) -> Done | None:
    """Trains, clusters, scores and writes one run; of several hosts all train, and the first one does the rest.

    Args:
      resume: go on from the run's checkpoints, where there are any.
      checkpoint_seconds: the least time between two checkpoints.

    Returns:
      What came of it, None on the other hosts.

    Raises:
      InputError: if the store does not fit the configuration or, of a run that is resumed, has changed since; or if a
        loss is not finite.
    """
    check(plan.config)
    leads = is_first_host()
    if leads:
        remove_temporary(plan.run_dir)
    if resume:
        _check_unchanged(plan)
    data = inputs.load(plan.config, plan.store)
    if not resume:
        plan = plan._replace(fingerprint=store.fingerprint(plan.store, data.names_read()))
    if are_several_hosts():
        if plan.config.null == "pipeline":
            raise InputError("--null=pipeline trains once more, on one host: take --null=latents, or one process")
        with hosts.together():
            hosts.check_alike({"configuration": plan.config.to_json(), "store": dict(plan.fingerprint)})
    choice = None if plan.config.k or not leads else look_for_number(data, report)
    if choice is not None:
        plan = plan._replace(config=replace(plan.config, k=number_of_groups(choice, data)))
    try:
        with hosts.together():
            fitted = _train(plan, data, report, resume, checkpoint_seconds)
    except InputError:
        if leads and not resume:
            _free_folder(plan)
        raise
    if not leads:
        return None
    from experiments.study import results, run_files  # with scikit-learn and more, loaded while training was under way

    trained = {name: one.checkpoint for name, one in fitted.items()}
    model = trained["model"]
    scored = judge_trained(plan, data, trained, report, resume=resume, choice=choice)
    checkpoint.save_arrays(plan.run_dir / "checkpoints" / "clusters", scored.clustering.state)
    seconds = {"compile": fitted["model"].compile_seconds, "training": fitted["model"].training_seconds}
    outcome = results.assemble_results(plan.config, data, model, scored, command=plan.command, seconds=seconds)
    run_files.write_metrics(plan.run_dir, outcome)
    return Done(outcome, data, fitted["model"], scored)


def _check_unchanged(plan: Plan) -> None:
    """Raises InputError if the store is no longer as it was when the run began."""
    tracks, *blocks = plan.fingerprint or [""]
    now = store.fingerprint(plan.store, blocks) if tracks else {}
    if changed := [name for name, digest in plan.fingerprint.items() if now.get(name) != digest]:
        raise InputError(
            f"{changed[0]} of {plan.store} has changed since the run began, which cannot go on so: put back the "
            "store of then, or start a run anew with another --run_dir"
        )


def _free_folder(plan: Plan) -> None:
    """Lets another run have the folder of a run that failed before its first checkpoint."""
    root = plan.run_dir / "checkpoints"
    if all(checkpoint.latest_epoch(root / name) is None for name in populations(plan.config)):
        (plan.run_dir / "config.json").unlink(missing_ok=True)
        forget_digests(plan.run_dir)


def look_for_number(data: inputs.Inputs, report: Report) -> "Choice":
    """The number of clusters that the songs suggest."""
    from experiments.study.number import suggest_number

    report("looking for the number of clusters", 0, 1)
    choice = suggest_number(data)
    report("looking for the number of clusters", 1, 1)
    return choice


def number_of_groups(choice: "Choice", data: inputs.Inputs) -> int:
    """The k of a run that was told none: the number chosen, or some shelves where no number is better than one."""
    from experiments.study.number import SHELVES

    return choice.k if choice.k > 1 else max(2, min(SHELVES, len(data.tracks) // 3))


def judge_trained(
    plan: Plan,
    data: inputs.Inputs,
    trained: Mapping[str, checkpoint.Checkpoint],
    report: Report,
    *,
    resume: bool,
    own: bool = True,
    choice: "Choice | None" = None,
) -> "Scored":
    """Clusters and scores what a run trained, and weighs it by the null that the run asks for.

    Args:
      trained: the populations by name.
      resume: whether the null goes on from the run's checkpoints of structureless data.
      own: whether `data` are the tracks that were trained on. Of others, nothing is said that needs training on them.
      choice: the number of clusters that the songs suggest, where it is known.
    """
    from experiments.study.scoring import Populations, score_all
    from experiments.study.structureless import weigh_pipeline

    config, model = plan.config, trained["model"]
    rows = subsample_rows(config, data) if own else None

    def weigh(judge: "Judge", chosen: int, z: np.ndarray) -> "Evidence":
        root = plan.run_dir / "checkpoints" / "null"
        return weigh_pipeline(config, data, model, chosen, judge, root=root, report=report, resume=resume)

    return score_all(
        config,
        data,
        Populations(
            model,
            trained.get("autoencoder"),
            None if rows is None else (trained["subsamples"], rows),
            trained.get("controls") if own else None,
        ),
        weigh=weigh if config.null == "pipeline" and own else None,
        choice=choice,
        on_row=lambda done, total: report("clustering and scoring", done, total),
    )


def subsample_rows(config: Config, data: inputs.Inputs) -> np.ndarray | None:
    """The table of rows of the configuration's subsamples, None where it has none: the same for the same tracks.

    They are drawn from the tracks that are not held out.
    """
    if not config.subsamples:
        return None
    rows = data.trained_rows()
    if len(np.unique(data.tracks.group[rows])) < 2:
        raise InputError("--subsamples draws whole songs, and all tracks are of one group: leave it out")
    return rows[draw_subsamples(data.tracks.group[rows], count=config.subsamples)].astype(np.int32)


def populations(config: Config) -> list[str]:
    """Names of the populations that a run trains, each a folder of its checkpoints."""
    names = ["model"]
    if config.subsamples:
        names.append("subsamples")
    if config.controls:
        names.append("controls")
    if config.model != "autoencoder":
        names.append("autoencoder")
    return names


def restore_finished(plan: Plan, names: Sequence[str] = ("model",)) -> dict[str, checkpoint.Checkpoint]:
    """Restores populations of a run, by their names.

    Raises:
      InputError: if one is damaged, or was not trained to the last epoch.
    """
    root = plan.run_dir / "checkpoints"
    begun = [name for name in names if checkpoint.latest_epoch(root / name) is not None]
    restored = {name: checkpoint.restore(root / name, tell=print_line) for name in begun}
    for name in names:
        epoch = restored[name].epoch if name in restored else 0
        if epoch != plan.config.epochs:
            raise InputError(
                f"{plan.run_dir}: the {name} stopped at epoch {epoch} of {plan.config.epochs}: finish it with "
                f"python -m experiments.run --resume --run_dir={plan.run_dir}"
            )
    return restored


def check(config: Config) -> None:
    """Raises InputError where a model and its condition do not go together."""
    model = MODELS[config.model]
    if model.conditional and config.condition == "none":
        raise InputError(f"{config.model} needs a condition: --condition=modality, or the name of classes")
    if not model.conditional and config.condition != "none":
        raise InputError(f"{config.model} does not look at a condition: leave out --condition, or take --model=cvae")
    if model.multimodal and (config.condition != "modality" or config.fusion != "concat"):
        raise InputError(f"{config.model} has an encoder for each block: it takes --condition=modality --fusion=concat")
    if not model.variational:
        used = {name: getattr(config, name) != getattr(DEFAULTS[config.model], name) for name in _OF_KL}
        if idle := [f"--{name}" for name in _OF_KL if used[name]]:
            raise InputError(f"{config.model} has no KL term, and does not look at {', '.join(idle)}: leave that out")
    if config.weights and config.fusion != "weighted":
        raise InputError(f"--fusion={config.fusion} does not look at --weights: leave them out, or --fusion=weighted")
    if config.k_source == "given":
        from musiclust.cluster import WITHOUT_K  # brings scikit-learn, which takes seconds to load

        if set(config.clusterer) <= WITHOUT_K:
            raise InputError(f"{', '.join(config.clusterer)} does not look at --k: leave it out, or add kmeans, say")


def build_model(config: Config, fusion: Fusion, input_shape: tuple[int, ...]) -> Model:
    """The configuration's network for inputs of that shape and fusion."""
    kind, given = MODELS[config.model], dict(config.options)
    if kind.multimodal:
        given["modalities"] = fusion.widths
    return kind(input_shape=input_shape, latent_dim=config.latent_dim, **given)


def _train(
    plan: Plan, given: inputs.Inputs, report: Report, resume: bool, checkpoint_seconds: float
) -> dict[str, Fitted]:
    """The model's population, the same on subsamples and controls where there are any, and, unless the model is one
    itself, the autoencoder of the baseline, one for each seed."""
    config, data, fusion = plan.config, given.data, given.fusion
    x, rows = data.x, subsample_rows(plan.config, given)
    limit = int(config.max_memory * 2**30) or None
    recipe = Recipe(
        batch_size=config.batch_size,
        schedule=config.schedule,
        beta_schedule=config.beta_schedule,
        neighbours=config.neighbours,
        patience=config.patience,
        precision=config.precision,
        free_bits=config.free_bits,
        capacity=config.capacity,
    )
    model = build_model(config, fusion, x.shape[1:])
    settings = product(config.seed, config.beta, config.learning_rate)
    works = {"model": _Work(model, recipe, data, settings, held_out=given.held_out)}
    if rows is not None:
        settings = product(config.seed, config.beta, config.learning_rate, range(len(rows)))
        works["subsamples"] = _Work(model, recipe, data, settings, rows, given.held_out)
    if config.controls:
        each = [make_control(name, config.condition, given) for name in config.controls]
        together = Data(*(np.concatenate(parts) for parts in zip(*each, strict=True)))
        settings = product(config.seed, config.beta[:1], config.learning_rate[:1], range(len(each)))
        # Each control has tracks of its own, and so none of them looks at the held-out ones.
        untimed = replace(recipe, patience=0)
        works["controls"] = _Work(model, untimed, together, settings, given.stacked_rows(len(each)))
    if config.model != "autoencoder":
        # An image has tens of thousands of columns: the baseline's first layer is kept narrow.
        hidden = (512, 256, 128) if x.ndim == 2 else (128, 64)
        baseline = MODELS["autoencoder"](input_shape=x.shape[1:], latent_dim=config.latent_dim, hidden=hidden)
        settings = product(config.seed, config.beta[:1], config.learning_rate[:1])
        plain = replace(recipe, neighbours=0.0, free_bits=0.0, capacity=0.0)
        works["autoencoder"] = _Work(baseline, plain, Data(x), settings, held_out=given.held_out)

    def ready(work: _Work) -> Prepared:
        return prepare(
            work.model,
            work.recipe,
            work.data,
            settings=work.settings,
            epochs=config.epochs,
            rows=work.rows,
            held_out=work.held_out,
            max_memory=limit,
            split_batches=config.split_batches,
        )

    report("compiling", 0, 1)
    first = ready(works["model"])
    report("compiling", 1, 1)
    if not resume and is_first_host():
        write_plan(plan)  # only now: a run that cannot start leaves nothing behind
    fitted: dict[str, Fitted] = {}
    meta = {"config": config.to_json(), "specs": {block.name: dict(block.spec) for block in given.blocks}}
    # The other programs are compiled, and what scoring needs is loaded, while the model trains.
    with ThreadPoolExecutor(2) as pool:
        pool.submit(import_module, "experiments.study.results")
        coming = {name: pool.submit(ready, work) for name, work in works.items() if name != "model"}
        for name, work in works.items():
            title = f"training on {name}" if name in ("subsamples", "controls") else f"training {name}"
            title += f" x {len(work.settings)}" if len(work.settings) > 1 else ""
            report(title, 0, config.epochs)
            fitted[name] = fit(
                coming[name].result() if name in coming else first,
                fusion=fusion,
                root=plan.run_dir / "checkpoints" / name,
                meta=meta,
                resume=resume,
                checkpoint_seconds=checkpoint_seconds,
                on_epochs=lambda done, _, title=title: report(title, done, config.epochs),
                tell=print_line,
                on_part=lambda done, parts, title=title: report(f"{title}, an epoch", done, parts),
            )
    return fitted
