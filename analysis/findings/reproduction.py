"""Agreement with the published accuracies: tests against the paper's means, cell by cell."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.data.published import PUBLISHED_N
from analysis.data.trials import VARIANT
from analysis.errors import AnalysisError
from analysis.findings.accuracy import variant_accuracies
from analysis.findings.interim import at_looks
from analysis.statistics.tests import (
    MOST_NETWORKS,
    Difference,
    difference,
    holm,
    interval,
    more_networks,
    p_apart,
    p_most,
    repeated,
    share_at_least,
)

AGREES, DIFFERS, UNDECIDED = "agrees", "differs", "undecided"
LEAST = 5  # smallest number of our networks for a verdict: with a few equal ones, a t test is overconfident
SEM_FLOOR = 0.05  # points; the paper prints one decimal, so its 0.0 may be anything below this
_ROUNDING = 1e-9  # points; float rounding must not put an accuracy at the margin outside it


def verdicts(frame: pd.DataFrame, margin: float = 3.0, alpha: float = 0.05) -> pd.DataFrame:
    """Judges every variant of a study with a published value.

    Args:
        frame: rows of `load_study`.
        margin: percentage points.
        alpha: level of each verdict, see `judge`.
    Returns:
        The rows of `judge`.
    Raises:
        AnalysisError: as `judge`.
    """
    _check(margin, alpha)
    return judge(_judged(frame, margin), margin, alpha, [_judged(seen, margin) for seen in at_looks(frame)])


def judge(
    cells: pd.DataFrame, margin: float, alpha: float, looks: Sequence[pd.DataFrame] | None = None
) -> pd.DataFrame:
    """Decides for each cell whether our networks agree with the paper's mean, or differ from it.

    differs: the mean of our networks is shown to be more than the margin away from the paper's mean, by
    `tests.p_apart`. Both standard errors enter, the paper's over 10 networks, each at least `SEM_FLOOR`. The test needs
    `LEAST` networks.
    agrees: most of our networks, that is more than half of all that could be trained, are shown to lie within the
    margin of the printed mean, by `tests.p_most`, and the cell does not differ. undecided: neither.

    "agrees" deliberately says nothing about the mean. Networks solve these tasks or stay at chance, so ten networks at
    100 % do not show that the mean is within 3 points: one in four may fail unseen (`agreeing_at_least`).

    With several looks, each p is corrected for them by `tests.repeated`. The tests of each verdict, one per cell,
    trained or not, form a family for Holm's correction. So the probability of any wrong "agrees" is at most alpha for
    any distribution, and so is that of any wrong "differs" where the t test holds (docs/error_rates.md).

    Args:
        cells: rows of `accuracy.table` with a published value, and ``agreeing``, the number of networks within the
            margin of it.
        margin: percentage points.
        alpha: level of each family.
        looks: such rows at every planned look, with n = 0 if a variant has not reached it; None: one look, ``cells``.
    Returns:
        The rows with additional columns: ``agreeing_at_least`` (lower end of the 95 % interval of the share of all
        networks within the margin, uncorrected), ``low_points``, ``high_points`` (95 % interval of the difference,
        uncorrected), ``p_agrees``, ``p_differs`` (corrected; NaN if n < 1 or n < `LEAST` at all looks), ``verdict``,
        ``more_seeds`` and ``obstacle`` (see `_planned`), ``margin_points``, ``alpha``, ``looks`` (number planned).
    Raises:
        AnalysisError: no variant has a published value.
    """
    if cells.empty:
        raise AnalysisError("the paper has no value for any variant of this study; `esbn compare` compares its arms")
    seen = list(looks or [cells])
    most = holm(repeated(np.stack([p_most(*_counts(at)) for at in seen]), len(seen)))
    apart = holm(repeated(np.stack([_p_apart(_difference(at), margin) for at in seen]), len(seen)))
    verdict = np.select([apart <= alpha, most <= alpha], [DIFFERS, AGREES], UNDECIDED)
    low, high = interval(_difference(cells))
    undecided, waiting = verdict == UNDECIDED, np.isnan(most)
    more, obstacle = _planned(cells, undecided, waiting, margin, alpha / len(cells) / len(seen))
    return cells.assign(
        agreeing_at_least=share_at_least(*_counts(cells)),
        low_points=low,
        high_points=high,
        p_agrees=most,
        p_differs=apart,
        verdict=verdict,
        more_seeds=more,
        obstacle=obstacle,
        margin_points=margin,
        alpha=alpha,
        looks=len(seen),
    )


def _judged(frame: pd.DataFrame, margin: float) -> pd.DataFrame:
    """Returns the variants with a published value, and how many of their networks lie within the margin of it."""
    cells = pd.DataFrame(variant_accuracies(frame))
    cells = cells.loc[cells["published_mean"].notna()]
    completed = frame.loc[frame["status"] == "completed", [*VARIANT, "test_accuracy"]]
    networks = cells.merge(completed, on=VARIANT, how="left")
    away = 100 * (networks["test_accuracy"].astype(float) - networks["published_mean"]).abs()
    within = (away <= margin + _ROUNDING).groupby([networks[column] for column in VARIANT], sort=False).sum()
    return cells.assign(agreeing=within.to_numpy(int)).reset_index(drop=True)


def _check(margin: float, alpha: float) -> None:
    if not 0 < margin < np.inf:
        raise AnalysisError(f"margin={margin} is not a distance; give percentage points above 0, e.g. 3.0")
    if not 0 < alpha < 1:
        raise AnalysisError(f"alpha={alpha} is not a test level; give a probability between 0 and 1, e.g. 0.05")


def _counts(cells: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return cells["agreeing"].to_numpy(float), cells["n"].to_numpy(float)


def _difference(cells: pd.DataFrame, n: np.ndarray | None = None) -> Difference:
    """Ours minus the paper's, in points, as if the SD of ours came from n networks; default: the actual number.

    n is [C] or [C, N], and so is the result; NaN if ours are fewer than two.
    """
    n = cells["n"].to_numpy() if n is None else n
    shape = (-1, *[1] * (n.ndim - 1))
    points, sem, have, paper_sem = (
        cells[column].to_numpy(float).reshape(shape) for column in ("difference_points", "sem", "n", "published_sem")
    )
    ours = np.maximum(100 * sem * np.sqrt(have / np.maximum(n, 1)), SEM_FLOOR)
    return difference(points, ours, n, np.maximum(100 * paper_sem, SEM_FLOOR), PUBLISHED_N)


def _p_apart(means: Difference, margin: float) -> np.ndarray:
    return np.where(means.n < LEAST, np.nan, p_apart(means, margin))


def _planned(
    cells: pd.DataFrame, undecided: np.ndarray, waiting: np.ndarray, margin: float, level: float
) -> tuple[pd.Series, np.ndarray]:
    """Returns how many more of our networks would decide each cell, or why this is unknown.

    It is the smallest number at which one of the two tests rejects at the level of the strictest step of the
    correction, if the mean, the SD and the share within the margin stay the same.

    Returns:
        [C] the number: 0 if decided, null if unknown; and [C] the obstacle, or nothing: there is no SD yet (n < 2);
        the first look still waits for planned seeds; or no number up to `MOST_NETWORKS` is enough.
    """
    have = cells["n"].to_numpy()
    n_N = np.arange(2, MOST_NETWORKS + 1)
    later = _difference(cells, np.broadcast_to(n_N, (len(cells), len(n_N))))
    differs_CN = (_p_apart(later, margin) <= level) & (n_N > have[:, None])
    to_differ = np.where(differs_CN.any(axis=1), n_N[differs_CN.argmax(axis=1)] - have, np.inf)
    to_agree = more_networks(cells["agreeing"].to_numpy(), np.maximum(have, 1), level).astype(float)
    fewest = np.minimum(to_differ, np.where(to_agree > 0, to_agree, np.inf))
    conditions = [undecided & (have < 2), undecided & waiting, undecided & np.isinf(fewest)]
    why = np.select(conditions, ["n < 2", "look not complete", "too close to call"], "")
    more = np.where(undecided & np.isfinite(fewest), fewest, 0)
    return pd.Series(more, dtype="Int64").mask(why != ""), why
