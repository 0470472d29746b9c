"""Tests and intervals for means of trained networks. Every quantity has the unit of the values, here points.

Legend: C comparisons, N networks or conditions.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit

MOST_NETWORKS = 1_000  # per variant, that planning goes up to
_EQUAL = 9  # decimals to which differences are compared: accuracies that are equal fractions differ by float rounding


class Welch(NamedTuple):
    """Differences of two means whose variances may differ."""

    difference: np.ndarray  # [C] first mean minus second
    se: np.ndarray  # [C] standard error of the difference
    df: np.ndarray  # [C] Welch-Satterthwaite degrees of freedom


def welch(
    difference: np.ndarray, sem: np.ndarray, n: np.ndarray | int, other_sem: np.ndarray, other_n: np.ndarray | int
) -> Welch:
    """Returns the difference of two means from their standard errors (ddof 1) and sizes.

    Args:
        difference: [C] float, first mean minus second.
        sem, other_sem: [C] float, standard error of each mean; the two may not both be 0. NaN (n < 2) stays NaN.
        n, other_n: [C] int, values behind each mean.
    Source: Welch 1947; the same as `scipy.stats.ttest_ind(equal_var=False)`.
    """
    variance, other = np.square(sem), np.square(other_sem)
    with np.errstate(divide="ignore", invalid="ignore"):  # n < 2, where the standard error is NaN already
        df = np.square(variance + other) / (variance**2 / (n - 1) + other**2 / (other_n - 1))
    return Welch(difference, np.sqrt(variance + other), df)


def interval(means: Welch, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Returns [C] lower and upper end of the interval that holds the true difference with this probability."""
    half = stdtrit(means.df, (1 + level) / 2) * means.se
    return means.difference - half, means.difference + half


def p_zero(means: Welch) -> np.ndarray:
    """Returns [C] p of the two-sided test of "the difference is zero"."""
    return 2 * stdtr(means.df, -np.abs(means.difference) / means.se)


def p_beyond(means: Welch, margin: float) -> np.ndarray:
    """Returns [C] p of the equivalence test, of "the difference is the margin or more, up or down".

    Source: two one-sided tests (TOST), Schuirmann 1987; of the two p-values the larger.
    """
    return stdtr(means.df, (np.abs(means.difference) - margin) / means.se)


def holm(p: np.ndarray, true_at_most: int | None = None) -> np.ndarray:
    """Corrects the p-values of a family: rejecting those up to alpha keeps the family-wise error rate at alpha.

    Args:
        p: [C] float; NaN, a test that could not be made, belongs to the family and stays NaN.
        true_at_most: how many of the null hypotheses can hold at once, where some exclude each other; None: all.
    Source: Holm 1979; with true_at_most Shaffer 1986, who multiplies by no more than the nulls that can still be true.
    """
    size = len(p)
    factors = np.minimum(size - np.arange(size), true_at_most or size)
    order = np.argsort(p)  # NaN last
    corrected = np.empty(size)
    corrected[order] = np.maximum.accumulate(np.minimum(factors * p[order], 1))
    return corrected


def repeated(p_LC: np.ndarray, looks: int) -> np.ndarray:
    """Corrects p-values of tests that are taken again as values are added, so that one may stop after any of them.

    Args:
        p_LC: [L, C] float, p of comparison C at look L, at a number of values set before; NaN: a look not taken.
        looks: how many are planned, taken or not.
    Returns:
        [C] the smallest p of each comparison times ``looks``, 1 at most; NaN if no look is taken. Under the null it is
        at most alpha with probability alpha at most, whatever makes one stop: Bonferroni over the looks, that is, an
        alpha spent in equal parts.
    """
    return np.minimum(looks * np.fmin.reduce(p_LC), 1)


class Paired(NamedTuple):
    """Mean of n differences, its 95 % interval, and the test of "it is zero"."""

    n: int
    mean: float  # NaN if n = 0
    low: float  # NaN if n < 2, as is all that follows
    high: float
    t: float  # NaN, too, if the differences are all equal
    p: float


def paired(differences: Sequence[float] | np.ndarray) -> Paired:
    """Makes the paired t test, two-sided, with n - 1 degrees of freedom (ddof 1).

    Differences that are all equal have no t: their interval is a point, and p is 1 if they are 0. If not, p is that of
    the exact sign-flip test, 2 / 2^n: of the 2^n ways to sign n equal differences, two are as far from zero.

    Args:
        differences: [N] float, one per pair; none may be NaN.
    """
    d_N = np.round(np.asarray(differences, float), _EQUAL)
    n = len(d_N)
    mean = float(d_N.mean()) if n else math.nan
    if n < 2:
        return Paired(n, mean, *[math.nan] * 4)
    if np.ptp(d_N) == 0:
        return Paired(n, mean, mean, mean, math.nan, 2.0 ** (1 - n) if mean else 1.0)
    sem = float(d_N.std(ddof=1)) / math.sqrt(n)
    half = float(stdtrit(n - 1, 0.975)) * sem
    return Paired(n, mean, mean - half, mean + half, mean / sem, float(2 * stdtr(n - 1, -abs(mean) / sem)))


def more_pairs(so_far: Paired, level: float) -> int | None:
    """Returns the fewest further pairs at which the paired t test would reject at a level, if mean and SD stay.

    Returns:
        None where there is no SD yet (n < 2), or where no number up to `MOST_NETWORKS` would do.
    """
    if so_far.n < 2 or not so_far.mean:
        return None
    n_N = np.arange(so_far.n + 1, MOST_NETWORKS + 1)
    if math.isnan(so_far.t):
        p_N = 2.0 ** (1 - n_N)
    else:
        p_N = 2 * stdtr(n_N - 1, -abs(so_far.t) * np.sqrt(n_N / so_far.n))
    enough_N = p_N <= level
    return int(enough_N.argmax()) + 1 if enough_N.any() else None
