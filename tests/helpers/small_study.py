"""A study of two arms and two conditions, for tests of plans."""

from ablations import Grid, Study

SMALL_STUDY = Study(
    name="small",
    question="?",
    grids=[Grid(arms=[{}, {"encoder": "mlp"}], conditions={"same_different": (95, 98)}, seeds=5)],
)
