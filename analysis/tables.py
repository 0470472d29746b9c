"""A study's test accuracies, variant by variant, beside the published ones."""

import csv
import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from analysis.load import VARIANT, load_study
from analysis.stats import summarise
from analysis.text import MISSING, Grid, render

PUBLISHED_N = 10  # networks behind every published mean
ERRORS = (
    "±: standard error of the mean over seeds (sample standard deviation, ddof 1, over √n); n: completed/planned"
    f" trials. Paper: n = {PUBLISHED_N}."
)

HEADER = ("task", "m", "arm", "n", "failed", "ours (%)", "paper (%)")  # of `cells`
RIGHT = (False, True, False, True, True, True, True)

_HEADER, _RIGHT = (*HEADER, "difference", "source"), (*RIGHT, True, False)


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
    printed = [paper.get((task, withheld, arm), _UNPUBLISHED) for task, withheld, arm in order]
    return [_variant(cell, accuracies[cell], statuses[cell], p) for cell, p in zip(order, printed, strict=True)]


class Published(NamedTuple):
    """A value of the paper: mean and standard error as fractions, and its tables."""

    mean: float
    sem: float
    source: str | None


_UNPUBLISHED = Published(math.nan, math.nan, None)


@functools.cache
def published() -> dict[tuple[str, int, str], Published]:
    """The paper's test accuracies by task, withheld and arm; a cell printed in two tables names both."""
    cells: dict[tuple[str, int, str], Published] = {}
    for (task, withheld, arm), printed in published_cells():
        cell = (task, withheld, arm)
        source = f"{cells[cell].source}, {printed.source}" if cell in cells else printed.source
        cells[cell] = printed._replace(source=source)
    return cells


def published_cells() -> list[tuple[tuple[str, int, str], Published]]:
    """Task, withheld and arm of every cell the paper prints, and what is in it, in the order of its tables.

    Source: paper Tables 9-20; 10 networks each.
    """
    with Path(__file__).with_name("published.csv").open(encoding="utf-8", newline="") as file:
        return [
            (
                (row["task"], int(row["withheld"]), row["arm"]),
                Published(float(row["test_accuracy"]), float(row["sem"]), row["source"]),
            )
            for row in csv.DictReader(file)
        ]


def _variant(cell: tuple[str, int, str], accuracies: pd.Series, statuses: list[str], printed: Published) -> Variant:
    n, mean, sem = summarise(accuracies.to_numpy(float))
    failed, missing = statuses.count("failed"), statuses.count("missing")
    return Variant(*cell, n, len(statuses), failed, missing, mean, sem, *printed, 100 * (mean - printed.mean))


def report(frame: pd.DataFrame, format: str) -> str:
    """A study's `table` in percent, with notes on errors and on what is incomplete.

    Args:
        frame: rows of `table`.
        format: text, markdown, latex, html or csv (the frame itself).
    Raises:
        AnalysisError: the format is none of these.
    """
    rows = rows_of(frame)
    notes = [f"{ERRORS} Difference: ours minus paper, in percentage points.", *incomplete(rows)]
    return render([Grid(_HEADER, [_cells(row) for row in rows], _RIGHT)], notes, [frame], format)


def rows_of(frame: pd.DataFrame) -> list[Variant]:
    """The rows of a frame that has the columns of `table`, and maybe more."""
    return [Variant(*row) for row in zip(*(frame[column] for column in Variant._fields), strict=True)]


def cells(row: Variant) -> list[str]:
    """What a variant is, how many of its trials are there, and both accuracies in percent."""
    return [
        row.task,
        str(row.withheld),
        row.arm,
        f"{row.n}/{row.planned}",
        str(row.failed),
        percent(row.mean, row.sem),
        percent(row.published_mean, row.published_sem),
    ]


def _cells(row: Variant) -> list[str]:
    return [
        *cells(row),
        MISSING if math.isnan(row.difference_points) else f"{row.difference_points:+.1f}",
        row.source if isinstance(row.source, str) else MISSING,  # pandas may hold None as NaN
    ]


def percent(mean: float, sem: float) -> str:
    """A fraction and its error in percent with one decimal: ``"99.7 ± 0.1"``; a dash for what is NaN."""
    if math.isnan(mean):
        return MISSING
    error = MISSING if math.isnan(sem) else f"{100 * sem:.1f}"
    return f"{100 * mean:.1f} ± {error:>3}"  # three wide, so that ± stand below each other


def incomplete(rows: Sequence[Variant]) -> list[str]:
    """Notes on the variants that are not trained yet and on those with fewer completed trials than planned."""
    notes = []
    untouched = [row for row in rows if row.missing == row.planned]
    if untouched:
        notes.append(f"Not trained yet: {len(untouched)} of {len(rows)} variants.")
    partial = [row for row in rows if row.n < row.planned and row not in untouched]
    return notes + [f"Incomplete: {row.task}, m = {row.withheld}, {row.arm}: {row.lack}." for row in partial]
