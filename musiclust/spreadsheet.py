"""Texts of strangers in a table that a spreadsheet opens.

A title or a file name that begins with = + - @ is a formula to Excel, LibreOffice and others, and a formula can call a
program or a server. An apostrophe before it makes it text there (OWASP, "CSV Injection").

The tables of a run have their texts by `plain_cell`, and what reads one back undoes that by `read_cell`. Other programs
that read such a table see the apostrophe.
"""

import re

# Signs that begin a formula, some of them in the wide forms that some know too, and white space that some pass over.
_FORMULA = re.compile(r"'*(?:[\t\r\n]|\s*[=+\-@＝＋－＠])")  # noqa: RUF001


def plain_cell(text: str) -> str:
    """Returns the text of a cell so that no spreadsheet takes it for a formula; other texts come back as they are.

    It is for texts alone: a number such as -1 is no formula. A text that looks as if it had been changed so already
    gets another apostrophe, so that `read_cell` gives every text back.

    Example:
      >>> plain_cell("=HYPERLINK(1)"), plain_cell("Song = 2"), plain_cell("'Round Midnight")
      ("'=HYPERLINK(1)", 'Song = 2', "'Round Midnight")
    """
    return f"'{text}" if _FORMULA.match(text) else text


def read_cell(cell: str) -> str:
    """Returns the text that `plain_cell` made the cell of.

    Example:
      >>> read_cell("'=HYPERLINK(1)"), read_cell("'Round Midnight")
      ('=HYPERLINK(1)', "'Round Midnight")
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
