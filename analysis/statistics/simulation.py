"""Simulated error rates and power of verdicts and comparisons, as docs/verdicts.md prints them.

    python -m analysis.statistics.simulation --runs 4000

Accuracies have the distribution of these networks: some are stuck at chance, the others are normal.
Legend: R simulated studies, C cells or conditions, N networks, S seeds.
"""

import argparse
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, stdtr

from analysis.statistics.tests import difference, flip_tests, holm, p_apart, p_most

ALPHA, MARGIN, PAPER_N = 0.05, 3.0, 10
FLOOR, LEAST = 0.05, 5  # as in `findings.reproduction`
NETWORKS, FAMILIES = (2, 3, 5, 10, 20), (1, 17, 60)


class Networks(NamedTuple):
    """Accuracies of networks in percent: some are stuck, the others are normal."""

    mean: float
    sd: float = 0.0
    stuck: float = 0.0  # share
    stuck_at: float = 50.0

    def draw(self, rng: np.random.Generator, *shape: int) -> np.ndarray:
        """Draws accuracies on 10,000 test problems."""
        solved = rng.normal(self.mean, self.sd, shape)
        return np.round(np.where(rng.random(shape) < self.stuck, self.stuck_at, solved), 2)

    @property
    def expectation(self) -> float:
        """Their true mean."""
        return self.stuck * self.stuck_at + (1 - self.stuck) * self.mean

    def share_within(self, centre: np.ndarray, margin: float) -> np.ndarray:
        """Returns the share of all networks that lie within the margin of each centre."""
        stuck = np.abs(centre - self.stuck_at) <= margin
        if self.sd:
            solved = ndtr((centre + margin - self.mean) / self.sd) - ndtr((centre - margin - self.mean) / self.sd)
        else:
            solved = np.abs(centre - self.mean) <= margin
        return self.stuck * stuck + (1 - self.stuck) * solved


TWO_GROUPS = (Networks(91, 0, 0.6, 86), Networks(90, 1))
"""60 % of ours are 4 points lower and 40 % 1 point higher; t tests do not keep their level here."""


class Rates(NamedTuple):
    """Share of studies with a wrong verdict of each kind, and share of cells with the right one; fractions."""

    wrong_agrees: float
    wrong_differs: float
    agrees: float
    differs: float


VERDICTS = {
    "all at 100": (Networks(100), Networks(100)),
    "all at 50": (Networks(50), Networks(50)),
    "100, the paper 50": (Networks(100), Networks(50)),
    "normal, SD 1, equal": (Networks(90, 1), Networks(90, 1)),
    "normal, SD 1, 3 apart": (Networks(93, 1), Networks(90, 1)),
    "normal, SD 2, 3 apart": (Networks(93, 2), Networks(90, 2)),
    "normal, SD 1, 6 apart": (Networks(96, 1), Networks(90, 1)),
    **{f"{s} % stuck, the paper too": (Networks(100, 0, s / 100), Networks(100, 0, s / 100)) for s in (5, 10, 20, 40)},
    **{f"{s} % stuck, the paper none": (Networks(100, 0, s / 100), Networks(100)) for s in (5, 6, 10, 20, 40, 50, 60)},
}
"""Ours and the paper's networks. 6 % stuck is 3 points; with 50 % stuck, half of ours lie within the margin."""


def verdict_rates(ours: Networks, paper: Networks, n: int, family: int, runs: int, rng: np.random.Generator) -> Rates:
    """Simulates studies of equal cells, judged as `findings.reproduction.judge` does."""
    x_RCN, y_RCN = ours.draw(rng, runs, family, n), paper.draw(rng, runs, family, PAPER_N)
    printed, printed_sem = np.round(y_RCN.mean(axis=2), 1), np.round(_sem(y_RCN), 1)
    agreeing = (np.abs(x_RCN - printed[..., None]) <= MARGIN + 1e-9).sum(axis=2)
    sems = np.maximum(_sem(x_RCN), FLOOR), np.maximum(printed_sem, FLOOR)
    means = difference(x_RCN.mean(axis=2) - printed, sems[0], np.array(n), sems[1], PAPER_N)
    differs = holm(p_apart(means, MARGIN)) <= (ALPHA if n >= LEAST else 0)
    agrees = (holm(p_most(agreeing, np.full_like(agreeing, n))) <= ALPHA) & ~differs
    no_majority = ours.share_within(printed, MARGIN) <= 0.5 + 1e-9
    equal = abs(ours.expectation - paper.expectation) <= MARGIN + 1e-9
    return Rates(
        (agrees & no_majority).any(axis=1).mean(), equal * differs.any(axis=1).mean(), agrees.mean(), differs.mean()
    )


def reproduced_by_t_tests(ours: Networks, paper: Networks, n: int, runs: int, rng: np.random.Generator) -> float:
    """Returns how often two one-sided Welch t tests find the means of a cell within the margin."""
    x_RN, y_RN = ours.draw(rng, runs, n), paper.draw(rng, runs, PAPER_N)
    variance, other = (np.maximum(_sem(draws), FLOOR) ** 2 for draws in (x_RN, y_RN))
    df = (variance + other) ** 2 / (variance**2 / (n - 1) + other**2 / (PAPER_N - 1))
    apart = np.abs(x_RN.mean(axis=1) - y_RN.mean(axis=1))
    return float(np.mean(stdtr(df, (apart - MARGIN) / np.sqrt(variance + other)) <= ALPHA))


def _sem(x: np.ndarray) -> np.ndarray:
    return x.std(axis=-1, ddof=1) / np.sqrt(x.shape[-1])


COMPARISONS = {
    "all at 100": (Networks(100), Networks(100)),
    "all at 50": (Networks(50), Networks(50)),
    "normal, SD 2, equal": (Networks(90, 2), Networks(90, 2)),
    **{f"{s} % stuck, both": (Networks(100, 0, s / 100), Networks(100, 0, s / 100)) for s in (5, 20, 50)},
    "50, the baseline 100": (Networks(50), Networks(100)),
    "normal, SD 1, 3 lower": (Networks(87, 1), Networks(90, 1)),
    "40 % stuck, the baseline none": (Networks(100, 0, 0.4), Networks(100)),
}


def comparison_rates(
    arm: Networks, baseline: Networks, n: int, family: int, runs: int, rng: np.random.Generator, null: float = 0.0
) -> tuple[float, float]:
    """Simulates an arm at ``family`` conditions, of two arms, tested as `findings.comparison.pairs` does.

    Args:
        arm, baseline: their networks at each condition.
        n: seeds.
        null: share of conditions at which arm and baseline do not differ.
    Returns:
        Share of studies with a false difference at some condition, and share of true differences found.
    """
    same = np.arange(family) < (family if arm == baseline else round(null * family))
    wrong, right = [], []
    for _ in range(runs):
        y_SC = baseline.draw(rng, n, family)
        x_SC = np.where(same, baseline.draw(rng, n, family), arm.draw(rng, n, family))
        told = 2 * flip_tests(x_SC - y_SC, hopeless=ALPHA / 2).corrected <= ALPHA
        wrong.append(told[same].any())
        right.append(told[~same].mean() if (~same).any() else np.nan)
    return float(np.mean(wrong)), float(np.mean(right))


def _percent(*rates: float) -> str:
    return " / ".join("—" if np.isnan(rate) else f"{100 * rate:.1f}" for rate in rates)


def _markdown(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(header), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description="Simulate the error rates of verdicts and comparisons.")
    parser.add_argument("--runs", type=int, default=4_000, help="studies per entry")
    runs = parser.parse_args().runs
    rng = np.random.default_rng(0)
    rows = [
        [name, str(family), *(_percent(*verdict_rates(*networks, n, family, runs, rng)) for n in NETWORKS)]
        for name, networks in VERDICTS.items()
        for family in FAMILIES
    ]
    print(_markdown(["networks", "cells", *(f"n = {n}" for n in NETWORKS)], rows), end="\n\n")
    rows = [
        [name, str(family), *(_percent(*comparison_rates(*networks, n, family, runs // 4, rng)) for n in (3, 8, 10))]
        for name, networks in COMPARISONS.items()
        for family in (1, 17)
    ]
    print(_markdown(["arm", "conditions", *(f"n = {n}" for n in (3, 8, 10))], rows), end="\n\n")
    by_t = [reproduced_by_t_tests(*VERDICTS["6 % stuck, the paper none"], n, runs, rng) for n in NETWORKS]
    rows = [["6 % stuck, within the margin by t tests", *map(_percent, by_t)]]
    groups = [verdict_rates(*TWO_GROUPS, n, 4, runs, rng).wrong_differs for n in NETWORKS]
    rows.append(["two groups 5 points apart, a wrong differs in 4 cells", *map(_percent, groups)])
    print(_markdown(["beyond the tests", *(f"n = {n}" for n in NETWORKS)], rows))


if __name__ == "__main__":
    main()
