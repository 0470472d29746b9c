"""Our default training protocol beside the paper's Tables 1 to 8."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import pandas as pd

from analysis.data.protocol import Printed, printed_protocol


class ProtocolCell(NamedTuple):
    """A number of the paper and ours: counts of problems or epochs, or Adam step sizes."""

    printed: Printed
    ours: tuple[float, ...]
    """Distinct values of the trials that the number applies to, by size; only the paper's if all are equal to it."""

    @property
    def differs(self) -> bool:
        """Whether one of our trials has a different number, or the number applies to none."""
        return self.ours != (self.printed.paper,)


def protocol_cells(ours: pd.DataFrame) -> list[ProtocolCell]:
    """Compares each number of Tables 1 to 8 with all default trials that it applies to.

    Args:
        ours: a row per default trial without its seed: ``task``, ``withheld``, ``model``, ``tcn`` (none, or another
            value), ``n_train``, ``n_test``, ``learning_rate``, ``epochs``.
    Returns:
        The numbers in the paper's order.
    """
    printed, trials = printed_protocol(), ours.to_dict("records")
    named = {(number.quantity, number.task, number.model) for number in printed if number.model}
    return [
        ProtocolCell(
            number,
            tuple(sorted({float(trial[number.quantity]) for trial in trials if _is_about(number, trial, named)})),
        )
        for number in printed
    ]


def _is_about(number: Printed, trial: Mapping[Any, Any], named: Collection[tuple[str, str, str]]) -> bool:
    if trial["task"] != number.task or number.withheld not in (None, trial["withheld"]):
        return False
    has_its_own = (number.quantity, number.task, trial["model"]) in named
    if number.quantity == "learning_rate" and trial["tcn"] != "none":
        has_its_own = False
    return number.model == (trial["model"] if has_its_own else "")
