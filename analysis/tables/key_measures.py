"""Table of measures of how far keys behave like symbols."""

import numpy as np
import pandas as pd

from analysis.data.trials import VARIANT
from analysis.findings.key_trials import ONE_NUMBER, SAME
from analysis.statistics.summary import summarise
from analysis.tables.printed import MISSING, PrintedTable, render

_NOTES = (
    "Mean ± standard error over networks (ddof 1). decoded: step-decoding accuracy on test keys (linear decoder trained"
    " on training keys). train to test: distance between the mean keys of training and test problems. spread: distance"
    " of test keys from their mean (root mean square). to other steps: mean distance between the mean keys of this step"
    " and the others. overlap: to other steps divided by train to test, median over networks; a dash if training and"
    " test agree exactly.",
    "retrieved: median |r - k| / |k| over test reads of this step's entry, made when the object first shown at this"
    " step appears for the second time; a dash if there are no such reads. A read at step 2 finds one image in memory"
    " (all reads of same/different, and those of AAA rows and of same source pairs). Without a default entry it"
    " retrieves k by construction, and |r - k| / |k| is one minus the gate.",
    f"by construction: {SAME}: the key of this step is the same in every problem, training or test, since the"
    f" controller has no information on the images yet; {ONE_NUMBER}: it depends on the problem through a single"
    " number, the confidence of the previous read (without confidence, its weight on the default entry). The key of the"
    " last step is never read, so nothing trains it.",
)


def report(frame: pd.DataFrame, format: str) -> str:
    """Prints a frame of `by_step`: mean and standard error over networks at each step."""
    rows = []
    for _, cell in frame.groupby([*VARIANT, "step"], sort=False):
        task, withheld, arm, step, fixed = cell[[*VARIANT, "step", "by_construction"]].iloc[0].tolist()
        apart = [_mean(cell[name].tolist(), 3) for name in ("distance", "spread", "between")]
        middle = cell["overlap"].median()
        overlap = f"{middle:,.0f}" if np.isfinite(middle) else MISSING
        found = cell.loc[np.isfinite(cell["retrieved"]), "retrieved"].tolist()
        fewer = f" (n = {len(found)})" if 0 < len(found) < len(cell) else ""
        ends = (_mean((100 * cell["decoded"]).tolist(), 1), _mean(found, 4) + fewer)
        rows.append([task, str(withheld), arm, str(len(cell)), str(step), ends[0], *apart, overlap, ends[1], fixed])
    header = ("task", "m", "arm", "n", "step", "decoded (%)", "train to test", "spread", "to other steps", "overlap")
    header = (*header, "retrieved", "by construction")
    table = PrintedTable(header, rows, (False, True, False, *[True] * 8, False))
    return render([table], _NOTES, [frame], format)


def _mean(values: list[float], digits: int) -> str:
    n, mean, sem = summarise(values)
    if not n:
        return MISSING
    return f"{mean:.{digits}f}" + ("" if np.isnan(sem) else f" ± {sem:.{digits}f}")
