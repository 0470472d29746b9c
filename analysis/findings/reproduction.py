"""Reproduction of the published accuracies: equivalence tests against the paper's means, cell by cell."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.data.published import PUBLISHED_N
from analysis.errors import AnalysisError
from analysis.findings.accuracy import variant_accuracies
from analysis.findings.interim import at_looks
from analysis.statistics.tests import MOST_NETWORKS, Welch, holm, interval, p_beyond, p_zero, repeated, welch

REPRODUCED, DIFFERS, UNDECIDED = "reproduced", "differs", "undecided"
SEM_FLOOR = 0.05  # points; the paper prints 0.1, so that its 0.0 may be anything below this


def verdicts(frame: pd.DataFrame, margin: float = 3.0, alpha: float = 0.05) -> pd.DataFrame:
    """Judges every variant of a study that the paper has a value for.

    Args:
        frame: rows of `load_study`.
        margin: percentage points; differences smaller than this count as none.
        alpha: probability of a wrong verdict anywhere in the study and at any of its looks, at most.
    Returns:
        The rows of `judge`.
    Raises:
        AnalysisError: as `judge`.
    """
    looks = [pd.DataFrame(variant_accuracies(seen)) for seen in at_looks(frame)]
    return judge(pd.DataFrame(variant_accuracies(frame)), margin, alpha, looks)


def judge(
    frame: pd.DataFrame, margin: float, alpha: float, looks: Sequence[pd.DataFrame] | None = None
) -> pd.DataFrame:
    """Says of each cell whether the difference of ours from the paper's mean is inside the margin, or not zero.

    Both tests are Welch's, with the paper's standard error over 10 networks counted and no standard error taken as less
    than `SEM_FLOOR`. The verdict is reproduced if the equivalence test passes, even where the difference is also told
    from zero; differs if only zero is rejected; and undecided otherwise. Where there are several looks, each p is
    corrected for them by `tests.repeated`. The 2 C tests of C cells are one family for
    Holm's correction, those that n < 2 forbids included, so the level does not depend on what is trained yet. A
    difference is not both zero and beyond the margin, so C null hypotheses at most hold at once.

    Args:
        frame: rows of `accuracy.table`.
        margin: percentage points.
        alpha: level of the family.
        looks: such rows at every planned look, n = 0 where a variant has not come to it; None: one look, at ``frame``.
    Returns:
        The rows with a published value, their columns, and: ``low_points``, ``high_points`` (95 % interval of the
        difference, uncorrected), ``p_equivalence``, ``p_difference`` (corrected; NaN if n < 2 at all looks),
        ``verdict``, ``more_seeds`` and ``obstacle`` (see `_planned`), ``margin_points``, ``alpha``, ``family`` (number
        of tests), ``looks`` (number planned).
    Raises:
        AnalysisError: margin or alpha is out of range, or no variant has a published value.
    """
    _check(margin, alpha)
    cells = _judged(frame)
    if cells.empty:
        raise AnalysisError("the paper has no value for any variant of this study; `esbn compare` compares its arms")
    seen = [_difference(_judged(look)) for look in (looks or [frame])]
    tests = repeated(np.stack([np.concatenate([p_beyond(at, margin), p_zero(at)]) for at in seen]), len(seen))
    equivalence, difference = np.split(holm(tests, true_at_most=len(cells)), 2)
    verdict = np.select([equivalence <= alpha, difference <= alpha], [REPRODUCED, DIFFERS], UNDECIDED)
    low, high = interval(_difference(cells))
    undecided, waiting = verdict == UNDECIDED, np.isnan(equivalence)
    more, obstacle = _planned(cells, undecided, waiting, margin, alpha / len(cells) / len(seen))
    return cells.assign(
        low_points=low,
        high_points=high,
        p_equivalence=equivalence,
        p_difference=difference,
        verdict=verdict,
        more_seeds=more,
        obstacle=obstacle,
        margin_points=margin,
        alpha=alpha,
        family=len(tests),
        looks=len(seen),
    )


def _judged(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.loc[frame["published_mean"].notna()].reset_index(drop=True)


def _check(margin: float, alpha: float) -> None:
    if not 0 < margin < np.inf:
        raise AnalysisError(f"margin={margin} is no distance; give percentage points above 0, e.g. 3.0")
    if not 0 < alpha < 1:
        raise AnalysisError(f"alpha={alpha} is no level of a test; give a probability between 0 and 1, e.g. 0.05")


def _difference(cells: pd.DataFrame, n: np.ndarray | None = None) -> Welch:
    """Ours minus the paper's, in points, if the SD of ours came from n networks, by default those there are.

    n is [C] or [C, N], and so are these; NaN where ours are fewer than two.
    """
    n = cells["n"].to_numpy() if n is None else n
    shape = (-1, *[1] * (n.ndim - 1))
    difference, sem, have, paper_sem = (
        cells[column].to_numpy(float).reshape(shape) for column in ("difference_points", "sem", "n", "published_sem")
    )
    ours = np.maximum(100 * sem * np.sqrt(have / np.maximum(n, 1)), SEM_FLOOR)
    return welch(difference, ours, n, np.maximum(100 * paper_sem, SEM_FLOOR), PUBLISHED_N)


def _planned(
    cells: pd.DataFrame, undecided: np.ndarray, waiting: np.ndarray, margin: float, level: float
) -> tuple[pd.Series, np.ndarray]:
    """How many more networks of ours would decide each cell, and what keeps them from it.

    The rule: with the means and SDs as they are now, the fewest networks at which one of the two tests rejects at the
    level of the strictest step of the correction.

    Returns:
        [C] the number: 0 if decided, null where none can be said; and [C] what is in the way, or nothing: there is no
        SD yet (n < 2); or its first look still waits for planned seeds; or no number up to `MOST_NETWORKS` would do,
        since the paper's standard error alone hides a margin of this size, or since the difference is too far from zero
        and from the margin alike.
    """
    n_N, have_C1 = np.arange(2, MOST_NETWORKS + 1), cells["n"].to_numpy()[:, None]
    later = _difference(cells, np.broadcast_to(n_N, (len(cells), len(n_N))))
    decides_CN = (np.minimum(p_beyond(later, margin), p_zero(later)) <= level) & (n_N > have_C1)
    hidden = p_beyond(later._replace(difference=np.zeros_like(later.difference)), margin)[:, -1] > level
    few, never = undecided & (have_C1[:, 0] < 2), undecided & ~decides_CN.any(axis=1)
    why = np.select(
        [few, undecided & waiting, never & hidden, never],
        ["n < 2", "look not complete", "paper's SEM", "between zero and margin"],
        "",
    )
    more = np.where(undecided, n_N[decides_CN.argmax(axis=1)] - have_C1[:, 0], 0)
    return pd.Series(more, dtype="Int64").mask(why != ""), why
