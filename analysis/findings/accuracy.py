"""Test accuracy of every variant of a study beside the published value."""

from typing import Any, NamedTuple

import pandas as pd

from analysis.data.published import UNPUBLISHED, published
from analysis.data.trials import VARIANT, load_study
from analysis.statistics.summary import summarise
from esbn_core.vocabulary import Cell
from study.store.location import Place


class VariantAccuracy(NamedTuple):
    """A row of the table: one arm at one task and m."""

    task: str
    withheld: int
    arm: str
    n: int  # completed trials, which alone are averaged
    planned: int  # completed, failed and missing trials
    failed: int
    missing: int
    mean: float  # test accuracy, a fraction; NaN if n = 0
    sem: float  # standard error of the mean, a fraction; NaN if n < 2
    published_mean: float  # fraction; NaN where the paper has no value
    published_sem: float
    source: str | None  # table of the paper
    difference_points: float  # ours minus published, in percentage points

    @property
    def cell(self) -> Cell:
        """Which variant it is."""
        return Cell(self.task, self.withheld, self.arm)

    @property
    def lack(self) -> str:
        """How many of its trials are there, in words: ``"7 of 10 trained, 1 failed, 2 missing"``."""
        others = [f"{count} {word}" for count, word in ((self.failed, "failed"), (self.missing, "missing")) if count]
        return ", ".join([f"{self.n} of {self.planned} trained", *others])


def table(results: Place, study: str) -> pd.DataFrame:
    """Returns the test accuracy of every variant of a study beside the published value.

    Args:
        results: folder or URI the study was run into.
        study: name of the study.
    Returns:
        A row per variant with the columns of `VariantAccuracy`, by task, withheld and arm; tasks and arms as the plan
        has them.
    Raises:
        AnalysisError: the study is unknown or its files cannot be read.
    """
    return pd.DataFrame(variant_accuracies(load_study(results, study)))


def variant_accuracies(frame: pd.DataFrame) -> list[VariantAccuracy]:
    """Returns the variants of a study, in the order of `table`, from rows of `load_study`."""
    groups: Any = frame.groupby(VARIANT, sort=False)
    trials = {Cell(task, int(withheld), arm): rows for (task, withheld, arm), rows in groups}
    tasks, arms = frame["task"].unique().tolist(), frame["arm"].unique().tolist()
    order = sorted(trials, key=lambda cell: (tasks.index(cell.task), cell.withheld, arms.index(cell.arm)))
    return [_accuracy(cell, trials[cell]) for cell in order]


def _accuracy(cell: Cell, trials: pd.DataFrame) -> VariantAccuracy:
    statuses = trials["status"].tolist()
    failed, missing = statuses.count("failed"), statuses.count("missing")
    n, mean, sem = summarise(trials.loc[trials["status"] == "completed", "test_accuracy"].to_numpy(float))
    paper = published().get(cell, UNPUBLISHED)
    return VariantAccuracy(*cell, n, len(statuses), failed, missing, mean, sem, *paper, 100 * (mean - paper.mean))
