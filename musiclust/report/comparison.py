"""Published figures beside measured ones: Markdown and HTML for people, CSV for machines.

Conventions: a printed figure is shown as it stands in print; a measured one is the mean over n seeds with the
half-width of its 95 % interval. An en dash stands where there is nothing.
"""

import csv
import html
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from musiclust.files import atomic
from musiclust.report.reading import estimate, number

_HEADERS = ("row", "figure", "published", "measured", "in the reference space", "note")
_NOTHING = number(None)

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1d1d1f }
table { border-collapse: collapse; margin: .5rem 0 2rem; width: 100% } caption { text-align: left; color: #555 }
th, td { padding: .25rem .6rem; text-align: left; border-bottom: 1px solid #e3e3e3; vertical-align: top }
th { border-bottom: 2px solid #999 } td:nth-child(3), td:nth-child(4), td:nth-child(5) { white-space: nowrap;
font-variant-numeric: tabular-nums } tr.first td { border-top: 1px solid #999 } .note { color: #8a4b00 }
@media (prefers-color-scheme: dark) { body { background: #16181c; color: #e6e6e6 } .note { color: #e0a458 }
caption { color: #aaa } th, td { border-color: #3a3d44 } }
"""


class Measured(NamedTuple):
    """A mean over seeds.

    Attributes:
      mean: the mean.
      interval: half-width of its 95 % interval, NaN for one seed.
      n: number of seeds.
      form: as in `reading.number`.

    >>> str(Measured(0.25, 0.01, 10))
    '0.250 ± 0.010'
    """

    mean: float
    interval: float
    n: int
    form: str = "fixed"

    def __str__(self) -> str:
        return estimate(self.mean, self.interval, self.form)


class Line(NamedTuple):
    """One figure of one row of a table.

    Attributes:
      row: name of the row.
      figure: name of the figure.
      published: the figure as it stands in print, "" where there is none.
      measured: a Measured, words, or None where there is nothing.
      reference: the score in the reference space beside its null.
      note: what to know of it.
    """

    row: str
    figure: str
    published: str = ""
    measured: Measured | str | None = None
    reference: str = ""
    note: str = ""

    def cells(self) -> tuple[str, ...]:
        """Returns the six cells of the line, as text."""
        measured = _NOTHING if self.measured is None else str(self.measured)
        return (self.row, self.figure, self.published or _NOTHING, measured, self.reference, self.note)


class Comparison(NamedTuple):
    """A table, in which lines of one row stand together.

    Attributes:
      title: its heading.
      about: what to know of it, a sentence or two.
      lines: its lines.
    """

    title: str
    about: str
    lines: Sequence[Line]


def markdown(title: str, preface: Sequence[str], tables: Sequence[Comparison]) -> str:
    """Writes the whole as Markdown; a row's name, reference and note stand on its first line only."""
    parts = [f"# {title}", *preface]
    for table in tables:
        parts += [f"## {table.title}"] + ([table.about] if table.about else [])
        rows = [_HEADERS, tuple("---" for _ in _HEADERS), *_without_repeats(table.lines)]
        parts.append("\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows))
    return "\n\n".join(parts) + "\n"


def page(title: str, preface: Sequence[str], tables: Sequence[Comparison]) -> str:
    """Writes the whole as one HTML page that needs nothing else."""
    parts = [f"<h1>{html.escape(title)}</h1>", *(f"<p>{_code(html.escape(text))}</p>" for text in preface)]
    for table in tables:
        parts.append(f"<h2>{html.escape(table.title)}</h2><table><caption>{html.escape(table.about)}</caption>")
        parts.append("<thead><tr>" + "".join(f"<th>{name}</th>" for name in _HEADERS) + "</tr></thead><tbody>")
        for row in _without_repeats(table.lines):
            first = ' class="first"' if row[0] else ""
            cells = [f"<td>{html.escape(cell)}</td>" for cell in row[:-1]]
            parts.append(f'<tr{first}>{"".join(cells)}<td class="note">{html.escape(row[-1])}</td></tr>')
        parts.append("</tbody></table>")
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
    )
    return (
        f'<!doctype html><html lang="en"><head>{head}<style>{_STYLE}</style></head><body>{"".join(parts)}</body></html>'
    )


def _code(text: str) -> str:
    """Turns Markdown's backticks into HTML."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", text)


def write(folder: Path, stem: str, title: str, preface: Sequence[str], tables: Sequence[Comparison]) -> list[Path]:
    """Writes <stem>.md, <stem>.html and <stem>.csv (a line a figure, numbers without signs) into `folder`."""
    paths = [folder / f"{stem}.{kind}" for kind in ("md", "html", "csv")]
    for path, text in zip(paths, (markdown(title, preface, tables), page(title, preface, tables)), strict=False):
        with atomic(path) as file:
            file.write(text)
    with atomic(paths[2]) as file:
        writer = csv.writer(file)
        writer.writerow(["table", "row", "figure", "published", "measured", "interval", "n", "reference", "note"])
        for table in tables:
            for line in table.lines:
                if isinstance(line.measured, Measured):
                    interval = "" if math.isnan(line.measured.interval) else line.measured.interval
                    measured = ["" if math.isnan(line.measured.mean) else line.measured.mean, interval, line.measured.n]
                else:
                    measured = [line.measured or "", "", ""]
                published = line.published.replace(",", "")
                writer.writerow([table.title, line.row, line.figure, published, *measured, line.reference, line.note])
    return paths


def _without_repeats(lines: Sequence[Line]) -> list[tuple[str, ...]]:
    """Returns the cells of each line; what repeats from line to line of one row stands on its first line only."""
    shown, before = [], None
    for line in lines:
        row, figure, published, measured, reference, note = line.cells()
        if before is not None and before.row == line.row:
            same = before.reference == line.reference
            row, note = "", "" if before.note == line.note else note
            reference = "" if same else reference
        shown.append((row, figure, published, measured, reference, note))
        before = line
    return shown
