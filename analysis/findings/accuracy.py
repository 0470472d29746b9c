"""Test accuracy of each variant of a study, beside the published value."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.data.published import (
    NOTHING,
    PUBLISHED_OBJECTS,
    UNPUBLISHED,
    Comparable,
    comparable,
    is_images,
    published,
)
from analysis.data.trials import VARIANT, load_study
from analysis.statistics.summary import summarise
from esbn_core.vocabulary import Cell, arm_words
from study.store.location import Place


class VariantAccuracy(NamedTuple):
    """A row of the table: one arm at one task and m."""

    task: str
    withheld: int
    arm: str
    n: int  # completed trials; only these are averaged
    planned: int  # completed, failed and missing trials
    failed: int
    missing: int
    mean: float  # test accuracy, a fraction; NaN if n = 0
    sem: float  # standard error of the mean, a fraction; NaN if n < 2
    published_mean: float  # fraction; NaN if there is no published value
    published_sem: float
    source: str | None  # table of the paper
    difference_points: float  # ours minus published, in percentage points
    protocol: str | None = None  # how our training compares with that of the published value; see `Comparable`
    confounded: bool = False  # whether the training differs, which may explain a difference in accuracy

    @property
    def cell(self) -> Cell:
        """Name of the variant."""
        return Cell(self.task, self.withheld, self.arm)

    @property
    def lack(self) -> str:
        """Numbers of its trials in words: ``"7 of 10 trained, 1 failed, 2 missing"``."""
        others = [f"{count} {word}" for count, word in ((self.failed, "failed"), (self.missing, "missing")) if count]
        return ", ".join([f"{self.n} of {self.planned} trained", *others])


def table(results: Place, study: str) -> pd.DataFrame:
    """Returns the test accuracy of each variant of a study, beside the published value.

    Args:
        results: folder or URI of the result store.
        study: name of the study.
    Returns:
        A row per variant with the columns of `VariantAccuracy`, by task, withheld and arm; tasks and arms in planned
        order.
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
    values = _comparables(frame, order)
    return [_accuracy(cell, trials[cell], value) for cell, value in zip(order, values, strict=True)]


def as_printed(rows: Sequence[VariantAccuracy]) -> list[VariantAccuracy]:
    """Returns the rows with published values only at the arms for which the paper prints them, as in figures."""
    nothing = dict(zip(("published_mean", "published_sem", "source"), UNPUBLISHED, strict=True))
    lacking = {**nothing, "difference_points": np.nan, "protocol": None, "confounded": False}
    return [row if row.cell in published() else row._replace(**lacking) for row in rows]


def _comparables(frame: pd.DataFrame, cells: Sequence[Cell]) -> list[Comparable]:
    """Returns the published value for each variant. There is none for own images whose number differs from the paper's,
    since m then leaves a different number of training objects."""
    numbers = frame["n_objects"] if "n_objects" in frame else pd.Series(None, frame.index)
    others = frame.loc[numbers.notna() & (numbers != PUBLISHED_OBJECTS), "arm"]
    other_sets = {word for arm in others.unique() for word in arm_words(arm) if is_images(word)}
    return [NOTHING if other_sets & set(arm_words(cell.arm)) else comparable(cell) for cell in cells]


def _accuracy(cell: Cell, trials: pd.DataFrame, value: Comparable) -> VariantAccuracy:
    statuses = trials["status"].tolist()
    failed, missing = statuses.count("failed"), statuses.count("missing")
    n, mean, sem = summarise(trials.loc[trials["status"] == "completed", "test_accuracy"].to_numpy(float))
    ours, points = (n, len(statuses), failed, missing, mean, sem), 100 * (mean - value.paper.mean)
    return VariantAccuracy(*cell, *ours, *value.paper, points, value.protocol, value.confounded)
