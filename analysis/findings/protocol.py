"""Our default training protocol beside the paper's Tables 1 to 8."""

from typing import NamedTuple

import pandas as pd

from analysis.data.protocol import Printed, printed_protocol


class ProtocolCell(NamedTuple):
    """A number of the paper and ours; problems and epochs are counts, learning rates step sizes of Adam."""

    printed: Printed
    ours: tuple[
        float, ...
    ]  # distinct values of the trials that the number is about, by size; the paper's alone if equal

    @property
    def differs(self) -> bool:
        """Whether some trial of ours has another number, or none is about it."""
        return self.ours != (self.printed.paper,)


def protocol_cells(ours: pd.DataFrame) -> list[ProtocolCell]:
    """Compares each number of Tables 1 to 8 with those of all default trials that it is about.

    Args:
        ours: a row per default trial without its seed: ``task``, ``withheld``, ``model``, ``tcn`` (none, or another
            word), ``n_train``, ``n_test``, ``learning_rate``, ``epochs``.
    Returns:
        The numbers in the paper's order.
    """
    printed = printed_protocol()
    named = {(number.quantity, number.task, number.model) for number in printed if number.model}
    return [ProtocolCell(number, _ours(number, ours, named)) for number in printed]


def _ours(number: Printed, ours: pd.DataFrame, named: set[tuple[str, str, str]]) -> tuple[float, ...]:
    here = ours.loc[ours["task"] == number.task]
    if number.withheld is not None:
        here = here.loc[here["withheld"] == number.withheld]
    with_own_number = here["model"].map(lambda model: (number.quantity, number.task, model) in named)
    if number.quantity == "learning_rate":
        with_own_number &= here["tcn"] == "none"
    about = with_own_number & (here["model"] == number.model) if number.model else ~with_own_number
    return tuple(sorted(set(here.loc[about, number.quantity].astype(float))))
