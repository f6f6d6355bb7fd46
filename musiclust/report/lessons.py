"""The page on what the first report's numbers show: its figures, and its text with the numbers put in.

Conventions: `facts` is what `python -m experiments.lessons` measured and wrote as JSON. Every number on the page is
taken from it. A sentence that draws a conclusion is chosen here by the numbers, so that it holds for any store. A
measured mean is {"mean", "interval", "low", "high", "lower", "upper"}: the half-width of its 95 % interval, the
extremes, and the range of the middle 95 %. Figures follow `plots`.
"""

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from musiclust.files import atomic
from musiclust.report import plots
from musiclust.report.plots import GREY, PALETTE
from musiclust.report.reading import margin, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAGE = "what-the-reports-show.md"
_INK = "#333333"
_MARKERS = ("*", "o", "^", "s", "D", "P", "X", "v")
_NAMES = {
    "silhouette": "silhouette",
    "davies_bouldin": "Davies-Bouldin",
    "calinski_harabasz": "Calinski-Harabasz",
    "ari": "ARI",
    "nmi": "NMI",
    "purity": "purity",
    "reference_silhouette": "silhouette in the reference space",
    "active_units": "active units",
    "effective_dimensions": "effective dimensions",
    "total_kl": "KL",
}
_SHAPE, _AGREEMENT = ("silhouette", "davies_bouldin", "calinski_harabasz"), ("ari", "nmi", "purity")
_COMPARED = ("silhouette", "reference_silhouette", "ari", "nmi", "active_units", "effective_dimensions", "total_kl")
_ALIKE = 1.25  # dimensions within this factor of one another count as the same


def write_lessons(out: Path, facts: Mapping[str, Any]) -> Path:
    """Writes <out>/what-the-reports-show.md and its figures <out>/figures/*.png; returns the page's path."""
    from jinja2 import Environment, StrictUndefined

    figures = {
        "null-by-dimension": null_by_dimension(facts["gaussian"], facts["published"]["rows"]),
        "beta": beta_sweep(facts["beta"], facts["corpus"]["k"]),
        "classes": class_joins(facts["agreement"], facts["published"]["rows"]),
    }
    plots.save_figures(out / "figures", figures)
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {"fixed": fixed, "spread": spread, "number": number}
    template = environment.from_string((files("musiclust.report") / "lessons.md").read_text(encoding="utf-8"))
    text = template.render(**facts, names=_NAMES, agreement_scores=_AGREEMENT, say=conclusions(facts))
    with atomic(out / PAGE) as file:
        file.write(re.sub(r"\n{3,}", "\n\n", re.sub(r" +\n", "\n", text)))
    return out / PAGE


def conclusions(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Decides what the numbers allow to be said: the parts of the page that differ from store to store."""
    rows, gaussian, sweep = facts["published"]["rows"], facts["gaussian"], facts["beta"]
    agreement = facts["agreement"]
    line = next(entry for entry in gaussian["by_dimension"] if entry["dimension"] == 1)
    inside = [key for key in _SHAPE if line[key]["low"] <= rows["Beta-VAE"][key] <= line[key]["high"]]
    dimensions = gaussian["published_dimension"]
    alike = [name for name in dimensions if _ratio(dimensions[name]) <= _ALIKE]
    known = [(row[key], agreement["balanced"][key]) for row in rows.values() for key in _AGREEMENT if key in row]
    within = [value for value, band in known if band["lower"] <= value <= band["upper"]]
    least = margin(facts["corpus"]["tracks"])
    best = max(sweep["by_beta"], key=lambda entry: entry["silhouette"]["mean"])
    at_null = [e for e in sweep["by_beta"] if e["silhouette"]["mean"] - e["silhouette_null"]["mean"] < least]
    return {
        "line": line,
        "inside": inside,
        "alike": alike,
        "unlike": [name for name in dimensions if name not in alike],
        "within": len(within),
        "known": len(known),
        "least_purity": min(row["purity"] for row in rows.values() if "purity" in row),
        "margin": least,
        "best": best,
        "at_null": [f"{entry['beta']:g}" for entry in at_null],
        "report_beta": next(e for e in sweep["by_beta"] if e["beta"] == facts["published"]["kl"]["beta"]),
        "changes": {
            verdict: [key for key in _COMPARED if change(sweep["change"][key]) == word]
            for word, verdict in (("rises", "rises"), ("falls", "falls"), ("stays", "no change to speak of"))
        },
        "beta": _beta_sentence(sweep["change"]),
        "joined": [key for key in _AGREEMENT if agreement["joined"][key]["low"] > agreement["shuffled"][key]["high"]],
    }


def change(measured: Mapping[str, float]) -> str:
    """Returns "rises", "falls" or "stays": zero lies within the 95 % interval of the change.

    >>> change({"mean": -0.2, "interval": 0.1})
    'falls'
    """
    if abs(measured["mean"]) <= measured["interval"]:
        return "stays"
    return "rises" if measured["mean"] > 0 else "falls"


def _beta_sentence(changes: Mapping[str, Any]) -> str:
    silhouette, agreement = change(changes["silhouette"]), change(changes["nmi"])
    if silhouette == "rises" and agreement == "falls":
        return (
            "So the silhouette of the latent space rose while the partition came to agree less with the classes: here "
            "the one is no stand-in for the other, and by the silhouette alone one would have chosen the worse."
        )
    if silhouette == "rises" and agreement == "stays":
        return (
            "So the silhouette of the latent space rose without the partition agreeing any better with the classes: "
            "here a better silhouette is not a better grouping of the music."
        )
    if silhouette == "rises":
        return "So here both rose: on these tracks the silhouette pointed the right way."
    return (
        "So on these tracks the silhouette of the latent space did not rise with beta: what the report saw is not seen "
        "here, and this sweep is no example of it."
    )


def fixed(value: float | None, decimals: int = 3) -> str:
    """Formats a number with that many decimals and thousands separated; an en dash where there is none.

    >>> fixed(12275.12, 1)
    '12,275.1'
    """
    if value is None:
        return number(None)
    return f"{round(value, decimals) + 0.0:,.{decimals}f}"


def spread(measured: Mapping[str, float | None], decimals: int = 3) -> str:
    """Formats a measured mean as "mean ± half-width of its 95 % interval".

    >>> spread({"mean": 0.5238, "interval": 0.002})
    '0.524 ± 0.002'
    """
    return f"{fixed(measured['mean'], decimals)} ± {fixed(measured['interval'], decimals)}"


def null_by_dimension(gaussian: Mapping[str, Any], rows: Mapping[str, Mapping[str, float]]) -> "Figure":
    """Draws the three scores of k-means on Gaussians by their dimension, and each published row at one dimension.

    A row stands, in all three panels, at the dimension that its silhouette has among the Gaussians: in the first panel
    it lies on the curve by construction, in the other two only where its other scores are a Gaussian's too.
    """
    from matplotlib.ticker import LogLocator

    figure, axes = plots.new_figure(9.5, 4.4, columns=3)
    dimension = np.array([entry["dimension"] for entry in gaussian["by_dimension"]])
    for ax, key in zip(axes, _SHAPE, strict=True):
        mean, low, high = (
            np.array([entry[key][part] for entry in gaussian["by_dimension"]]) for part in ("mean", "low", "high")
        )
        ax.fill_between(dimension, low, high, color=GREY, alpha=0.4, lw=0)
        ax.plot(dimension, mean, color=_INK, lw=1.4, label="Gaussian, no clusters")
        for index, (name, row) in enumerate(rows.items()):
            place = gaussian["published_dimension"][name]["silhouette"]
            size = 14 if index == 0 else 7
            look = {"marker": _MARKERS[index], "ms": size, "color": PALETTE[index], "mec": _INK, "mew": 0.5}
            ax.plot(place, row[key], ls="", label=name, zorder=3, **look)
        _logarithmic(ax, dimension[np.isin(dimension, (1, 2, 4, 8, 16, 32))])
        ax.set(title=_NAMES[key][0].upper() + _NAMES[key][1:], xlabel="dimensions")
        if key != "silhouette":
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter("{x:,g}")
            ax.yaxis.set_minor_formatter("")
    handles, texts = axes[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    return figure


def beta_sweep(sweep: Mapping[str, Any], k: int) -> "Figure":
    """Draws by beta: both silhouettes and their nulls, the agreement with classes and chance, what the latents hold."""
    figure, axes = plots.new_figure(9.5, 7.2, rows=2, columns=2)
    beta = [entry["beta"] for entry in sweep["by_beta"]]

    def line(ax: "Axes", key: str, colour: str, label: str, marker: str = "o", dashed: bool = False) -> None:
        mean, interval = (np.array([e[key][part] for e in sweep["by_beta"]]) for part in ("mean", "interval"))
        look = {"color": colour, "marker": marker, "ms": 5, "lw": 1.6, "capsize": 2.5, "elinewidth": 1}
        ax.errorbar(beta, mean, interval, ls="--" if dashed else "-", label=label, **look)

    line(axes[0], "silhouette", PALETTE[0], "latent space")
    line(axes[0], "silhouette_null", GREY, "its null", "", True)
    axes[0].set(title="Silhouette in the latent space")
    line(axes[1], "reference_silhouette", PALETTE[2], "reference space", "s")
    axes[1].axhline(sweep["reference_null"], color=GREY, ls="--", lw=1.6, label="its null")
    axes[1].set(title="Silhouette in the reference space")
    line(axes[2], "nmi", PALETTE[5], "NMI", "^")
    line(axes[2], "nmi_chance", GREY, "NMI by chance", "", True)
    line(axes[2], "ari", PALETTE[3], "ARI (0 by chance)", "D")
    axes[2].set(title="Agreement with the classes", ylim=(0, None))
    line(axes[3], "active_units", PALETTE[0], "active units")
    line(axes[3], "effective_dimensions", PALETTE[1], "effective dimensions", "s")
    line(axes[3], "total_kl", PALETTE[5], "KL (nats)", "^")
    axes[3].axhline(np.log(k), color=GREY, ls=":", lw=1.6, label=f"ln {k} nats: enough for {k} clusters")
    axes[3].set(title="What the latents hold", yscale="log")
    axes[3].yaxis.set_major_formatter("{x:g}")
    for ax in axes:
        _logarithmic(ax, beta)
        ax.set_xlabel("beta")
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.17)}  # where no line can run through it
        ax.legend(frameon=False, fontsize=9, ncols=3 if len(ax.get_legend_handles_labels()[0]) == 3 else 2, **below)
    return figure


def class_joins(agreement: Mapping[str, Any], rows: Mapping[str, Mapping[str, float]]) -> "Figure":
    """Draws the scores of agreement: the report's rows, balanced classes shuffled, this store's shuffled and joined."""
    figure, axes = plots.new_figure(9.5, 2.9, columns=3, sharey=True)
    balanced = agreement["balanced"]
    lines = (
        (f"{balanced['tracks']:,} tracks, classes shuffled", balanced, GREY, "o"),
        ("the report's rows", None, PALETTE[5], "D"),
        ("this store, classes shuffled", agreement["shuffled"], GREY, "o"),
        ("this store, joined by track_id", agreement["joined"], PALETTE[0], "s"),
    )
    for ax, key in zip(axes, _AGREEMENT, strict=True):
        for y, (_, measured, colour, marker) in enumerate(lines):
            values = [row[key] for row in rows.values() if key in row] if measured is None else [measured[key]["mean"]]
            ax.plot(values, [y] * len(values), ls="", marker=marker, ms=6, color=colour, zorder=3)
            if measured is not None:
                ax.hlines(y, measured[key]["lower"], measured[key]["upper"], color=colour, lw=4, alpha=0.6)
        ax.set(title=_NAMES[key] if key == "purity" else _NAMES[key].upper(), xlabel="score")
        ax.set_xlim(left=min(0, ax.get_xlim()[0]))
        ax.set_yticks(range(len(lines)), [text for text, *_ in lines], fontsize=9)
        ax.set_ylim(len(lines) - 0.5, -0.5)
    return figure


def _logarithmic(ax: "Axes", ticks: Sequence[float] | np.ndarray) -> None:
    ax.set_xscale("log", base=2)
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()


def _ratio(dimensions: Mapping[str, float]) -> float:
    return max(dimensions.values()) / min(dimensions.values())
