"""Kaplan-Meier shares and exact intervals of the median, against tables, a slow way and the binomial distribution."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from analysis.statistics.waiting import median, reached

# Weeks in remission (Freireich et al. 1963), with the shares that Cox and Oakes 1984, table 4.1, print.
TREATED = [6, 6, 6, 7, 10, 13, 16, 22, 23]
TREATED_CENSORED = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
IN_REMISSION = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]


def data(happened: list[float], censored: list[float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([*happened, *censored], float), np.array([False] * len(happened) + [True] * len(censored))


def test_shares_are_those_of_the_textbook() -> None:
    steps = reached(*data([*TREATED], [*TREATED_CENSORED]))
    shares = dict(zip(steps.times_T.tolist(), (1 - steps.share_T).tolist(), strict=True))
    assert {time: round(shares[time], 3) for time in IN_REMISSION} == IN_REMISSION
    assert median(*data([*TREATED], [*TREATED_CENSORED])).value == 23
    assert median(*data([*PLACEBO], [])).value == 8


def test_shares_are_those_of_a_product_by_hand() -> None:
    rng = np.random.default_rng(0)
    times_N, censored_N = rng.integers(1, 15, 40).astype(float), rng.random(40) < 0.3
    left, expected = 1.0, []
    for time in sorted(set(times_N)):
        left *= 1 - np.sum((times_N == time) & ~censored_N) / np.sum(times_N >= time)
        expected.append(1 - left)
    assert reached(times_N, censored_N).share_T == pytest.approx(expected)


def test_interval_is_between_the_order_statistics_of_the_binomial_table() -> None:
    assert median(*data([*PLACEBO], []))[1:] == (4, 12)  # 6th and 16th of 21
    assert median(*data([*range(1, 11)], [])) == (5, 2, 9)


@pytest.mark.parametrize("n", range(1, 21))
def test_interval_holds_the_median_with_the_stated_probability(n: int) -> None:
    _, low, high = median(np.arange(1.0, n + 1), np.zeros(n, bool))
    if n < 6:
        assert math.isnan(low) and math.isnan(high)
    else:  # k of n networks are earlier than the true median with probability binom(k; n, 1/2)
        assert binom.cdf(high - 1, n, 0.5) - binom.cdf(low - 1, n, 0.5) >= 0.95


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n: np.where(rng.random(n) < 0.4, np.inf, rng.lognormal(np.log(150), 0.5, n)),  # 40 % never
        lambda rng, n: rng.integers(9, 13, n).astype(float),
    ],
    ids=["some_stuck", "ties"],
)
def test_interval_holds_the_median_of_networks_that_end_at_500(draw: Callable[..., np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    true = np.quantile(draw(rng, 99_999), 0.5, method="inverted_cdf")
    times = [draw(rng, 10) for _ in range(150)]
    intervals = [median(np.minimum(times_N, 500), times_N > 500)[1:] for times_N in times]
    assert sum(low <= true <= high for low, high in intervals) >= 0.95 * 150 - 3 * math.sqrt(150 * 0.95 * 0.05)


def test_median_of_networks_of_which_half_reach_it_is_the_last_of_these() -> None:
    assert median(*data([10, 20], [99, 99])).value == 20
    assert median(*data([10], [99, 99])).value == math.inf


def test_interval_ends_where_training_ends_if_none_reaches_it() -> None:
    assert median(*data([], [99] * 10)) == (math.inf, 99, math.inf)


def test_there_is_no_interval_if_a_network_ended_before_others_had_reached_it() -> None:
    value, low, _ = median(*data([20] * 9, [10]))
    assert value == 20 and math.isnan(low)
