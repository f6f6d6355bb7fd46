"""The figures of a run, drawn by matplotlib without its global state, so that any thread and no display will do.

Conventions: every function returns a `matplotlib.figure.Figure`. Codes (clusters, classes) are integers, -1 (noise,
unknown) is grey. Code c has colour c mod 8 of a colour-blind-safe palette (Okabe and Ito, 2008, its black replaced by
brown) and marker c div 8 mod 5, so that 40 classes stay apart. Axes: N tracks, R replicas, E epochs, L latent
dimensions, D features, k clusters.
"""

import io
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#7F4F2A")
GREY = "#9A9A9A"
_MARKERS = ("o", "^", "s", "D", "P")
DPI = 150
_INK = "#333333"

_MAX_LINES = 8  # more replicas than this are drawn as a median and a band


def training_curves(history: Mapping[str, np.ndarray], names: Sequence[str]) -> "Figure":
    """Draws loss, reconstruction and KL by epoch: a line per replica, or past 8 replicas the median and 10-90 % band.

    Args:
      history: "loss" (R, E), "reconstruction" (R, E), "kl_per_dim" (R, E, L) in nats.
      names: (R,) names of the replicas.
    """
    from matplotlib.ticker import LogLocator, MaxNLocator

    figure, axes = new_figure(11, 3.4, columns=3)
    curves = {
        "Loss": (history["loss"], "loss per track"),
        "Reconstruction": (history["reconstruction"], "squared error per track"),
        "KL divergence": (history["kl_per_dim"].sum(axis=2), "KL per track (nats)"),
    }
    for ax, (title, (values, unit)) in zip(axes, curves.items(), strict=True):
        epochs = np.arange(1, values.shape[1] + 1)
        marker = "o" if len(epochs) == 1 else None
        if len(values) > _MAX_LINES:
            low, middle, high = np.nanquantile(values, [0.1, 0.5, 0.9], axis=0)
            ax.fill_between(epochs, low, high, color=PALETTE[0], alpha=0.25, lw=0, label="10 to 90 %")
            ax.plot(epochs, middle, color=PALETTE[0], marker=marker, label=f"median of {len(values)} replicas")
        else:
            for index, (line, name) in enumerate(zip(values, names, strict=True)):
                ax.plot(epochs, line, color=PALETTE[index], marker=marker, lw=1.6, label=_plain(name))
        ax.set(title=title, xlabel="epoch", ylabel=unit)
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        # The first epochs tower over the rest; a logarithmic axis keeps both in sight.
        if title != "KL divergence" and np.nanmin(values) > 0 and np.nanmax(values) > 8 * np.nanmin(values):
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter("{x:g}")
            ax.yaxis.set_minor_formatter("")
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def latent_map(xy: np.ndarray, codes: np.ndarray, names: Sequence[str], title: str) -> "Figure":
    """Draws a dot a track at `xy` (N, 2), coloured by `codes` (N,) into `names`; -1 is grey, under the rest."""
    figure, (ax,) = new_figure(8, 5.6)
    size = float(np.clip(15_000 / max(len(xy), 1), 4, 36))
    handles, texts = [], []
    for code in map(int, np.unique(codes)):
        colour, marker = _look(code)
        here = codes == code
        look = {"s": size, "c": colour, "marker": marker, "edgecolors": "white", "linewidths": 0.3}
        handles.append(ax.scatter(*xy[here].T, **look, zorder=2 + code))
        texts.append(f"{_plain(names[code]) if code >= 0 else 'none'} ({here.sum():,})")
    ax.set(title=_plain(title, 80), xlabel="dimension 1 (no unit)", ylabel="dimension 2 (no unit)")
    ax.set(xticks=[], yticks=[])
    columns = math.ceil(len(texts) / 22)
    place = {"loc": "center left", "bbox_to_anchor": (1.01, 0.5), "frameon": False, "fontsize": 8, "ncols": columns}
    for handle in ax.legend(handles, texts, **place).legend_handles:
        handle.set_sizes([30])
    return figure


def cluster_sizes(clusters: np.ndarray, names: Sequence[str] = ()) -> "Figure":
    """Draws how many tracks each cluster has, a bar each.

    Args:
      clusters: (N,) clusters; noise (-1) is grey.
      names: what the clusters from 0 on are called; by default they are numbered.
    """
    codes, counts = np.unique(clusters, return_counts=True)
    figure, (ax,) = new_figure(7, 1.3 + 0.3 * len(codes))
    bars = ax.barh(np.arange(len(codes)), counts, color=[_look(code)[0] for code in map(int, codes)], height=0.72)
    ax.bar_label(
        bars, [f"{count:,} ({count / len(clusters):.0%})" for count in counts], padding=4, fontsize=8, color=_INK
    )
    ax.set(title="Cluster sizes", xlabel="tracks", xlim=(0, 1.18 * counts.max(initial=1)))
    ax.set_yticks(np.arange(len(codes)), [_cluster(code, names) for code in map(int, codes)])
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
    return figure


def contingency(
    clusters: np.ndarray, truth: np.ndarray, truth_names: Sequence[str], names: Sequence[str] = ()
) -> "Figure":
    """Draws tracks by cluster (rows) and class (columns); the shade is the share of the row.

    Rows are ordered by the class they hold most of, so that an agreement shows as a diagonal.

    Args:
      clusters: (N,) clusters, -1 noise.
      truth: (N,) codes into `truth_names`, -1 unknown.
      truth_names: names of the classes.
      names: what the clusters from 0 on are called; by default they are numbered.
    """
    rows, row = np.unique(clusters, return_inverse=True)
    columns, column = np.unique(truth, return_inverse=True)
    counts = np.zeros((len(rows), len(columns)), dtype=int)
    np.add.at(counts, (row, column), 1)
    order = np.lexsort((-counts.max(axis=1), counts.argmax(axis=1), rows < 0))
    counts, rows = counts[order], rows[order]
    share = counts / counts.sum(axis=1, keepdims=True)

    figure, (ax,) = new_figure(np.clip(3.2 + 0.62 * len(columns), 5, 14), np.clip(2.2 + 0.36 * len(rows), 3, 12))
    image = ax.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    if counts.size <= 900:
        for (i, j), count in np.ndenumerate(counts):
            ink = "white" if share[i, j] > 0.55 else _INK if count else "#BBBBBB"
            ax.text(j, i, f"{count:,}", ha="center", va="center", fontsize=8, color=ink)
    class_titles = [_plain(truth_names[code]) if code >= 0 else "unknown" for code in map(int, columns)]
    ax.set_xticks(np.arange(len(columns)), class_titles, rotation=35, ha="right", rotation_mode="anchor", fontsize=8)
    ax.set_yticks(np.arange(len(rows)), [_cluster(code, names) for code in map(int, rows)], fontsize=8)
    ax.set(title="Clusters and classes (tracks)", xlabel="class", ylabel="cluster")
    ax.grid(visible=False)
    figure.colorbar(image, ax=ax, label="share of the cluster", fraction=0.05, pad=0.02)
    return figure


def kl_per_dim(kl: np.ndarray, used: np.ndarray) -> "Figure":
    """Draws the KL of each latent dimension (L,) in nats, largest first.

    used: (L,) bool, those that are in use, which can be fewer than those with some KL (`latent.informative_units`).
    """
    figure, (ax,) = new_figure(7, 3.2)
    order = np.argsort(-kl, kind="stable")
    used = used[order]
    for which, colour, what in ((used, PALETTE[0], "in use"), (~used, GREY, "unused")):
        if which.any():
            ax.bar(np.flatnonzero(which), kl[order][which], color=colour, width=0.8, label=f"{which.sum()} {what}")
    ax.legend(frameon=False, fontsize=8)
    ticks = np.unique(np.linspace(0, len(kl) - 1, min(len(kl), 32)).astype(int))
    ax.set_xticks(ticks, [str(order[tick]) for tick in ticks], fontsize=7)
    ax.set(title=f"KL per latent dimension, {kl.sum():.2f} nats in all", xlabel="latent dimension", ylabel="KL (nats)")
    ax.grid(visible=False, axis="x")
    return figure


def reconstructions(
    x: np.ndarray,
    x_hat: np.ndarray,
    titles: Sequence[str],
    columns: Sequence[str] | None = None,
    axes_names: tuple[str, str] = ("frame", "mel band"),
) -> "Figure":
    """Draws what went in and what came out, for n tracks: lines for vectors, pairs of images for spectrograms.

    Args:
      x, x_hat: (n, D) or (n, H, W), in the model's units (standardised features).
      titles: (n,) names of the tracks.
      columns: (D,) names of the features, or of the block each belongs to: a name is written where it first appears.
      axes_names: names of the axes W and H, for images.

    Raises:
      ValueError: if x and x_hat differ in shape or are neither.
    """
    if x.shape != x_hat.shape or x.ndim not in (2, 3):
        raise ValueError(f"x {x.shape} and x_hat {x_hat.shape} must both be (n, D) or (n, H, W)")
    if x.ndim == 3:
        return _image_pairs(x, x_hat, titles, axes_names)
    figure, axes = new_figure(9, 1.1 + 1.7 * len(x), rows=len(x), sharex=True)
    width = x.shape[1]
    for ax, before, after, title in zip(axes, x, x_hat, titles, strict=True):
        marker = "o" if width <= 40 else None
        ax.plot(before, color=GREY, lw=1.4, marker=marker, ms=3, label="input")
        ax.plot(after, color=PALETTE[5], lw=1.2, marker=marker, ms=3, label="reconstruction")
        ax.set_title(_plain(title, 70), loc="left", fontsize=9)
        ax.set_ylabel("value (z)")
        ax.margins(x=0.01)
    axes[0].legend(frameon=False, fontsize=8, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    axes[-1].set_xlabel("feature")
    if columns is not None:
        starts = block_starts(columns)
        starts = starts if len(starts) <= 24 else starts[:: math.ceil(len(starts) / 24)]
        axes[-1].set_xticks(starts, [_plain(columns[i]) for i in starts], rotation=35, ha="right", fontsize=7)
    return figure


def block_starts(columns: Sequence[str]) -> list[int]:
    """Returns the columns at which another name begins, the first one among them.

    >>> block_starts(["msd", "msd", "mtt"])
    [0, 2]
    """
    return [0, *(i + 1 for i, (a, b) in enumerate(pairwise(columns)) if a != b)]


def png(figure: "Figure") -> bytes:
    """Returns the figure as the content of a PNG file of 150 dpi."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A title in a script that the font lacks is drawn as boxes: not worth a warning a letter.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


def save_figures(directory: Path, figures: "Mapping[str, Figure]") -> list[Path]:
    """Writes each figure as <directory>/<name>.png at 150 dpi, making the directory; returns the paths."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / f"{name}.png" for name in figures]
    for path, figure in zip(paths, figures.values(), strict=True):
        path.write_bytes(png(figure))
    return paths


def _image_pairs(x: np.ndarray, x_hat: np.ndarray, titles: Sequence[str], axes_names: tuple[str, str]) -> "Figure":
    figure, axes = new_figure(9, 0.6 + 2.1 * len(x), rows=len(x), columns=2, sharex=True, sharey=True)
    for (left, right), before, after, title in zip(axes.reshape(-1, 2), x, x_hat, titles, strict=True):
        low, high = min(before.min(), after.min()), max(before.max(), after.max())
        for ax, image, what in ((left, before, "input"), (right, after, "reconstruction")):
            drawn = ax.imshow(image, origin="lower", aspect="auto", cmap="magma", vmin=low, vmax=high)
            ax.set_title(f"{_plain(title, 36)}: {what}", loc="left", fontsize=9)
            ax.grid(visible=False)
        left.set_ylabel(axes_names[1])
        figure.colorbar(drawn, ax=[left, right], label="value (z)", fraction=0.04, pad=0.01)
    for ax in axes[-2:]:
        ax.set_xlabel(axes_names[0])
    return figure


def new_figure(
    width: float | int, height: float | int, rows: int = 1, columns: int = 1, **shared
) -> "tuple[Figure, np.ndarray]":
    """Makes a light figure of `rows` x `columns` axes, and returns it with its axes (flat); sizes are in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    axes = figure.subplots(rows, columns, squeeze=False, **shared).ravel()
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color("#888888")
        ax.tick_params(colors=_INK, labelsize=8)
        ax.grid(color="#E6E6E6", lw=0.7)
        ax.set_axisbelow(True)
        ax.title.set(color=_INK, fontsize=11)
        for axis in (ax.xaxis, ax.yaxis):
            axis.label.set(color=_INK, fontsize=9)
    return figure, axes


def _look(code: int) -> tuple[str, str]:
    if code < 0:
        return GREY, "o"
    return PALETTE[code % len(PALETTE)], _MARKERS[code // len(PALETTE) % len(_MARKERS)]


def _cluster(code: int, names: Sequence[str]) -> str:
    return "noise" if code < 0 else _plain(names[code]) if names else f"cluster {code}"


def _plain(text: str, limit: int = 28) -> str:
    """Makes text for matplotlib: one line of at most `limit` letters, dollars not taken for mathematics."""
    line = re.sub(r"\s+", " ", str(text)).strip()
    line = line if len(line) <= limit else f"{line[: limit - 1]}…"
    return line.replace("$", r"\$")
