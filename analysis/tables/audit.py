"""Table of the holdout audit of a study."""

import pandas as pd

from analysis.tables.printed import PrintedTable, render

_NOTES = (
    "Checked on the stored rows of the completed trials. Each row lists the objects shown in the training and test"
    " problems, read from the problems themselves, and a hash of the problems. A check fails without evidence.",
)


def report(frame: pd.DataFrame, format: str) -> str:
    """Prints a frame of `audit_study` in one of `analysis.tables.printed.FORMATS`."""
    rows = [
        [row["check"], "passed" if row["passed"] else "FAILED", row["evidence"]] for row in frame.to_dict("records")
    ]
    return render([PrintedTable(("check", "result", "evidence"), rows, (False, False, False))], _NOTES, [frame], format)
