"""Texts of strangers in a table that a spreadsheet opens.

A title or a file name that begins with = + - @ is a formula to Excel, LibreOffice and others, and a formula can call a
program or a server. An apostrophe before it makes it text there (OWASP, "CSV Injection").
"""

# Some know the wide forms of the signs too.
_SIGNS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # noqa: RUF001
_PASSED_OVER = ("\t", "\r", "\n")  # at the head of a cell, by some


def plain_cell(text: str) -> str:
    """Returns the text of a cell so that no spreadsheet takes it for a formula; other texts come back as they are.

    It is for texts alone: a number such as -1 is no formula.

    Example:
      >>> plain_cell("=HYPERLINK(1)"), plain_cell("Song = 2"), plain_cell("")
      ("'=HYPERLINK(1)", 'Song = 2', '')
    """
    return f"'{text}" if text.startswith(_PASSED_OVER) or text.lstrip().startswith(_SIGNS) else text
