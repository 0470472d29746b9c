"""Problems as index tensors, and combinatorial draws shared by the tasks.

Legend: P problems, T steps, k objects available, r objects of one problem.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

PERMUTATIONS = {n: np.array(list(itertools.permutations(range(n)))) for n in (3, 4)}


class Problems(NamedTuple):
    """A set of problems: indices_PT [P, T] int64, object shown at each step; targets_P [P] int64, the right choice."""

    indices_PT: np.ndarray
    targets_P: np.ndarray


class ProblemSets(NamedTuple):
    """Training and test problems of one trial.

    Attributes:
        test: for a trial with `TaskConfig.validation`, its validation problems; it has no test problems.
        withheld: the m objects kept for testing, in drawn order; none for m = 0.
        train_pool, test_pool: sorted numbers of the objects from which each set is drawn.
    """

    train: Problems
    test: Problems
    withheld: np.ndarray
    train_pool: np.ndarray
    test_pool: np.ndarray


def draw_ranks(n_all: int, sizes: Sequence[int], rng: np.random.Generator) -> list[np.ndarray]:
    """Draws problem numbers from 0 .. n_all - 1, one set per size; no repeats within or between sets.

    A single set larger than n_all has every number size // n_all times, and some of them once more.

    Returns: one [size] int64 array per size, in random order.
    """
    assert len(sizes) == 1 or sum(sizes) <= n_all, f"{sum(sizes)} distinct problems wanted of {n_all}"
    copies, rest = divmod(sum(sizes), n_all)
    whole = [np.arange(n_all) for _ in range(copies)]
    ranks = rng.permutation(np.concatenate([*whole, rng.choice(n_all, rest, replace=False)]))
    return np.split(ranks, np.cumsum(sizes)[:-1])


def arrangement(ranks_P: np.ndarray, k: int, r: int) -> np.ndarray:
    """Returns the arrangements of r different objects out of k that have these numbers, 0 .. (k)_r - 1: [P, r] int64.

    A number is read in the mixed radix k, k-1, ..; digit i counts among the objects not yet used.
    """
    digits_rP = []
    for i in reversed(range(r)):
        ranks_P, digit_P = np.divmod(ranks_P, k - i)
        digits_rP.append(digit_P)
    chosen_Pr = np.stack(digits_rP[::-1], axis=1)
    for i in range(1, r):
        for used_P in np.sort(chosen_Pr[:, :i], axis=1).T:
            chosen_Pr[:, i] += chosen_Pr[:, i] >= used_P
    return chosen_Pr


def concatenate(parts: Sequence[Problems], rng: np.random.Generator) -> Problems:
    """Joins sets of problems and shuffles them."""
    indices_PT = np.concatenate([part.indices_PT for part in parts])
    order_P = rng.permutation(len(indices_PT))
    return Problems(indices_PT[order_P], np.concatenate([part.targets_P for part in parts])[order_P])
