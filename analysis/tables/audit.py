"""Table of the checks of a study's holdout."""

import pandas as pd

from analysis.tables.printed import PrintedTable, render

_NOTES = (
    "Checked on the completed trials, from the rows they stored: each lists the objects its training and test problems"
    " show, found in these problems, and a hash of the problems. What a row does not say is not proven.",
)


def report(frame: pd.DataFrame, format: str) -> str:
    """Prints a frame of `audit_study` in one of `analysis.tables.printed.FORMATS`."""
    rows = [
        [row["check"], "passed" if row["passed"] else "FAILED", row["evidence"]] for row in frame.to_dict("records")
    ]
    return render([PrintedTable(("check", "result", "evidence"), rows, (False, False, False))], _NOTES, [frame], format)
