"""Checkpoints: the only user of Orbax.

    <run>/checkpoints/model/<epoch>/        states of all replicas, History so far, fusion arrays, meta (JSON)
    <run>/checkpoints/autoencoder/<epoch>/  the same of the baseline
    <run>/checkpoints/clusters/             what places a new latent in a cluster

Enough to encode and place a new track with no data set present. Orbax writes under a temporary name and renames, so a
kill leaves the checkpoint before; the last two are kept. Then digests.json is written into the checkpoint, and whatever
is restored must be what was written: a flipped bit can make a parameter 1e38, and no other thing would tell. Runs of
earlier versions have no digests and are restored as they are.

Of several hosts that train together each restores by itself, and one saves.
"""

import errno
import os
import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import SingleDeviceSharding
from jaxtyping import PyTree

from musiclust import devices, population, training
from musiclust.digests import check_files, list_files, write_digests
from musiclust.errors import InputError
from musiclust.fusion import Fusion
from musiclust.models import MODELS, Model
from musiclust.records import Record, check_record
from musiclust.types import Data, History, TrainState

FORMAT = 2

Tell = Callable[[str], None]

_NAMES_BEFORE = {"labels": "clusters"}  # of arrays in runs of version 0.1
_OVERHEAD = 2**20  # bytes of a checkpoint's metadata, amply


class _ModelRecord(Record, frozen=True):
    """A model: its name in MODELS and its attributes."""

    name: str
    options: dict[str, Any]


class _FusionRecord(Record, frozen=True):
    """A fusion without its arrays."""

    how: str
    blocks: list[str]


class _Record(Record, frozen=True):
    """What a checkpoint holds beside arrays."""

    format: int
    model: _ModelRecord
    recipe: dict[str, Any]
    settings: list[training.Setting]
    conditions: int
    fusion: _FusionRecord
    meta: dict[str, Any]


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

    Those of as many epochs or more, which were damaged or are of a training before, are removed.

    Raises:
      OSError: ENOSPC, before anything is written, if there is no room for it.
    """
    _check_room(root, checkpoint)
    name = next(name for name, kind in MODELS.items() if kind is type(checkpoint.model))
    attributes = {
        field: getattr(checkpoint.model, field)
        for field in type(checkpoint.model).__dataclass_fields__
        if field not in ("parent", "name")
    }
    record = {
        "format": FORMAT,
        "model": {"name": name, "options": attributes},
        "recipe": asdict(checkpoint.recipe),
        "settings": [list(setting) for setting in checkpoint.settings],
        "conditions": checkpoint.conditions,
        "fusion": {"how": checkpoint.fusion.how, "blocks": list(checkpoint.fusion.blocks)},
        "meta": dict(checkpoint.meta),
    }
    arrays = dict(zip(checkpoint.fusion.blocks, checkpoint.fusion.arrays, strict=True))
    _remove_from(root, checkpoint.epoch)
    options = ocp.CheckpointManagerOptions(max_to_keep=2, create=False, multiprocessing_options=_alone())
    with ocp.CheckpointManager(root.absolute(), options=options) as manager:
        manager.save(
            checkpoint.epoch,
            args=ocp.args.Composite(
                states=ocp.args.StandardSave(jax.tree.map(np.asarray, _words(checkpoint.states))),
                history=ocp.args.StandardSave(checkpoint.history._asdict()),
                fusion=ocp.args.StandardSave(arrays),
                record=ocp.args.JsonSave(record),
            ),
        )
    write_digests(root / str(checkpoint.epoch), list_files(root / str(checkpoint.epoch)))


def warn(line: str) -> None:
    """Tells a line as a warning."""
    warnings.warn(line, stacklevel=3)


def restore(root: Path, *, tell: Tell = warn) -> Checkpoint:
    """The latest checkpoint under `root` that is whole.

    Args:
      tell: is called with one line where a later one is damaged; by default a warning.

    Raises:
      InputError: if there is none, or none that is of this format and holds what it says.
    """
    epochs = _list_epochs(root)
    if not epochs:
        raise InputError(f"{root} holds no checkpoint: is this a finished run? start it again with experiments.run")
    faults = []
    for epoch in reversed(epochs):
        try:
            found = _restore(root, epoch)
        except InputError as error:
            faults.append(error)
            continue
        if faults:
            tell(f"{faults[0]}: the checkpoint before it, of epoch {epoch}, is taken")
        return found
    raise InputError(f"{faults[0]}: train again, or delete {root} and go on with `resume`") from faults[0]


def _restore(root: Path, epoch: int) -> Checkpoint:
    """Raises InputError: "<path> <fault>", without a remedy."""
    folder = root / str(epoch)
    check_files(folder)
    try:
        alone = _alone()
        handler = ocp.CompositeCheckpointHandler(composite_options=ocp.CompositeOptions(multiprocessing_options=alone))
        with ocp.Checkpointer(handler, multiprocessing_options=alone) as checkpointer:
            path = folder.absolute()
            told: Any = checkpointer.restore(path, args=ocp.args.Composite(record=ocp.args.JsonRestore()))
            record = check_record(told.record, _Record, version=FORMAT)
            # JSON has no tuples, and Flax no use for lists.
            options = {key: tuple(v) if isinstance(v, list) else v for key, v in record.model.options.items()}
            model = MODELS[record.model.name](**options)
            items: Any = checkpointer.restore(
                path,
                args=ocp.args.Composite(
                    states=ocp.args.StandardRestore(_abstract(model, len(record.settings), record.conditions)),
                    history=ocp.args.StandardRestore(),
                    fusion=ocp.args.StandardRestore(),
                ),
            )
        return _assemble(epoch, model, record, items)
    except Exception as error:  # Orbax, TensorStore and Flax have errors of their own
        reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        raise InputError(f"{folder} is damaged, or of another version ({reason})") from error


def _alone() -> ocp.options.MultiprocessingOptions:
    """Lets Orbax wait for no other host, as it else does wherever there are several."""
    if not devices.are_several_hosts():
        return ocp.options.MultiprocessingOptions()
    this = jax.process_index()
    return ocp.options.MultiprocessingOptions(this, {this}, f"host {this}")


def _assemble(epoch: int, model: Model, record: _Record, items: Any) -> Checkpoint:
    """Raises all kinds of errors where the arrays are not those that the record tells of."""
    blocks = tuple(record.fusion.blocks)
    arrays = tuple({name: np.asarray(value) for name, value in items.fusion[block].items()} for block in blocks)
    history = {name: np.asarray(value) for name, value in items.history.items()}
    loss = history["loss"]
    # Runs of versions before 0.3 have neither.
    history = {"neighbours": np.zeros_like(loss), "held_out": np.full_like(loss, np.nan)} | history
    check_record(record.recipe, training.Recipe)
    return Checkpoint(
        epoch=epoch,
        model=model,
        recipe=training.Recipe(**record.recipe),
        settings=tuple(record.settings),
        states=items.states._replace(key=jax.random.wrap_key_data(items.states.key)),
        history=History(**history),
        fusion=Fusion(record.fusion.how, blocks, arrays),
        conditions=record.conditions,
        meta=record.meta,
    )


def latest_epoch(root: Path) -> int | None:
    """Epochs trained in the latest checkpoint under `root`, whole or not; None where there is none."""
    return max(_list_epochs(root), default=None)


def _remove_from(root: Path, epoch: int) -> None:
    """Removes the checkpoints under `root` of so many epochs or more: Orbax saves none before the latest."""
    for later in _list_epochs(root):
        if later >= epoch:
            path = root / str(later)
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _list_epochs(root: Path) -> list[int]:
    """The epochs of the checkpoints under `root`, in ascending order: Orbax gives such a name to what it has ended."""
    return sorted(int(path.name) for path in root.iterdir() if path.name.isdecimal()) if root.is_dir() else []


def save_arrays(root: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes named arrays (a clustering's state, say), replacing what was there."""
    with ocp.StandardCheckpointer(multiprocessing_options=_alone()) as checkpointer:
        checkpointer.save(root.absolute(), dict(arrays), force=True)
    write_digests(root, list_files(root))


def restore_arrays(root: Path) -> dict[str, np.ndarray]:
    """What `save_arrays` wrote.

    Raises:
      InputError: if it is not there, or damaged.
    """
    remedy = "start the run again with `resume`"
    if not root.is_dir():
        raise InputError(f"{root} is missing, because the run did not finish: {remedy}")
    try:
        check_files(root)
    except InputError as error:
        raise InputError(f"{error}: {remedy}") from error
    try:
        with ocp.StandardCheckpointer(multiprocessing_options=_alone()) as checkpointer:
            found: dict[str, Any] = checkpointer.restore(root.absolute())
        return {_NAMES_BEFORE.get(name, name): np.asarray(value) for name, value in found.items()}
    except Exception as error:  # Orbax and TensorStore have errors of their own
        reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        raise InputError(f"{root} is damaged, or of another version ({reason}): {remedy}") from error


def _check_room(root: Path, checkpoint: Checkpoint) -> None:
    """Orbax, out of disk, fails in its threads, each with a traceback of its own: so it is not begun."""
    root.mkdir(parents=True, exist_ok=True)
    arrays = (_words(checkpoint.states), checkpoint.history, checkpoint.fusion.arrays)
    needed = _OVERHEAD + sum(leaf.nbytes for leaf in jax.tree.leaves(arrays))
    if shutil.disk_usage(root).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(root))


def _abstract(model: Model, replicas: int, conditions: int) -> PyTree:
    """Shapes and types of a population's states, with keys as their words."""
    data = Data(jnp.zeros((1, *model.input_shape)), jnp.zeros((1, conditions)))
    states = jax.eval_shape(lambda seeds: population.init(model, seeds, data), jnp.arange(replicas))
    here = SingleDeviceSharding(jax.local_devices()[0])
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here), jax.eval_shape(_words, states)
    )


def _words(states: TrainState) -> TrainState:
    """The states with each key as its words: Orbax stores plain arrays."""
    return states._replace(key=jax.random.key_data(states.key))
