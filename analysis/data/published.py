"""Test accuracies of the paper, and how the networks behind them were trained."""

import csv
import functools
import math
from pathlib import Path
from typing import NamedTuple

from esbn_core.vocabulary import BASELINE, Cell, arm_words

PUBLISHED_N = 10  # networks behind every published mean
PUBLISHED_OBJECTS = 100  # images that every published network was trained and tested on

AS_RELEASED, OWN_IMAGES = "as released", "own images"


class Published(NamedTuple):
    """A value of the paper: mean and standard error as fractions, and its tables."""

    mean: float
    sem: float
    source: str | None


UNPUBLISHED = Published(math.nan, math.nan, None)


class Deviation(NamedTuple):
    """A published value that the released code probably made with other training problems than the text says."""

    task: str
    withheld: int
    text: str  # word of an arm that follows the text; empty: the default follows it
    released: str  # word of an arm that follows the code instead
    trained_on: str  # training problems of the code


DEVIATIONS = (
    Deviation("rmts", 85, "", "sampling=as_released", "1 in 12 training problems with a same source"),
    Deviation("distribution_of_three", 85, "n_train=100000", "n_train=16380", "16,380 training problems"),
)
"""All deviations that can shift a mean. Elsewhere the code balances kinds of problem on average; ours are exact.

Source: official scripts/RMTS.sh, tasks/RMTS.py and tasks/dist3.py.
"""


class Comparable(NamedTuple):
    """The published value for an arm of ours, and differences in training."""

    paper: Published
    protocol: str | None
    """`AS_RELEASED`, or how our training differs from that behind the value; None: no value."""
    confounded: bool  # whether our training differs, which may explain a difference in accuracy


NOTHING = Comparable(UNPUBLISHED, None, False)


def comparable(cell: Cell) -> Comparable:
    """Finds the published value of an arm, or else of the same arm with the paper's images and the paper's text."""
    words = arm_words(cell.arm)
    plain = [word for word in words if not is_images(word)]
    points = [OWN_IMAGES] if plain != words else []
    for at in DEVIATIONS:
        if (at.task, at.withheld) != (cell.task, cell.withheld):
            continue
        if at.released in plain:
            plain = [at.text if word == at.released else word for word in plain]
        elif not at.text or at.text in plain:
            points.append(f"paper's text, not the code's {at.trained_on}")
    paper = published().get(cell._replace(arm=",".join(filter(None, plain)) or BASELINE))
    return Comparable(paper, "; ".join(points) or AS_RELEASED, bool(points)) if paper else NOTHING


def is_images(word: str) -> bool:
    """Returns whether a word of an arm names a set of the user's images."""
    return word.startswith("images=")


@functools.cache
def published() -> dict[tuple[str, int, str], Published]:
    """Reads the paper's test accuracies by task, withheld and arm; a cell printed in two tables names both."""
    cells: dict[tuple[str, int, str], Published] = {}
    for cell, printed in published_cells():
        source = f"{cells[cell].source}, {printed.source}" if cell in cells else printed.source
        cells[cell] = printed._replace(source=source)
    return cells


def published_cells() -> list[tuple[Cell, Published]]:
    """Reads every cell that the paper prints, with its value, in the order of its tables.

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
