"""Tables in every format."""

import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.tables.printed import PrintedTable, interval, latex, p_value, render

TABLE = PrintedTable(["arm", "p"], [["confidence=default_memory", "< 0.001"], ["a & b", "-1.5"]], [False, True])


def test_latex_is_a_booktabs_table_with_its_characters_escaped() -> None:
    assert latex(*TABLE[:3]) == "\n".join(
        [
            r"\begin{tabular}{lr}",
            r"\toprule",
            r"arm & p \\",
            r"\midrule",
            r"confidence=default\_memory & $<$ 0.001 \\",
            r"a \& b & $-$1.5 \\",
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def test_latex_keeps_the_dash_of_a_range_and_the_brackets_of_an_interval() -> None:
    table = latex(["seeds 3-9", "-1.0 [-2.0, +0.5] ± 5 % — 2^n"], [], [False, False])
    assert r"seeds 3-9 & $-$1.0 [$-$2.0, +0.5] $\pm$ 5 \% --- 2\textasciicircum{}n \\" in table


def test_render_puts_notes_under_tables() -> None:
    assert render([TABLE, TABLE], ["One.", "Two."], [], "text").endswith("-1.5\n\nOne.\nTwo.\n")
    assert render([TABLE, TABLE], ["One.", "Two."], [], "markdown").endswith("| a & b | -1.5 |\n\nOne.\n\nTwo.\n")
    table = latex(*TABLE[:3])
    assert render([TABLE, TABLE], ["100 %.", "Two."], [], "latex") == (
        "% needs \\usepackage{booktabs}\n"
        f"{table}\\par\\bigskip\\noindent\n{table}"
        "\\par\\smallskip\\noindent{\\footnotesize 100 \\%.\\par}\n"
        "\\par\\smallskip\\noindent{\\footnotesize Two.\\par}\n"
    )


def test_render_prints_frames_as_csv_with_blanks_for_the_columns_of_others() -> None:
    frames = [pd.DataFrame({"a": [1, 2], "b": [0.1, None]}), pd.DataFrame({"a": [3], "c": ["x"]})]
    assert render([TABLE], ["One."], frames, "csv") == "a,b,c\n1,0.1,\n2,,\n3,,x\n"


def test_render_suggests_a_format() -> None:
    with pytest.raises(AnalysisError, match="format='latx' is unknown; did you mean 'latex'"):
        render([TABLE], [], [], "latx")


def test_interval_and_p_value_have_dashes_where_there_is_none() -> None:
    nan = float("nan")
    assert interval(-1.84, -4.21, 0.6) == "-1.8 [-4.2, +0.6]"
    assert interval(-0.001, -0.01, 0.01) == "+0.0 [+0.0, +0.0]"
    assert (interval(1.0, nan, nan), interval(nan, nan, nan)) == ("+1.0 —", "—")
    assert (p_value(0.0312), p_value(0.0009), p_value(nan)) == ("0.031", "< 0.001", "—")


def test_html_escapes_cells_and_sorts_numbers_by_their_first() -> None:
    cells = [["<b>&", "-1,234.5 ± 2.0"], ["a", "< 0.001"], ["c", "—"]]
    table = render([PrintedTable(["arm", "p"], cells, [False, True], "A < B")], ["x > y"], [], "html")
    assert "<caption>A &lt; B</caption>" in table
    assert '<td>&lt;b&gt;&amp;</td><td class="right" data-sort="-1234.5">-1,234.5 ± 2.0</td>' in table
    assert [row.split('"')[0] for row in table.split('data-sort="')[1:]] == ["-1234.5", "0.001", ""]
    assert table.endswith('<p class="note">x &gt; y</p>\n')
