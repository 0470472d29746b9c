"""Tests and intervals for means of trained networks. All quantities have the unit of the values, here points.

Legend: C comparisons or conditions, N networks, S seeds, F ways to exchange two arms, L looks.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import betainc, betaincinv, binom, stdtr, stdtrit

MOST_NETWORKS = 1_000  # largest number per variant that planning considers
TEST_NOISE = 0.5  # points: SD of an accuracy of 50 % on 10,000 test problems
_EXACT_SEEDS = 13  # up to here all 2^12 ways are counted; for more seeds, as many are drawn
_EQUAL = 9  # decimals to which differences are compared: equal accuracies can differ by float rounding


class Difference(NamedTuple):
    """Differences of two means whose variances may differ."""

    mean: np.ndarray  # [C] first mean minus second
    se: np.ndarray  # [C] standard error of the difference; NaN if either n < 2
    n: np.ndarray  # [C] values behind the first mean
    other_n: int  # values behind the second

    @property
    def df(self) -> np.ndarray:
        """[C] degrees of freedom, those of the smaller sample.

        Welch-Satterthwaite degrees of freedom are larger. They trust a standard error that is small by chance, e.g. of
        two networks that failed alike.

        Source: Mickey and Brown 1966, who show that this bounds the error of the t test for normal values.
        """
        return np.maximum(np.minimum(self.n, self.other_n) - 1.0, 1)


def difference(mean: np.ndarray, sem: np.ndarray, n: np.ndarray, other_sem: np.ndarray, other_n: int) -> Difference:
    """Returns the difference of two means from their standard errors (ddof 1) and sizes.

    Args:
        mean: [C] float, first mean minus second.
        sem, other_sem: [C] float, standard error of each mean; any number or NaN if n < 2.
        n, other_n: [C] int and int, number of values behind each mean.
    """
    return Difference(mean, np.where(n > 1, np.hypot(sem, other_sem), np.nan), n, other_n)


def interval(means: Difference, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Returns [C] lower and upper end of the confidence interval of the difference at this level."""
    half = stdtrit(means.df, (1 + level) / 2) * means.se
    return means.mean - half, means.mean + half


def p_apart(means: Difference, margin: float) -> np.ndarray:
    """Returns [C] p of the test of "the means are at most the margin apart"; margin 0 gives the two-sided t test.

    p is at least 2 / binomial(n + m, n): of all ways to split n + m values into two samples, at least two (one in each
    direction) are as far apart. So a few equal failures do not make p tiny.

    Source: minimum-effect test, Murphy and Myors 1999: the t test at the edge of the hypothesis, both tails.
    """
    apart = np.abs(means.mean)
    p = stdtr(means.df, (margin - apart) / means.se) + stdtr(means.df, -(margin + apart) / means.se)
    return np.maximum(p, np.minimum(2 / binom(means.n + means.other_n, means.n), 1))


def p_most(count: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Returns [C] p of the test of "at most half of all networks have a property", if count of n have it; NaN if n = 0.

    This is the sign test. It is exact for any distribution of accuracies, since it counts networks instead of averaging
    them.
    """
    tail = np.where(count > 0, betainc(np.maximum(count, 1), n - count + 1.0, 0.5), 1.0)
    return np.where(n > 0, tail, np.nan)


def share_at_least(count: np.ndarray, n: np.ndarray, level: float = 0.95) -> np.ndarray:
    """Returns [C] a lower bound on the share of all networks with a property, if count of n have it; NaN if n = 0.

    Source: lower end of the one-sided interval of Clopper and Pearson 1934.
    """
    low = betaincinv(np.maximum(count, 1), n - count + 1.0, 1 - level)
    return np.where(n == 0, np.nan, np.where(count == 0, 0.0, low))


def holm(p: np.ndarray) -> np.ndarray:
    """Corrects the p-values of a family: rejecting those up to alpha keeps the family-wise error rate at alpha.

    Args:
        p: [..., C] float; NaN marks a test that could not be made; it counts in the family and stays NaN.
    Source: Holm 1979.
    """
    size = p.shape[-1]
    order = np.argsort(p, axis=-1)  # NaN last
    stepped = np.minimum((size - np.arange(size)) * np.take_along_axis(p, order, -1), 1)
    corrected = np.empty(p.shape)
    np.put_along_axis(corrected, order, np.maximum.accumulate(stepped, axis=-1), -1)
    return corrected


def repeated(p_LC: np.ndarray, looks: int) -> np.ndarray:
    """Corrects p-values of tests repeated as values are added, so that sampling may stop after any look.

    Args:
        p_LC: [L, C] float, p of comparison C at look L, at a number of values fixed in advance; NaN: a look not taken.
        looks: number of planned looks, taken or not.
    Returns:
        [C] the smallest p of each comparison times ``looks``, at most 1; NaN if no look is taken. Under the null it is
        at most alpha with probability at most alpha, for any stopping rule: Bonferroni over the looks, that is, alpha
        spent in equal parts.
    """
    return np.minimum(looks * np.fmin.reduce(p_LC), 1)


class Paired(NamedTuple):
    """Mean of n differences, its 95 % interval, and the test of "it is zero"."""

    n: int
    mean: float  # NaN if n = 0
    low: float  # NaN if n < 2, like all that follow
    high: float
    t: float  # also NaN if all differences are equal
    p: float


def paired(differences: Sequence[float] | np.ndarray) -> Paired:
    """Makes the two-sided paired t test, with n - 1 degrees of freedom (ddof 1).

    If all differences are equal, there is no t. Their interval is a point, and p is 1 if they are 0. Otherwise p is
    that of the exact sign-flip test, 2 / 2^n: of the 2^n signs of n equal differences, two are as far from zero.

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


class Flips(NamedTuple):
    """Sign-flip tests of one arm over its conditions."""

    p: np.ndarray  # [C] exact two-sided p of each condition; NaN with fewer than two pairs
    corrected: np.ndarray  # [C] the same, corrected over conditions


def flip_tests(differences_SC: np.ndarray, hopeless: float = 1.0) -> Flips:
    """Tests "arm and baseline do not differ" at each condition, by exchanging the two arms seed by seed.

    If they do not differ, the two networks of a seed are exchangeable. So each of the 2^S ways to exchange them is
    equally likely, and p is the share of ways with at least as large a t value. That is exact for any distribution of
    accuracies, at ceilings and with ties. A seed is exchanged at all conditions at once, since its networks start from
    the same weights. So conditions that agree cost no power: the correction is step-down over the smallest p of all
    conditions, for each way.

    The statistic is the p of the paired t test, with an SD of at least `TEST_NOISE` points, so that equal differences
    do not divide by zero. It is only used to rank the ways.

    Args:
        differences_SC: [S, C] float, arm minus baseline in points, by seed and condition; NaN: no pair.
        hopeless: a condition with so few pairs that its p cannot be below this is corrected separately, by Bonferroni
            over all conditions, and does not weaken the others.
    Source: sign flips, Fisher 1935; step-down minimal p, Westfall and Young 1993, algorithm 2.8.
    """
    n_C = (~np.isnan(differences_SC)).sum(axis=0)
    p_C, corrected_C = np.full(len(n_C), np.nan), np.full(len(n_C), np.nan)
    tested = np.flatnonzero(n_C > 1)
    if not len(tested):
        return Flips(p_C, corrected_C)
    statistic_FC = _flipped(differences_SC[:, tested])
    extreme_FC = statistic_FC <= statistic_FC[0] * (1 + 1e-9)  # the first way is that without exchanges
    p_C[tested] = extreme_FC.mean(axis=0)
    corrected_C[tested] = np.minimum(len(tested) * p_C[tested], 1)
    family = np.flatnonzero(smallest_p(n_C[tested]) <= hopeless)
    order = family[np.argsort(statistic_FC[0, family], kind="stable")]
    smallest_FC = np.minimum.accumulate(statistic_FC[:, order[::-1]], axis=1)[:, ::-1]
    stepped_C = (smallest_FC <= statistic_FC[0, order] * (1 + 1e-9)).mean(axis=0)
    corrected_C[tested[order]] = np.maximum.accumulate(stepped_C)
    return Flips(p_C, corrected_C)


def smallest_p(n: np.ndarray) -> np.ndarray:
    """Returns the smallest possible p of a sign-flip test of n pairs: two of the 2^n ways are the most extreme."""
    return 2.0 ** (1 - n)


def _flipped(differences_SC: np.ndarray) -> np.ndarray:
    """[F, C] p of the t test for every way to exchange the arms; the first exchanges none."""
    n_seeds = len(differences_SC)
    n_C = (~np.isnan(differences_SC)).sum(axis=0)
    d_SC = np.round(np.nan_to_num(differences_SC), _EQUAL)
    means_FC = _signs(n_seeds) @ d_SC / n_C
    variance_FC = (np.square(d_SC).sum(axis=0) - n_C * means_FC**2) / (n_C - 1)
    se_FC = np.sqrt((np.maximum(variance_FC, 0) + TEST_NOISE**2) / n_C)
    return 2 * stdtr(n_C - 1.0, -np.abs(means_FC) / se_FC)


def _signs(n_seeds: int) -> np.ndarray:
    """[F, S] ways to exchange arms, of which the first exchanges none: all ways up to an overall sign, or, for more
    than `_EXACT_SEEDS` seeds, a random sample of the same size."""
    n_ways = 2 ** (min(n_seeds, _EXACT_SEEDS) - 1)
    if n_seeds > _EXACT_SEEDS:
        draws_FS = np.random.default_rng(0).choice([-1.0, 1.0], (n_ways, n_seeds))
        draws_FS[0] = 1
        return draws_FS
    bits_FS = np.arange(n_ways)[:, None] >> np.arange(n_seeds) & 1  # the last seed is never exchanged
    return 1.0 - 2 * bits_FS


def more_pairs(so_far: Paired, level: float, flip_level: float) -> int | None:
    """Returns the smallest number of further pairs at which the tests of an arm would reject, if mean and SD stay.

    Args:
        so_far: the pairs so far.
        level: level for the paired t test, which stands in for the sign-flip test.
        flip_level: level that the smallest p of a sign-flip test must reach.
    Returns:
        The number; None if there is no SD yet (n < 2), or if no number up to `MOST_NETWORKS` is enough.
    """
    if so_far.n < 2 or not so_far.mean:
        return None
    n_N = np.arange(so_far.n + 1, MOST_NETWORKS + 1)
    t = math.inf if math.isnan(so_far.t) else abs(so_far.t)
    enough_N = (2 * stdtr(n_N - 1, -t * np.sqrt(n_N / so_far.n)) <= level) & (smallest_p(n_N) <= flip_level)
    return int(enough_N.argmax()) + 1 if enough_N.any() else None


def more_networks(count: np.ndarray, n: np.ndarray, level: float) -> np.ndarray:
    """Returns [C] the smallest number of further networks at which `p_most` would reject, if the share stays.

    0 means that no number up to `MOST_NETWORKS` is enough.

    Args:
        count: [C] int, networks with the property, of n.
        n: [C] int, at least 1.
    """
    later_CN = np.maximum(n[:, None] + 1, np.arange(1, MOST_NETWORKS + 1))
    enough_CN = p_most(np.floor(count[:, None] * later_CN / n[:, None]), later_CN) <= level
    first_C = later_CN[np.arange(len(n)), enough_CN.argmax(axis=1)]
    return np.where(enough_CN.any(axis=1), first_C - n, 0)
