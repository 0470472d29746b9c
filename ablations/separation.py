"""Separation of the ESBN's controller from the embeddings: how strict must it be? (paper section 6.1)

The leak adds lambda V z_t to the controller, so lambda = 0 is the ESBN. Starting from lambda = 0.1, the arms vary
strength, penalty, bound, place, and whether the strength is learned. Same/different and rmts are left out: TCN over two
steps turns the embedding into the relation itself, so the leak would not be one.
"""

from ablations.declare import Grid, Study
from ablations.paper import SHARED_KEYS

SEPARATION = Study(
    name="separation",
    question="How strictly must the controller be kept from the embeddings?",
    source="beyond the paper: asked in its section 6.1",
    grids=[
        Grid(
            arms=[
                {},
                *({"leak": strength} for strength in (0.01, 0.03, 0.1, 0.3, 1.0)),
                *({"leak": 0.1, "leak_penalty": mu} for mu in (1e-3, 1e-2, 1e-1, 1.0)),
                *({"leak": strength, "leak_bound": True} for strength in (0.1, 1.0)),
                *({"leak": strength, "leak_into": place} for place in ("key", "output") for strength in (0.1, 1.0)),
                {"leak": "learned"},
                {"leak": "learned", "leak_penalty": 1e-2},
            ],
            conditions={"distribution_of_three": (85, 95), "identity_rules": (85, 95)},
        ),
        SHARED_KEYS,
    ],
)
