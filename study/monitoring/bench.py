"""Training speed of this machine, compared with the slow implementation and the hardware limit."""

import dataclasses
import itertools
import json
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import torch
from rich.console import Console, Group
from rich.table import Table

from ablations import Grid, Study
from esbn_core.bench import Ceilings, Row, bench, measure_ceilings
from esbn_core.config import PAPER
from esbn_core.objects import glyphs
from study.monitoring.cost import hardware
from study.monitoring.status import busy_seconds, by_worker
from study.planning.study_plan import plan_study
from study.running.run_study import run_study
from study.running.worker_process import fresh_process
from study.store.provenance import provenance
from study.store.store import Store

COLUMNS = {
    "model": "{model}",
    "task": "{task}",
    "m": "{withheld}",
    "pack": "{pack}",
    "precision": "{precision}",
    "updates/s": "{network_updates_per_second:.1f}",
    "ms": "{ms:.1f}",
    "floor ms": "{floor_ms:.1f}",
    "gap": "{gap:.1f}",
    "slow/ours": "{slow}",
    "test us": "{test_us:.0f}",
    "build ms": "{build_ms:.1f}",
}


class Benchmark(NamedTuple):
    """Rows, the machine they were measured on, and optionally the overhead per job in seconds."""

    rows: list[Row]
    ceilings: dict[str, Ceilings]
    """By precision."""
    about: dict[str, Any]
    job_seconds: float | None


def measure(
    arms: Sequence[dict[str, Any]],
    *,
    packs: Sequence[int],
    precisions: Sequence[str],
    threads: int,
    jobs: int,
    tell: Callable[[str], None],
) -> Benchmark:
    """Measures every arm (settings by flat name, including task and withheld) at every pack size and precision."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images, rows = glyphs().scale(), []
    configs = [PAPER.with_(**arm, precision=p).resolve() for arm, p in itertools.product(arms, precisions)]
    with fresh_process() as process:
        ceilings = {p: process.submit(measure_ceilings, device, threads, p).result() for p in precisions}
        for config, size in itertools.product(configs, packs):
            tell(f"{config.model.name}, {config.task.name}, m = {config.task.withheld}, pack of {size}")
            known = {"device": device, "ceilings": ceilings[config.train.precision]}
            rows.append(process.submit(bench, config, images, pack_size=size, threads=threads, **known).result())
    about = {"machine": hardware(), "threads": threads, "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", **provenance()}
    return Benchmark(rows, ceilings, about, job_seconds(jobs) if jobs else None)


def job_seconds(n_jobs: int) -> float:
    """Measures worker seconds per pack of one network and one update, including the time between packs.

    Makes a real run on Ray into a temporary folder. The networks have different sizes, so that none share a pack.
    """
    arms = [
        {"model": "corelnet", "encoder": "random", "updates": 1, "n_test": 20, "hidden_size": 10 + i}
        for i in range(n_jobs)
    ]
    grid = Grid(arms=arms, conditions={"same_different": (98,)}, seeds=1)
    study = Study(name="jobs", question="What does a job cost?", grids=[grid])
    with tempfile.TemporaryDirectory(prefix="esbn-bench-") as folder:
        store = Store(folder)
        run_study(plan_study(study), store, console=Console(quiet=True))
        workers = by_worker(store.read("trials", ["worker", "started_at", "finished_at"]).to_pylist())
    return sum(busy_seconds(rows) for rows in workers) / sum(len(rows) for rows in workers)


def to_json(benchmark: Benchmark) -> str:
    """Returns the whole benchmark as JSON, e.g. to append to a history."""
    rows = [{**dataclasses.asdict(row), "gap": row.gap} for row in benchmark.rows]
    ceilings = {precision: dataclasses.asdict(c) for precision, c in benchmark.ceilings.items()}
    return json.dumps(
        {**benchmark.about, "ceilings": ceilings, "job_seconds": benchmark.job_seconds, "rows": rows}, indent=1
    )


def to_text(benchmark: Benchmark) -> Group:
    """Returns the benchmark as a rich table with notes."""
    table = Table(*COLUMNS, box=None)
    for column in table.columns[2:]:
        column.justify = "right"
    for row in benchmark.rows:
        slow = [f"{ratio:.1f}" for ratio in (row.slow_ratio, row.slow_ratio_library_convolution) if ratio is not None]
        derived = {
            "ms": 1e3 * row.update_seconds,
            "floor_ms": 1e3 * max(row.arithmetic_seconds, row.memory_seconds),
            "gap": row.gap,
            "slow": " / ".join(slow) or "-",
            "test_us": 1e6 * row.test_seconds_per_problem,
            "build_ms": 1e3 * row.build_seconds,
        }
        table.add_row(*(form.format(**dataclasses.asdict(row), **derived) for form in COLUMNS.values()))
    best = ", ".join(
        f"{precision} {c.flops_per_second / 1e9:.0f} GFLOP/s, {c.bytes_per_second / 1e9:.0f} GB/s"
        for precision, c in benchmark.ceilings.items()
    )
    machine, threads, at = (benchmark.about[name] for name in ("machine", "threads", "at"))
    lines = [
        f"\n{machine}, threads: {threads}, {at}. Ceilings: {best}.",
        "updates/s: all networks of the pack together. ms: one update of the pack. floor ms: lower bound for an\n"
        "update, the longer of its matrix products at the rate of a large square product, and its weights, gradients\n"
        "and moments at the rate of a copy. gap: ms over floor ms. slow/ours: time of the step-by-step reference over\n"
        "ours, one network each / the same with the library's convolution in the reference.",
    ]
    if benchmark.job_seconds is not None:
        lines.append(f"Overhead: {1e3 * benchmark.job_seconds:.0f} ms of worker time per job of one update.")
    return Group(table, *lines)
