"""Words and numbers that every room shares; imports nothing of the project."""

import itertools
import re
from collections.abc import Collection, Iterator
from typing import NamedTuple

BASELINE = "baseline"
"""Label of the arm that changes nothing in the paper's ESBN."""

TASK_TITLES = {
    "same_different": "Same/different",
    "rmts": "Relational match-to-sample",
    "distribution_of_three": "Distribution of three",
    "identity_rules": "Identity rules",
}

N_CHOICES = {"same_different": 2, "rmts": 2, "distribution_of_three": 4, "identity_rules": 4}
"""Answers to choose from, by task."""

CHANCE = {task: 1 / n for task, n in N_CHOICES.items()}
"""Accuracy of guessing, a fraction."""

CONDITIONS = {
    "same_different": (0, 50, 85, 95, 98),
    "rmts": (0, 50, 85, 95),
    "distribution_of_three": (0, 50, 85, 95),
    "identity_rules": (0, 50, 85, 95),
}
"""Tasks and numbers of withheld objects m of the paper (Tables 1-4)."""

CURVE_START, CURVE_STEP = 200, 10
"""A stored training curve has a point before each of the first 200 updates, and then before every 10th."""

MOST_SEEDS, MOST_SUGGESTIONS = 1_000, 10_000
"""Networks of a variant or of a suggestion, and suggestions of a search, at most."""

TUNED = "-tuned"
"""Ends the name of the tuned form of a study."""


def curve_points(updates: int) -> Iterator[int]:
    """Yields the points of a training curve of so many updates, each as the number of updates made before it."""
    return itertools.chain(*_curve_ranges(updates))


def count_curve_points(updates: int) -> int:
    """Returns how many points a training curve of so many updates has."""
    return sum(map(len, _curve_ranges(updates)))


def _curve_ranges(updates: int) -> tuple[range, range]:
    return range(min(updates, CURVE_START)), range(CURVE_START, updates, CURVE_STEP)


class Cell(NamedTuple):
    """What a variant is called in its study: an arm at a task and a number of withheld objects m."""

    task: str
    withheld: int
    arm: str

    def __str__(self) -> str:
        return f"{self.task}, m = {self.withheld}, {self.arm}"


def arm_words(arm: str) -> list[str]:
    """Splits an arm's label into ``key=value`` words; the baseline has none. A value may hold commas, as lists do."""
    return [] if arm == BASELINE else re.split(r",(?=\w+=)", arm)


def plain_arm(arms: Collection[str]) -> str:
    """Returns the arm to compare a study's others with: the baseline, or else the one whose words all of them share.

    Where all arms are of one set of images or of one model, that is the arm that changes nothing else. Where no arm is
    like that, it is the baseline, which the study then lacks.
    """
    if BASELINE in arms or not arms:
        return BASELINE
    shared = set.intersection(*(set(arm_words(arm)) for arm in arms))
    return next((arm for arm in arms if set(arm_words(arm)) == shared), BASELINE)
