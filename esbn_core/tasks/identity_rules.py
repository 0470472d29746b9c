"""Identity rules: which object completes the second row by the rule of the first? (paper section 3.1, Table 4)

A problem shows four different objects A, B, C, D, all of which are its choices.
"""

import math
from collections.abc import Sequence

import numpy as np

from esbn_core.tasks.problems import PERMUTATIONS, Problems, arrangement, concatenate, draw_ranks

RULES = {
    "AAA": ("AAABB", "B"),  # C and D are only choices, so they swap freely
    "ABA": ("ABACD", "C"),
    "ABB": ("ABBCD", "D"),
}
"""Rule -> the two rows without the last object, and the object that completes them."""

_ORDERS = {rule: PERMUTATIONS[4] for rule in RULES}
_ORDERS["AAA"] = np.array([order for order in PERMUTATIONS[4] if list(order).index(2) < list(order).index(3)])


def draw(k: int, sizes: Sequence[int], rng: np.random.Generator) -> list[Problems]:
    """Draws disjoint problem sets over objects 0 .. k-1; the counts of the three rules differ by at most one.

    Problems repeat only if a set needs more of a rule than exist (AAA has half as many as the others).

    Returns: per size, indices [size, 9] and targets [size].
    """
    parts: list[list[Problems]] = [[] for _ in sizes]
    for i, (rule, (rows, answer)) in enumerate(RULES.items()):
        orders = _ORDERS[rule]
        share = [(size + 2 - i) // 3 for size in sizes]
        for part, ranks_P in zip(parts, draw_ranks(len(orders) * math.perm(k, 4), share, rng), strict=True):
            objects, order = np.divmod(ranks_P, len(orders))
            letters_P4 = arrangement(objects, k, 4)
            choices_P4 = np.take_along_axis(letters_P4, orders[order], axis=1)
            shown_P5 = letters_P4[:, ["ABCD".index(letter) for letter in rows]]
            answer_P1 = letters_P4[:, ["ABCD".index(answer)]]
            targets_P = np.argmax(choices_P4 == answer_P1, axis=1)
            part.append(Problems(np.column_stack([shown_P5, choices_P4]), targets_P))
    return [concatenate(part, rng) for part in parts]
