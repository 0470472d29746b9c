"""Two explanations of generalisation to withheld objects: the memory, or one map for both sides of a comparison?

Neighbouring arms differ in one thing:

    ESBN      plain -> scaled (divided by sqrt(Z)) -> tied (one learned map) -> free (one map per side)
    CoRelNet  causal (no map) -> tied (one learned map) -> asymmetric (one map per side)
              causal -> with_content (embeddings as well as similarities)
    Abstractor  tied -> free (also has biases, which start at 0)

If the memory carries generalisation, all ESBN arms generalise and no CoRelNet does. If the shared map does, free and
asymmetric fail in every architecture.
"""

from ablations.declare import Grid, Study
from ablations.paper import SHARED_KEYS

SMALLEST = {"same_different": (98,), "rmts": (95,), "distribution_of_three": (95,), "identity_rules": (95,)}
"""Each task with as few training objects as it allows: 2, 5, 5 and 5."""

COMPARISON = Study(
    name="comparison",
    question="Does the memory or the symmetric comparison carry generalisation?",
    source="beyond the paper",
    grids=[
        Grid(
            arms=[
                {},
                *({"retrieval": retrieval} for retrieval in ("scaled", "tied", "free")),
                {"model": "corelnet"},
                *({"model": "corelnet", "variant": v} for v in ("tied", "asymmetric", "with_content")),
                {"model": "abstractor", "tied": True},
                {"model": "abstractor"},
            ],
            conditions=SMALLEST,
        ),
        SHARED_KEYS,
    ],
)
