"""The ablations in minutes, on the paper's own protocol."""

from ablations.declare import Grid, Study

QUICKSTART = Study(
    name="quickstart",
    question="Which parts of the ESBN carry generalisation to withheld objects?",
    source="Tables 9, 11, 15, 17, 19, 20; Figure 9",
    grids=[
        Grid(
            arms=[
                {},
                {"encoder": "mlp"},
                {"encoder": "random"},
                {"tcn": "none"},
                {"confidence": "off"},
                {"confidence": "default_memory"},
            ],
            conditions={"same_different": (95, 98)},
        ),
        Grid(arms=[{}], conditions={"distribution_of_three": (95,)}, seeds=2, keys=True),
        Grid(arms=[{"encoder": "random"}], conditions={"distribution_of_three": (95,)}, seeds=2),
    ],
)
