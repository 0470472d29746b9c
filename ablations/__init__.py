"""The studies and searches: declarations only. `REGISTRY` and `SPACES` list them by name."""

from ablations import paper
from ablations.comparison import COMPARISON
from ablations.declare import Grid, Study
from ablations.protocol import PROTOCOL
from ablations.quickstart import QUICKSTART
from ablations.rivals import RIVALS
from ablations.search_space import Parameter, SearchSpace
from ablations.search_spaces import SPACES
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

__all__ = ["REGISTRY", "SPACES", "Grid", "Parameter", "SearchSpace", "Study"]
