"""Relational match-to-sample: which pair has the relation of the source pair? (paper section 3.1, Table 2)

Objects of a problem are lettered; all letters differ. Both source relations and both targets are equally frequent.
"""

import math
from collections.abc import Sequence

import numpy as np

from esbn_core.tasks.problems import Problems, arrangement, concatenate, draw_ranks

PATTERNS = {
    "AABBCD": 0,  # same source, the first pair is the same one
    "AACDBB": 1,
    "ABCDEE": 0,  # different source, the first pair is the different one
    "ABEECD": 1,
}


def draw(k: int, sizes: Sequence[int], rng: np.random.Generator) -> list[Problems]:
    """Draws disjoint problem sets over objects 0 .. k-1, each a quarter of every pattern; repeats only where a set
    is larger than the patterns allow.

    Returns: per size, indices [size, 6] and targets [size].
    """
    parts: list[list[Problems]] = [[] for _ in sizes]
    for pattern, target in PATTERNS.items():
        letters = ["ABCDE".index(letter) for letter in pattern]
        r = max(letters) + 1
        for part, ranks in zip(parts, draw_ranks(math.perm(k, r), [size // 4 for size in sizes], rng), strict=True):
            indices_PT = arrangement(ranks, k, r)[:, letters]
            part.append(Problems(indices_PT, np.full(len(ranks), target)))
    return [concatenate(part, rng) for part in parts]
