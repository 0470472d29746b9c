"""Printed tables fitted to a narrow terminal."""

import re
import textwrap

_RULE = re.compile(r"─+(?:  ─+)*")


def fitted(text: str, width: int) -> str:
    """Returns text whose tables are no wider than a terminal: columns that do not fit are printed below the others.

    The columns up to "arm", or else the first one, stand in front of each part. Lines of text under tables are wrapped.

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
            end = lines.index("") if "" in lines else len(lines)
            fitting += _parts(lines[:end], width)
            lines = lines[end:]
        else:
            fitting += textwrap.wrap(lines.pop(0), width) or [""]
    return "\n".join(fitting)


def _parts(table: list[str], width: int) -> list[str]:
    spans = [match.span() for match in re.finditer("─+", table[1])]
    if spans[-1][1] <= width:
        return table
    names = [table[0][start:end].strip() for start, end in spans]
    n_keys = names.index("arm") + 1 if "arm" in names else 1
    keys, rest = spans[:n_keys], spans[n_keys:]
    parts: list[str] = []
    while rest:
        shown = [rest.pop(0)]
        while rest and _width(keys + shown + rest[:1]) <= width:
            shown.append(rest.pop(0))
        parts += [""] * bool(parts)
        parts += ["  ".join(row[start:end].ljust(end - start) for start, end in keys + shown).rstrip() for row in table]
    return parts


def _width(spans: list[tuple[int, int]]) -> int:
    return sum(end - start + 2 for start, end in spans) - 2
