"""Test accuracies of the paper."""

import csv
import functools
import math
from pathlib import Path
from typing import NamedTuple

from esbn_core.vocabulary import Cell

PUBLISHED_N = 10  # networks behind every published mean


class Published(NamedTuple):
    """A value of the paper: mean and standard error as fractions, and its tables."""

    mean: float
    sem: float
    source: str | None


UNPUBLISHED = Published(math.nan, math.nan, None)


@functools.cache
def published() -> dict[tuple[str, int, str], Published]:
    """Reads the paper's test accuracies by task, withheld and arm; a cell printed in two tables names both."""
    cells: dict[tuple[str, int, str], Published] = {}
    for cell, printed in published_cells():
        source = f"{cells[cell].source}, {printed.source}" if cell in cells else printed.source
        cells[cell] = printed._replace(source=source)
    return cells


def published_cells() -> list[tuple[Cell, Published]]:
    """Reads every cell the paper prints and what is in it, in the order of its tables.

    Source: paper Tables 9-20; 10 networks each.
    """
    with Path(__file__).with_name("published.csv").open(encoding="utf-8", newline="") as file:
        return [
            (
                Cell(row["task"], int(row["withheld"]), row["arm"]),
                Published(float(row["test_accuracy"]), float(row["sem"]), row["source"]),
            )
            for row in csv.DictReader(file)
        ]
