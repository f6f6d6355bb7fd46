"""Blocks of features to one matrix, by a transform that is fitted once and applied to new tracks alike.

Rows are tracks, in the order of the blocks (which must agree: see `store.align`). A row that is not valid in a block
(a track without words) takes no part in fitting it and comes out as zeros, the block's mean.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from musiclust.errors import InputError
from musiclust.types import Block

Arrays = Mapping[str, np.ndarray]


class Fusion(NamedTuple):
    """A fitted transform, all that a checkpoint needs to treat a new track alike.

    how: its name in FUSIONS; blocks: names of the blocks, in order; arrays: one mapping a block.
    """

    how: str
    blocks: tuple[str, ...]
    arrays: tuple[Arrays, ...]


class Fused(NamedTuple):
    """x (N, *D) float32; mask (N, M) float32, 1 where block m is valid; fusion: the transform that made x."""

    x: Float[np.ndarray, "N *D"]
    mask: Float[np.ndarray, "N M"]
    fusion: Fusion


def fuse(blocks: Sequence[Block], *, how: str = "concat") -> Fused:
    """Fits the fusion `how` on the blocks and applies it to them.

    A block of two axes whose spec names no columns for the last one is an image, (N, mel, frame): alone it keeps its
    axes, each mel band standardised over tracks and frames.

    Raises:
      InputError: for an unknown `how`, for no block, or for a block in which no track is valid.
    """
    if how not in FUSIONS:
        raise InputError(f"unknown fusion {how!r}: choose from {', '.join(FUSIONS)}")
    if not blocks:
        raise InputError("no features to fuse: name at least one block with --features")
    for block in blocks:
        if not block.valid.any():
            raise InputError(f"no track has {block.name}: leave it out of --features")
    fitted = tuple(_fit(block, image=_is_image(blocks)) for block in blocks)
    fusion = Fusion(how, tuple(block.name for block in blocks), FUSIONS[how](blocks, fitted))
    return Fused(apply(fusion, blocks), modality_mask(blocks), fusion)


def apply(fusion: Fusion, blocks: Sequence[Block]) -> Float[np.ndarray, "N *D"]:
    """What `fuse` made of its blocks, made of others: x (N, *D) float32.

    Raises:
      InputError: if the blocks are not those of the fusion, in its order, or of other widths.
    """
    names = tuple(block.name for block in blocks)
    if names != fusion.blocks:
        raise InputError(f"the run was trained on {', '.join(fusion.blocks)}, not on {', '.join(names)}")
    image = _is_image(blocks)
    parts = []
    for block, arrays in zip(blocks, fusion.arrays, strict=True):
        values = _values(block, image)
        if values.shape[1] != len(arrays["mean"]):
            raise InputError(
                f"block {block.name} has {values.shape[1]} columns, the run was trained on {len(arrays['mean'])}"
            )
        scaled = (values - _columns(arrays["mean"], values)) * _columns(arrays["factor"], values)
        parts.append(np.where(_columns(block.valid, values, axis=0), scaled, 0.0).astype(np.float32))
    return parts[0] if image else np.concatenate(parts, axis=1)


def modality_mask(blocks: Sequence[Block]) -> Float[np.ndarray, "N M"]:
    """(N, M) float32: 1 where block m has something to say of the track, else 0."""
    return np.stack([block.valid for block in blocks], axis=1).astype(np.float32)


def _is_image(blocks: Sequence[Block]) -> bool:
    return len(blocks) == 1 and blocks[0].values.ndim == 3 and not blocks[0].spec.get("columns")


def _values(block: Block, image: bool) -> np.ndarray:
    return block.values if image else np.asarray(block.values).reshape(len(block.values), -1)


def _columns(vector: np.ndarray, values: np.ndarray, axis: int = 1) -> np.ndarray:
    """`vector` shaped to broadcast along `axis` of `values`."""
    return vector.reshape([-1 if i == axis else 1 for i in range(values.ndim)])


def _fit(block: Block, image: bool) -> dict[str, np.ndarray]:
    """Mean and 1 / standard deviation of each column over valid tracks; a constant column gets factor 0."""
    values = _values(block, image)[block.valid].astype(np.float64)
    axes = (0, 2) if image else (0,)
    mean, deviation = values.mean(axis=axes), values.std(axis=axes)
    varies = deviation > 1e-6 * np.maximum(1.0, np.abs(mean))
    factor = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=varies)
    return {"mean": mean.astype(np.float32), "factor": factor.astype(np.float32)}


def _concat(blocks: Sequence[Block], fitted: Sequence[Arrays]) -> tuple[Arrays, ...]:
    """Columns standardised, then each block scaled to the total variance of the narrowest one.

    So 384 columns of text weigh as much as 20 of audio, not 19 times as much.
    """
    widths = [max(1, np.count_nonzero(arrays["factor"])) for arrays in fitted]
    return tuple(
        {**arrays, "factor": arrays["factor"] * np.float32(np.sqrt(min(widths) / width))}
        for arrays, width in zip(fitted, widths, strict=True)
    )


def _plain(blocks: Sequence[Block], fitted: Sequence[Arrays]) -> tuple[Arrays, ...]:
    """Audio columns standardised, text embeddings as they are: the first report's concatenation."""
    return tuple(
        {"mean": np.zeros_like(arrays["mean"]), "factor": np.ones_like(arrays["factor"])}
        if block.name == "lyrics"
        else arrays
        for block, arrays in zip(blocks, fitted, strict=True)
    )


# name -> (blocks, (mean, factor) of each block's columns -> the arrays to apply)
FUSIONS: dict[str, Callable[[Sequence[Block], Sequence[Arrays]], tuple[Arrays, ...]]] = {
    "concat": _concat,
    "plain": _plain,
}
