"""Plans that count: where a variant was planned again with other trials, the plans since then.

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

    The plans of a variant count from the newest back to the first that names another trial at a seed of a newer one. Of
    a trial that its study planned under two arms, only the newest arm counts.
    """
    if _is_unique(rows, (*VARIANT, "seed"), KEY) and _is_unique(rows, ("study", KEY), "arm"):
        return rows
    about: list[dict[str, Any]] = rows.select(NEEDED).to_pylist()
    plans: dict[tuple[object, ...], dict[datetime, list[dict[str, Any]]]] = {}
    arms: dict[tuple[object, ...], tuple[datetime, str]] = {}
    for row in about:
        plans.setdefault(tuple(row[name] for name in VARIANT), {}).setdefault(row["planned_at"], []).append(row)
        arm = row["planned_at"], row["arm"]
        arms[row["study"], row[KEY]] = max(arm, arms.get((row["study"], row[KEY]), arm))
    since = {variant: _oldest_that_counts(of_variant) for variant, of_variant in plans.items()}
    counts = [
        row["planned_at"] >= since[tuple(row[name] for name in VARIANT)]
        and row["arm"] == arms[row["study"], row[KEY]][1]
        for row in about
    ]
    return rows.filter(pa.array(counts, pa.bool_()))


def _oldest_that_counts(plans: dict[datetime, list[dict[str, Any]]]) -> datetime:
    trials: dict[int, set[str]] = {}
    oldest = max(plans)
    for planned_at in sorted(plans, reverse=True):
        if any(row[KEY] not in trials.get(row["seed"], {row[KEY]}) for row in plans[planned_at]):
            break
        for row in plans[planned_at]:
            trials.setdefault(row["seed"], set()).add(row[KEY])
        oldest = planned_at
    return oldest


def _is_unique(rows: pa.Table, place: tuple[str, ...], column: str) -> bool:
    """Whether rows that agree in `place` agree in the column, too."""
    distinct = rows.group_by([*place, column]).aggregate([])
    return len(distinct) == len(distinct.group_by(list(place)).aggregate([]))
