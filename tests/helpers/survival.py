"""A small study that is to come to the same results whatever happens to its machines."""

import json
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

import torch
from hosts import ROOT, Host, stop

from esbn_core.objects import glyphs
from esbn_core.train import train
from study.planning.declarations import find_study
from study.planning.packs import pack
from study.planning.plan import plan

STUDY = "tests/helpers/survives.yaml"  # `ray up` brings it to every machine with the rest of the project
N_PACKS = 3


class Outcome(NamedTuple):
    """What a trial came to."""

    test_accuracy: float
    test_loss: float
    curve: list[tuple[int, float, float]]


@cache
def unbroken(threads: int) -> dict[str, Outcome]:
    """What the trials come to when nothing happens to them: trained here, without Ray, a store or checkpoints."""
    trials = plan(find_study(str(ROOT / STUDY)))
    packs = pack(trials, {trial.trial_id for trial in trials}, n_slots=N_PACKS, largest=4)
    assert len(packs) == N_PACKS
    outcomes, before = {}, torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for each in packs:
            trained = train([trial.config for trial in each.trials], glyphs().scale()).trials
            for trial, result in zip(each.trials, trained, strict=True):
                assert result.test_accuracy is not None and result.test_loss is not None
                outcomes[trial.trial_id] = Outcome(result.test_accuracy, result.test_loss, result.curve)
    finally:
        torch.set_num_threads(before)
    return outcomes


class Run:
    """`esbn run` on a cluster's head, started from the laptop.

    Attributes:
        began: UTC time of the launch.
        results: where its rows go, as the laptop says it.
    """

    def __init__(
        self, laptop: Host, launch: str, results: str, threads: int, checkpoints: Callable[[], list[datetime]]
    ):
        self.began, self.results = datetime.now(UTC), results
        self.checkpoints = checkpoints
        self._laptop, self._threads = laptop, threads
        command = (
            f"esbn run ~/esbn-study/{STUDY} --address auto --results {results} --gpus-per-pack 0 --threads {threads}"
        )
        command += " --checkpoint-seconds 0.5"
        self._process = laptop.start(launch.format(command))

    def wait_for(self, condition: Callable[[], bool], seconds: float = 90) -> None:
        """Waits for something that happens before the run ends."""

        def either() -> bool:
            assert self._process.poll() is None, "the run has ended"
            return condition()

        try:
            wait_for(either, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: {stop(self._process)}") from None

    def status(self) -> str:
        """What `esbn status` says on the laptop, which is no part of the cluster."""
        return self._laptop.run(f"esbn status --results {self.results}").stdout

    def end(self, seconds: float = 150) -> list[dict[str, Any]]:
        """Rows of the trials once the run has ended: each there once, none failed, results as if nothing had broken."""
        try:
            output, _ = self._process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not at its end after {seconds} s: {stop(self._process)}") from None
        assert self._process.returncode == 0, output
        rows, expected = self._ask("from trials"), unbroken(self._threads)
        assert len(rows) == len(expected)
        assert {row["status"] for row in rows} == {"completed"}
        curves: dict[str, list[tuple[int, float, float]]] = {row["trial_id"]: [] for row in rows}
        for point in self._ask("from curves order by update"):
            curves[point["trial_id"]].append((point["update"], point["loss"], point["accuracy"]))
        outcomes = {r["trial_id"]: Outcome(r["test_accuracy"], r["test_loss"], curves[r["trial_id"]]) for r in rows}
        assert outcomes == expected, "bit for bit"
        return rows

    def _ask(self, sql: str) -> list[dict[str, Any]]:
        """The answer of `esbn query` on the laptop."""
        return json.loads(
            self._laptop.run(f'esbn query "{sql}" --results {self.results} --format json 2>/dev/null').stdout
        )


def started(row: dict[str, Any]) -> datetime:
    """When the worker that ended a trial took it up."""
    return datetime.fromisoformat(row["started_at"]).astimezone(UTC)


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s"
        time.sleep(0.1)
