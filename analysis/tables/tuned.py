"""Table of a study's arms, as declared and as tuned."""

import itertools
import math

import numpy as np
import pandas as pd

from analysis.findings.tuned import TunedArm
from analysis.tables.accuracy import percent
from analysis.tables.printed import PrintedTable, render

_HEADER = (
    *("task", "m", "arm", "n", "default (%)", "n", "tuned (%)"),
    *("best setting", "suggestions", "updates", "valid. (%)"),
)
_RIGHT = (False, True, False, True, True, True, True, False, True, True, True)


def _rows(frame: pd.DataFrame) -> list[TunedArm]:
    return [TunedArm(*row) for row in zip(*(frame[column] for column in TunedArm._fields), strict=True)]


def orders(frame: pd.DataFrame) -> list[str]:
    """Returns a sentence per condition: the ranking of its arms by mean, default and tuned, and changes between them.

    Compares the means only, without a test.
    """
    said = []
    for _, of_condition in frame.groupby(["task", "withheld"], sort=False):
        rows = _rows(of_condition)
        if len(rows) < 2:
            continue
        # equal means of the same accuracies can differ in their last digit
        default, tuned = ({row.arm: round(getattr(row, name), 9) for row in rows} for name in ("default_mean", "mean"))
        moved = [
            f"{a} and {b}"
            for a, b in itertools.combinations(default, 2)
            if np.sign(default[a] - default[b]) != np.sign(tuned[a] - tuned[b])
        ]
        if not all(row.whole for row in rows):
            verdict = "unknown until all trials are completed"
        else:
            verdict = f"changed ({'; '.join(moved)})" if moved else "not changed"
        place = f"{rows[0].task}, m = {rows[0].withheld}"
        said.append(f"Order of arms at {place}: default {_order(default)}; tuned {_order(tuned)}: {verdict}.")
    return said


def _order(means: dict[str, float]) -> str:
    """Returns the arms from best to worst, equal ones joined by =."""
    known = {arm: mean for arm, mean in means.items() if not math.isnan(mean)}
    ranked = sorted(known, key=lambda arm: -known[arm])
    words = [(" = " if known[a] == known[b] else " > ") + b for a, b in itertools.pairwise(ranked)]
    return "".join(ranked[:1] + words) or "nothing trained"


def report(frame: pd.DataFrame, format: str) -> str:
    """Prints tuned arms in percent, with their cost, incomplete arms, and changes in the ranking of arms.

    Args:
        frame: rows of `tuned_arms`.
        format: text, markdown, latex, html or csv (the frame itself).
    Raises:
        AnalysisError: the format is none of these.
    """
    rows = _rows(frame)
    notes = [
        "±: standard error of the mean over seeds (sample standard deviation, ddof 1, over √n); n: completed/planned"
        " trials. Each arm was searched on validation problems with other seeds, and its best setting was tested once,"
        " after all searches of that run. suggestions: number tried; updates: total over all networks of these;"
        " valid.: validation accuracy of the best setting, mean over the search's seeds; as the highest of many, it is"
        " optimistic.",
        *(f"Incomplete: {row.cell}." for row in rows if not row.whole),
        *orders(frame),
    ]
    return render([PrintedTable(_HEADER, [_cells(row) for row in rows], _RIGHT)], notes, [frame], format)


def _cells(row: TunedArm) -> list[str]:
    return [
        row.task,
        str(row.withheld),
        row.arm,
        f"{row.default_n}/{row.default_planned}",
        percent(row.default_mean, row.default_sem),
        f"{row.n}/{row.planned}",
        percent(row.mean, row.sem),
        row.setting,
        str(row.suggestions),
        f"{row.updates:,}",
        f"{100 * row.validation_accuracy:.1f}",
    ]
