"""Same/different: are the two objects the same? (paper section 3.1, Table 1)"""

import math
from collections.abc import Sequence

import numpy as np

from esbn_core.tasks.problems import Problems, arrangement, concatenate, draw_ranks


def draw(k: int, sizes: Sequence[int], rng: np.random.Generator) -> list[Problems]:
    """Draws disjoint problem sets over objects 0 .. k-1; each half "different" (target 1), half "same" (target 0).

    Different pairs do not repeat. Same pairs are drawn with replacement; for these, the objects are divided among the
    sets in proportion to their sizes (95 and 5 of 100 for the paper's m = 0).

    Returns: per size, indices [size, 2] and targets [size].
    """
    halves = [size // 2 for size in sizes]
    different = draw_ranks(math.perm(k, 2), halves, rng)
    shares = np.round(np.cumsum(sizes) / sum(sizes) * k).astype(int)[:-1].clip(1, k - 1)
    same = np.split(rng.permutation(k), shares)
    return [
        concatenate(
            [
                Problems(arrangement(ranks, k, 2), np.ones(half, np.int64)),
                Problems(np.repeat(rng.choice(objects, half)[:, None], 2, axis=1), np.zeros(half, np.int64)),
            ],
            rng,
        )
        for half, ranks, objects in zip(halves, different, same, strict=True)
    ]
