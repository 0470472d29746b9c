"""Time courses of training, averaged over the networks of a variant."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.load import VARIANT

BINS = 25  # points of a course per decade of updates


class Course(NamedTuple):
    """Training accuracy of one variant, in percent."""

    n: int  # networks
    updates: np.ndarray  # [U]
    mean: np.ndarray  # [U]
    sem: np.ndarray  # [U]; 0 if n = 1


def mean_courses(frame: pd.DataFrame, curves: pd.DataFrame) -> dict[tuple[str, int, str], Course]:
    """Mean and standard error (ddof 1) over seeds, by task, m and arm.

    Measurements of a network that are closer than 1/`BINS` of a decade of updates are averaged first.

    Args:
        frame: rows of `analysis.load_study`; only completed trials are averaged.
        curves: rows of the curves table of its trials.
    """
    completed = frame.loc[frame["status"] == "completed", ["trial_id", *VARIANT]]
    update = curves["update"].to_numpy(float)
    binned = curves.assign(bin=np.where(update > 0, np.floor(BINS * np.log10(np.maximum(update, 1))), -1))
    of_trial = binned.groupby(["trial_id", "bin"], as_index=False)[["update", "accuracy"]].mean()
    means = {}
    for (task, withheld, arm), rows in completed.merge(of_trial, on="trial_id").groupby(VARIANT, sort=False):
        over_seeds = rows.groupby("bin")
        mean, sem = over_seeds[["update", "accuracy"]].mean(), over_seeds["accuracy"].sem().fillna(0)
        columns = (mean["update"], 100 * mean["accuracy"], 100 * sem)
        means[task, int(withheld), arm] = Course(rows["trial_id"].nunique(), *(c.to_numpy(float) for c in columns))
    return means
