"""Table of a study's test accuracies by variant, beside the published ones."""

import math
from collections.abc import Sequence

import pandas as pd

from analysis.data.published import AS_RELEASED, DEVIATIONS, OWN_IMAGES, PUBLISHED_N
from analysis.findings.accuracy import VariantAccuracy
from analysis.tables.printed import MISSING, PrintedTable, render

ERRORS = (
    "±: standard error of the mean over seeds (sample standard deviation, ddof 1, over √n); n: completed/planned"
    f" trials. Paper: n = {PUBLISHED_N}."
)

_TEXT, _IMAGES = "†", "‡"

HEADER = ("task", "m", "arm", "n", "failed", "ours (%)", "paper (%)")  # of `cells`
RIGHT = (False, True, False, True, True, True, True)

_HEADER, _RIGHT = (*HEADER, "difference", "source"), (*RIGHT, True, False)


def report(frame: pd.DataFrame, format: str) -> str:
    """Prints a study's `table` in percent, with notes on errors and on incomplete variants.

    Args:
        frame: rows of `table`.
        format: text, markdown, latex, html or csv (the frame itself).
    Raises:
        AnalysisError: the format is unknown.
    """
    rows = rows_of(frame)
    notes = [f"{ERRORS} Difference: ours minus paper, in percentage points.", *protocols(rows), *incomplete(rows)]
    return render([PrintedTable(_HEADER, [_cells(row) for row in rows], _RIGHT)], notes, [frame], format)


def rows_of(frame: pd.DataFrame) -> list[VariantAccuracy]:
    """Returns the rows of a frame with (at least) the columns of `table`."""
    return [VariantAccuracy(*row) for row in zip(*(frame[column] for column in VariantAccuracy._fields), strict=True)]


def cells(row: VariantAccuracy) -> list[str]:
    """Returns the name of a variant, its numbers of trials, and both accuracies in percent.

    A mark before the paper's value means that ours were trained differently; `protocols` explains it.
    """
    return [
        row.task,
        str(row.withheld),
        row.arm,
        f"{row.n}/{row.planned}",
        str(row.failed),
        percent(row.mean, row.sem),
        marks(row) + percent(row.published_mean, row.published_sem),
    ]


def marks(row: VariantAccuracy) -> str:
    """Returns a mark for each difference in training between ours and the networks behind the paper's value."""
    return "".join(_IMAGES if point == OWN_IMAGES else _TEXT for point in _points(row))


def _points(row: VariantAccuracy) -> list[str]:
    protocol = row.protocol if isinstance(row.protocol, str) else AS_RELEASED  # pandas may hold None as NaN
    return [point for point in protocol.split("; ") if point != AS_RELEASED]


def protocols(rows: Sequence[VariantAccuracy]) -> list[str]:
    """Returns notes on the training of variants with a published value, and on the marks for differences."""
    valued = [row for row in rows if isinstance(row.protocol, str)]
    if not valued:
        return []
    notes = [
        "Protocol: the paper's values come from its released code. Ours were trained in the same way, except that kinds"
        " of problem are balanced exactly instead of on average, and that the characters are our own rendering"
        + (", unless marked." if any(row.confounded for row in valued) else ".")
    ]
    at = {(row.task, row.withheld) for row in valued if _TEXT in marks(row)}
    if code := [point for point in DEVIATIONS if (point.task, point.withheld) in at]:
        trained_on = "; ".join(f"{p.task}, m = {p.withheld}: {p.trained_on} ({p.released})" for p in code)
        notes.append(
            f"{_TEXT}: ours follow the paper's text, but the released code does not, which may explain a difference."
            f" Training problems of the code, and the arm that uses them: {trained_on}."
        )
    if any(_IMAGES in marks(row) for row in valued):
        notes.append(f"{_IMAGES}: ours were trained on your own images, which may explain a difference.")
    return notes


def _cells(row: VariantAccuracy) -> list[str]:
    return [
        *cells(row),
        MISSING if math.isnan(row.difference_points) else f"{row.difference_points:+.1f}",
        row.source if isinstance(row.source, str) else MISSING,  # pandas may hold None as NaN
    ]


def percent(mean: float, sem: float) -> str:
    """Prints a fraction and its error in percent with one decimal: ``"99.7 ± 0.1"``; a dash for NaN."""
    if math.isnan(mean):
        return MISSING
    error = MISSING if math.isnan(sem) else f"{100 * sem:.1f}"
    return f"{100 * mean:.1f} ± {error:>3}"  # width 3 aligns the ± signs


def incomplete(rows: Sequence[VariantAccuracy]) -> list[str]:
    """Returns notes on untrained variants and on variants with fewer completed trials than planned."""
    notes = []
    untouched = [row for row in rows if row.missing == row.planned]
    if untouched:
        notes.append(f"Not trained yet: {len(untouched)} of {len(rows)} variants.")
    partial = [row for row in rows if row.n < row.planned and row not in untouched]
    return notes + [f"Incomplete: {row.cell}: {row.lack}." for row in partial]
