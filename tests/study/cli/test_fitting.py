"""Tables on narrow terminals: the same cells, fewer columns side by side."""

import pytest

from analysis.tables.printed import PrintedTable, render
from study.cli.fitting import fitted

HEADER = ("task", "m", "arm", "n", "ours (%)", "paper (%)", "difference [95 %]", "verdict")
ROWS = [
    ("same_different", "95", "baseline", "10/10", "100.0 ± 0.0", "100.0 ± 0.0", "+0.0 [-0.2, +0.2]", "agrees"),
    ("rmts", "95", "tcn=none", "2/2", "50.0 ± 0.0", "49.8 ± 0.2", "+0.2 [-0.3, +0.7]", "undecided"),
]
NOTE = "difference: ours minus paper, in points, with a 95 % t interval that is not corrected for the other variants."
TEXT = render([PrintedTable(HEADER, ROWS, [False, True, False, *[True] * 4, False], "A title")], [NOTE], [], "text")


@pytest.mark.parametrize("width", [48, 60, 80])
def test_no_line_is_wider_than_the_terminal_and_no_cell_is_lost(width: int) -> None:
    text = fitted(TEXT, width)
    assert max(map(len, text.splitlines())) <= width
    assert {cell for row in (HEADER, *ROWS) for cell in row if cell not in text} == set()
    assert NOTE in " ".join(text.split())


def test_table_that_fits_stays_as_it_is() -> None:
    assert fitted(TEXT, 200) == TEXT


def test_each_part_says_which_arm_a_row_is_about() -> None:
    assert fitted(TEXT, 70).count("tcn=none") > 1


def test_rows_are_numbered_where_their_names_take_half_the_terminal() -> None:
    lines = [line.split() for line in fitted(TEXT, 48).splitlines()]
    assert ["2", "rmts", "95", "tcn=none"] in lines
    assert ["2", "2/2", "50.0", "±", "0.0", "49.8", "±", "0.2"] in lines


def test_column_that_is_wider_than_the_terminal_stays_whole() -> None:
    assert "difference [95 %]" in fitted(TEXT, 10)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "x" * 500 + "\n", '[{"a": 1}]\n'])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert fitted(text, 40) == text
