"""Interquartile mean and probability of improvement: by hand, and as rliable has them."""

import numpy as np
import pytest

from analysis.statistics.bootstrap import improvement, interquartile_mean

X = [np.array([0.9, 0.8, 0.95, 0.7]), np.array([0.5, 0.7, 0.6, 0.4]), np.array([1.0, 1.0, 0.99, 1.0])]  # 3 conditions
Y = [
    np.array([0.85, 0.8, 0.6, 0.75, 0.99]),
    np.array([0.5, 0.9, 0.65, 0.45, 0.2]),
    np.array([1.0, 1.0, 0.9, 1.0, 1.0]),
]


def test_interquartile_mean_by_hand() -> None:
    # a quarter of 9, rounded down, is 2: 1 2 | 3 4 5 6 7 | 8 90
    scores = [np.array([90.0, 1.0, 5.0]), np.array([2.0, 8.0, 3.0, 7.0, 4.0, 6.0])]
    assert interquartile_mean(scores).value == 5.0


def test_improvement_by_hand() -> None:
    # first condition: 3 > 2, 3 > 1.5 and 3 > 1 are won, 1 = 1 is a tie: 3.5 of 6; second condition: a tie
    ours, others = [np.array([3.0, 1.0]), np.array([1.0])], [np.array([2.0, 1.5, 1.0]), np.array([1.0])]
    assert improvement(ours, others).value == pytest.approx((3.5 / 6 + 1 / 2) / 2)


def test_values_are_those_of_rliable() -> None:
    # rliable 1.2.0: metrics.aggregate_iqm, metrics.probability_of_improvement
    assert interquartile_mean(X).value == pytest.approx(0.84)
    assert interquartile_mean(Y).value == pytest.approx(0.8266666666666667)
    assert improvement(X, Y).value == pytest.approx(0.5333333333333333)
    assert improvement(Y, X).value == pytest.approx(0.4666666666666667)


def test_intervals_are_those_of_rliable() -> None:
    # rliable 1.2.0: library.get_interval_estimates with 50,000 resamples (20,000 for the probability)
    assert interquartile_mean(X)[1:] == pytest.approx((0.765, 0.8983), abs=0.005)
    assert interquartile_mean(Y)[1:] == pytest.approx((0.7278, 0.9089), abs=0.005)
    assert improvement(X, Y)[1:] == pytest.approx((0.325, 0.7335), abs=0.01)


def test_resampling_stays_within_a_condition() -> None:
    scores = [np.full(4, 0.5), np.full(4, 0.9), np.full(4, 1.0)]
    assert interquartile_mean(scores) == pytest.approx((0.85, 0.85, 0.85))  # 0.5, four 0.9 and 1.0


def test_two_calls_give_the_same_interval() -> None:
    assert interquartile_mean(Y) == interquartile_mean(Y)
    assert improvement(X, Y) == improvement(X, Y)
