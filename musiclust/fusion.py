"""Blocks of features to one matrix, by a transform that is fitted once and applied to new tracks alike.

Two choices make it: how the columns of each block are scaled (SCALINGS), and how the scaled blocks come together
(FUSIONS). The latents of several runs are blocks too: one a run, and one more of the genre where that may be seen.

Rows are tracks, in the order of the blocks (which must agree: see `store.align`). A row that is not valid in a block
(a track without words) takes no part in scaling it and comes out as zeros, the block's mean.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from musiclust import streaming
from musiclust.errors import InputError
from musiclust.points import check_rows
from musiclust.types import Block

COMPONENTS = 64  # of the weighted and the PCA fusion, as in the first report
TEXT_WEIGHT = 0.4  # of the words in the weighted fusion, likewise

Arrays = Mapping[str, np.ndarray]


class Fusion(NamedTuple):
    """A fitted transform, all that a checkpoint needs to treat a new track alike.

    how: its name in FUSIONS; blocks: names of the blocks, in order; arrays: one mapping a block, of "mean" and
    "factor" (D,), "exponent" (D,) where columns are made less skewed, "length" () where rows are brought to one length,
    "basis" (D, P) where blocks are projected and added up.
    """

    how: str
    blocks: tuple[str, ...]
    arrays: tuple[Arrays, ...]

    @property
    def widths(self) -> tuple[int, ...]:
        """Columns of each block as it came."""
        return tuple(len(arrays["mean"]) for arrays in self.arrays)


class Fused(NamedTuple):
    """x (N, *D) float32; fusion: the transform that made it."""

    x: Float[np.ndarray, "N *D"]
    fusion: Fusion


def fuse(
    blocks: Sequence[Block], *, how: str = "concat", scaling: str = "balanced", weights: Sequence[float] = ()
) -> Fused:
    """Fits a fusion on the blocks and applies it to them.

    A block of two axes whose spec names no columns for the last one is an image, (N, mel, frame): alone it keeps its
    axes, each mel band standardised over tracks and frames.

    Args:
      how: in FUSIONS. scaling: in SCALINGS.
      weights: one a block, for the weighted fusion; by default 0.4 for the words, where there are words and sound, and
        equal shares else.

    Raises:
      InputError: for an unknown choice, for no block, for a block in which no track is valid, or for weights that are
        not one positive number a block.
    """
    _check_choices(blocks, how, scaling)
    image = how == "concat" and is_image(blocks)
    scaled = tuple(_standard(block, image, power=scaling == "power") for block in blocks)
    arrays = FUSIONS[how](blocks, SCALINGS[scaling](blocks, scaled), _weights(blocks, weights))
    fusion = Fusion(how, tuple(block.name for block in blocks), tuple(arrays))
    return Fused(apply(fusion, blocks), fusion)


def fit_in_pieces(
    blocks: Sequence[Block],
    rows: Int[np.ndarray, " n"] | None = None,
    *,
    how: str = "concat",
    scaling: str = "balanced",
    weights: Sequence[float] = (),
) -> Fusion:
    """Fits a fusion in one pass over blocks that are too large for memory, some rows at a time.

    Means and variances are put together of those of the pieces (Chan, Golub and LeVeque, The American Statistician
    1983) in float64. They are those of `fuse` but for rounding.

    Args:
      rows: on which it is fitted; None for all.
      how, scaling, weights: as in `fuse`.

    Raises:
      InputError: as `fuse`, for what looks at all rows at once (another fusion than "concat", "power"), and for a block
        that holds NaN or infinity.
    """
    _check_choices(blocks, how, scaling)
    for name, choice, possible in (("fusion", how, "concat"), ("scaling", scaling, "balanced")):
        if choice == "power" or (name == "fusion" and choice != possible):
            raise InputError(
                f"`{name}` = {choice} looks at all tracks at once, and these features are too many for memory: choose "
                f"`{name}` = {possible}"
            )
    image = is_image(blocks)
    rows = np.arange(len(blocks[0].values)) if rows is None else rows
    moments: list[_Moments | None] = [None] * len(blocks)
    for piece in streaming.pieces_of(blocks, rows):
        for number, block in enumerate(piece):
            if block.valid.any():
                moments[number] = _add_moments(moments[number], _values(block, image)[block.valid], image)
    scaled = []
    for block, found in zip(blocks, moments, strict=True):
        if found is None:
            raise InputError(f"no track that is trained on has {block.name}: leave it out of `features`")
        if not np.isfinite(found.squares).all():
            raise InputError(f"block {block.name} holds NaN or infinity: preprocess its tracks again")
        scaled.append(_as_arrays(found.mean, np.sqrt(found.squares / found.count)))
    arrays = FUSIONS[how](blocks, SCALINGS[scaling](blocks, scaled), _weights(blocks, weights))
    return Fusion(how, tuple(block.name for block in blocks), tuple(arrays))


def _check_choices(blocks: Sequence[Block], how: str, scaling: str) -> None:
    for name, choice, registry in (("fusion", how, FUSIONS), ("scaling", scaling, SCALINGS)):
        if choice not in registry:
            raise InputError(f"unknown {name} {choice!r}: choose from {', '.join(registry)}")
    if not blocks:
        raise InputError("no features to fuse: name at least one block in `features`")
    for block in blocks:
        if not block.valid.any():
            raise InputError(f"no track has {block.name}: leave it out of `features`")


class _Moments(NamedTuple):
    """Of each column: how many values there were, their mean, and the sum of their squared distances from it."""

    count: int
    mean: np.ndarray
    squares: np.ndarray


def _add_moments(before: _Moments | None, values: np.ndarray, image: bool) -> _Moments:
    """The moments of all rows so far and of these (n, *D); of an image each band is a column."""
    values = values.astype(np.float64)
    axes = (0, 2) if image else (0,)
    mean = values.mean(axis=axes)
    squares = np.square(values - _columns(mean, values)).sum(axis=axes)
    now = _Moments(values.size // len(mean), mean, squares)
    if before is None:
        return now
    count, step = before.count + now.count, now.mean - before.mean
    return _Moments(
        count,
        before.mean + step * (now.count / count),
        before.squares + now.squares + np.square(step) * (before.count * now.count / count),
    )


def apply(fusion: Fusion, blocks: Sequence[Block]) -> Float[np.ndarray, "N *D"]:
    """What `fuse` made of its blocks, made of others: x (N, *D) float32.

    Raises:
      InputError: if the blocks are not those of the fusion, in its order, or of other widths.
    """
    names = tuple(block.name for block in blocks)
    if names != fusion.blocks:
        raise InputError(f"the run was trained on {', '.join(fusion.blocks)}, not on {', '.join(names)}")
    image = fusion.how == "concat" and is_image(blocks)
    for block, width in zip(blocks, fusion.widths, strict=True):
        there = _values(block, image).shape[1]
        if there != width:
            raise InputError(f"block {block.name} has {there} columns, the run was trained on {width}")
    parts = [_scaled(block, arrays, image) for block, arrays in zip(blocks, fusion.arrays, strict=True)]
    if "basis" in fusion.arrays[0]:
        projected = [part @ arrays["basis"] for part, arrays in zip(parts, fusion.arrays, strict=True)]
        return np.sum(projected, axis=0)
    return parts[0] if image else np.concatenate(parts, axis=1)


def standardise(x: np.ndarray, *, scaling: str = "balanced") -> Float[np.ndarray, "N *D"]:
    """An array as a model takes it: each column with mean 0 and variance 1, constant columns 0.

    It is what `fuse` makes of one block. Where new tracks are to be treated alike, keep the transform that `fuse` fits.

    Args:
      x: (N, D) features, or (N, mel, frame) spectrograms; a mel band is standardised over tracks and frames.
      scaling: in SCALINGS. "unit" then brings each row to one length, so that distances are cosines; "power" makes
        columns less skewed first.

    Returns:
      (N, *D) float32, in the shape of x.

    Raises:
      InputError: if x has another number of axes or no row, or holds NaN or infinity, or there is no such scaling.

    Example:
      >>> standardise(np.array([[1.0, 5.0], [3.0, 5.0]])).tolist()
      [[-1.0, 0.0], [1.0, 0.0]]
    """
    x = np.asarray(x)
    if x.ndim not in (2, 3) or not x.size:
        raise InputError(f"x has shape {x.shape}: give tracks x columns, or tracks x bands x frames")
    return fuse([whole_block("x", x)], scaling=scaling).x


def bring_rows_to_length(values: np.ndarray, length: float) -> np.ndarray:
    """Each row of values (N, *D) times a number, so that its Euclidean length is `length`.

    The squared distance of two rows is then 2 length^2 (1 - the cosine of the angle between them). A row of zeros stays
    one, and so does a row whose length is under a millionth of `length`: rounding errors have no direction.

    Example:
      >>> bring_rows_to_length(np.array([[3.0, 4.0], [0.0, 0.0]]), 10.0).tolist()
      [[6.0, 8.0], [0.0, 0.0]]
    """
    norm = np.linalg.norm(values.reshape(len(values), -1), axis=1)
    share = np.divide(length, norm, out=np.zeros_like(norm), where=norm > 1e-6 * length)
    return values * _columns(share, values, axis=0)


def whole_block(name: str, values: np.ndarray) -> Block:
    """An array as a block in which every row is valid, its tracks numbered.

    Args: values, (N, *D) numbers.

    Raises:
      InputError: if a value is NaN or infinite; the first such row is named.
    """
    check_rows(values, name)
    digits = len(str(len(values)))
    return Block(name, np.array([f"{i:0{digits}d}" for i in range(len(values))]), values, np.ones(len(values), bool))


def keep_row_lengths(fusion: Fusion) -> Fusion:
    """The transform without what "unit" adds to "balanced": columns are scaled, rows keep their lengths.

    A transform that brings no rows to one length is returned as it is.
    """
    return fusion._replace(arrays=tuple(_keep_lengths(arrays, len(fusion.arrays)) for arrays in fusion.arrays))


def _keep_lengths(arrays: Arrays, blocks: int) -> Arrays:
    if "length" not in arrays:
        return arrays
    # One block has the same factors under both scalings. Of several, each gets its share of the variance.
    columns = max(1, np.count_nonzero(arrays["factor"]))
    share = arrays["length"] / np.sqrt(np.float32(columns)) if blocks > 1 else np.float32(1)
    rest = {name: values for name, values in arrays.items() if name != "length"}
    return {**rest, "factor": rest["factor"] * share}


def modality_mask(blocks: Sequence[Block]) -> Float[np.ndarray, "N M"]:
    """(N, M) float32: 1 where block m has something to say of the track, else 0."""
    return np.stack([block.valid for block in blocks], axis=1).astype(np.float32)


def is_image(blocks: Sequence[Block]) -> bool:
    """Whether the blocks are one of spectrograms (N, mel, frame), which a fusion leaves in that shape."""
    return len(blocks) == 1 and blocks[0].values.ndim == 3 and not blocks[0].spec.get("columns")


def _values(block: Block, image: bool) -> np.ndarray:
    values = np.asarray(block.values)
    return values if image else values.reshape(len(values), -1)


def _columns(vector: np.ndarray, values: np.ndarray, axis: int = 1) -> np.ndarray:
    """`vector` shaped to broadcast along `axis` of `values`."""
    return vector.reshape([-1 if i == axis else 1 for i in range(values.ndim)])


def _scaled(block: Block, arrays: Arrays, image: bool) -> np.ndarray:
    """The block's columns, scaled; zeros where a track has nothing to say."""
    values = _values(block, image)
    if "exponent" in arrays:
        values = _powered(values, arrays["exponent"])
    scaled = (values - _columns(arrays["mean"], values)) * _columns(arrays["factor"], values)
    if "length" in arrays:
        scaled = bring_rows_to_length(scaled, float(arrays["length"]))
    return np.where(_columns(block.valid, values, axis=0), scaled, 0.0).astype(np.float32)


def _powered(values: np.ndarray, exponent: np.ndarray) -> np.ndarray:
    """Each column under the power transform of its exponent (Yeo & Johnson, Biometrika 2000); float64."""
    from scipy.stats import yeojohnson  # takes a second to load, and few runs need it

    powered = np.empty(values.shape)
    for column, power in enumerate(exponent):
        powered[:, column] = yeojohnson(values[:, column].astype(np.float64), float(power))
    return powered


def _standard(block: Block, image: bool, power: bool) -> dict[str, np.ndarray]:
    """Mean and 1 / standard deviation of each column over valid tracks; a constant column gets factor 0.

    Where `power`, columns are brought near to a Gaussian first, by the exponent of greatest likelihood: energies and
    variances are skewed, and a few loud tracks would otherwise be clusters of their own. Images are left alone.
    """
    values = _values(block, image)[block.valid].astype(np.float64)
    arrays = {}
    if power and not image:
        exponent = np.ones(values.shape[1], np.float32)
        varies = _varies(values.mean(axis=0), values.std(axis=0))
        if varies.any():
            from sklearn.preprocessing import PowerTransformer

            exponent[varies] = PowerTransformer(standardize=False).fit(values[:, varies]).lambdas_
        arrays["exponent"] = exponent
        values = _powered(values, exponent)
    axes = (0, 2) if image else (0,)
    return arrays | _as_arrays(values.mean(axis=axes), values.std(axis=axes))


def _as_arrays(mean: np.ndarray, deviation: np.ndarray) -> dict[str, np.ndarray]:
    factor = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=_varies(mean, deviation))
    return {"mean": mean.astype(np.float32), "factor": factor.astype(np.float32)}


def _varies(mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Whether each column is more than a constant with the rounding errors of float32."""
    return deviation > 1e-6 * np.maximum(1.0, np.abs(mean))


def _balanced(blocks: Sequence[Block], standard: Sequence[Arrays]) -> tuple[Arrays, ...]:
    """Columns standardised, then each block scaled to the total variance of the narrowest one.

    So 384 columns of text weigh as much as 20 of audio, not 19 times as much.
    """
    widths = [max(1, np.count_nonzero(arrays["factor"])) for arrays in standard]
    return tuple(
        {**arrays, "factor": arrays["factor"] * np.float32(np.sqrt(min(widths) / width))}
        for arrays, width in zip(standard, widths, strict=True)
    )


def _unit(blocks: Sequence[Block], standard: Sequence[Arrays]) -> tuple[Arrays, ...]:
    """Columns standardised, then the rows of each block brought to one length: a squared distance is a cosine.

    How far a track is from the mean then counts no more, only in which direction. The squared length is the number of
    values that vary in the narrowest block: it is the mean squared length of the rows under "balanced", so that
    reconstruction and beta keep their scale, and every block weighs the same.
    """
    entries = [
        np.count_nonzero(arrays["factor"]) * (math.prod(block.values.shape[1:]) // len(arrays["factor"]))
        for block, arrays in zip(blocks, standard, strict=True)
    ]
    length = np.float32(np.sqrt(max(1, min(entries))))
    return tuple({**arrays, "length": np.asarray(length)} for arrays in standard)


def _plain(blocks: Sequence[Block], standard: Sequence[Arrays]) -> tuple[Arrays, ...]:
    """Audio columns standardised, text embeddings as they are: the first report's way."""
    return tuple(
        {"mean": np.zeros_like(arrays["mean"]), "factor": np.ones_like(arrays["factor"])}
        if block.name == "lyrics"
        else arrays
        for block, arrays in zip(blocks, standard, strict=True)
    )


def _as_they_are(blocks: Sequence[Block], standard: Sequence[Arrays]) -> tuple[Arrays, ...]:
    """No column is scaled: for latents, where a unit that is not used would become noise as loud as the others."""
    return tuple(
        {"mean": np.zeros_like(arrays["mean"]), "factor": np.ones_like(arrays["factor"])} for arrays in standard
    )


# name -> (blocks, their columns standardised -> the arrays that scale them). "power" differs before it gets here.
SCALINGS: dict[str, Callable[[Sequence[Block], Sequence[Arrays]], tuple[Arrays, ...]]] = {
    "balanced": _balanced,
    "unit": _unit,
    "power": _balanced,
    "plain": _plain,
    "none": _as_they_are,
}


def _weights(blocks: Sequence[Block], weights: Sequence[float]) -> np.ndarray:
    """(M,) weights that add up to 1."""
    spoken = np.array([block.name == "lyrics" for block in blocks])
    if not weights and spoken.any() and not spoken.all():
        return np.where(spoken, TEXT_WEIGHT / spoken.sum(), (1 - TEXT_WEIGHT) / (~spoken).sum())
    given = np.asarray(weights or [1.0] * len(blocks))
    if len(given) != len(blocks) or not (np.isfinite(given) & (given > 0)).all():
        names = ", ".join(block.name for block in blocks)
        raise InputError(f"{len(given)} weights for the blocks {names}: give each one a weight above 0")
    return given / given.sum()


def _concat(blocks: Sequence[Block], scaled: Sequence[Arrays], weights: np.ndarray) -> Sequence[Arrays]:
    """Side by side; `weights` are not looked at."""
    return scaled


def _weighted(blocks: Sequence[Block], scaled: Sequence[Arrays], weights: np.ndarray) -> Sequence[Arrays]:
    """PCA of each block to 64 dimensions, or what it has, times its weight; added up."""
    fused = []
    for block, arrays, weight in zip(blocks, scaled, weights, strict=True):
        values = _scaled(block, arrays, image=False)[block.valid]
        components = _pca(values)
        basis = np.zeros((values.shape[1], COMPONENTS), np.float32)
        basis[:, : components.shape[1]] = weight * components
        fused.append({**arrays, "basis": basis})
    return fused


def _principal(blocks: Sequence[Block], scaled: Sequence[Arrays], weights: np.ndarray) -> Sequence[Arrays]:
    """PCA of all columns side by side to 64 dimensions, or what they have; `weights` are not looked at."""
    parts = [_scaled(block, arrays, image=False) for block, arrays in zip(blocks, scaled, strict=True)]
    basis = _pca(np.concatenate(parts, axis=1))
    edges = np.cumsum([part.shape[1] for part in parts])[:-1]
    return [{**arrays, "basis": rows} for arrays, rows in zip(scaled, np.split(basis, edges), strict=True)]


def _pca(values: np.ndarray) -> np.ndarray:
    """The principal axes of values (N, D): (D, P) float32, P at most 64."""
    from sklearn.decomposition import PCA

    pca = PCA(min(COMPONENTS, *values.shape), random_state=0)
    with np.errstate(invalid="ignore"):  # of constant values the explained share, not asked for, is 0 / 0
        pca.fit(values)
    return np.asarray(pca.components_, np.float32).T


# name -> (blocks, the arrays that scale them, weights (M,) -> the arrays to apply)
FUSIONS: dict[str, Callable[[Sequence[Block], Sequence[Arrays], np.ndarray], Sequence[Arrays]]] = {
    "concat": _concat,
    "weighted": _weighted,
    "pca": _principal,
}
