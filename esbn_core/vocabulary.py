"""Words and numbers shared by all rooms; imports nothing from the project."""

import itertools
import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

BASELINE = "baseline"
"""Label of the arm without changes: the paper's ESBN."""

TASK_TITLES = {
    "same_different": "Same/different",
    "rmts": "Relational match-to-sample",
    "distribution_of_three": "Distribution of three",
    "identity_rules": "Identity rules",
}

N_CHOICES = {"same_different": 2, "rmts": 2, "distribution_of_three": 4, "identity_rules": 4}
"""Number of choices, by task."""

CHANCE = {task: 1 / n for task, n in N_CHOICES.items()}
"""Chance accuracy by task, a fraction."""

CONDITIONS = {
    "same_different": (0, 50, 85, 95, 98),
    "rmts": (0, 50, 85, 95),
    "distribution_of_three": (0, 50, 85, 95),
    "identity_rules": (0, 50, 85, 95),
}
"""The paper's tasks and numbers of withheld objects m (Tables 1-4)."""

CURVE_START, CURVE_STEP = 200, 10
"""A stored training curve has a point before each of the first 200 updates, and then before every 10th."""

MOST_SEEDS, MOST_SUGGESTIONS = 1_000, 10_000
"""Networks of a variant or of a suggestion, and suggestions of a search, at most."""

TUNED = "-tuned"
"""Suffix of the name of a tuned study."""


def curve_points(updates: int) -> Iterator[int]:
    """Yields the points of a training curve of `updates` updates; each point is the number of updates made before."""
    return itertools.chain(*_curve_ranges(updates))


def count_curve_points(updates: int) -> int:
    """Returns the number of points of a training curve of `updates` updates."""
    return sum(map(len, _curve_ranges(updates)))


def _curve_ranges(updates: int) -> tuple[range, range]:
    return range(min(updates, CURVE_START)), range(CURVE_START, updates, CURVE_STEP)


class Cell(NamedTuple):
    """Name of a variant in its study: an arm at a task and a number of withheld objects m."""

    task: str
    withheld: int
    arm: str

    def __str__(self) -> str:
        return f"{self.task}, m = {self.withheld}, {self.arm}"


def arm_words(arm: str) -> list[str]:
    """Splits an arm's label into ``key=value`` words; the baseline has none. A value may hold commas, as lists do."""
    return [] if arm == BASELINE else re.split(r",(?=\w+=)", arm)


def plain_arm(arms: Collection[str]) -> str:
    """Returns the arm to compare the others with: the baseline, or else the arm whose words all others share.

    If all arms use the same images or the same model, this is the arm without other changes. If there is no such arm,
    it returns the baseline, which the study then lacks.
    """
    if BASELINE in arms or not arms:
        return BASELINE
    shared = set.intersection(*(set(arm_words(arm)) for arm in arms))
    return next((arm for arm in arms if set(arm_words(arm)) == shared), BASELINE)
