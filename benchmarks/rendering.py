"""A benchmark's result as tables: `sections(name, result)`, printed by the benchmark itself and by benchmarks.tables.

A figure is a median with its range over the repeats, "1.66 (1.57 to 1.76)"; a ratio is taken within each repeat.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table
from scipy.stats import binomtest

from benchmarks.measure import console
from musiclust.report.reading import estimate
from musiclust.report.summary import mean_interval

Result = Mapping[str, Any]
Row = tuple[str, ...]


class Section(NamedTuple):
    """One table."""

    title: str
    header: Row
    rows: Sequence[Row]

    def rich(self) -> Table:
        table = Table(*self.header, title=self.title)
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        return f"**{self.title}**\n\n{markdown_table(self.header, self.rows)}"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines) + "\n"


def number(value: float) -> str:
    """Three digits that mean something."""
    if abs(value) >= 100 or not np.isfinite(value):
        return f"{value:,.0f}"
    return f"{value:#.3g}"


def figure(summary: Mapping[str, float]) -> str:
    """Median and range; the number alone where it does not vary."""
    if summary["min"] == summary["max"]:
        return number(summary["median"])
    return f"{number(summary['median'])} ({number(summary['min'])} to {number(summary['max'])})"


def about(result: Result) -> str:
    """The machine, threads, versions and date in one line."""
    machine = dict(result["machine"])
    date = machine.pop("date", result.get("date", "without a date"))
    threads = machine.pop("threads", {})
    threads = threads.items() if isinstance(threads, Mapping) else [("threads", threads)]
    parts = [f"{machine.pop('cpu')}", *(f"{name} {value}" for name, value in (*machine.items(), *threads))]
    return f"{date}: {', '.join(parts)}"


def training(result: Result) -> list[Section]:
    """A row for each contender of each preset."""
    rows: list[Row] = []
    products: dict[str, list[float]] = {}
    for preset, figures in result["models"].items():
        for name, one in figures["contenders"].items():
            first = name == "ours"
            rows.append(
                (
                    f"{preset}, {figures['tracks']:,} x {figures['epochs']}" if first else "",
                    name,
                    figure(one["seconds"]),
                    "" if first else figure(one["ratio"]),
                    "" if first else f"{100 * one['loss_gap']:+.1f} %",
                    f"{100 * one['share']['median']:.0f} %",
                    f"{one['threads']}" if one["device"] == "cpu" else one["device"],
                )
            )
            products.setdefault("JAX" if name.startswith("ours") else "PyTorch", []).append(
                one["large_product"]["median"]
            )
        rows += [("", name, why, "", "", "", "") for name, why in figures["left_out"].items()]
    header = ("preset, tracks x epochs", "who", "s", "s / ours", "loss", "share of product", "threads or device")
    compilation = {preset: figures["compilation"] for preset, figures in result["models"].items()}
    rates: list[Row] = [
        (f"product of 2048 x 2048 float32, {library}", f"{number(np.median(rate) / 1e9)} GFLOP/s")
        for library, rate in products.items()
    ]
    rates += [(f"compilation of {preset}, no cache", f"{seconds:.1f} s") for preset, seconds in compilation.items()]
    return [Section("Training of one model", header, rows), Section("Beside it", ("what", "figure"), rates)]


def features(result: Result) -> list[Section]:
    """Time and speed, time by part beside librosa's, and ratios."""
    clips = f"{result['clips']} clips of {result['seconds']:g} s, one thread"
    speed = [
        (stage, figure(one["milliseconds"]), figure(one["clips_per_second"])) for stage, one in result["stages"].items()
    ]
    parts = [
        (part, *(figure(one[whose]) for whose in ("ours", "librosa", "ratio"))) for part, one in result["parts"].items()
    ]
    ratios = [(name, figure(ratio)) for name, ratio in result["ratios"].items()]
    return [
        Section(f"Features: {clips}", ("what", "ms a clip", "clips/s a core"), speed),
        Section("Parts of ours, from one STFT", ("part", "ours, ms a clip", "librosa, ms", "librosa / ours"), parts),
        Section("Ratios of times", ("ratio", "figure"), ratios),
    ]


def tagger(result: Result) -> list[Section]:
    """A row for each that runs the networks, and the memory of a long file."""
    rows: list[Row] = [
        (
            name,
            figure(one["windows_per_second"]),
            figure(one["windows_per_second_core"]),
            "" if name == "ours" else figure(one["ratio"]),
            f"{100 * one['share']['median']:.0f} %",
            f"{one['threads']}" if one["device"] == "cpu" else one["device"],
        )
        for name, one in result["contenders"].items()
    ]
    rows += [(name, why, "", "", "", "") for name, why in result["left_out"].items()]
    header = ("who", "windows/s", "windows/s a core", "time / ours", "share of product", "threads or device")
    beside: list[Row] = [("FLOP of a window, both networks", f"{number(result['flop'] / 1e9)} G")]
    if "memory" in result:
        memory = result["memory"]
        long = f"a file of {memory['minutes']:g} min, all of it heard"
        beside += [
            (f"peak memory of all processes, {long}", f"{memory['peak_mib']:,.0f} MiB"),
            (f"preprocessing of {long}", f"{memory['seconds']:.0f} s"),
        ]
    return [
        Section(f"Tagger: {result['windows']} windows of 3 s, both networks", header, rows),
        Section("Beside it", ("what", "figure"), beside),
    ]


def clustering(result: Result) -> list[Section]:
    """A row for each clusterer and score at each number of points."""

    def cells(one: Mapping[str, Any]) -> Row:
        if "why" in one:
            return (one["why"], "")
        once = f"{number(one['seconds']['median'])}, once"
        return (figure(one["seconds"]) if one["repeats"] > 1 else once, one["answer"])

    rows = [
        (
            f"{row['points']:,}",
            row["what"],
            *cells(row["ours"]),
            *cells(row["scikit-learn"]),
            figure(row["ratio"]) if "ratio" in row else "",
        )
        for row in result["rows"]
    ]
    title = f"Clustering: a mixture of {result['k']} Gaussians in {result['dimensions']} dimensions"
    header = ("points", "what", "ours, s", "answer", "scikit-learn, s", "answer", "its time / ours")
    sections = [Section(title, header, rows)]
    if agreement := result.get("agreement"):
        sections.append(_agreement_of_forms(agreement))
    return sections


def _agreement_of_forms(rows: Sequence[Mapping[str, Any]]) -> Section:
    """A row for each collection and clusterer that has an approximate form."""
    header = (
        "collection",
        "what",
        "ARI with the exact",
        "exact, points moved",
        "ARI with the truth: exact; form",
        "s: exact; form",
    )
    return Section(
        f"Forms for many points, at {rows[0]['points']:,}",
        header,
        [
            (
                row["collection"],
                row["what"],
                *(f"{row['ari'][how]:.3f}" for how in ("form", "moved")),
                "; ".join(f"{row['truth'][how]:.3f}" for how in ("exact", "form")),
                "; ".join(number(row["seconds"][how]) for how in ("exact", "form")),
            )
            for row in rows
        ],
    )


def defaults(result: Result) -> list[Section]:
    """A table for each store: a row for each set of features and way to scale it, agreement with the classes."""
    sections = []
    for name, told in result["stores"].items():
        mine = [row for row in result["rows"] if row["store"] == name]
        columns = list(dict.fromkeys(map(_contender, mine)))
        cells: dict[Row, dict[str, str]] = {}
        for row in mine:
            features = f"{row['features']} ({row['columns']})" + (", columns shuffled" if row["shuffled"] else "")
            scaling = row["scaling"] if row["fusion"] == "concat" else f"{row['scaling']}, {row['fusion']}"
            cells.setdefault((features, scaling), {})[_contender(row)] = _agreement(row)
        title = f"{name}: {told['tracks']:,} tracks, {told['k']} classes of {told['classes']}; ARI and NMI"
        rows = [(*head, *(row.get(column, "") for column in columns)) for head, row in cells.items()]
        sections.append(Section(title, ("features (columns)", "scaling", *columns), rows))
    return sections


def _contender(row: Mapping[str, Any]) -> str:
    if row["what"] != "vae":
        return row["what"] if row["latent_dim"] is None else f"{row['what']} {row['latent_dim']}"
    return f"VAE {row['latent_dim']}" + (f", neighbours {row['neighbours']:g}" if row["neighbours"] else "")


def _agreement(row: Mapping[str, Any]) -> str:
    """ "0.385 ± 0.012, 0.511": ARI with the half-width of its 95 % interval over the seeds, and the mean NMI."""
    ari, mutual = mean_interval(row["ari"]), mean_interval(row["nmi"])
    little = f", {row['low_information']} of low information" if row.get("low_information") else ""
    return f"{estimate(ari['mean'], ari['interval'])}, {mutual['mean']:.3f}{little}"


def number_of_clusters(result: Result) -> list[Section]:
    """Sets without clusters of which k was not one, and mixtures of which it was right."""
    shapes: list[Row] = []
    mixtures: list[Row] = []
    for row in result["rows"]:
        low, high = row["interval"]
        share = f"{100 * row['share']:.0f} % ({100 * low:.1f} to {100 * high:.1f})"
        if row["shape"]:
            shapes.append((row["shape"], f"{row['sets']}", share))
        else:
            rest = (f"{100 * row['in_range']:.0f} %", f"{100 * row['one']:.0f} %", f"{row['median_k']:g}")
            mixtures.append((f"{row['k']}", f"{row['apart']:g} sd", f"{row['sets']}", share, *rest))
    title = f"Number of clusters: {result['points']} points without clusters"
    return [
        Section(title, ("shape", "sets", "k above 1 (95 % interval)"), shapes),
        Section(
            "Number of clusters: mixtures of Gaussians",
            ("k", "apart", "sets", "right (95 % interval)", "in the range", "called one", "median k"),
            mixtures,
        ),
    ]


def scale(result: Result) -> list[Section]:
    """A row for each stage."""
    rows = [
        (
            row["stage"],
            number(row["seconds"]),
            number(row["cores"]) if row["cores"] else "",
            f"{row['peak'] / 2**30:.2f}" if row["peak"] else "",
            row["note"],
        )
        for row in result["rows"]
    ]
    title = f"A collection of {result['tracks']:,} tracks x {result['columns']} columns"
    return [Section(title, ("stage", "s", "s of cores", "peak memory, GiB", ""), rows)]


def _beside_targets(title: str) -> Callable[[Result], list[Section]]:
    """Whatever was measured, beside its target."""

    def sections(result: Result) -> list[Section]:
        rows = [(row["what"], figure(row["figure"]), str(row.get("target") or "")) for row in result["rows"]]
        return [Section(title, ("what", "figure", "target"), rows)]

    return sections


def adding(result: Result) -> list[Section]:
    """A row for each thing that is done to a store."""
    rows = [
        (row["what"], number(row["seconds"]), number(row["written"] / 1e6), number(row["peak"] / 2**20))
        for row in result["rows"]
    ]
    title = f"Adding to a store, spectrograms of 128 x {result['frames']}"
    return [Section(title, ("what", "s", "MB written", "peak memory, MiB"), rows)]


population, start = _beside_targets("Populations"), _beside_targets("From the start to the first epoch")
page = _beside_targets("The page with the map")


# name of a benchmark, and of its result -> its tables
def calibration(result: Result) -> list[Section]:
    """The share of claims, a table for each model: collections down, clusterers across."""
    header = ("collection", "clusterer", "sets", "claims", "quick form", "rule of before")

    def share(row: Mapping[str, Any], how: str) -> str:
        if how not in row:
            return ""
        found = binomtest(row[how], row["sets"]).proportion_ci(method="wilson")
        return f"{100 * row[how] / row['sets']:.1f} % ({100 * found.low:.1f} to {100 * found.high:.1f})"

    models = dict.fromkeys(row["model"] for row in result["rows"])
    return [
        Section(
            f"Claims of structure, {'the columns themselves' if model == 'none' else model}",
            header,
            [
                (
                    *(str(row[key]) for key in ("collection", "clusterer", "sets")),
                    *(share(row, how) for how in ("pipeline" if "pipeline" in row else "latents", "latents", "before")),
                )
                for row in result["rows"]
                if row["model"] == model
            ],
        )
        for model in models
    ]


TABLES: dict[str, Callable[[Result], list[Section]]] = {
    "training": training,
    "population": population,
    "start": start,
    "page": page,
    "features": features,
    "tagger": tagger,
    "clustering": clustering,
    "defaults": defaults,
    "calibration": calibration,
    "number_of_clusters": number_of_clusters,
    "scale": scale,
    "adding": adding,
}


def show(name: str, result: Result, out: Path, note: str = "") -> None:
    """Prints the tables of a benchmark's result, what else is to be said, the machine, and where the figures are."""
    for section in TABLES[name](result):
        console.print(section.rich())
    for line in (note, about(result)) if note else (about(result),):
        console.print(line, soft_wrap=True)
    console.print(f"written to {out}")
