"""Test accuracy of every variant of a study beside the published value."""

from typing import Any, NamedTuple

import pandas as pd

from analysis.data.published import UNPUBLISHED, Published, published
from analysis.data.trials import VARIANT, load_study
from analysis.statistics.summary import summarise


class Variant(NamedTuple):
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
    def lack(self) -> str:
        """How many of its trials are there, in words: ``"7 of 10 trained, 1 failed, 2 missing"``."""
        others = [f"{count} {word}" for count, word in ((self.failed, "failed"), (self.missing, "missing")) if count]
        return ", ".join([f"{self.n} of {self.planned} trained", *others])


def table(results: str, study: str) -> pd.DataFrame:
    """Test accuracy of every variant of a study beside the published value.

    Args:
        results: folder or URI the study was run into.
        study: name of the study.
    Returns:
        A row per variant with the columns of `Variant`, by task, withheld and arm; tasks and arms as the plan has them.
    Raises:
        AnalysisError: the study is unknown or its files cannot be read.
    """
    return table_on(load_study(results, study))


def table_on(frame: pd.DataFrame) -> pd.DataFrame:
    """The same from rows of `load_study`."""
    return pd.DataFrame(variants(frame))


def variants(frame: pd.DataFrame) -> list[Variant]:
    """The variants of a study, in the order of `table`, from rows of `load_study`."""
    groups: Any = frame.groupby(VARIANT, sort=False)
    cells = {(task, int(withheld), arm): rows for (task, withheld, arm), rows in groups}
    statuses = {cell: rows["status"].tolist() for cell, rows in cells.items()}
    accuracies = {cell: rows.loc[rows["status"] == "completed", "test_accuracy"] for cell, rows in cells.items()}
    tasks, arms = frame["task"].unique().tolist(), frame["arm"].unique().tolist()
    order = sorted(cells, key=lambda cell: (tasks.index(cell[0]), cell[1], arms.index(cell[2])))
    paper = published()
    printed = [paper.get((task, withheld, arm), UNPUBLISHED) for task, withheld, arm in order]
    return [_variant(cell, accuracies[cell], statuses[cell], p) for cell, p in zip(order, printed, strict=True)]


def _variant(cell: tuple[str, int, str], accuracies: pd.Series, statuses: list[str], printed: Published) -> Variant:
    n, mean, sem = summarise(accuracies.to_numpy(float))
    failed, missing = statuses.count("failed"), statuses.count("missing")
    return Variant(*cell, n, len(statuses), failed, missing, mean, sem, *printed, 100 * (mean - printed.mean))
