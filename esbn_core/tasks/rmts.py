"""Relational match-to-sample: which pair has the relation of the source pair? (paper section 3.1, Table 2)

Different letters are different objects. Both source relations and both targets are equally frequent.
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
    """Draws disjoint problem sets over objects 0 .. k-1, a quarter of each set for each pattern.

    Problems repeat only if a set needs more of a pattern than exist.

    Returns: per size, indices [size, 6] and targets [size].
    """
    parts: list[list[Problems]] = [[] for _ in sizes]
    for pattern, target in PATTERNS.items():
        quarters = draw_ranks(math.perm(k, len(set(pattern))), [size // 4 for size in sizes], rng)
        for part, ranks_P in zip(parts, quarters, strict=True):
            part.append(_problems(pattern, k, ranks_P, target))
    return [concatenate(part, rng) for part in parts]


def draw_as_released(k: int, size: int, rng: np.random.Generator) -> Problems:
    """Draws a problem set over objects 0 .. k-1 uniformly from all possible problems, without repeats.

    So 1 in k - 3 has a "same" source pair. Source: official tasks/RMTS.py, `full_space`, which scripts/RMTS.sh uses to
    train at m = 85.

    Returns: indices [size, 6] and targets [size].
    """
    counts = [math.perm(k, len(set(pattern))) for pattern in PATTERNS]
    (ranks_P,) = draw_ranks(sum(counts), [size], rng)
    firsts = np.cumsum([0, *counts])
    kind_P = np.searchsorted(firsts, ranks_P, side="right") - 1
    parts = [
        _problems(pattern, k, ranks_P[kind_P == i] - firsts[i], target)
        for i, (pattern, target) in enumerate(PATTERNS.items())
    ]
    return concatenate(parts, rng)


def _problems(pattern: str, k: int, ranks_P: np.ndarray, target: int) -> Problems:
    letters = ["ABCDE".index(letter) for letter in pattern]
    return Problems(arrangement(ranks_P, k, max(letters) + 1)[:, letters], np.full(len(ranks_P), target))
