"""Printed tables: aligned text, Markdown, LaTeX, HTML and CSV.

Cells, titles and notes may contain text from outside, such as the failure of a trial. Each format has one function that
escapes it: `printable`, `_in_markdown`, `_in_latex`, `_in_html` and `in_csv`.
"""

import html
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd

from analysis.errors import AnalysisError, choices
from esbn_core.printable import printable

MISSING = "—"
FORMATS = ("text", "markdown", "latex", "html", "csv")

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_RIGHT = ' class="right"'
_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"${character}$" for character in "<>|"},
    "±": r"$\pm$",
    "≤": r"$\leq$",
    "√": r"$\surd$",
    "≠": r"$\neq$",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "∞": r"$\infty$",
    MISSING: "---",
}


class PrintedTable(NamedTuple):
    """A table to print."""

    header: Sequence[str]  # [C] names of the columns
    rows: Sequence[Sequence[str]]  # [R][C] cells
    right: Sequence[bool]  # [C] which columns are right-aligned, as numbers are
    title: str = ""  # a line above it


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """Pads columns to their widest cell and puts a rule under the header; never drops or shortens a row.

    Args:
        header: [C] names of the columns.
        rows: [R][C] cells.
        right: [C] which columns are right-aligned, as numbers are.
    """
    return "".join(aligned_parts(header, [rows], right))


def aligned_parts(
    header: Sequence[str], parts: Iterable[Sequence[Sequence[str]]], right: Sequence[bool]
) -> Iterator[str]:
    """Yields the same as `aligned`, some rows at a time; the widths are those of the first part."""
    widths: list[int] = []

    def line(cells: Sequence[str]) -> str:
        padded = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(cells, widths, right, strict=True))
        return "  ".join(padded).rstrip() + "\n"

    for rows in parts:
        cells = [[printable(cell) for cell in row] for row in rows]
        if not widths:
            names = [printable(name) for name in header]
            widths = [max(map(len, column)) for column in zip(names, *cells, strict=True)]
            yield line(names) + "  ".join("─" * width for width in widths) + "\n"
        yield "".join(map(line, cells))


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """Returns the same cells as a Markdown table; escapes text that would end a cell or begin a tag or entity."""
    first, *others = ([_in_markdown(cell) for cell in cells] for cells in (header, *rows))
    rule = ["---:" if r else "---" for r in right]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (first, rule, *others))


def latex(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """Returns the same cells as a LaTeX tabular with booktabs rules; special characters are escaped."""
    lines = [" & ".join(map(_in_latex, cells)) + r" \\" for cells in (header, *rows)]
    begin = rf"\begin{{tabular}}{{{''.join('r' if r else 'l' for r in right)}}}"
    body = [begin, r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule", r"\end{tabular}"]
    return "\n".join(body) + "\n"


def as_html(table: PrintedTable) -> str:
    """Returns the table in HTML with its text escaped; right-aligned cells sort by their first number."""
    head = "".join(
        f'<th scope="col"{_RIGHT * right}><button type="button">{_in_html(name)}</button></th>'
        for name, right in zip(table.header, table.right, strict=True)
    )
    body = "".join(f"<tr>{''.join(map(_html_cell, cells, table.right))}</tr>\n" for cells in table.rows)
    title = f"<caption>{_in_html(table.title)}</caption>" if table.title else ""
    label = _in_html(table.title or ", ".join(table.header))
    return (
        f'<div class="table" role="region" tabindex="0" aria-label="{label}">'  # focusable, so that keys scroll it
        f'<table class="sortable n-last">{title}<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n'
    )


def _html_cell(cell: str, right: bool) -> str:
    number = re.search(r"[+-]?\d[\d,]*(\.\d+)?(e[+-]?\d+)?", cell)
    key = f' data-sort="{number[0].replace(",", "") if number else ""}"' if right else ""
    return f"<td{_RIGHT * right}{key}>{_in_html(cell)}</td>"


def _in_markdown(text: str) -> str:
    return re.sub(r"[\\|]|<(?=[a-zA-Z/!?])|&(?=[#a-zA-Z])", r"\\\g<0>", printable(text))


def _in_latex(text: str) -> str:
    text = "".join(_LATEX.get(character, character) for character in printable(text))
    text = re.sub(r"(?<![^\s[(])-(?=\d)", "$-$", text)  # a minus sign, not the dash of a range
    return re.sub(r"^[\[*]", r"{\g<0>}", text)  # at the start of a row it would be an argument of the rule above


def _in_html(text: str) -> str:
    return html.escape(printable(text, keep="\n"))


def in_csv(value: Any) -> Any:
    """Returns a value for a CSV file; prefixes text that a spreadsheet would run as a formula with '."""
    if not isinstance(value, str):
        return value
    return printable(f"'{value}" if value.startswith(_FORMULA) else value)


def render(tables: Sequence[PrintedTable], notes: Sequence[str], frames: Sequence[pd.DataFrame], format: str) -> str:
    """Prints tables and the notes under them in one of `FORMATS`.

    Args:
        tables: printed one below the other.
        notes: a paragraph each; not in the CSV.
        frames: content of the CSV, in full precision: the rows of all frames, blank in columns of other frames.
        format: text, markdown, latex (a tabular each, for \\usepackage{booktabs}), html (a part of a page) or csv.
    Raises:
        AnalysisError: the format is none of these.
    """
    if format == "csv":
        together = pd.concat([frame.astype(object) for frame in frames], ignore_index=True)
        rows = [[in_csv(value) for value in row] for row in together.to_numpy()]
        return pd.DataFrame(rows, columns=[in_csv(name) for name in together], dtype=object).to_csv(index=False)
    if format == "latex":
        title = r"\textbf{{{}}}\par\noindent"
        tabulars = "\\par\\bigskip\\noindent\n".join(_titled(table, latex, title, _in_latex) for table in tables)
        under = [rf"\par\smallskip\noindent{{\footnotesize {_in_latex(note)}\par}}" for note in notes]
        return "% needs \\usepackage{booktabs}\n" + tabulars + "\n".join(under) + "\n"
    if format == "html":
        return "".join([*map(as_html, tables), *(f'<p class="note">{_in_html(note)}</p>\n' for note in notes)])
    if format not in FORMATS:
        raise AnalysisError(f"format={format!r} is unknown; {choices(format, FORMATS)}")
    if format == "markdown":
        titled = (_titled(table, markdown, "### {}\n", _in_markdown) for table in tables)
        return "\n".join([*titled, "\n\n".join(map(_in_markdown, notes))]) + "\n"
    titled = (_titled(table, aligned, "{}\n", printable) for table in tables)
    return "\n".join([*titled, "\n".join(map(printable, notes))]) + "\n"


def _titled(table: PrintedTable, draw: Callable[..., str], form: str, escape: Callable[[str], str]) -> str:
    title = form.format(escape(table.title)) + "\n" if table.title else ""
    return title + draw(table.header, table.rows, table.right)


def interval(value: float, low: float, high: float) -> str:
    """Prints a difference in points with its interval, ``"-1.8 [-4.2, +0.6]"``; dashes for NaN."""
    if math.isnan(value):
        return MISSING
    return f"{value:+z.1f} {MISSING if math.isnan(low) else f'[{low:+z.1f}, {high:+z.1f}]'}"


def p_value(p: float) -> str:
    """Prints ``"0.031"``; ``"< 0.001"`` below that, and a dash for NaN."""
    if math.isnan(p):
        return MISSING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
