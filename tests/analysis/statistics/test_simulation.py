"""Error rates and power of verdicts and comparisons, by short simulations of what docs/error_rates.md holds."""

import math

import numpy as np
import pytest

from analysis.statistics.simulation import ALPHA, COMPARISONS, VERDICTS, Networks, comparison_rates, verdict_rates

pytestmark = pytest.mark.slow

RUNS, FEW = 1_000, 150


def _at_most_alpha(runs: int) -> float:
    return ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / runs)


@pytest.mark.parametrize("family", [1, 17, 60])
@pytest.mark.parametrize("name", VERDICTS)
def test_wrong_verdicts_of_either_kind_are_at_most_alpha(name: str, family: int) -> None:
    for n in (2, 5, 10, 20):
        rates = verdict_rates(*VERDICTS[name], n, family, RUNS, np.random.default_rng(n))
        assert max(rates.wrong_agrees, rates.wrong_differs) <= _at_most_alpha(RUNS)


def test_ten_networks_with_an_sd_of_one_are_found_to_agree() -> None:
    for family in (1, 17):
        rates = verdict_rates(*VERDICTS["normal, SD 1, equal"], 10, family, RUNS, np.random.default_rng(0))
        assert rates.agrees >= 0.9


def test_ten_networks_at_chance_are_found_to_differ_from_the_ceiling() -> None:
    for family in (1, 17, 60):
        assert verdict_rates(Networks(50), Networks(100), 10, family, RUNS, np.random.default_rng(0)).differs == 1


@pytest.mark.parametrize("family", [1, 17])
@pytest.mark.parametrize("n", [3, 10])
@pytest.mark.parametrize("name", COMPARISONS)
def test_wrong_comparisons_are_at_most_alpha(name: str, n: int, family: int) -> None:
    rng = np.random.default_rng(n)
    for null in (0.0, 0.5):
        wrong, _ = comparison_rates(*COMPARISONS[name], n, family, FEW, rng, null)
        assert wrong <= _at_most_alpha(FEW)


def test_comparison_sees_the_ceiling_from_the_floor_at_every_condition() -> None:
    for family in (1, 17):
        assert comparison_rates(Networks(50), Networks(100), 10, family, 20, np.random.default_rng(0))[1] == 1
