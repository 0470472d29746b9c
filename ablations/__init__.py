"""The studies: declarations only. `REGISTRY` lists them by name."""

from ablations.declare import Grid, Study
from ablations.paper import CONFIDENCE, ENCODERS, KEYS, TCN, WITHHELD
from ablations.quickstart import QUICKSTART

REGISTRY = {study.name: study for study in (QUICKSTART, WITHHELD, ENCODERS, TCN, CONFIDENCE, KEYS)}

__all__ = ["REGISTRY", "Grid", "Study"]
