"""The scores of a run as tables. Drawing them needs rich alone.

Conventions: `results` is the dict of a run's metrics.json: rows of scores, model replicas, controls and baselines; null
and NaN both mean "not defined" and are shown as an en dash. A row with a flag of `reading.UNRANKED` is shown, never
marked best and never ranked above a row without one. Order is by the silhouette in the fixed reference space, the one
score that needs no classes and that every row shares. Only scores that can be compared between rows have a best one:
silhouettes, Calinski-Harabasz and Davies-Bouldin belong to the space that was clustered. A cell has two lines: the
score, and below it what says how far to trust it (its null, its chance level, its flag).
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from rich import box
from rich.console import Console, ConsoleOptions
from rich.table import Table
from rich.text import Text

from musiclust.report.reading import estimate, is_unranked, number, ranked
from musiclust.report.summary import MEASURED, summarise_rows, summary

KINDS = ("baseline", "control")  # of rows, told where a row has no flag
MAX_ROWS = 20  # more rows than this are summarised over seeds, and more settings than this are not shown
_APPROXIMATE = "approximate"  # the flag of a clusterer's form for many tracks


class Score(NamedTuple):
    """A column of the tables.

    Attributes:
      key: name of the score in a row.
      title: first line of the header.
      below: name of what stands on the second line of a cell, "" for nothing.
      below_title: second line of the header.
      better: +1 where more is better, 0 where neither is, or where rows cannot be compared.
      form: format of the first line, as in `reading.number`.
    """

    key: str
    title: str
    below: str
    below_title: str
    better: int
    form: str


SCORES = (
    Score("silhouette", "silhouette", "silhouette_null", "null", 0, "fixed"),
    Score("calinski_harabasz", "CH", "", "", 0, "significant"),
    Score("davies_bouldin", "DB", "", "", 0, "significant"),
    Score("ari", "ARI", "", "", +1, "fixed"),
    Score("ami", "AMI", "", "", +1, "fixed"),
    Score("nmi", "NMI", "nmi_chance", "chance", +1, "fixed"),
    Score("purity", "purity", "purity_chance", "chance", +1, "fixed"),
    Score("reference_silhouette", "reference\nsilhouette", "reference_null", "null", +1, "fixed"),
    Score("informative_units", "units\nin use", "total_kl", "KL nats", 0, "count"),
    Score("n_clusters", "clusters", "coverage", "coverage", 0, "count"),
)
# What a narrow terminal does without, first to go first.
_DROP = ("CH", "DB", "learning\nrate", "clusters", "purity", "NMI", "units\nin use", "silhouette", "ARI", "AMI")


class Cell(NamedTuple):
    """Two lines of a table, and whether the first is the best of its column."""

    text: str
    below: str = ""
    best: bool = False


class Sheet(NamedTuple):
    """A table before it is drawn: headers (title, title of the second line), rows of cells, and what to know of it."""

    headers: list[Cell]
    rows: list[list[Cell]]
    caption: str


def results_sheet(results: Mapping[str, Any]) -> Sheet:
    """Lays out one row per replica and baseline, best first; past MAX_ROWS rows the summary over seeds instead."""
    rows = results["rows"]
    if len(rows) > MAX_ROWS:
        return summary_sheet(results)
    order = ranked(rows)
    chosen = order.index(results["chosen"])
    entries = [summarise_rows([rows[index]]) | {"seed": rows[index].get("seed")} for index in order]
    return _sheet(entries, chosen, over_seeds=False)


def summary_sheet(results: Mapping[str, Any]) -> Sheet:
    """Lays out one row per setting, mean ± 95 % interval over its seeds, best first, at most MAX_ROWS of them."""
    return _sheet(summary(results), None, over_seeds=True)


def results_table(results: Mapping[str, Any]) -> Table:
    """Draws `results_sheet` for the terminal, without its least telling columns where the console is narrow."""
    return _FittingTable(results_sheet(results))


def summary_table(results: Mapping[str, Any]) -> Table:
    """Draws `summary_sheet` for the terminal, fitted likewise."""
    return _FittingTable(summary_sheet(results))


def _sheet(entries: list[dict[str, Any]], chosen: int | None, *, over_seeds: bool) -> Sheet:
    shown = entries[:MAX_ROWS]
    values = [{**{key: entry[key] for key in MEASURED}, **entry["scores"]} for entry in entries]
    # A score that nothing has (ARI without classes) is not a column.
    scores = [score for score in SCORES if any(math.isfinite(value[score.key]["mean"]) for value in values)]
    possible = {"seed": "seed", "beta": "beta", "learning\nrate": "learning_rate"}
    settings = [
        (title, key) for title, key in possible.items() if len({entry.get(key) for entry in entries} - {None}) > 1
    ]
    headers = [Cell("model", "flag"), *(Cell(title) for title, _ in settings)]
    headers += [Cell("n")] if over_seeds else []
    headers += [Cell(score.title, score.below_title) for score in scores]

    texts = [
        [_text(value[score.key], score, entry["n"]) for score in scores]
        for entry, value in zip(entries, values, strict=True)
    ]
    best = [_best(entries, values, [text[i] for text in texts], score) for i, score in enumerate(scores)]
    rows = []
    for index, entry in enumerate(shown):
        row = [_name(entry, index == chosen), *(Cell(number(entry.get(key), "setting")) for _, key in settings)]
        row += [Cell(str(entry["n"]))] if over_seeds else []
        for i, score in enumerate(scores):
            form = {"coverage": "percent", "total_kl": "significant"}.get(score.below, "fixed")
            below = number(values[index][score.below]["mean"], form) if score.below else ""
            row.append(Cell(texts[index][i], below, texts[index][i] == best[i] and not is_unranked(entry["flags"])))
        rows.append(row)
    notes = ["Mean ± 95 % interval over n seeds: another training on the same songs."] if over_seeds else []
    notes += ["▸ The replica shown."] if chosen is not None else []
    notes += ["Bold: best, where rows can be compared and none has a flag that bars it."]
    notes += ["Under a score: its null (structureless points of that shape) or chance level (shuffled classes)."]
    if any(_APPROXIMATE in entry["flags"] for entry in shown):
        notes += ["Approximate: with so many tracks this clusterer does not look at all pairs of them."]
    hidden = len(entries) - len(shown)
    notes += [f"{hidden} more {'row' if hidden == 1 else 'rows'} not shown; metrics.json has all."] if hidden else []
    return Sheet(headers, rows, " ".join(notes))


def _text(value: Mapping[str, float], score: Score, rows: int) -> str:
    """A figure; where some of the rows have no such score, with the number of those that have."""
    text = estimate(value["mean"], value["interval"], score.form)
    return f"{text} ({value['n']} of {rows})" if 0 < value["n"] < rows else text


def _best(entries: list, values: list, texts: list[str], score: Score) -> str | None:
    """Returns the text of the best value among entries without a flag; rows that read the same share the honour."""
    candidates = [
        (score.better * value[score.key]["mean"], text)
        for entry, value, text in zip(entries, values, texts, strict=True)
        if score.better and not is_unranked(entry["flags"]) and math.isfinite(value[score.key]["mean"])
    ]
    return max(candidates)[1] if candidates else None


def _name(entry: Mapping[str, Any], chosen: bool) -> Cell:
    flags = [flag if count == entry["n"] else f"{flag} {count}/{entry['n']}" for flag, count in entry["flags"].items()]
    below = ", ".join(flags) or ("" if entry["kind"] == "model" else entry["kind"])
    return Cell(f"▸ {entry['name']}" if chosen else entry["name"], below)


class _FittingTable(Table):
    """A rich table that fits its console: breaks "mean ± interval", then drops columns in the order of _DROP."""

    def __init__(self, sheet: Sheet) -> None:
        super().__init__(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
        self.caption, self.caption_justify = sheet.caption, "left"
        self.sheet = sheet
        for index, header in enumerate(sheet.headers):
            title = Text().append(header.text, "bold").append(f"\n{header.below}" if header.below else "", "dim")
            if index:  # a number is never broken; the name may be
                lines = [title.plain, *(f"{row[index].text}\n{row[index].below}" for row in sheet.rows)]
                width = max(len(line) for text in lines for line in text.split("\n"))
                self.add_column(title, justify="right", min_width=width)
            else:
                self.add_column(title, overflow="fold")
        for row in sheet.rows:
            self.add_row(*(_rich(cell, flag=not index) for index, cell in enumerate(row)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        unlimited = options.update(width=10_000)
        sheet, table, left_out = self.sheet, self, []
        for title in ("±", *_DROP):
            if table.__rich_measure__(console, unlimited).minimum <= options.max_width:
                break
            if title == "±":
                sheet = sheet._replace(rows=[[_broken(cell) for cell in row] for row in sheet.rows])
            elif any(header.text == title for header in sheet.headers):
                left_out.append(title.replace("\n", " "))
                sheet = _without(sheet, title)
            table = _FittingTable(sheet)
        if left_out:
            table.caption = f"{sheet.caption} Left out, the terminal being narrow: {', '.join(left_out)}."
        yield from Table.__rich_console__(table, console, options)


def _broken(cell: Cell) -> Cell:
    return cell._replace(text=cell.text.replace(" ± ", "\n± "))


def _without(sheet: Sheet, title: str) -> Sheet:
    keep = [index for index, header in enumerate(sheet.headers) if header.text != title]
    return sheet._replace(headers=[sheet.headers[i] for i in keep], rows=[[row[i] for i in keep] for row in sheet.rows])


def _rich(cell: Cell, flag: bool) -> Text:
    text = Text().append(cell.text, "bold green" if cell.best else "")
    if cell.below:
        text.append(f"\n{cell.below}", "yellow" if flag and cell.below not in KINDS else "dim")
    return text
