"""Distribution of three: which object is missing from the second row? (paper section 3.1, Table 3)"""

import math
from collections.abc import Sequence

import numpy as np

from esbn_core.tasks.problems import PERMUTATIONS, Problems, arrangement, draw_ranks


def draw(k: int, sizes: Sequence[int], rng: np.random.Generator) -> list[Problems]:
    """Draws disjoint problem sets over objects 0 .. k-1: a1 a2 a3 | b1 b2 | c1 c2 c3 c4.

    A matrix is a row of three objects, and an order of them for the second row. The choices are the three and one other
    object in random order; the target is the position of b3. Matrices do not repeat, unless a set needs more problems
    than there are matrices. Then their counts differ by at most one, and copies have different choices.

    Returns: per size, indices [size, 9] and targets [size].
    """
    return [_problems(ranks, k, rng) for ranks in draw_ranks(6 * math.perm(k, 3), sizes, rng)]


def _problems(ranks_P: np.ndarray, k: int, rng: np.random.Generator) -> Problems:
    row, order = np.divmod(ranks_P, 6)
    first_P3 = arrangement(row, k, 3)
    second_P3 = np.take_along_axis(first_P3, PERMUTATIONS[3][order], axis=1)
    other_P, choices_order_P = np.divmod(_choice_rows(ranks_P, 24 * (k - 3), rng), 24)
    for used_P in np.sort(first_P3, axis=1).T:
        other_P += other_P >= used_P
    shown_P4 = np.column_stack([first_P3, other_P])
    choices_P4 = np.take_along_axis(shown_P4, PERMUTATIONS[4][choices_order_P], axis=1)
    targets_P = np.argmax(choices_P4 == second_P3[:, 2:], axis=1)
    return Problems(np.column_stack([first_P3, second_P3[:, :2], choices_P4]), targets_P)


def _choice_rows(ranks_P: np.ndarray, n_rows: int, rng: np.random.Generator) -> np.ndarray:
    """Draws the number of a row of choices for each matrix; all equally likely, and different for copies of a matrix.

    The copies of a matrix take successive numbers in one random order, from a random start per matrix.
    """
    _, matrix_P, copies_M = np.unique(ranks_P, return_inverse=True, return_counts=True)
    by_matrix_P = np.argsort(matrix_P, kind="stable")
    copy_P = np.empty(len(ranks_P), np.int64)
    copy_P[by_matrix_P] = np.arange(len(ranks_P)) - np.repeat(np.cumsum(copies_M) - copies_M, copies_M)
    start_M = rng.integers(n_rows, size=len(copies_M))
    return rng.permutation(n_rows)[(start_M[matrix_P] + copy_P) % n_rows]
