"""Real searches on a local Ray: what is trained, what a kill costs, what is refused and what fails."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from runs import descendants, wait_for

from esbn_core.objects import glyphs
from esbn_core.train import train
from study.planning.declarations import find_space
from study.searching.suggestions import ENDED
from study.store.store import Store

pytestmark = pytest.mark.slow

SPACE = """
name: small
task: same_different
withheld: 95
arm: {updates: 135, encoder: mlp}
parameters:
  learning_rate: {low: 1e-5, high: 1e-2, log: true}
  tcn: {choices: [sequence, none]}
suggestions: 7
"""
MODEL = """
from dataclasses import dataclass
from esbn_core.models.core import Core
from esbn_core.models.layers import Linear, draw

class OddCore(Core):
    def __init__(self, config, n_features, task, stream):
        super().__init__()
        if config.how == "raise":
            raise ValueError("the encoder is upside down")
        self.output = Linear(draw(n_features, task.n_choices, "linear", stream("output")))
        self.factor = float("nan") if config.how == "diverge" else 1.0

    def forward(self, z_BTZ):
        return self.output(z_BTZ.mean(dim=1)) * self.factor

@dataclass(frozen=True)
class Odd:
    how: str = "train"
    core = OddCore
"""
ODD = """
name: odd
task: same_different
withheld: 95
arm: {model: "odd:Odd", updates: 9, encoder: random}
parameters:
  how: {choices: [train, diverge, raise]}
suggestions: 8
"""


class Searching:
    """`esbn search` in a process of its own, in an empty folder."""

    def __init__(self, folder: Path, space: str):
        self.folder, self.file = folder, folder / "space.yaml"
        self.file.write_text(space)
        self.store = Store(str(folder / "results"))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [str(Path(sys.executable).with_name("esbn")), "search", "space.yaml", *arguments]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, cwd=self.folder, start_new_session=True, **pipes)

    def finish(self, *arguments: str) -> tuple[int, str]:
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=300)
        return process.returncode, output

    def rows(self, *statuses: str) -> dict[int, dict[str, Any]]:
        rows = self.store.read("suggestions").to_pylist()
        assert len(rows) == len({row["suggestion"] for row in rows})
        return {row["suggestion"]: row for row in rows if not statuses or row["status"] in statuses}

    def some_ended_and_one_begun(self) -> bool:
        """Whether there is an end, and a checkpoint of a suggestion that has not ended."""
        begun = [row["trial_ids"] for row in self.rows("running").values()]
        positions = [self.store.checkpoint_position(pack_id) for pack_id in self.store.checkpoints()]
        return bool(self.rows(*ENDED)) and any(p.trial_ids in begun for p in positions if p)


@pytest.fixture
def small(tmp_path: Path) -> Searching:
    return Searching(tmp_path, SPACE)


def processes(driver: subprocess.Popen[str], what: str) -> list[int]:
    return [pid for pid, arguments in descendants(driver.pid) if what in arguments[0]]


def workers(driver: subprocess.Popen[str]) -> list[int]:
    return processes(driver, "ray::Implicit")


def send(number: signal.Signals, pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def freeze(searching: Searching, driver: subprocess.Popen[str]) -> list[int]:
    """Halts a search where some suggestions have ended and one is begun, however fast it is; gives its processes."""
    while True:
        wait_for(searching.some_ended_and_one_begun, driver)
        halted = [driver.pid, *workers(driver)]
        send(signal.SIGSTOP, halted)
        if searching.some_ended_and_one_begun():
            return halted
        send(signal.SIGCONT, halted)


def assert_whole(searching: Searching, n: int = 7) -> None:
    rows = searching.rows()
    assert sorted(rows) == list(range(n))
    assert all(row["status"] in ("completed", "pruned") for row in rows.values())
    assert len({row["parameters"] for row in rows.values()}) == n, "no suggestion is made twice"
    assert searching.store.checkpoints() == set()
    assert searching.store.names("trials") == set(), "nothing was tested"


def assert_trained_without_a_break(searching: Searching, rows: Sequence[dict[str, Any]]) -> None:
    """Trains suggestions again in this process; their rungs must be the same to the last bit."""
    space, images = find_space(str(searching.file)), glyphs().scale()
    for row in rows:
        configs = [space.config(json.loads(row["parameters"]), seed) for seed in row["seeds"]]
        found = train(configs, images, rungs=tuple(space.rungs(row["updates"]))).rungs
        accuracies = {update: accuracies for update, _, accuracies in found}
        assert accuracies[row["update"]] == row["accuracies"]


def assert_no_test_object_was_met(searching: Searching) -> None:
    """From the rungs, which join the suggestions."""
    rungs, rows = searching.store.read("rungs").to_pylist(), searching.rows()
    assert {rung["trial_id"] for rung in rungs} == {name for row in rows.values() for name in row["trial_ids"]}
    for rung in rungs:
        withheld, shown = set(rung["withheld_objects"]), {*rung["train_objects"], *rung["validation_objects"]}
        assert len(withheld) == 95 and shown and not withheld & shown
        assert not set(rung["train_objects"]) & set(rung["validation_objects"])
    for row in rows.values():
        last = [r["accuracy"] for r in rungs if (r["suggestion"], r["update"]) == (row["suggestion"], row["update"])]
        assert sorted(last) == sorted(row["accuracies"])
        assert row["accuracy"] == pytest.approx(sum(last) / 2)


def test_search_goes_on_when_its_driver_was_killed_and_lets_no_second_one_in(small: Searching) -> None:
    driver = small.start("--checkpoint-seconds", "0.3")
    halted = freeze(small, driver)
    code, output = small.finish()
    assert code == 1
    assert f"the run with pid {driver.pid} on" in output and "Traceback" not in output
    send(signal.SIGKILL, halted)
    driver.communicate(timeout=60)
    before, begun = small.rows(), small.rows("running")
    assert begun

    code, output = small.finish()
    assert code == 0, output
    assert_whole(small)
    after = small.rows()
    for number, row in before.items():
        assert after[number]["parameters"] == row["parameters"], "no suggestion is lost"
        if row["status"] in ENDED:
            assert after[number] == row, "and none that had ended is trained again"
    assert any(after[number]["resumed"] for number in begun)
    assert_trained_without_a_break(small, [after[number] for number in begun])
    assert_no_test_object_was_met(small)

    code, output = small.finish()
    assert code == 0 and small.rows() == after, "nothing is left to train"


@pytest.mark.parametrize("killed", ["ray::Implicit", "gcs_server"])
def test_search_goes_on_by_itself_when_its_workers_or_ray_were_killed(killed: str, small: Searching) -> None:
    driver = small.start("--checkpoint-seconds", "0.3")
    wait_for(small.some_ended_and_one_begun, driver)
    send(signal.SIGKILL, processes(driver, killed))
    code, output = driver.wait(250), driver.communicate()[0]
    if killed == "gcs_server" and code:  # the driver was waiting for it
        assert "Error: Ray stopped" in output and "Traceback" not in output
        code, output = small.finish()
    assert code == 0, output
    assert_whole(small)
    assert_trained_without_a_break(small, [row for row in small.rows().values() if row["resumed"]])


def test_search_whose_store_goes_away_says_so_and_loses_nothing(small: Searching) -> None:
    driver = small.start()
    wait_for(lambda: bool(small.rows(*ENDED)), driver)
    rungs = small.folder / "results" / "rungs"
    rungs.rename(small.folder / "rungs")
    rungs.write_text("in the way")
    output, _ = driver.communicate(timeout=120)
    assert driver.returncode == 1
    assert re.search(r"^Error: .*rungs.* cannot be (listed|read|written)", output, re.MULTILINE), output
    assert "Traceback" not in output, output
    rungs.unlink()
    (small.folder / "rungs").rename(rungs)
    before = small.rows()
    assert "failed" not in {row["status"] for row in before.values()}, "a suggestion is not to blame for the store"

    code, output = small.finish()
    assert code == 0, output
    assert_whole(small)
    after = small.rows()
    assert all(after[number] == row for number, row in before.items() if row["status"] in ENDED)


def test_failed_suggestions_are_rows_with_their_reason_and_the_search_goes_on(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(MODEL)
    odd = Searching(tmp_path, ODD)
    code, output = odd.finish("--sampler", "random")
    assert code == 0, output
    reasons = {"train": None, "diverge": "training loss became nan", "raise": "the encoder is upside down (after 3"}
    rows = odd.rows()
    assert len(rows) == 8
    assert {json.loads(row["parameters"])["how"] for row in rows.values()} == set(reasons)
    for row in rows.values():
        reason = reasons[json.loads(row["parameters"])["how"]]
        assert (row["status"] == "failed") == (reason is not None)
        assert reason is None or reason in row["failure"]
    assert sum(row["same_as"] is None for row in rows.values()) == 3, "each is tried once"
