"""Tables as aligned text and as Markdown."""

from collections.abc import Sequence

MISSING = "—"


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """Columns padded to their widest cell under a rule; every row is printed, none is shortened.

    Args:
        header: [C] names of the columns.
        rows: [R][C] cells.
        right: [C] which columns are set flush right, as numbers are.
    """
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]

    def line(cells: Sequence[str]) -> str:
        padded = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(cells, widths, right, strict=True))
        return "  ".join(padded).rstrip()

    rule = "  ".join("─" * width for width in widths)
    return "\n".join([line(header), rule, *map(line, rows)]) + "\n"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """The same cells as a Markdown table."""
    rule = ["---:" if r else "---" for r in right]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (header, rule, *rows))
