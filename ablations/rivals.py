"""Newer relational architectures under the paper's protocol, for which no results are published."""

from ablations.declare import Grid, Study
from ablations.paper import SHARED_KEYS
from esbn_core.vocabulary import CONDITIONS

_CORELNET = [{"model": "corelnet"}, *({"model": "corelnet", "variant": v} for v in ("full", "no_softmax"))]
_ABSTRACTOR = [{"model": "abstractor"}, {"model": "abstractor", "tied": True}, {"model": "simple_abstractor"}]

RIVALS = Study(
    name="rivals",
    question="Do CoRelNet and the Abstractor generalise like the ESBN when trained on the same problems?",
    source="beyond the paper: Kerg et al. 2022, Altabaa et al. 2024",
    grids=[
        Grid(
            arms=[
                {},
                {"model": "transformer"},
                *_CORELNET,
                *({"model": "corelnet", "variant": v} for v in ("asymmetric", "with_content")),
                *_ABSTRACTOR,
            ],
            conditions=CONDITIONS,
        ),
        SHARED_KEYS,
    ],
)
