"""Every table and figure of the paper: 17 conditions, ten networks each."""

from ablations.declare import Grid, Study
from esbn_core.vocabulary import CONDITIONS

SHARED_KEYS = Grid(arms=[{}], conditions={"distribution_of_three": (95,)}, keys=True)
"""The trials of `KEYS`. Every study with these trials records their keys too, so that they are trained only once."""

WITHHELD = Study(
    name="withheld",
    question="How does accuracy on withheld objects fall as fewer objects are left for training?",
    source="Figure 3, Tables 9-12",
    grids=[Grid(arms=[{}], conditions=CONDITIONS), SHARED_KEYS],
)

ENCODERS = Study(
    name="encoders",
    question="Does generalisation depend on the encoder, or on training it at all?",
    source="Figure 6, Tables 15-18",
    grids=[Grid(arms=[{}, {"encoder": "mlp"}, {"encoder": "random"}], conditions=CONDITIONS), SHARED_KEYS],
)

TCN = Study(
    name="tcn",
    question="Does generalisation need temporal context normalisation?",
    source="Tables 9-12",
    grids=[Grid(arms=[{}, {"tcn": "none"}], conditions=CONDITIONS), SHARED_KEYS],
)

CONFIDENCE = Study(
    name="confidence",
    question="Does the controller need to know how well a retrieval matched, or is a default memory enough?",
    source="Figures 7-8, Tables 19-20",
    grids=[
        Grid(arms=[{}, {"confidence": "off"}, {"confidence": "default_memory"}], conditions=CONDITIONS),
        SHARED_KEYS,
    ],
)

OTHER_MODELS = ("transformer", "ntm", "mnm", "lstm", "predinet", "rn")
"""The paper's other architectures."""

MODELS = [{}, *({"model": name} for name in OTHER_MODELS)]

ARCHITECTURES = Study(
    name="architectures",
    question="Does any other architecture generalise to withheld objects, with or without TCN?",
    source="Figures 3-5, Tables 9-12",
    grids=[
        Grid(arms=[*MODELS, *({**arm, "tcn": "none"} for arm in MODELS)], conditions=CONDITIONS),
        SHARED_KEYS,
    ],
)

_BOTH = ("distribution_of_three", "identity_rules")

RN_PROBLEMS = Study(
    name="rn_problems",
    question="Does a relation network generalise if it gets ten times as many training problems?",
    source="Table 13",
    grids=[
        Grid(
            arms=[{"model": "rn"}, {"model": "rn", "n_train": 100_000}],
            conditions={task: (0, 50, 85) for task in _BOTH},
        ),
        # As released: all 16,380 possible matrices, each once; the text says 100,000 problems.
        Grid(arms=[{"model": "rn", "n_train": 16_380}], conditions={"distribution_of_three": (85,)}),
    ],
)

TRN = Study(
    name="trn",
    question="Does adding triples of images help a relation network?",
    source="Table 14",
    grids=[
        Grid(
            arms=[{"model": "trn"}, {"model": "rn"}],
            conditions={task: (0, 50, 85, 95) for task in _BOTH},
        )
    ],
)

TRANSFORMER_ENCODERS = Study(
    name="transformer_encoders",
    question="Does the encoder decide whether a Transformer generalises?",
    source="Figure 6, Tables 15-18",
    grids=[
        Grid(
            arms=[{"model": "transformer"}, *({"model": "transformer", "encoder": e} for e in ("mlp", "random"))],
            conditions=CONDITIONS,
        )
    ],
)

KEYS = Study(
    name="keys",
    question="Do the learned keys behave like symbols, the same for training and withheld objects?",
    source="Figure 9",
    grids=[SHARED_KEYS],
)

PAPER = Study(
    name="paper",
    question="Does the whole paper reproduce?",
    source="Figures 3-9, Tables 9-20",
    grids=[
        grid
        for study in (ARCHITECTURES, RN_PROBLEMS, TRN, ENCODERS, TRANSFORMER_ENCODERS, CONFIDENCE, KEYS)
        for grid in study.grids
    ],
)
