"""One colour, marker and line per arm, the same in every figure; colours are safe for colour-blind readers.

Markers and lines tell arms apart in grey. Colours: Okabe and Ito (2008) for the arms of the ESBN, Tol's muted scheme
for other architectures and for arms that have no style of their own.
"""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.typing import LineStyleType


class Style(NamedTuple):
    """How an arm is drawn, and what it is called, in figures."""

    color: str
    marker: str
    line: LineStyleType
    label: str


_DASHES: tuple[LineStyleType, ...] = ("-", (0, (5, 2)), (0, (1, 1)), (0, (6, 2, 1, 2)))

_KNOWN = {
    "baseline": Style("#0072B2", "o", "-", "ESBN (baseline)"),
    "confidence=off": Style("#D55E00", "s", (0, (5, 2)), "no confidence"),
    "confidence=default_memory": Style("#009E73", "D", (0, (6, 2, 1, 2)), "default memory"),
    "tcn=none": Style("#E69F00", "^", (0, (1, 1)), "no TCN"),
    "encoder=mlp": Style("#56B4E9", "v", (0, (5, 2)), "MLP encoder"),
    "encoder=random": Style("#CC79A7", "P", (0, (6, 2, 1, 2)), "random encoder"),
    "model=transformer": Style("#882255", "X", (0, (1, 1)), "Transformer"),
    "model=ntm": Style("#117733", "<", (0, (5, 2)), "NTM"),
    "model=mnm": Style("#999933", ">", (0, (6, 2, 1, 2)), "MNM"),
    "model=lstm": Style("#332288", "p", (0, (1, 1)), "LSTM"),
    "model=predinet": Style("#CC6677", "h", (0, (5, 2)), "PrediNet"),
    "model=rn": Style("#44AA99", "*", (0, (6, 2, 1, 2)), "Relation net"),
    "model=trn": Style("#AA4499", "d", (0, (1, 1)), "TRN"),
}
STEP_COLORS = (  # Tol's muted scheme: nine steps of a problem, the first three far apart
    "#CC6677", "#332288", "#117733", "#DDCC77", "#88CCEE", "#882255", "#44AA99", "#999933", "#AA4499",
)  # fmt: skip
_COLORS = ("#AA4499", "#44AA99", "#882255", "#999933", "#332288", "#CC6677", "#117733")
_MARKERS = ("d", "X", "<", "p", ">", "h", "*", "8")  # as many as have no common factor with the colours


def styles(arms: Sequence[str]) -> dict[str, Style]:
    """The style of each arm of a study, in their order.

    Known arms always look the same. The others get what the known ones of this study leave free, by their order in it.
    """
    taken = {_KNOWN[arm].marker for arm in arms if arm in _KNOWN}
    markers = [marker for marker in _MARKERS if marker not in taken] or list(_MARKERS)
    unknown = [arm for arm in arms if arm not in _KNOWN]
    free = {
        arm: Style(_COLORS[i % len(_COLORS)], markers[i % len(markers)], _DASHES[i % len(_DASHES)], arm)
        for i, arm in enumerate(unknown)
    }
    return {arm: _KNOWN.get(arm) or free[arm] for arm in arms}
