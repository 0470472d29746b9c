"""Tests and intervals: against scipy.stats, numbers recorded from statsmodels and R, enumeration and simulation."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.tests import Welch, holm, interval, more_pairs, p_beyond, p_zero, paired, welch

OURS = np.array([93.1, 95.4, 94.2, 97.0, 92.8, 96.1])
THEIRS = np.array([95.0, 94.1, 96.3, 95.8, 93.9, 94.7, 95.5, 96.9, 94.4, 95.2])
SIMULATED = 2_000


def _welch(x: np.ndarray, y: np.ndarray) -> Welch:
    """Of samples along the last axis."""
    n, other = x.shape[-1], y.shape[-1]
    sem, other_sem = x.std(axis=-1, ddof=1) / math.sqrt(n), y.std(axis=-1, ddof=1) / math.sqrt(other)
    return welch(x.mean(axis=-1) - y.mean(axis=-1), sem, n, other_sem, other)


def _covered(low: np.ndarray, high: np.ndarray, truth: float) -> float:
    return float(np.mean((low <= truth) & (truth <= high)))


def test_p_zero_agrees_with_scipy() -> None:
    _, p = stats.ttest_ind(OURS, THEIRS, equal_var=False)
    assert p_zero(_welch(OURS, THEIRS)) == pytest.approx(p, rel=1e-9)


def test_p_beyond_is_the_larger_p_of_two_one_sided_tests() -> None:
    for shift in (-3.5, -1.0, 0.0, 2.0):
        upper: Any = stats.ttest_ind(OURS + shift - 3, THEIRS, equal_var=False, alternative="less")
        lower: Any = stats.ttest_ind(OURS + shift + 3, THEIRS, equal_var=False, alternative="greater")
        assert p_beyond(_welch(OURS + shift, THEIRS), 3.0) == pytest.approx(max(upper.pvalue, lower.pvalue), rel=1e-9)


def test_p_beyond_and_interval_are_those_of_statsmodels() -> None:
    # statsmodels 0.15.0: ttost_ind(OURS, THEIRS, -3, 3, usevar="unequal"), CompareMeans.tconfint_diff
    assert p_beyond(_welch(OURS, THEIRS), 3.0) == pytest.approx(0.005369033615560871, rel=1e-9)
    assert _welch(OURS, THEIRS).df == pytest.approx(7.018433043236164)
    assert interval(_welch(OURS, THEIRS)) == pytest.approx((-2.1884992403455366, 1.3618325736788544))


def test_welch_interval_covers_the_difference_95_times_in_100() -> None:
    rng = np.random.default_rng(1)
    x_SN, y_SN = rng.normal(92.0, 1.0, (SIMULATED, 6)), rng.normal(90.5, 4.0, (SIMULATED, 10))
    covered = _covered(*interval(_welch(x_SN, y_SN)), 1.5)
    assert covered == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / SIMULATED))


def test_paired_interval_covers_the_difference_95_times_in_100() -> None:
    rng = np.random.default_rng(2)
    intervals = [paired(row) for row in rng.normal(-2.0, 3.0, (SIMULATED, 5))]
    covered = _covered(np.array([row.low for row in intervals]), np.array([row.high for row in intervals]), -2.0)
    assert covered == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / SIMULATED))


def test_holm_by_hand() -> None:
    # 4 x 0.005 = 0.02; 3 x 0.01 = 0.03; 2 x 0.03 = 0.06; 1 x 0.04 = 0.04, raised to the 0.06 before it
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_multiplies_by_no_more_than_the_nulls_that_can_hold() -> None:
    # factors 2, 2, 2, 1
    assert holm(np.array([0.01, 0.04, 0.03, 0.005]), true_at_most=2) == pytest.approx([0.02, 0.06, 0.06, 0.01])


def test_holm_counts_tests_that_could_not_be_made() -> None:
    corrected = holm(np.array([math.nan, 0.02, 0.3, math.nan]))
    assert corrected[1:3] == pytest.approx([0.08, 0.9])
    assert np.isnan(corrected[[0, 3]]).all()


def test_holm_stops_at_one() -> None:
    assert holm(np.array([0.6, 0.7])).tolist() == [1.0, 1.0]


def test_paired_agrees_with_students_sleep_data() -> None:
    # Student 1908, as R prints it: t.test(extra ~ group, data = sleep, paired = TRUE)
    first = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
    second = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])
    test = paired(first - second)
    assert (test.n, test.mean) == (10, pytest.approx(-1.58))
    assert (test.t, test.p) == (pytest.approx(-4.0621, abs=1e-4), pytest.approx(0.002833, abs=1e-6))
    assert (test.low, test.high) == (pytest.approx(-2.4598858), pytest.approx(-0.7001142))


def test_paired_has_p_one_when_all_differences_are_zero() -> None:
    test = paired([0.0, 0.0, 0.0])
    assert (test.n, test.mean, test.low, test.high, test.p) == (3, 0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize("n", [2, 3, 8])
def test_paired_flips_signs_when_all_differences_are_equal(n: int) -> None:
    sums = [abs(sum(signs)) for signs in itertools.product((-1, 1), repeat=n)]
    test = paired([-0.4] * n)
    assert test.p == sums.count(n) / len(sums)
    assert (test.mean, test.low, test.high) == pytest.approx((-0.4, -0.4, -0.4))
    assert math.isnan(test.t)


def test_paired_takes_differences_for_equal_that_floats_round_apart() -> None:
    differences = [100 * (0.3 - 0.2), 100 * (0.4 - 0.3), 100 * (0.9 - 0.8)]
    assert len(set(differences)) > 1
    assert paired(differences).p == 0.25


def test_paired_has_no_interval_when_there_is_one_pair() -> None:
    test = paired([1.5])
    assert (test.n, test.mean) == (1, 1.5)
    assert all(math.isnan(value) for value in test[2:])


def test_paired_has_no_mean_when_there_is_no_pair() -> None:
    test = paired([])
    assert test.n == 0
    assert all(math.isnan(value) for value in test[1:])


def _like(d: np.ndarray, n: int) -> np.ndarray:
    """n differences with the mean and SD of these."""
    x = np.arange(n) - (n - 1) / 2
    return d.mean() + d.std(ddof=1) * x / x.std(ddof=1)


def test_more_pairs_are_the_fewest_that_reject() -> None:
    d = np.array([3.0, -1.0, 2.0, 4.0])
    more = more_pairs(paired(d), 0.01)
    assert more is not None
    p = [float(np.asarray(stats.ttest_1samp(_like(d, n), 0))[1]) for n in range(5, 4 + more + 1)]
    assert p[-1] <= 0.01 < min(p[:-1])


def test_more_pairs_of_equal_differences_follow_the_sign_flip_test() -> None:
    assert more_pairs(paired([2.0] * 3), 0.05) == 3  # 2 / 2^6


@pytest.mark.parametrize("d", [[], [1.0], [0.0, 0.0], [1.0, -1.0], [1.0, -0.9999]])
def test_more_pairs_are_not_named_where_none_would_do(d: list[float]) -> None:
    assert more_pairs(paired(d), 0.05) is None
