"""The paper's Tables 1 to 8, with the numbers of our default trials added."""

from collections.abc import Sequence

import pandas as pd

from analysis.data.protocol import Printed
from analysis.data.published import DEVIATIONS
from analysis.findings.protocol import ProtocolCell
from analysis.tables.printed import MISSING, PrintedTable, render

_COUNTS = "{}, numbers of problems"
TITLES = {
    "Table 1": _COUNTS.format("same_different"),
    "Table 2": _COUNTS.format("rmts"),
    "Table 3": _COUNTS.format("distribution_of_three"),
    "Table 4": _COUNTS.format("identity_rules"),
    "Table 5": "learning rates of Adam without TCN",
    "Table 6": "epochs of all models except those in Tables 7 and 8",
    "Table 7": "distribution_of_three, epochs of the models that were trained longer",
    "Table 8": "identity_rules, epochs of the models that were trained longer",
}
_QUANTITIES = {"n_train": "training", "n_test": "test"}
_OTHERS = "all others, and all with TCN"
_DIFFERS = "≠"


def report(cells: Sequence[ProtocolCell], format: str) -> str:
    """Prints Tables 1 to 8, ours above the paper's, with a mark where they differ.

    Args:
        cells: from `protocol_cells`.
        format: text, markdown, latex, html or csv (the cells).
    Raises:
        AnalysisError: the format is none of these.
    """
    return render([_table(source, cells) for source in TITLES], _notes(cells), [_frame(cells)], format)


def _notes(cells: Sequence[ProtocolCell]) -> list[str]:
    different = sum(cell.differs for cell in cells)
    code = "; ".join(
        f"{at.task}, m = {at.withheld}: {at.trained_on} ({at.released})" for at in DEVIATIONS if not at.text
    )
    return [
        "Ours: trials that change only model and TCN in the paper's ESBN, with all defaults filled in. Epochs: passes"
        " over the training problems.",
        f"All {len(cells)} numbers agree with the paper's."
        if not different
        else f"{_DIFFERS}: ours differs from the paper's, in {different} of {len(cells)} numbers; a/b: our models"
        " differ among themselves.",
        f"These numbers do not show where the released code departs from the text: {code}.",
    ]


def _table(source: str, cells: Sequence[ProtocolCell]) -> PrintedTable:
    here = [cell for cell in cells if cell.printed.source == source]
    columns = list(dict.fromkeys(_column(cell.printed) for cell in here))
    lines = []
    for label in dict.fromkeys(_label(cell.printed) for cell in here):
        at = {_column(cell.printed): cell for cell in here if _label(cell.printed) == label}
        lines.append([label, "ours", *(_ours(at[column]) if column in at else "" for column in columns)])
        lines.append(["", "paper", *(_number(at[column].printed.paper) if column in at else "" for column in columns)])
    names = {"Table 5": "model", "Table 6": "task", "Table 7": "model", "Table 8": "model"}
    header, right = [names.get(source, "problems"), "", *columns], [False, False, *(True for _ in columns)]
    return PrintedTable(header, lines, right, f"{source}: {TITLES[source]}")


def _column(printed: Printed) -> str:
    return printed.task if printed.withheld is None else f"m = {printed.withheld}"


def _label(printed: Printed) -> str:
    if printed.source == "Table 6":
        return printed.task
    return _QUANTITIES.get(printed.quantity) or printed.model or _OTHERS


def _ours(cell: ProtocolCell) -> str:
    mark = f"{_DIFFERS} " if cell.differs else ""
    return mark + ("/".join(map(_number, cell.ours)) or MISSING)


def _number(value: float) -> str:
    """Prints a count with commas, and a learning rate as ``"5e-4"``."""
    if value >= 1:
        return f"{value:,.15g}"
    digits, exponent = f"{value:e}".split("e")
    return f"{float(digits):g}e{int(exponent)}"


def _frame(cells: Sequence[ProtocolCell]) -> pd.DataFrame:
    columns = [*Printed._fields, "ours", "differs"]
    frame = pd.DataFrame([(*cell.printed, _plain(cell.ours), cell.differs) for cell in cells], columns=columns)
    return frame.astype({"withheld": "Int64"})


def _plain(ours: tuple[float, ...]) -> float | str | None:
    return ours[0] if len(ours) == 1 else "/".join(f"{value:.15g}" for value in ours) or None
