"""Plans that count: where a variant was planned again with other trials, the newest plan of it.

That happens when a model of the user's own is changed, which makes other trials of the same arm.
"""

from datetime import datetime
from typing import Any

import pyarrow as pa

from study.store.names import KEY

VARIANT = ("study", "task", "withheld", "arm")
NEEDED = (*VARIANT, "seed", "planned_at", KEY)
"""Columns that `current` needs."""


def current(rows: pa.Table) -> pa.Table:
    """Returns the rows of ``plans`` that count.

    Of a variant whose plans name different trials at one seed, only the rows of its newest plan count. Of a trial that
    its study planned under two arms, only the newest arm counts.
    """
    if _is_unique(rows, (*VARIANT, "seed"), KEY) and _is_unique(rows, ("study", KEY), "arm"):
        return rows
    about: list[dict[str, Any]] = rows.select(NEEDED).to_pylist()
    newest: dict[tuple[object, ...], datetime] = {}
    trials: dict[tuple[object, ...], set[str]] = {}
    arms: dict[tuple[object, ...], tuple[datetime, str]] = {}
    for row in about:
        variant = tuple(row[name] for name in VARIANT)
        planned_at: datetime = row["planned_at"]
        newest[variant] = max(planned_at, newest.get(variant, planned_at))
        trials.setdefault((*variant, row["seed"]), set()).add(row[KEY])
        arm = row["planned_at"], row["arm"]
        arms[row["study"], row[KEY]] = max(arm, arms.get((row["study"], row[KEY]), arm))
    planned_again = {place[:-1] for place, ids in trials.items() if len(ids) > 1}
    counts = []
    for row in about:
        variant = tuple(row[name] for name in VARIANT)
        is_newest = variant not in planned_again or row["planned_at"] == newest[variant]
        counts.append(is_newest and row["arm"] == arms[row["study"], row[KEY]][1])
    return rows.filter(pa.array(counts, pa.bool_()))


def _is_unique(rows: pa.Table, place: tuple[str, ...], column: str) -> bool:
    """Whether rows that agree in `place` agree in the column, too."""
    distinct = rows.group_by([*place, column]).aggregate([])
    return len(distinct) == len(distinct.group_by(list(place)).aggregate([]))
