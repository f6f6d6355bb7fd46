"""Cells that begin a formula become text, no others change, and all come back."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musiclust.spreadsheet import plain_cell, read_cell

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\ttab", " =1", "＝1"]  # noqa: RUF001
OTHERS = ["", "Song", "a=1", " a", "1-1", "'Round Midnight", "'"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_becomes_text(text):
    assert plain_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", OTHERS)
def test_other_texts_stay(text):
    assert plain_cell(text) == text == read_cell(text)


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.text(), st.text("'=+-@ \t\r\nab＝")))  # noqa: RUF001
def test_every_text_comes_back(text):
    assert read_cell(plain_cell(text)) == text
    assert not plain_cell(text).lstrip().startswith(("=", "+", "-", "@"))
    table = io.StringIO(newline="")
    csv.writer(table).writerow([plain_cell(text), "x"])
    table.seek(0)
    assert read_cell(next(csv.reader(table))[0]) == text


def test_formulas_of_formulas_come_back():
    for text in FORMULAS:
        for number in range(4):
            assert read_cell(plain_cell("'" * number + text)) == "'" * number + text
