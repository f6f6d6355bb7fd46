"""Checkpoints: the only user of Orbax.

    <run>/checkpoints/model/<epoch>/        states of all replicas, History so far, fusion arrays, meta (JSON)
    <run>/checkpoints/autoencoder/<epoch>/  the same of the baseline
    <run>/checkpoints/clusters/             what places a new latent in a cluster

Enough to encode and place a new track with no data set present. Orbax writes under a temporary name and renames, so a
kill leaves the checkpoint before; the last two are kept.
"""

import errno
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jaxtyping import PyTree

from musiclust import population, training
from musiclust.errors import InputError
from musiclust.fusion import Fusion
from musiclust.models import MODELS, Model
from musiclust.types import Data, History, TrainState

FORMAT = 2
_NAMES_BEFORE = {"labels": "clusters"}  # of arrays in runs of version 0.1
_OVERHEAD = 2**20  # bytes of a checkpoint's metadata, amply


class Checkpoint(NamedTuple):
    """A population after `epoch` epochs, and what belongs to it.

    states: TrainState with a leading replica axis R; history: (R, epoch, ...); conditions: C, columns of cond;
    meta: JSON-able, the run's configuration.
    """

    epoch: int
    model: Model
    recipe: training.Recipe
    settings: tuple[training.Setting, ...]
    states: TrainState
    history: History
    fusion: Fusion
    conditions: int
    meta: Mapping[str, Any]


def save(root: Path, checkpoint: Checkpoint) -> None:
    """Writes the checkpoint as `root`/<epoch>; returns when it is on the disk.

    Raises:
      OSError: ENOSPC, before anything is written, if there is no room for it.
    """
    _check_room(root, checkpoint)
    name = next(name for name, kind in MODELS.items() if kind is type(checkpoint.model))
    options = {
        field: getattr(checkpoint.model, field)
        for field in type(checkpoint.model).__dataclass_fields__
        if field not in ("parent", "name")
    }
    record = {
        "format": FORMAT,
        "model": {"name": name, "options": options},
        "recipe": asdict(checkpoint.recipe),
        "settings": [list(setting) for setting in checkpoint.settings],
        "conditions": checkpoint.conditions,
        "fusion": {"how": checkpoint.fusion.how, "blocks": list(checkpoint.fusion.blocks)},
        "meta": dict(checkpoint.meta),
    }
    arrays = dict(zip(checkpoint.fusion.blocks, checkpoint.fusion.arrays, strict=True))
    with _manager(root, ocp.CheckpointManagerOptions(max_to_keep=2)) as manager:
        manager.save(
            checkpoint.epoch,
            args=ocp.args.Composite(
                states=ocp.args.StandardSave(_words(checkpoint.states)),
                history=ocp.args.StandardSave(checkpoint.history._asdict()),
                fusion=ocp.args.StandardSave(arrays),
                record=ocp.args.JsonSave(record),
            ),
        )


def restore(root: Path) -> Checkpoint:
    """The latest checkpoint under `root`.

    Raises:
      InputError: if there is none, it is of another format, or it does not hold what it says.
    """
    epoch = latest_epoch(root)
    if epoch is None:
        raise InputError(f"{root} holds no checkpoint: is this a finished run? start it again with experiments.run")
    try:
        with _manager(root) as manager:
            record = manager.restore(epoch, args=ocp.args.Composite(record=ocp.args.JsonRestore())).record
            if record.get("format") != FORMAT:
                raise InputError(
                    f"{root}: checkpoint of format {record.get('format')}, this version reads {FORMAT}: train again"
                )
            name, options = record["model"]["name"], record["model"]["options"]
            # JSON has no tuples, and Flax no use for lists.
            model = MODELS[name](**{key: tuple(v) if isinstance(v, list) else v for key, v in options.items()})
            items = manager.restore(
                epoch,
                args=ocp.args.Composite(
                    states=ocp.args.StandardRestore(_abstract(model, len(record["settings"]), record["conditions"])),
                    history=ocp.args.StandardRestore(),
                    fusion=ocp.args.StandardRestore(),
                ),
            )
    except (ValueError, KeyError, TypeError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"{root}/{epoch}: damaged, or of another version ({reason}): train again") from error
    blocks = record["fusion"]["blocks"]
    arrays = tuple({name: np.asarray(value) for name, value in items.fusion[block].items()} for block in blocks)
    history = {name: np.asarray(value) for name, value in items.history.items()}
    loss = history["loss"]
    # Runs of versions before 0.3 have neither.
    history = {"neighbours": np.zeros_like(loss), "held_out": np.full_like(loss, np.nan)} | history
    states = items.states._replace(key=jax.random.wrap_key_data(items.states.key))
    return Checkpoint(
        epoch=epoch,
        model=model,
        recipe=training.Recipe(**record["recipe"]),
        settings=tuple(training.Setting(*setting) for setting in record["settings"]),
        states=states,
        history=History(**history),
        fusion=Fusion(record["fusion"]["how"], tuple(blocks), arrays),
        conditions=record["conditions"],
        meta=record["meta"],
    )


def latest_epoch(root: Path) -> int | None:
    """Epochs trained in the latest checkpoint under `root`; None where there is none."""
    if not root.is_dir():
        return None
    with _manager(root) as manager:
        return manager.latest_step()


def save_arrays(root: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes named arrays (a clustering's state, say), replacing what was there."""
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(root.absolute(), dict(arrays), force=True)


def restore_arrays(root: Path) -> dict[str, np.ndarray]:
    """What `save_arrays` wrote.

    Raises:
      InputError: if it is not there.
    """
    if not root.is_dir():
        raise InputError(f"{root} is missing: the run did not finish; start it again with `resume`")
    with ocp.StandardCheckpointer() as checkpointer:
        found: dict[str, Any] = checkpointer.restore(root.absolute())
    return {_NAMES_BEFORE.get(name, name): np.asarray(value) for name, value in found.items()}


def _check_room(root: Path, checkpoint: Checkpoint) -> None:
    """Orbax, out of disk, fails in its threads, each with a traceback of its own: so it is not begun."""
    root.mkdir(parents=True, exist_ok=True)
    arrays = (_words(checkpoint.states), checkpoint.history, checkpoint.fusion.arrays)
    needed = _OVERHEAD + sum(leaf.nbytes for leaf in jax.tree.leaves(arrays))
    if shutil.disk_usage(root).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(root))


def _manager(root: Path, options: ocp.CheckpointManagerOptions | None = None) -> ocp.CheckpointManager:
    return ocp.CheckpointManager(root.absolute(), options=options or ocp.CheckpointManagerOptions(read_only=True))


def _abstract(model: Model, replicas: int, conditions: int) -> PyTree:
    """Shapes and types of a population's states, with keys as their words."""
    data = Data(jnp.zeros((1, *model.input_shape)), jnp.zeros((1, conditions)))
    states = jax.eval_shape(lambda seeds: population.init(model, seeds, data), jnp.arange(replicas))
    return jax.eval_shape(_words, states)


def _words(states: TrainState) -> TrainState:
    """The states with each key as its words: Orbax stores plain arrays."""
    return states._replace(key=jax.random.key_data(states.key))
