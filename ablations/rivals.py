"""Two newer relational architectures under the paper's protocol, which has not been published."""

from ablations.declare import Grid, Study
from ablations.paper import CONDITIONS, SHARED_KEYS

NEWER = Study(
    name="newer",
    question="Do CoRelNet and the Abstractor generalise like the ESBN when trained on the same problems?",
    source="beyond the paper: Kerg et al. 2022, Altabaa et al. 2024",
    grids=[
        Grid(
            arms=[
                {},
                {"model": "transformer"},
                {"model": "corelnet"},
                {"model": "corelnet", "variant": "with_content"},
                {"model": "abstractor"},
                {"model": "abstractor", "tied": True},
            ],
            conditions=CONDITIONS,
        ),
        SHARED_KEYS,
    ],
)
