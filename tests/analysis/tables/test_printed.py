"""Tables in every format."""

import csv
import io
import itertools
import re
from html.parser import HTMLParser

import pandas as pd
import pyarrow as pa
import pytest
from markdown_it import MarkdownIt

from analysis.errors import AnalysisError
from analysis.tables import query
from analysis.tables.printed import FORMATS, PrintedTable, interval, latex, p_value, render
from esbn_core.printable import printable

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


HOSTILE = [
    "\x1b[2J\x1b[31mred",
    "\x9b31m\x07\x08",
    "two\nlines\r\nand\ttabs\u2028",
    "a | b \\| c \\",
    "</td><script>alert(1)</script>",
    "&lt;b&gt; \"quoted\" 'text'",
    r"\input{/etc/passwd} & $x^2$ % # _ ~ {",
    "[1cm] first in its row",
    "* starred",
    '=HYPERLINK("http://x")',
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
]
SHOWN = list(map(printable, HOSTILE))
TABLES = [PrintedTable([text, "p"], [[text, "1"], ["b", text]], [False, True], text) for text in HOSTILE]


class Cells(HTMLParser):
    """Collects the text of cells, captions and notes as a browser has it, and every tag there is."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag in ("th", "td", "caption", "p"):
            self.texts.append("")

    def handle_data(self, data: str) -> None:
        if self.texts and data != "\n":
            self.texts[-1] += data


def cells_of_markdown(text: str) -> list[list[str]]:
    """The cells of all rows, by a parser of the Markdown of GitHub; inline marks as plain text."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    rows: list[list[str]] = []
    for before, token in itertools.pairwise(tokens):
        if before.type == "tr_open":
            rows.append([])
        if before.type in ("th_open", "td_open"):
            children = token.children or []
            assert {child.type for child in children} <= {"text", "text_special", "em_open", "em_close", "link_open"}
            rows[-1].append("".join(child.content for child in children))
    return rows


@pytest.mark.parametrize("format", FORMATS)
def test_no_format_passes_a_control_character_on(format: str) -> None:
    frame = pd.DataFrame({text: [text, 1.0] for text in HOSTILE})
    printed = render(TABLES, HOSTILE, [frame], format)
    assert printed.replace("\n", "").isprintable()
    assert r"\x1b[2J" in printed.replace(r"\textbackslash{}", "\\").replace(r"\\", "\\")


def test_text_has_a_line_for_each_row_title_and_note() -> None:
    lines = render(TABLES, HOSTILE, [], "text").split("\n")
    assert len(lines) == 7 * len(TABLES) + len(HOSTILE) + 1  # title, blank, header, rule, two rows, blank; the end
    assert lines[0 : 7 * len(TABLES) : 7] == lines[-1 - len(HOSTILE) : -1] == SHOWN


def test_markdown_is_read_as_the_same_cells() -> None:
    read = cells_of_markdown(render(TABLES, [], [], "markdown"))
    assert read == [row for text in SHOWN for row in ([text.strip(), "p"], [text.strip(), "1"], ["b", text.strip()])]


def test_html_is_read_as_the_same_cells() -> None:
    page = Cells(render(TABLES, HOSTILE, [], "html"))
    cells = [[text, text, "p", text, "1", "b", text] for text in (printable(text, keep="\n") for text in HOSTILE)]
    notes = [printable(text, keep="\n") for text in HOSTILE]
    assert page.texts == [*(text for texts in cells for text in texts), *notes]
    assert page.tags == {"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "button", "p"}


def test_latex_has_nothing_to_obey_but_its_rules() -> None:
    rows = [line for line in render(TABLES, [], [], "latex").splitlines() if line.endswith(r" \\")]
    assert len(rows) == 3 * len(HOSTILE)
    for row in rows:
        plain = re.sub(r"\\(textbackslash|textasciitilde|textasciicircum)\{\}|\\[&%$#_{}]|\$[<>|-]\$", "", row)
        assert plain.removesuffix(r" \\").count("&") == 1
        assert not set(plain.removesuffix(r" \\")) & set("\\%$#_~^")
        assert not plain.startswith(("[", "*"))
        assert re.fullmatch(r"[^{}]*(\{[\[*]\}[^{}]*)?", plain.removesuffix(r" \\"))


@pytest.mark.parametrize("emitter", ["table", "query"])
def test_csv_is_read_as_the_same_text_with_formulas_quoted(emitter: str) -> None:
    numbers = [-1.5 - i for i in range(len(HOSTILE))]
    if emitter == "table":
        text = render([], [], [pd.DataFrame({"=arm": HOSTILE, "points": numbers})], "csv")
    else:
        text = "".join(query.render(pa.table({"=arm": HOSTILE, "points": numbers}), "csv"))
    header, *rows = csv.reader(io.StringIO(text))
    assert header == ["'=arm", "points"]
    assert [float(points) for _, points in rows] == numbers
    for (cell, _), raw, shown in zip(rows, HOSTILE, SHOWN, strict=True):
        assert cell == ("'" if raw[0] in "=+-@\t\r" else "") + shown
        assert not cell.startswith(("=", "+", "-", "@"))


def test_csv_keeps_whole_numbers_beside_blanks() -> None:
    frames = [pd.DataFrame({"n": [1, 2]}), pd.DataFrame({"m": [-3, None]}, dtype=object)]
    assert render([], [], frames, "csv") == "n,m\n1,\n2,\n,-3\n,\n"


@pytest.mark.parametrize("format", ["table", "csv", "json"])
def test_query_passes_no_control_character_on(format: str) -> None:
    answer = pa.table({"\x1b]0;title\x07": HOSTILE, "lists": [[text] for text in HOSTILE]})
    assert "".join(query.render(answer, format)).replace("\n", "").isprintable()
