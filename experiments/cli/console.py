"""The console: all that a command tells a person goes through it.

Text is printed as it is. Rich would read "[red]" in a song's title as markup and ":smile:" as an emoji; here it does
not. Characters that steer a terminal (ESC, BEL, a carriage return, a change of the writing direction) are shown as
escapes, `\\x1b`, because titles and file names come from strangers.
"""

import os
import re
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

_PLAIN_WIDTH = 120  # columns where standard output is no terminal
# C0 without tab and newline, DEL, C1, separators of lines and paragraphs, changes of direction, and the halves of
# surrogate pairs, which stand for bytes of a file name that are not UTF-8 and cannot be printed.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def escape_controls(text: str) -> str:
    """Returns the text with every character that steers a terminal, or cannot be printed, as an escape.

    >>> escape_controls("a\\x1b[31mb\\n")
    'a\\\\x1b[31mb\\n'
    """
    return _UNSAFE.sub(lambda found: ascii(found[0])[1:-1], text)


class PlainConsole(Console):
    """A rich console that takes no text for markup and lets no control character of a text through."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().render_str(escape_controls(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        return super().render(_escape_text(renderable) if isinstance(renderable, Text) else renderable, options)


def _escape_text(text: Text) -> Text:
    """The styled text with its control characters as escapes."""
    cuts = [place for found in _UNSAFE.finditer(text.plain) for place in found.span()]
    if not cuts:
        return text
    escaped = text.blank_copy()
    for piece in text.divide(cuts):
        escaped.append_text(Text(escape_controls(piece.plain)) if _UNSAFE.search(piece.plain) else piece)
    return escaped


def _width() -> int | None:
    return None if sys.stdout.isatty() or "COLUMNS" in os.environ else _PLAIN_WIDTH


console = PlainConsole(width=_width())


def print_line(text: str) -> None:
    """Prints the text without breaking its lines, so that a path can be copied."""
    console.print(text, soft_wrap=True)
