"""Cells that begin a formula become text, and no others change."""

import pytest

from musiclust.listening.spreadsheet import plain_cell


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\ttab", " =1", "＝1"])  # noqa: RUF001
def test_a_formula_becomes_text(text):
    assert plain_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "Song", "a=1", "'=1", " a", "1-1"])
def test_other_texts_stay(text):
    assert plain_cell(text) == text
