"""The studies: declarations only. `REGISTRY` lists them by name."""

from ablations.declare import Grid, Study
from ablations.paper import ARCHITECTURES, CONFIDENCE, ENCODERS, KEYS, TCN, TRANSFORMER_ENCODERS, TRN, WITHHELD
from ablations.quickstart import QUICKSTART
from ablations.rivals import NEWER

REGISTRY = {
    study.name: study
    for study in (
        QUICKSTART,
        WITHHELD,
        ENCODERS,
        TCN,
        CONFIDENCE,
        KEYS,
        ARCHITECTURES,
        TRN,
        TRANSFORMER_ENCODERS,
        NEWER,
    )
}

__all__ = ["REGISTRY", "Grid", "Study"]
