"""The studies: declarations only. `REGISTRY` lists them by name."""

from ablations import paper
from ablations.comparison import COMPARISON
from ablations.declare import Grid, Study
from ablations.protocol import PROTOCOL
from ablations.quickstart import QUICKSTART
from ablations.rivals import RIVALS
from ablations.separation import SEPARATION

REGISTRY = {
    study.name: study
    for study in (
        QUICKSTART,
        paper.PAPER,
        paper.ARCHITECTURES,
        paper.WITHHELD,
        paper.RN_PROBLEMS,
        paper.TRN,
        paper.ENCODERS,
        paper.TRANSFORMER_ENCODERS,
        paper.TCN,
        paper.CONFIDENCE,
        paper.KEYS,
        PROTOCOL,
        RIVALS,
        SEPARATION,
        COMPARISON,
    )
}

__all__ = ["REGISTRY", "Grid", "Study"]
