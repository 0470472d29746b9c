"""Table of whether keys behave like symbols."""

import numpy as np
import pandas as pd

from analysis.data.trials import VARIANT
from analysis.findings.key_measures import BY_CONSTRUCTION
from analysis.statistics.summary import summarise
from analysis.tables.printed import MISSING, PrintedTable, render

_NOTES = (
    "Mean ± standard error over networks (ddof 1). decoded: test keys whose step a linear decoder fitted to training"
    " keys names right. train to test: distance of the mean keys; spread: of test keys around their mean; to other"
    " steps: mean distance of the mean keys. overlap: to other steps over train to test, median of networks; a dash"
    " where training and test agree exactly. retrieved: median |r - k| / |k| of test reads of the entry of this step.",
    f"Steps 1 to {BY_CONSTRUCTION} agree between training and test by construction, since the controller has seen no"
    f" image then; step {BY_CONSTRUCTION + 1} can differ through one number alone, the confidence of its read. The key"
    " of the last step is never read, so nothing trains it.",
)


def report(frame: pd.DataFrame, format: str) -> str:
    """Prints a frame of `by_step`: mean and standard error over networks at each step."""
    rows = []
    for _, cell in frame.groupby([*VARIANT, "step"], sort=False):
        task, withheld, arm, step = cell[[*VARIANT, "step"]].iloc[0].tolist()
        apart = [_mean(cell[name].tolist(), 3) for name in ("distance", "spread", "between")]
        overlap = MISSING if np.isinf(cell["overlap"]).all() else f"{cell['overlap'].median():,.0f}"
        ends = (_mean((100 * cell["decoded"]).tolist(), 1), _mean(cell["retrieved"].dropna().tolist(), 4))
        rows.append([task, str(withheld), arm, str(len(cell)), str(step), ends[0], *apart, overlap, ends[1]])
    header = ("task", "m", "arm", "n", "step", "decoded (%)", "train to test", "spread", "to other steps", "overlap")
    table = PrintedTable((*header, "retrieved"), rows, (False, True, False, *[True] * 8))
    return render([table], _NOTES, [frame], format)


def _mean(values: list[float], digits: int) -> str:
    n, mean, sem = summarise(values)
    if not n:
        return MISSING
    return f"{mean:.{digits}f}" + ("" if np.isnan(sem) else f" ± {sem:.{digits}f}")
