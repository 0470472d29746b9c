"""Problem counts, learning rates and epochs of the paper."""

import csv
from pathlib import Path
from typing import NamedTuple


class Printed(NamedTuple):
    """A number of the paper's Tables 1 to 8."""

    source: str  # its table
    task: str
    withheld: int | None  # None: every m
    model: str  # empty: all models without a separate number for this task and quantity
    quantity: str
    """n_train or n_test (problems), learning_rate (Adam; one with a model is for training without TCN) or epochs."""
    paper: float


def printed_protocol() -> list[Printed]:
    """Reads Tables 1 to 8 in their order.

    Source: paper Tables 1-8; section 4.1 says that models not in Table 5, and all models with TCN, use 5e-4.
    """
    with Path(__file__).with_name("protocol.csv").open(encoding="utf-8", newline="") as file:
        return [
            Printed(
                row["source"],
                row["task"],
                int(row["withheld"]) if row["withheld"] else None,
                row["model"],
                row["quantity"],
                float(row["value"]),
            )
            for row in csv.DictReader(file)
        ]
