"""Controls: the same training on data from which one thing was taken.

They tell what helps from what is merely there: whatever a control scores is not to the credit of what was taken. A
control has the shape of the data, so that its replicas are trained beside one another in one program.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from experiments.study.inputs import Inputs, conditioned_on_classes
from musiclust import fusion
from musiclust.errors import InputError
from musiclust.metrics.nulls import Surrogates
from musiclust.types import Block, Data

MASK_ONLY = "mask only"  # a row of its own: which tracks have words, and nothing else


def mask_pattern(blocks: Sequence[Block]) -> np.ndarray | None:
    """(N,) the number of each track's pattern of what it has and lacks; None where all tracks have the same."""
    mask = fusion.modality_mask(blocks)
    patterns, pattern = np.unique(mask, axis=0, return_inverse=True)
    return pattern.reshape(-1) if len(patterns) > 1 else None


def shows_mask(inputs: Inputs) -> bool:
    """Whether a model of these inputs can see which tracks lack a block: by its condition, or by rows of zeros."""
    return mask_pattern(inputs.blocks) is not None


def make_control(name: str, condition: str, inputs: Inputs) -> Data:
    """The data of a control.

    Args:
      name: in configs.CONTROLS, which are the names of MAKERS.
      condition: that of the run.

    Raises:
      InputError: if the run has nothing that the control could take.
    """
    return MAKERS[name](condition, inputs)


def _shuffle_words(condition: str, inputs: Inputs) -> Data:
    """The words of each track are those of another that has words; who has words stays."""

    def shuffled(block: Block) -> Block:
        rows = np.flatnonzero(block.valid)
        values = np.array(block.values)
        values[rows] = values[np.random.default_rng(0).permutation(rows)]
        return replace(block, values=values)

    return _with_words(inputs, shuffled)


def _take_words(condition: str, inputs: Inputs) -> Data:
    """No track has words, and none is told to have any."""

    def silent(block: Block) -> Block:
        return replace(block, values=np.zeros_like(block.values), valid=np.zeros_like(block.valid))

    data = _with_words(inputs, silent)
    if condition != "modality":
        return data
    return Data(data.x, fusion.modality_mask([silent(b) if b.name == "lyrics" else b for b in inputs.blocks]))


def _shuffle_classes(condition: str, inputs: Inputs) -> Data:
    """Each track is told the class of another that has and lacks the same blocks."""
    if not conditioned_on_classes(condition):
        raise InputError("--controls=classes_shuffled: the model is told no classes; leave it out")
    pattern, rng = mask_pattern(inputs.blocks), np.random.default_rng(0)
    cond = np.array(inputs.data.cond)
    for number in (0,) if pattern is None else np.unique(pattern):
        rows = np.arange(len(cond)) if pattern is None else np.flatnonzero(pattern == number)
        cond[rows] = cond[rng.permutation(rows)]
    return Data(inputs.data.x, cond)


def _make_noise(condition: str, inputs: Inputs) -> Data:
    """The features of a Gaussian cloud with the covariance of the data; who has words stays."""
    blocks = inputs.blocks
    drawn = Surrogates(
        [block.values for block in blocks],
        how="gaussian",
        group=inputs.tracks.group,
        valid=[block.valid for block in blocks],
    ).draw(0)
    noise = [replace(block, values=values) for block, values in zip(blocks, drawn, strict=True)]
    return Data(fusion.apply(inputs.fusion, noise), inputs.data.cond)


def _with_words(inputs: Inputs, change: Callable[[Block], Block]) -> Data:
    if not any(block.name == "lyrics" for block in inputs.blocks):
        raise InputError("--controls: the run takes no words (--features), so that there is nothing to shuffle or take")
    changed = [change(block) if block.name == "lyrics" else block for block in inputs.blocks]
    return Data(fusion.apply(inputs.fusion, changed), inputs.data.cond)


# name -> (the run's condition, its inputs -> the data of the control)
MAKERS: dict[str, Callable[[str, Inputs], Data]] = {
    "words_shuffled": _shuffle_words,
    "sound_only": _take_words,
    "classes_shuffled": _shuffle_classes,
    "noise": _make_noise,
}
