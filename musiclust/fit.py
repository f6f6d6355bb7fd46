"""A population trained with checkpoints, so that a killed run goes on from where it was.

    prepared = sweep.prepare(model, recipe, data, settings=..., epochs=100)
    fitted = fit(prepared, fusion=..., root=..., meta=...)

Training itself is `sweep.train_chunks`. After a chunk a checkpoint is written when the last one is old enough. An epoch
of streamed data may take an hour: checkpoints in the midst of one stand beside `root`, and go when training is over.
Of several hosts that train together (`jax.distributed`) each calls `fit`, and the first one writes.
"""

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from musiclust import checkpoint
from musiclust.devices import is_first_host
from musiclust.epochs import Chunk, Diverged, Prepared, Trained
from musiclust.errors import InputError
from musiclust.fusion import Fusion
from musiclust.sweep import train_chunks
from musiclust.types import History


class Fitted(NamedTuple):
    """The last checkpoint of a population, and what it cost: seconds to compile and to train in this process."""

    checkpoint: checkpoint.Checkpoint
    compile_seconds: float
    training_seconds: float


def fit(
    prepared: Prepared,
    *,
    fusion: Fusion,
    root: Path,
    meta: Mapping[str, Any],
    resume: bool = False,
    checkpoint_seconds: float = 20.0,
    on_epochs: Callable[[int, History], None] = lambda epochs, history: None,
    on_part: Callable[[int, int], None] = lambda done, parts: None,
    tell: checkpoint.Tell = checkpoint.warn,
) -> Fitted:
    """Trains the replicas and leaves the checkpoint under `root`.

    Args:
      fusion, meta: go into the checkpoint with the states.
      resume: go on from the latest checkpoint under `root`, if there is one; the end is that of the unbroken run.
      checkpoint_seconds: the least time between two checkpoints; the last epoch always gets one.
      on_epochs: called with (epochs done, History of the replicas since the last call). A KeyboardInterrupt that it
        raises leaves a checkpoint.
      on_part: called in the midst of an epoch of streamed data with (parts of it that are done, parts in all), and may
        raise as well.
      tell: is called with one line where the latest checkpoint is damaged, and training goes on from the one before it;
        by default a warning.

    Raises:
      InputError: when a loss is not finite, and names epoch, replica and the last good checkpoint; or when there are
        checkpoints to go on from, and all are damaged or of another training.
    """
    conditions = int(prepared.shared.data.cond.shape[1])
    started = time.perf_counter()
    saved = checkpoint.restore(root, tell=tell) if resume and checkpoint.latest_epoch(root) is not None else None
    if saved:
        _check_same(saved, prepared, root)
    if saved and saved.epoch >= prepared.epochs:
        return Fitted(saved, prepared.compile_seconds, time.perf_counter() - started)
    begun = saved and Trained(
        prepared.model, prepared.recipe, prepared.settings, saved.epoch, saved.states, saved.history
    )
    within = root.with_name(f"{root.name}_in_epoch")
    if resume:
        begun = _restore_within(within, prepared, begun, tell)

    def current(trained: Trained) -> checkpoint.Checkpoint:
        model, recipe, settings, epoch, states, history, _ = trained
        return checkpoint.Checkpoint(epoch, model, recipe, settings, states, history, fusion, conditions, meta)

    writes = is_first_host()

    def save(chunk: Chunk) -> checkpoint.Checkpoint:
        trained = chunk.trained()
        found = current(trained)
        if not writes:
            return found
        if trained.part:
            checkpoint.save(within, found._replace(epoch=trained.epoch * chunk.parts + trained.part))
        else:
            checkpoint.save(root, found)
        return found

    saved_at, last_good = time.perf_counter(), saved.epoch if saved else 0
    last = None
    try:
        for chunk in train_chunks(prepared, begun):
            try:
                if chunk.parts_done:
                    on_part(chunk.parts_done, chunk.parts)
                else:
                    on_epochs(chunk.epoch, chunk.part)
            except KeyboardInterrupt:
                save(chunk)
                raise
            over = chunk.epoch == prepared.epochs
            if over or time.perf_counter() - saved_at > checkpoint_seconds:
                last = save(chunk)
                saved_at, last_good = time.perf_counter(), last_good if chunk.parts_done else chunk.epoch
    except Diverged as error:
        good = f"the last good checkpoint is {root}/{last_good}" if last_good else "there is no checkpoint before it"
        raise InputError(f"{error.where}; {good}: lower `learning_rate` or `beta`") from error
    assert last is not None  # the last chunk ends at the last epoch
    if writes:
        shutil.rmtree(within, ignore_errors=True)
    return Fitted(last, prepared.compile_seconds, time.perf_counter() - started)


def _check_same(saved: checkpoint.Checkpoint, prepared: Prepared, root: Path) -> None:
    """Raises InputError if a checkpoint is of another training than the one that is to go on."""
    of_saved, asked = ((one.model, one.recipe, tuple(one.settings)) for one in (saved, prepared))
    if of_saved != asked:
        raise InputError(
            f"{root}/{saved.epoch} is of another model, recipe or setting than are asked for: choose another folder"
        )


def _restore_within(root: Path, prepared: Prepared, begun: Trained | None, tell: checkpoint.Tell) -> Trained | None:
    """The replicas in the midst of an epoch, where they were saved later than those that `begun` has."""
    if prepared.chunks is None or checkpoint.latest_epoch(root) is None:
        return begun
    saved = checkpoint.restore(root, tell=tell)
    _check_same(saved, prepared, root)
    epoch, part = divmod(saved.epoch, prepared.chunks.number * len({setting.rows for setting in prepared.settings}))
    if begun is not None and begun.epoch > epoch:
        return begun
    return Trained(prepared.model, prepared.recipe, prepared.settings, epoch, saved.states, saved.history, part)
