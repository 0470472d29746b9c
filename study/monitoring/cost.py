"""Estimate of a study's time and price: number of updates times the measured speed of this machine."""

import hashlib
import json
import math
import os
import platform
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Group
from rich.table import Table

from esbn_core.config import TrialConfig
from esbn_core.errors import UserError
from esbn_core.files import MOST_BYTES, read_text, write_file
from esbn_core.objects import Objects
from esbn_core.speed import Speed, measure_speed
from study.cluster.config_file import read_machine_types
from study.planning.plan import PlannedTrial
from study.planning.speeds import rough, training_objects
from study.running.resources import PACK_ON_GPU, usable_cpus
from study.running.worker_process import fresh_process


@dataclass(frozen=True)
class CostEstimate:
    """Seconds of one process for some trials, and the machine it was measured on."""

    seconds: float
    by_model: dict[str, tuple[float, int]]
    """model -> (seconds of one update of one network, mean over updates; updates)."""
    hardware: str
    slots: int
    """Packs that run at once on this machine."""
    measured_at: str
    kept_in: Path | None
    """File that the next estimate reads; None if it cannot be written."""


def estimate(trials: Sequence[PlannedTrial], objects: Objects, tell: Callable[[str], None]) -> CostEstimate:
    """Adds up training and evaluation of the trials; measures speeds that have not been measured on this machine.

    Speed depends on model, encoder and task, and on the number of training objects, since each object is encoded once.
    For each kind of trial it is measured at the smallest and largest number of objects and interpolated linearly.
    """
    kinds: dict[TrialConfig, list[PlannedTrial]] = {}
    for trial in trials:
        kinds.setdefault(plain_kind(trial.config), []).append(trial)
    seconds, training, updates = 0.0, defaultdict[str, float](float), defaultdict[str, int](int)
    with Speeds(objects, tell) as speeds:
        for i, (kind, members) in enumerate(kinds.items(), start=1):
            pools = {training_objects(t.config) for t in members}
            ends = {pool: speeds.of(kind, pool, f"{i}/{len(kinds)}") for pool in {min(pools), max(pools)}}
            for config in (trial.config for trial in members):
                speed = _between(ends, training_objects(config))
                training[config.model.name] += config.train.updates * speed.update_seconds
                updates[config.model.name] += config.train.updates
                seconds += config.task.n_test * speed.test_seconds
    each = {model: (training[model] / n, n) for model, n in updates.items()}
    total = seconds + sum(training.values())
    return CostEstimate(total, each, hardware(), packs_at_once(), speeds.oldest, speeds.kept_in)


def summary(cost: CostEstimate, cluster: Path) -> Group:
    """Lays out an estimate for rich, with prices if the cluster file exists."""
    models = Table("model", "ms per update", "updates", box=None)
    for model, (seconds, updates) in cost.by_model.items():
        models.add_row(model, f"{1000 * seconds:.1f}", f"{updates:,}")
    how = f"packs of {PACK_ON_GPU}" if torch.cuda.is_available() else "one thread"
    kept = (
        f"kept in\n{cost.kept_in}, delete it to measure again" if cost.kept_in else "not kept: no writable cache folder"
    )
    words = (
        f"Estimate: {rough(cost.seconds)} with one process; {rough(cost.seconds / cost.slots)} here, with "
        f"{cost.slots} at once.\nMeasured on {cost.hardware}, {how}, {cost.measured_at}; {kept}."
    )
    if not os.path.exists(cluster):
        return Group("", models, "", words, f"No price: {cluster} not found; name the cluster file with --cluster.")
    types, n_workers = read_machine_types(cluster)
    priced = Table("machine", "instance", "USD an hour", "hours", "USD", box=None)
    for node in types:
        hours, rate = cost.seconds / 3600 / (1 if node.trains else n_workers), node.usd_per_hour
        usd = ("-", "-") if rate is None else (f"{rate:.3f}", f"{rate * hours:,.2f}")
        priced.add_row(node.name, node.instance, usd[0], f"{hours:,.1f}", usd[1])
    return Group(
        *("", models, "", words, "", priced),
        f"\nUSD: if {n_workers} such machines each ran one process as fast as measured here, at the on-demand list\n"
        "price of us-east-1 (study/cluster/prices.csv; spot is cheaper). Run this on a machine of the cluster to know.",
    )


def packs_at_once() -> int:
    """Counts the packs that run at once on this machine."""
    return torch.cuda.device_count() or usable_cpus()


def hardware() -> str:
    """Returns the name of the GPU that packs use here, or of the CPU."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def plain_kind(config: TrialConfig) -> TrialConfig:
    """Keeps what decides the speed of a trial besides its number of objects; TCN, rate and problem sets hardly do."""
    plain = {"withheld": 0, "n_train": None, "n_test": None, "sampling": "balanced", "tcn": None, "seed": 0}
    return config.with_(**plain, learning_rate=None, updates=None, rehearsal=False)


def _between(ends: dict[int, Speed], pool: int) -> Speed:
    (low, at_low), (high, at_high) = min(ends.items()), max(ends.items())
    part = (pool - low) / (high - low) if high > low else 0.0
    return Speed(*(a + part * (b - a) for a, b in zip(at_low, at_high, strict=True)))


class Speeds(AbstractContextManager["Speeds"]):
    """Measured speeds of this machine, kept in the user's cache folder where that can be read and written."""

    def __init__(self, objects: Objects, tell: Callable[[str], None]):
        self._objects, self._tell = objects, tell
        self._process = fresh_process()
        self.kept_in = cache_file()
        self._known = _kept(self.kept_in)
        self.oldest = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"

    def __exit__(self, *_: object) -> None:
        self._process.shutdown()

    def of(self, kind: TrialConfig, pool: int, number: str) -> Speed:
        """Returns the seconds per update and per test problem of one network."""
        config = replace(kind, task=replace(kind.task, withheld=kind.task.n_objects - pool))
        about = {**config.flat(), "machine": hardware(), "torch": torch.__version__}
        key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
        if key not in self._known:
            self._tell(f"measuring {number}: {kind.model.name} {kind.encoder}, {kind.task.name}, {pool} objects")
            self._known[key] = {"speed": self._measured(config), "measured_at": self.oldest, "about": about}
            self.kept_in = _keep(self.kept_in, self._known)
        self.oldest = min(self.oldest, self._known[key]["measured_at"])
        return _speed(self._known[key])

    def _measured(self, config: TrialConfig) -> Speed:
        on_gpu = torch.cuda.is_available()
        size, device = (PACK_ON_GPU, "cuda") if on_gpu else (1, "cpu")
        images = self._objects.scale()
        speed = self._process.submit(measure_speed, config, images, pack_size=size, device=device).result()
        return Speed(*(seconds / size for seconds in speed))


def _kept(file: Path | None) -> dict[str, dict[str, Any]]:
    """Returns the cached speeds; unreadable entries are measured again."""
    try:
        known = json.loads(read_text(file, "speeds", 16 * MOST_BYTES)) if file else {}
        return {key: entry for key, entry in known.items() if _is_whole(entry)}
    except Exception:  # a torn file can raise anything; it is only a cache
        return {}


def _is_whole(entry: Any) -> bool:
    try:
        datetime.fromisoformat(entry["measured_at"].removesuffix(" UTC"))
        return all(0 <= seconds < math.inf for seconds in _speed(entry))
    except Exception:
        return False


def _speed(entry: dict[str, Any]) -> Speed:
    return Speed(*map(float, entry["speed"]))


def _keep(file: Path | None, known: dict[str, dict[str, Any]]) -> Path | None:
    """Writes the measured speeds; returns the file, None if it cannot be written."""
    try:
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_file(file, json.dumps(known, indent=1).encode())
        return file
    except (OSError, UserError):
        return None


def cache_file() -> Path | None:
    """Returns the cache file of measured speeds; None for a user without a home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "esbn-study" / "speeds.json"
    except RuntimeError:
        return None
