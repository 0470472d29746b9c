"""Closed-form problem counts, and the possible sizes of problem sets (paper Tables 1-4). No torch.

k is the number of objects available to one set of problems; (k)_r = k (k-1) ... (k-r+1).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from esbn_core.errors import ConfigError
from esbn_core.vocabulary import N_CHOICES

CAP = 10_000
"""Largest problem set of the paper's protocol (except for same/different at m = 0)."""

TEST_SHARE = 0.05
"""Share of the same/different problems kept for testing at m = 0 (Table 1)."""


def same_different(k: int) -> int:
    """Ordered pairs of different objects, plus an equal number of same pairs."""
    return 2 * math.perm(k, 2)


def rmts(k: int) -> int:
    """Twice the number of the more common kind of source pair; the other kind repeats."""
    return 2 * max(2 * math.perm(k, 4), 2 * math.perm(k, 5))


def rmts_unique(k: int) -> int:
    """All distinct problems of both kinds."""
    return 2 * math.perm(k, 4) + 2 * math.perm(k, 5)


def distribution_of_three(k: int) -> int:
    """Matrices: a row of three different objects, and the same three in any order below it."""
    return 6 * math.perm(k, 3)


def distribution_of_three_sequences(k: int) -> int:
    """Matrices with their choices: 24 orders of the three objects and one of the other k - 3."""
    return distribution_of_three(k) * 24 * (k - 3)


def identity_rules(k: int) -> int:
    """Three times the number of ABA (or ABB) problems; AAA has half as many, which repeat."""
    return 72 * math.perm(k, 4)


@dataclass(frozen=True)
class TaskSpec:
    """Shape of a task: choices C, steps T, and the smallest number of objects k a problem set needs."""

    n_choices: int
    n_steps: int
    min_objects: int
    count: Callable[[int], int]
    multiple: int
    """Problem sets come in multiples of this many, to be balanced exactly."""
    segmented: bool = False
    """Whether the steps come in pairs, which TCN can normalise separately."""
    limit: Callable[[int], int] | None = None
    """Largest problem set from k > 3 objects, if that is more than `count`."""


SPECS = {
    "same_different": TaskSpec(N_CHOICES["same_different"], 2, 2, same_different, multiple=2),
    "rmts": TaskSpec(N_CHOICES["rmts"], 6, 5, rmts, multiple=4, segmented=True),
    "distribution_of_three": TaskSpec(
        N_CHOICES["distribution_of_three"], 9, 4, distribution_of_three, 1, limit=distribution_of_three_sequences
    ),
    "identity_rules": TaskSpec(N_CHOICES["identity_rules"], 9, 4, identity_rules, multiple=1),
}


def split_same_different(k: int) -> tuple[int, int]:
    """Different pairs of the m = 0 training and test sets: 9,405 and 495 of the 9,900 at k = 100 (Table 1)."""
    n_test = max(1, round(TEST_SHARE * math.perm(k, 2)))
    return math.perm(k, 2) - n_test, n_test


VALIDATION_CAP = 996
"""Largest number of validation problems; a multiple of 12, so that each task's kinds of problem split evenly."""


def default_validation(task: str, n_objects: int, withheld: int) -> int:
    """Returns the default number of objects held out for validation.

    It is a fifth of the training objects, but at least enough for a problem, and at most what training can spare; 0
    for m = 0.
    """
    kept, least = n_objects - withheld, SPECS[task].min_objects
    return max(0, min(max(least, kept // 5), kept - least)) if withheld else 0


def validation_sizes(task: str, kept: int, apart: int, n_train: int) -> tuple[int, int]:
    """Numbers of problems to train on and to validate with.

    Args:
        kept: training objects, before any are held out.
        apart: how many of them are held out, so that validation shows objects unseen in training; 0: a tenth of the
            training problems is held out instead.
        n_train: training problems of the same trial without validation.
    Raises:
        ConfigError: too few objects or problems are left.
    """
    spec = SPECS[task]
    if apart:
        left = kept - apart
        if left < spec.min_objects:
            most = kept - spec.min_objects
            raise ConfigError(
                f"validation={apart} leaves {max(left, 0)} of {kept} objects for training; {task} needs at least "
                f"{spec.min_objects}, so validation can be 0 to {most} here"
            )
        n_validation = spec.count(max(apart, spec.min_objects))
        return min(n_train, spec.count(left)), min(VALIDATION_CAP // spec.multiple * spec.multiple, n_validation)
    n_all = min(n_train, _distinct(task, kept))
    n_validation = min(VALIDATION_CAP, max(12, n_all // 120 * 12))
    if n_all < 3 * n_validation:
        raise ConfigError(
            f"validation=0: {task} has {n_all} different problems of {kept} objects, too few to hold some out; "
            "withhold fewer objects"
        )
    return n_all - n_validation, n_validation


def _distinct(task: str, k: int) -> int:
    """Largest number of problems of k objects that can be split into two disjoint, balanced sets."""
    every = {"rmts": 4 * math.perm(k, 4), "identity_rules": 36 * math.perm(k, 4)}
    return every.get(task, SPECS[task].count(k))


def _available(task: str, n_objects: int, withheld: int) -> tuple[int, int]:
    """Largest possible numbers of training and test problems."""
    count = SPECS[task].count
    if withheld:
        most = SPECS[task].limit or count
        return most(n_objects - withheld), most(withheld)
    if task == "same_different":
        n_train, n_test = split_same_different(n_objects)
        return 2 * n_train, 2 * n_test
    half = _distinct(task, n_objects) // 2  # one pool of distinct problems, shared by the two sets
    return half, half


def sizes(task: str, n_objects: int, withheld: int, n_train: int | None, n_test: int | None) -> tuple[int, int]:
    """Numbers of training and test problems.

    Args:
        n_train, n_test: requested sizes; None: all possible, at most `CAP` (same/different at m = 0: all).
    Raises:
        ConfigError: there are too few objects for the task, or too few problems for a size.
    """
    spec = SPECS[task]
    k_train = n_objects - withheld
    for k, what in ((k_train, "leaves"), (withheld if withheld else n_objects, "gives the test problems")):
        if k < spec.min_objects:
            least = f"{task} needs at least {spec.min_objects}"
            if not withheld:
                raise ConfigError(f"n_objects={n_objects} is too few; {least}")
            high = n_objects - spec.min_objects
            allowed = f"0 or {spec.min_objects} to {high}" if high >= spec.min_objects else "only 0"
            raise ConfigError(
                f"withheld={withheld} {what} {max(k, 0)} objects; {least}, so withheld can be {allowed} of {n_objects}"
            )
    wanted = []
    for name, size, available, k in zip(
        ("n_train", "n_test"),
        (n_train, n_test),
        _available(task, n_objects, withheld),
        (k_train, withheld or n_objects),
        strict=True,
    ):
        uncapped = task == "same_different" and not withheld
        size = size if size is not None else available if uncapped else min(CAP, available, spec.count(k))
        if size > available:
            raise ConfigError(f"{name}={size} is more than the {available} problems {task} has at withheld={withheld}")
        if size % spec.multiple:
            raise ConfigError(f"{name}={size} cannot be balanced; {task} needs a multiple of {spec.multiple}")
        wanted.append(size)
    return wanted[0], wanted[1]
