"""Speeds of a reference machine, by model, encoder, task and number of objects to train on.

`python -m study.monitoring.reference_speeds > study/planning/speeds.csv` measures them again.
"""

import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple

from esbn_core.config import ResolvedTrial, TrialConfig

_FILE = Path(__file__).with_name("speeds.csv")
COLUMNS = ("model", "encoder", "task", "objects", "update_ms", "test_ms")

Kind = tuple[str, str, str]
"""Model, encoder and task; other settings change the speed less."""


class _Row(NamedTuple):
    objects: int
    update_ms: float
    """Of one network in one process."""
    test_ms: float
    """Of one problem."""


def kind(config: TrialConfig) -> Kind:
    """Returns what decides the speed of a trial, besides the number of objects."""
    return config.model.name, config.encoder, config.task.name


def training_objects(config: TrialConfig) -> int:
    """Returns how many objects a trial may show in training."""
    return config.task.n_objects - config.task.withheld


def reference_machine() -> str:
    """Names the machine whose speeds are in the table."""
    with _FILE.open(encoding="utf-8") as file:
        return file.readline().removeprefix("#").strip()


def reference_seconds(config: ResolvedTrial) -> float:
    """Returns the seconds that one process of the reference machine trains and tests a trial.

    A model or encoder that is not in the table, such as one of the user's own, counts as the paper's.
    """
    model, encoder, task = kind(config)
    names = ((model, encoder), ("esbn", encoder), ("esbn", "conv"))
    rows = next(_table()[*name, task] for name in names if (*name, task) in _table())
    objects = training_objects(config)
    low = max((row for row in rows if row.objects <= objects), default=rows[0])
    high = min((row for row in rows if row.objects >= objects), default=rows[-1])
    part = (objects - low.objects) / (high.objects - low.objects) if high.objects > low.objects else 0.0
    update_ms, test_ms = (a + part * (b - a) for a, b in ((low[1], high[1]), (low[2], high[2])))
    return (config.train.updates * update_ms + config.task.n_test * test_ms) / 1000


def rough(seconds: float) -> str:
    """Puts a forecast into words that claim no more than it knows."""
    if seconds < 5400:
        minutes = max(1, round(seconds / 60))
        return f"{minutes} minute{'s' * (minutes > 1)}"
    return f"{seconds / 3600:.0f} hours" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"


@cache
def _table() -> dict[Kind, list[_Row]]:
    table: dict[Kind, list[_Row]] = {}
    with _FILE.open(encoding="utf-8", newline="") as file:
        next(file)  # names the machine
        for row in csv.DictReader(file):
            of_kind = table.setdefault((row["model"], row["encoder"], row["task"]), [])
            of_kind.append(_Row(int(row["objects"]), float(row["update_ms"]), float(row["test_ms"])))
    return {name: sorted(rows) for name, rows in table.items()}
