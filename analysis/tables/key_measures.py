"""Table of whether keys behave like symbols."""

import numpy as np
import pandas as pd

from analysis.data.trials import VARIANT
from analysis.findings.key_trials import ONE_NUMBER, SAME
from analysis.statistics.summary import summarise
from analysis.tables.printed import MISSING, PrintedTable, render

_NOTES = (
    "Mean ± standard error over networks (ddof 1). decoded: test keys whose step a linear decoder fitted to training"
    " keys names right. train to test: distance of the mean keys; spread: of test keys around their mean; to other"
    " steps: mean distance of the mean keys. overlap: to other steps over train to test, median of networks; a dash"
    " where training and test agree exactly.",
    "retrieved: median |r - k| / |k| of test reads of the entry of this step, at the second appearance of the object"
    " that first appeared then; a dash where no object does both. A read at step 2 finds one image in memory (so do all"
    " of same/different, and those of AAA rows and same source pairs): unless there is a default entry, it retrieves k"
    " by construction, and |r - k| / |k| is one minus the gate.",
    f"by construction: {SAME}: the key of this step is the same in every problem, training or test, since the"
    f" controller has learned nothing of the images yet; {ONE_NUMBER}: it depends on the problem through one number"
    " alone, the confidence of the read before (without confidence, its weight on the default entry). The key of the"
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
