"""Figures of latent traversals: what a decoder makes of one dimension after the other, moved from low to high."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from musiclust.report.plots import block_starts, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def traversal(values: np.ndarray, steps: Sequence[int | float], title: str, blocks: Sequence[str] = ()) -> "Figure":
    """Draws one dimension's traversal: a line a step for vectors, an image a step for spectrograms.

    Args:
      values: (S, D) or (S, mel, frame), what was decoded at each step.
      steps: S places on the dimension, in standard deviations.
      title: of the figure.
      blocks: D names of the block that each column of a vector is of; each is written where it begins. () where the
        columns are not those of blocks.

    Raises:
      ValueError: if values are neither, or there is not one step a value.
    """
    if values.ndim not in (2, 3) or len(values) != len(steps):
        raise ValueError(f"values {values.shape} of {len(steps)} steps must be (S, D) or (S, mel, frame)")
    if values.ndim == 3:
        return _images(values, steps, title)
    from matplotlib import colormaps

    figure, (ax,) = new_figure(9, 3.6)
    shades = colormaps["coolwarm"](np.linspace(0, 1, len(steps)))
    for row, step, shade in zip(values, steps, shades, strict=True):
        ax.plot(row, color=shade, lw=1.3, marker="o" if len(row) <= 40 else None, ms=3, label=f"{step:+g} sd")
    starts = block_starts(blocks) if blocks else []
    for start in starts[1:]:
        ax.axvline(start - 0.5, color="#888888", lw=0.8)
    if blocks:
        ax.set_xticks(starts, [blocks[i] for i in starts], ha="left")
    ax.set(ylabel="value (z)", xlabel="feature")
    ax.set_title(title, loc="left")
    ax.margins(x=0.01)
    ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _images(values: np.ndarray, steps: Sequence[int | float], title: str) -> "Figure":
    columns = min(4, len(steps))
    rows = math.ceil(len(steps) / columns)
    figure, axes = new_figure(2.6 * columns, 0.6 + 2.0 * rows, rows=rows, columns=columns, sharex=True, sharey=True)
    low, high = np.percentile(values, [1, 99])
    for ax, image, step in zip(axes, values, steps, strict=False):
        drawn = ax.imshow(image, origin="lower", aspect="auto", cmap="magma", vmin=low, vmax=high)
        ax.set_title(f"{step:+g} sd", loc="left", fontsize=9)
        ax.grid(visible=False)
    for ax in axes[len(steps) :]:
        ax.set_axis_off()
    axes[0].set_ylabel("mel band")
    figure.supxlabel("frame", fontsize=9)
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    figure.colorbar(drawn, ax=axes.tolist(), label="dB", fraction=0.03, pad=0.01)
    return figure
