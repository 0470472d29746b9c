"""Printed tables fitted to a narrow terminal."""

import re
import textwrap

_RULE = re.compile(r"─+(?:  ─+)*")


def fitted(text: str, width: int) -> str:
    """Returns text whose tables are no wider than a terminal: columns that do not fit are printed below the others.

    Each part begins with the columns up to "arm", or else the first one. Where these take half the terminal, they are
    printed once, and each part begins with the numbers of the rows. Text under tables is wrapped.

    Args:
        text: as `analysis.tables.printed.aligned` makes tables; other text stays as it is.
        width: columns of the terminal.
    """
    lines = text.split("\n")
    if not any(map(_RULE.fullmatch, lines)):
        return text
    fitting: list[str] = []
    while lines:
        if len(lines) > 1 and _RULE.fullmatch(lines[1]):
            end = lines.index("", 2) if "" in lines[2:] else len(lines)
            fitting += _parts(lines[:end], width)
            lines = lines[end:]
        else:
            fitting += textwrap.wrap(lines.pop(0), width) or [""]
    return "\n".join(fitting)


def _parts(table: list[str], width: int) -> list[str]:
    spans = [match.span() for match in re.finditer("─+", table[1])]
    if spans[-1][1] <= width:
        return table
    columns = [[row[start:end].ljust(end - start) for row in table] for start, end in spans]
    names = [column[0].strip() for column in columns]
    n_keys = names.index("arm") + 1 if "arm" in names else 1
    keys, rest = columns[:n_keys], columns[n_keys:]
    parts: list[str] = []
    if _width(keys) > width // 2:
        digits = len(str(len(table) - 2))
        numbers = ["#".rjust(digits), "─" * digits, *(str(i + 1).rjust(digits) for i in range(len(table) - 2))]
        parts, keys = [*_rows([numbers, *keys]), ""], [numbers]
    while rest:
        shown = [rest.pop(0)]
        while rest and _width([*keys, *shown, rest[0]]) <= width:
            shown.append(rest.pop(0))
        parts += _rows([*keys, *shown]) + [""] * bool(rest)
    return parts


def _width(columns: list[list[str]]) -> int:
    return sum(len(column[0]) + 2 for column in columns) - 2


def _rows(columns: list[list[str]]) -> list[str]:
    return ["  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]
