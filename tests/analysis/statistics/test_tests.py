"""Tests and intervals: against scipy.stats, numbers recorded from statsmodels and R, enumeration and simulation."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.tests import (
    Difference,
    difference,
    flip_tests,
    holm,
    interval,
    more_networks,
    more_pairs,
    p_apart,
    p_most,
    paired,
    share_at_least,
    smallest_p,
)

SIMULATED = 2_000


def _difference(x: np.ndarray, y: np.ndarray) -> Difference:
    """Of samples along the last axis."""
    n, other = x.shape[-1], y.shape[-1]
    sem, other_sem = x.std(axis=-1, ddof=1) / math.sqrt(n), y.std(axis=-1, ddof=1) / math.sqrt(other)
    return difference(x.mean(axis=-1) - y.mean(axis=-1), sem, np.array(n), other_sem, other)


def _covered(low: np.ndarray, high: np.ndarray, truth: float) -> float:
    return float(np.mean((low <= truth) & (truth <= high)))


def p_value(x: np.ndarray, alternative: str = "two-sided") -> float:
    return float(np.asarray(stats.ttest_1samp(x, 0, alternative=alternative))[1])


def test_p_apart_is_the_t_test_where_the_other_mean_is_known() -> None:
    rng = np.random.default_rng(0)
    for shift in (0.5, -1.0, 2.0):
        x = rng.normal(shift, 1.0, 6)
        means = difference(np.array(x.mean()), np.array(x.std(ddof=1) / math.sqrt(6)), np.array(6), np.array(0.0), 10)
        assert p_apart(means, 0.0) == pytest.approx(p_value(x), rel=1e-9)
        above, below = (p_value(np.abs(x.mean()) + x - x.mean() - m, "greater") for m in (1, -1))
        assert p_apart(means, 1.0) == pytest.approx(above + below, rel=1e-9)


def test_p_apart_is_no_smaller_than_a_permutation_test_allows() -> None:
    means = _difference(np.array([50.0, 50.01]), np.full(10, 100.0))
    ways = list(itertools.combinations(range(12), 2))
    assert p_apart(means, 3.0) == pytest.approx(2 / len(ways))


def test_p_apart_and_interval_are_unknown_of_one_value() -> None:
    means = difference(np.array([1.0]), np.array([np.nan]), np.array([1]), np.array([0.1]), 10)
    assert np.isnan(p_apart(means, 3.0)).all() and np.isnan(interval(means)).all()


def test_interval_covers_the_difference_95_times_in_100_at_least() -> None:
    rng = np.random.default_rng(1)
    for sds in ((1.0, 4.0), (4.0, 1.0), (1.0, 1.0)):
        x_SN, y_SN = rng.normal(92.0, sds[0], (SIMULATED, 6)), rng.normal(90.5, sds[1], (SIMULATED, 10))
        covered = _covered(*interval(_difference(x_SN, y_SN)), 1.5)
        assert 0.95 - 3 * math.sqrt(0.95 * 0.05 / SIMULATED) < covered < 0.99


@pytest.mark.parametrize(("count", "n"), [(0, 3), (1, 1), (3, 3), (9, 10), (10, 10), (15, 20)])
def test_counts_agree_with_scipy(count: int, n: int) -> None:
    test = stats.binomtest(count, n, 0.5, alternative="greater")
    assert p_most(np.array([count]), np.array([n])) == pytest.approx(test.pvalue)
    low = test.proportion_ci(0.95, method="exact").low
    assert share_at_least(np.array([count]), np.array([n])) == pytest.approx(low)


def test_counts_of_no_network_say_nothing() -> None:
    nothing = np.array([0])
    assert np.isnan([p_most(nothing, nothing), share_at_least(nothing, nothing)]).all()


def test_more_networks_are_the_fewest_that_reject() -> None:
    more = more_networks(np.array([3, 9, 1]), np.array([3, 10, 2]), 0.05 / 17)
    assert stats.binomtest(9, 9, 0.5, alternative="greater").pvalue <= 0.05 / 17
    assert stats.binomtest(8, 8, 0.5, alternative="greater").pvalue > 0.05 / 17
    n = 10 + int(more[1])
    assert stats.binomtest(9 * n // 10, n, 0.5, alternative="greater").pvalue <= 0.05 / 17
    assert (more[0], more[2]) == (6, 0)  # half of them never are a majority


def _by_enumeration(d_SC: np.ndarray) -> list[float]:
    """Corrected p of Westfall and Young by loops: scipy's t test of every way to exchange, SDs far above the floor."""
    ways = [np.array(signs)[:, None] * d_SC for signs in itertools.product((1, -1), repeat=len(d_SC))]
    p_FC = np.array([np.asarray(stats.ttest_1samp(way, 0))[1] for way in ways])
    order = np.argsort(p_FC[0])
    corrected, largest = [0.0] * len(order), 0.0
    for rank, condition in enumerate(order):
        smallest = p_FC[:, order[rank:]].min(axis=1)
        largest = max(largest, float(np.mean(smallest <= p_FC[0, condition] * (1 + 1e-6))))
        corrected[condition] = largest
    return corrected


def test_flip_tests_agree_with_scipy_and_with_enumeration() -> None:
    d_SC = np.random.default_rng(3).normal((0.0, 300.0, 900.0), 1000.0, (7, 3))  # far above the floor of the SD
    tests = flip_tests(d_SC)
    for d_S, p in zip(d_SC.T, tests.p, strict=True):
        by_scipy = stats.permutation_test(
            (d_S,), lambda x: abs(x.mean()), permutation_type="samples", n_resamples=10**4, alternative="greater"
        )
        assert p == pytest.approx(by_scipy.pvalue)
    assert tests.corrected == pytest.approx(_by_enumeration(d_SC))


def test_flip_tests_see_equal_differences_at_every_condition() -> None:
    tests = flip_tests(np.full((10, 17), -50.0))
    assert tests.p.tolist() == tests.corrected.tolist() == [2 / 2**10] * 17


def test_flip_tests_of_ties_are_one() -> None:
    assert flip_tests(np.zeros((5, 2))).corrected.tolist() == [1.0, 1.0]


def test_flip_tests_of_one_condition_do_not_depend_on_others_with_too_few_pairs() -> None:
    d_SC = np.column_stack([np.arange(-1.0, 9.0), np.full(10, -50.0)])
    d_SC[2:, 1] = np.nan
    alone = flip_tests(d_SC[:, :1])
    tests = flip_tests(d_SC, hopeless=0.025)
    assert tests.p.tolist() == [*alone.p, 0.5]
    assert tests.corrected.tolist() == [*alone.corrected, 1.0]
    assert (flip_tests(d_SC).corrected > 0.4).all()  # two equal pairs have the smaller t test, and rank first


def test_flip_tests_need_two_pairs() -> None:
    for d_SC in (np.empty((0, 2)), np.array([[1.0, np.nan]])):
        assert np.isnan(flip_tests(d_SC).p).all()


def test_flip_tests_of_many_seeds_draw_exchanges() -> None:
    d_S1 = np.random.default_rng(0).normal(0.4, 1.0, (40, 1))
    assert flip_tests(d_S1).p[0] == pytest.approx(p_value(d_S1[:, 0]), abs=0.02)
    assert flip_tests(np.full((40, 1), 1.0)).p[0] == 2.0**-12


def test_smallest_p_is_two_of_all_ways() -> None:
    assert smallest_p(np.array([2, 10])).tolist() == [2 / 4, 2 / 1024]


def test_paired_interval_covers_the_difference_95_times_in_100() -> None:
    rng = np.random.default_rng(2)
    intervals = [paired(row) for row in rng.normal(-2.0, 3.0, (SIMULATED, 5))]
    covered = _covered(np.array([row.low for row in intervals]), np.array([row.high for row in intervals]), -2.0)
    assert covered == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / SIMULATED))


def test_holm_by_hand() -> None:
    # 4 x 0.005 = 0.02; 3 x 0.01 = 0.03; 2 x 0.03 = 0.06; 1 x 0.04 = 0.04, raised to the 0.06 before it
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_counts_tests_that_could_not_be_made() -> None:
    corrected = holm(np.array([math.nan, 0.02, 0.3, math.nan]))
    assert corrected[1:3] == pytest.approx([0.08, 0.9])
    assert np.isnan(corrected[[0, 3]]).all()


def test_holm_corrects_each_study_of_a_stack() -> None:
    p_RC = np.array([[0.01, 0.04], [math.nan, 0.3]])
    assert holm(p_RC)[0] == pytest.approx(holm(p_RC[0]))
    assert holm(p_RC)[1] == pytest.approx(holm(p_RC[1]), nan_ok=True)


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
    more = more_pairs(paired(d), 0.01, 1.0)
    assert more is not None
    p = [float(np.asarray(stats.ttest_1samp(_like(d, n), 0))[1]) for n in range(5, 4 + more + 1)]
    assert p[-1] <= 0.01 < min(p[:-1])


def test_more_pairs_of_equal_differences_follow_the_sign_flip_test() -> None:
    assert more_pairs(paired([2.0] * 3), 0.05, 0.05) == 3  # 2 / 2^6


@pytest.mark.parametrize("d", [[], [1.0], [0.0, 0.0], [1.0, -1.0], [1.0, -0.9999]])
def test_more_pairs_are_not_named_where_none_would_do(d: list[float]) -> None:
    assert more_pairs(paired(d), 0.05, 0.05) is None
