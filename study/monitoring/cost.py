"""What a study will take: updates times the measured speed of the machine at hand. An estimate, labelled as one."""

import hashlib
import json
import os
import platform
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Group
from rich.table import Table
from ruamel.yaml import YAML

from esbn_core.config import PAPER, TrialConfig
from esbn_core.errors import ConfigError
from esbn_core.objects import Objects
from esbn_core.speed import Speed, measure_speed
from study.cluster.prices import prices
from study.planning.plan import PlannedTrial
from study.running.run_context import PACK_ON_GPU
from study.running.worker import fresh_process


class Machine(NamedTuple):
    """A node type of a Ray cluster file."""

    name: str
    instance: str
    usd_per_hour: float | None
    """On demand in us-east-1; None where it is not known."""
    trains: bool
    """False for a head that only runs the driver."""


@dataclass(frozen=True)
class Estimate:
    """Seconds of one process for the trials asked about, and what that was measured on."""

    seconds: float
    by_model: dict[str, tuple[float, int]]
    """model -> (seconds of one update of one network, mean over updates; updates)."""
    machine: str
    slots: int
    """Packs that run at once on this machine."""
    measured_at: str


def estimate(trials: Sequence[PlannedTrial], objects: Objects, tell: Callable[[str], None]) -> Estimate:
    """Adds up training and evaluation of the trials; measures what has not been measured on this machine.

    Speed depends on model, encoder and task, and, since each object is encoded once, on how many objects there are to
    train on: that is measured at the smallest and largest number of each kind, and read off a line between them.
    """
    kinds: dict[TrialConfig, list[PlannedTrial]] = {}
    for trial in trials:
        kinds.setdefault(_kind(trial.config), []).append(trial)
    seconds, training, updates = 0.0, defaultdict[str, float](float), defaultdict[str, int](int)
    with _Speeds(objects, tell) as speeds:
        for i, (kind, members) in enumerate(kinds.items(), start=1):
            pools = {_pool(t.config) for t in members}
            ends = {pool: speeds.of(kind, pool, f"{i}/{len(kinds)}") for pool in {min(pools), max(pools)}}
            for config in (trial.config for trial in members):
                speed = _between(ends, _pool(config))
                training[config.model.name] += config.train.updates * speed.update_seconds
                updates[config.model.name] += config.train.updates
                seconds += config.task.n_test * speed.test_seconds
    each = {model: (training[model] / n, n) for model, n in updates.items()}
    return Estimate(
        seconds + sum(training.values()),
        each,
        machine(),
        torch.cuda.device_count() or os.cpu_count() or 1,
        speeds.oldest,
    )


def machines(cluster: Path) -> tuple[list[Machine], int]:
    """The node types of a Ray cluster file, and how many workers it allows.

    Raises:
        ConfigError: the file is not a cluster file with instance types.
    """
    known = prices()
    try:
        content = YAML(typ="safe", pure=True).load(cluster)
        found = [
            Machine(name, instance, known.get(instance), node.get("resources", {}).get("CPU") != 0)
            for name, node in content["available_node_types"].items()
            for instance in [node["node_config"]["InstanceType"]]
        ]
        return found, int(content["max_workers"])
    except Exception as error:  # what a wrong file raises depends on where it is wrong
        raise ConfigError(f"cluster={str(cluster)!r} is not a cluster file with instance types: {error}") from None


def summary(found: Estimate, cluster: Path) -> Group:
    """An estimate in words, with prices if there is such a cluster file, to be printed by rich."""
    models = Table("model", "ms per update", "updates", box=None)
    for model, (seconds, updates) in found.by_model.items():
        models.add_row(model, f"{1000 * seconds:.1f}", f"{updates:,}")
    how = f"packs of {PACK_ON_GPU}" if torch.cuda.is_available() else "one thread"
    words = (
        f"Estimate: {_duration(found.seconds)} of one process; {_duration(found.seconds / found.slots)} here, where "
        f"{found.slots} run at once.\nMeasured on {found.machine}, {how}, {found.measured_at}; kept in\n"
        f"{cache_file()}, delete it to measure anew."
    )
    if not cluster.is_file():
        return Group("", models, "", words, f"No price: there is no {cluster}; name the cluster file with --cluster.")
    types, n_workers = machines(cluster)
    priced = Table("machine", "instance", "USD an hour", "hours", "USD", box=None)
    for node in types:
        hours, rate = found.seconds / 3600 / (1 if node.trains else n_workers), node.usd_per_hour
        usd = ("-", "-") if rate is None else (f"{rate:.3f}", f"{rate * hours:,.2f}")
        priced.add_row(node.name, node.instance, usd[0], f"{hours:,.1f}", usd[1])
    return Group(
        *("", models, "", words, "", priced),
        f"\nUSD: if {n_workers} such machines each ran one process as fast as measured here, at the on-demand list\n"
        "price of us-east-1 (study/prices.csv; spot is cheaper). Run this on a machine of the cluster to know.",
    )


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes" if seconds < 7200 else f"{seconds / 3600:,.0f} hours"


def machine() -> str:
    """The GPU that packs run on here, or the CPU, in words."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return cpu


def _kind(config: TrialConfig) -> TrialConfig:
    """What decides the speed of a trial besides its number of objects; TCN, rate and problem sets hardly do."""
    plain = {"withheld": 0, "n_train": None, "n_test": None, "sampling": "balanced", "tcn": None, "seed": 0}
    return config.with_(**plain, learning_rate=None, updates=None, rehearsal=False)


def _pool(config: TrialConfig) -> int:
    return config.task.n_objects - config.task.withheld


def _between(ends: dict[int, Speed], pool: int) -> Speed:
    (low, at_low), (high, at_high) = min(ends.items()), max(ends.items())
    part = (pool - low) / (high - low) if high > low else 0.0
    return Speed(*(a + part * (b - a) for a, b in zip(at_low, at_high, strict=True)))


class _Speeds(AbstractContextManager["_Speeds"]):
    """Measured speeds of this machine, kept in the user's cache folder."""

    def __init__(self, objects: Objects, tell: Callable[[str], None]):
        self._objects, self._tell = objects, tell
        self._process = fresh_process()
        self._file = cache_file()
        self._known: dict[str, dict[str, Any]] = {}
        if self._file.is_file():
            self._known = json.loads(self._file.read_text(encoding="utf-8"))
        self.oldest = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"

    def __exit__(self, *_: object) -> None:
        self._process.shutdown()

    def of(self, kind: TrialConfig, pool: int, number: str) -> Speed:
        """Per network: seconds of an update and of a test problem."""
        config = replace(kind, task=replace(kind.task, withheld=kind.task.n_objects - pool))
        about = {**config.flat(), "machine": machine(), "torch": torch.__version__}
        key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
        if key not in self._known:
            self._tell(f"measuring {number}: {kind.model.name} {kind.encoder}, {kind.task.name}, {pool} objects")
            self._known[key] = {"speed": self._measured(config), "measured_at": self.oldest, "about": about}
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(json.dumps(self._known, indent=1), encoding="utf-8")
        self.oldest = min(self.oldest, self._known[key]["measured_at"])
        return Speed(*self._known[key]["speed"])

    def _measured(self, config: TrialConfig) -> Speed:
        on_gpu = torch.cuda.is_available()
        size, device = (PACK_ON_GPU, "cuda") if on_gpu else (1, "cpu")
        images = self._objects.scale()
        settings = {name: value for name, value in config.flat().items() if name != "source"}
        speed = self._process.submit(_measured_there, settings, images, size, device).result()
        return Speed(*(seconds / size for seconds in speed))


def _measured_there(settings: dict[str, Any], images_N1HW: np.ndarray, pack_size: int, device: str) -> Speed:
    """Runs in another process, to which a model of the user's own is known by its name alone."""
    return measure_speed(PAPER.with_(**settings), images_N1HW, pack_size=pack_size, device=device)


def cache_file() -> Path:
    """Where measured speeds are kept; delete it to measure anew."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "esbn-study" / "speeds.json"
