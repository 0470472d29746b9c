"""Updates to criterion: number of updates until a network's training accuracy reaches a level.

The accuracy on one batch of 32 problems is noisy, so it is averaged over a window of consecutive measurements. A
network reaches the criterion at the last measurement of the first window whose mean is at the level. Curves have every
update up to 200 and every 10th after that, so a window of 10 covers 10 updates at first and 100 later. A network that
has not reached the criterion by its last measurement is censored there. Test problems are not used.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from analysis.data.curves import first_windows
from analysis.data.trials import VARIANT
from analysis.errors import AnalysisError
from analysis.statistics.waiting import median
from esbn_core.vocabulary import BASELINE, Cell

CRITERION, WINDOW = 99.0, 10  # percent, and measurements: 320 problems, of which at most 3 are wrong
PAPER = (100, 200)
"""Updates within which the paper's ESBN reaches "near-perfect" training accuracy on all four tasks (section 5.1,
Figures 4 and 5); the text defines no criterion."""

REACHED, CENSORED, SHORT, NO_CURVE = "reached", "censored", "short", "no curve"


class VariantConvergence(NamedTuple):
    """Updates to criterion of the networks of one arm at one task and m."""

    task: str
    withheld: int
    arm: str
    planned: int
    n: int  # networks with a known outcome: reached or censored
    reached: int
    censored: int
    first: float  # updates of the first network; infinite: none reaches it; NaN if n = 0, like the next three
    median: float  # Kaplan-Meier; infinite: fewer than half reach it
    low: float  # 95 % interval of the median; NaN as in `analysis.statistics.waiting.median`
    high: float
    step: int  # updates between measurements up to update 200; 10 if a curve is of an earlier version; 0 if n = 0
    paper: str  # the paper's claim, or empty


def updates_to_criterion(
    frame: pd.DataFrame, curves: pa.Table | pd.DataFrame, criterion: float = CRITERION, window: int = WINDOW
) -> pd.DataFrame:
    """Finds the updates to criterion of each network of a study.

    Args:
        frame: rows of `load_study`.
        curves: rows of `curves_of` for it.
        criterion: training accuracy in percent.
        window: number of consecutive measurements over which it is averaged.
    Returns:
        A row per planned trial with task, withheld, arm, seed, trial_id, ``outcome``, ``updates`` and ``step``; tasks
        and arms in planned order, m by size. The outcome is reached or censored (``updates`` are then those before the
        last measurement of the window, or of the curve), failed or missing like the trial, "no curve" for a completed
        trial without one, and "short" for a curve with fewer points than the window. ``step`` is from `first_windows`.
    Raises:
        AnalysisError: criterion or window are invalid, or no completed trial has a curve.
    """
    if not 0 < criterion <= 100:
        raise AnalysisError(f"criterion={criterion:g} is not a training accuracy; give percent, above 0 and up to 100")
    if window < 1:
        raise AnalysisError(f"window={window} must be at least 1")
    found = first_windows(frame, curves, criterion / 100, window).set_index("trial_id")
    if found.empty:
        raise AnalysisError("no completed trial has a training curve, so updates to criterion are unknown")
    rows = frame[[*VARIANT, "seed", "trial_id", "status"]].join(found, on="trial_id")
    outcomes = [rows["status"] != "completed", rows["points"].isna(), rows["points"] < window, rows["reached"].isna()]
    rows["outcome"] = np.select(outcomes, [rows["status"], NO_CURVE, SHORT, CENSORED], REACHED)
    rows["updates"] = rows["reached"].fillna(rows["last"]).where(rows["outcome"].isin([REACHED, CENSORED]))
    order = {name: list(dict.fromkeys(frame[name])) for name in ("task", "arm")}
    rows = rows.sort_values([*VARIANT, "seed"], key=lambda x: x.map(order[x.name].index) if x.name in order else x)
    return rows.reindex(columns=[*VARIANT, "seed", "trial_id", "outcome", "updates", "step"]).reset_index(drop=True)


def convergence(networks: pd.DataFrame) -> list[VariantConvergence]:
    """Summarises rows of `updates_to_criterion` by variant."""
    groups: Any = networks.groupby(VARIANT, sort=False)
    return [_variant(Cell(task, int(withheld), arm), rows) for (task, withheld, arm), rows in groups]


def known(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Returns [N] updates and [N] bool (censored there) of the networks with a known outcome."""
    judged = rows.loc[rows["outcome"].isin([REACHED, CENSORED])]
    return judged["updates"].to_numpy(float), (judged["outcome"] == CENSORED).to_numpy(bool)


def _variant(cell: Cell, rows: pd.DataFrame) -> VariantConvergence:
    updates_N, censored_N = known(rows)
    n, n_censored = len(updates_N), int(censored_N.sum())
    first, middle = np.nan, (np.nan, np.nan, np.nan)
    if n:
        first, middle = float(np.min(updates_N[~censored_N], initial=np.inf)), median(updates_N, censored_N)
    step = int(np.nanmax(rows["step"].to_numpy(float))) if n else 0
    paper = f"{PAPER[0]}-{PAPER[1]}" if cell.arm == BASELINE else ""
    return VariantConvergence(*cell, len(rows), n, n - n_censored, n_censored, first, *middle, step, paper)
