"""Differences between the paper's text and its released code, as arms that train both readings."""

from ablations.declare import Grid, Study
from ablations.paper import MODELS, SHARED_KEYS

_TRN = {"model": "trn"}
_RN = {"model": "rn"}

PROTOCOL = Study(
    name="protocol",
    question="Does it matter whether one follows the paper's text or its released code where they differ?",
    source="beyond the paper: text against released code",
    grids=[
        # Training problems of rmts at m = 85: half with a "same" source pair, or 1 in 12.
        Grid(arms=[*MODELS, *({**arm, "sampling": "as_released"} for arm in MODELS)], conditions={"rmts": (85,)}),
        # Output: one sigmoid unit, or one logit per choice.
        Grid(
            arms=[{}, {"output": "sigmoid"}, {"model": "lstm"}, {"model": "lstm", "output": "sigmoid"}],
            conditions={"same_different": (95, 98), "rmts": (85, 95)},
        ),
        # Initial LSTM gates: each drawn separately, or i and f as one matrix; and parts that only the code has.
        Grid(
            arms=[
                *({"model": name} for name in ("lstm", "ntm", "transformer")),
                {},
                {"gate_init": "per_gate"},
                *({"model": name, "gate_init": "per_gate"} for name in ("lstm", "ntm")),
                {"encoder": "conv_unpadded"},
                {"model": "ntm", "sharpening": False},
                {"model": "transformer", "final_norm": False},
            ],
            conditions={"distribution_of_three": (95,), "identity_rules": (95,)},
        ),
        # Layers after the sums over pairs and triples.
        Grid(
            arms=[_TRN, {**_TRN, "layers_after_sums": True}],
            conditions={"distribution_of_three": (85, 95), "identity_rules": (85, 95)},
        ),
        # 100,000 problems at m = 85, or each of the 16,380 possible matrices once.
        Grid(
            arms=[{**_RN, "n_train": 16_380}, {**_RN, "n_train": 100_000}],
            conditions={"distribution_of_three": (85,)},
        ),
        SHARED_KEYS,
    ],
)
