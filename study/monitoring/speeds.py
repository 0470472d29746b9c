"""Speeds of a reference machine, by model, encoder, task and number of objects to train on.

They say in advance, to within a factor of about two, how long a study takes elsewhere. This measures them again, in
about 20 minutes:

    python -m study.monitoring.speeds > study/monitoring/speeds.csv
"""

import csv
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import NamedTuple

from esbn_core.config import ResolvedTrial, TrialConfig

_FILE = Path(__file__).with_name("speeds.csv")
_COLUMNS = ("model", "encoder", "task", "objects", "update_ms", "test_ms")

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


@cache
def _table() -> dict[Kind, list[_Row]]:
    table: dict[Kind, list[_Row]] = {}
    with _FILE.open(encoding="utf-8", newline="") as file:
        next(file)  # names the machine
        for row in csv.DictReader(file):
            of_kind = table.setdefault((row["model"], row["encoder"], row["task"]), [])
            of_kind.append(_Row(int(row["objects"]), float(row["update_ms"]), float(row["test_ms"])))
    return {name: sorted(rows) for name, rows in table.items()}


def _measure() -> None:
    """Prints the table, measured at the fewest and the most objects that declared studies train on."""
    import sys

    from ablations import REGISTRY
    from esbn_core.objects import glyphs
    from study.monitoring.cost import Speeds, hardware, plain_kind
    from study.planning.plan import variants

    configs: dict[Kind, dict[int, TrialConfig]] = defaultdict(dict)
    for config in (variant.config for study in REGISTRY.values() for variant in variants(study)):
        configs[kind(config)].setdefault(training_objects(config), config)
    print(f"# {hardware()}, one thread")
    print(*_COLUMNS, sep=",")
    with Speeds(glyphs(), lambda line: print(line, file=sys.stderr)) as speeds:
        for name, of_kind in sorted(configs.items()):
            for objects in sorted({min(of_kind), max(of_kind)}):
                speed = speeds.of(plain_kind(of_kind[objects]), objects, " ".join(name))
                print(*name, objects, *(f"{1000 * seconds:.3g}" for seconds in speed), sep=",", flush=True)


if __name__ == "__main__":
    _measure()
