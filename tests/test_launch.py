"""Real runs on a local Ray: what is trained, what is not trained again, and what survives a kill."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from ray.tune.experiment import Trial as TuneTrial
from rich.console import Console

from esbn_core.objects import glyphs
from esbn_core.train import TrialResult, train
from study.find import find_study
from study.launch import RETRIES, _Callback
from study.plan import Pack, PlannedTrial, pack, plan
from study.progress import Progress
from study.store import Store
from study.worker import Job

pytestmark = pytest.mark.slow

STUDY = """
name: faults
question: Does a study survive its processes?
grids:
  - arms: [{}, {encoder: mlp}]
    conditions: {same_different: [98]}
    seeds: 2
  - arms: [{updates: 150}]
    conditions: {distribution_of_three: [95]}
    seeds: 1
    keys: true
"""
TINY = """
name: tiny
question: Does it run at all?
grids:
  - arms: [{updates: 5, n_test: 100, encoder: mlp}]
    conditions: {same_different: [95, 98]}
    seeds: 1
"""


class Run:
    """`esbn` in a process of its own, in an empty folder."""

    def __init__(self, folder: Path, study: str):
        self.study = folder / "study.yaml"
        self.study.write_text(study)
        self.folder = folder
        self.store = Store(str(folder / "results"))
        self.trials = plan(find_study(str(self.study)))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [str(Path(sys.executable).with_name("esbn")), *arguments]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def finish(self, *arguments: str) -> tuple[int, str]:
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=300)
        return process.returncode, output

    def rows(self) -> dict[str, dict[str, object]]:
        rows = self.store.read("trials").to_pylist()
        assert len(rows) == len({row["trial_id"] for row in rows}), "one row a trial"
        return {row["trial_id"]: row for row in rows}


@pytest.fixture
def faults(tmp_path: Path) -> Run:
    return Run(tmp_path, STUDY)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(tmp_path_factory.mktemp("tiny"), TINY)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrialResult]:
    """The trials of the faults study, trained in this process in the same packs without a break."""
    trials = Run(tmp_path_factory.mktemp("unbroken"), STUDY).trials
    packs = pack(trials, {t.trial_id for t in trials}, n_slots=2, largest=4)
    images = glyphs().scale()
    results: dict[str, TrialResult] = {}
    for together in packs:
        trained = train([t.config for t in together.trials], images).trials
        results |= {t.trial_id: result for t, result in zip(together.trials, trained, strict=True)}
    return results


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "waited two minutes"
        time.sleep(0.05)


def descendants(pid: int) -> Iterator[tuple[int, str]]:
    """Pids and command lines of a process's children, theirs, and so on."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    processes = [line.split(maxsplit=2) for line in listed.splitlines()]
    found = [pid]
    for child, parent, command in sorted(processes, key=lambda process: int(process[0])):
        if int(parent) in found:
            found.append(int(child))
            yield int(child), command


def assert_equal_to_unbroken(run: Run, unbroken: dict[str, TrialResult]) -> None:
    rows = run.rows()
    assert rows.keys() == {t.trial_id for t in run.trials}
    for trial_id, row in rows.items():
        assert row["status"] == "completed"
        assert row["test_accuracy"] == unbroken[trial_id].test_accuracy
        points = run.store.read("curves", names={trial_id}).to_pylist()
        assert [(p["update"], p["loss"], p["accuracy"]) for p in points] == unbroken[trial_id].curve
    assert run.store.checkpoints() == set()


def one_done_and_one_begun(run: Run) -> bool:
    return bool(run.store.names("trials")) and bool(run.store.checkpoints())


def long_trial(run: Run) -> PlannedTrial:
    return max(run.trials, key=lambda trial: trial.cost)


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT], ids=["kill_9", "ctrl_c"])
def test_run_goes_on_when_the_driver_was_stopped(
    faults: Run, unbroken: dict[str, TrialResult], stop: signal.Signals
) -> None:
    driver = faults.start("run", "study.yaml", "--pack", "2", "--checkpoint-seconds", "0.5")
    wait_for(lambda: one_done_and_one_begun(faults), driver)
    ours = list(descendants(driver.pid))
    driver.send_signal(stop)
    output, _ = driver.communicate(timeout=60)
    assert "Traceback" not in output
    if stop == signal.SIGINT:
        assert driver.returncode == 130
        assert "Stopped. The same command goes on from the last checkpoints." in output
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}/cmdline").exists() and "ray::Implicit" in command for pid, command in ours):
        assert time.monotonic() < deadline, "workers outlive their driver"
        time.sleep(0.2)
    done = faults.rows()
    assert long_trial(faults).trial_id not in done

    code, output = faults.finish("run", "study.yaml", "--pack", "2")
    assert code == 0, output
    assert_equal_to_unbroken(faults, unbroken)
    after = faults.rows()
    assert {trial_id: after[trial_id] for trial_id in done} == done, "finished trials are not trained again"
    assert after[long_trial(faults).trial_id]["resumed"] == 1


def test_run_goes_on_by_itself_when_a_worker_was_killed(faults: Run, unbroken: dict[str, TrialResult]) -> None:
    driver = faults.start("run", "study.yaml", "--pack", "2", "--checkpoint-seconds", "0.5")
    wait_for(lambda: one_done_and_one_begun(faults), driver)
    for pid, command in list(descendants(driver.pid)):
        if command.startswith("ray::Implicit"):
            os.kill(pid, signal.SIGKILL)
    output, _ = driver.communicate(timeout=200)
    assert driver.returncode == 0, output
    assert_equal_to_unbroken(faults, unbroken)
    assert faults.rows()[long_trial(faults).trial_id]["resumed"] == 1
    (keys,) = faults.store.names("keys")
    assert keys == long_trial(faults).trial_id


def test_run_trains_what_is_planned_and_says_so(tiny: Run) -> None:
    code, output = tiny.finish("run", "study.yaml")
    assert code == 0, output
    assert "2 trials: 2 completed, 0 failed, 0 missing" in output
    for row in tiny.rows().values():
        assert row["images_hash"] == glyphs().digest()
        assert row["n_test"] == 100
        assert row["threads"] == 1
        assert len(cast(list[int], row["withheld_objects"])) == row["withheld"]
        for column in ("host", "device", "torch_version", "ray_version", "started_at", "finished_at", "wall_seconds"):
            assert row[column]
    assert tiny.store.read("objects").num_rows == 100


def test_run_starts_nothing_when_all_is_there(tiny: Run) -> None:
    before = tiny.rows()
    began = time.monotonic()
    code, output = tiny.finish("run", "study.yaml")
    assert code == 0
    assert "nothing to train" in output
    assert time.monotonic() - began < 10
    assert tiny.rows() == before


def test_run_trains_only_the_new_seed_when_seeds_are_added(tiny: Run) -> None:
    before = tiny.rows()
    code, output = tiny.finish("run", "study.yaml", "--seeds", "2", "--withheld", "98")
    assert code == 0, output
    after = tiny.rows()
    assert {trial_id: after[trial_id] for trial_id in before} == before
    (new,) = (row for trial_id, row in after.items() if trial_id not in before)
    assert (new["seed"], new["withheld"]) == (1, 98)


def test_run_trains_on_when_a_checkpoint_is_torn(tiny: Run) -> None:
    extended = plan(find_study(str(tiny.study)), seeds=3)
    (trial,) = (t for t in extended if t.config.seed == 2 and t.config.task.withheld == 95)
    tiny.store.save_checkpoint(Pack((trial,)).pack_id, b"half a checkpoint")
    code, output = tiny.finish("run", "study.yaml", "--seeds", "3", "--withheld", "95")
    assert code == 0, output
    assert tiny.rows()[trial.trial_id]["resumed"] == 0
    assert tiny.store.checkpoints() == set()


def test_failed_pack_leaves_completed_rows_alone(tiny: Run) -> None:
    before = tiny.rows()
    done = next(t for t in tiny.trials if t.trial_id in before)
    job = Job(tiny.store.uri, "no-lease", glyphs(), {}, "cpu", 1, 60.0)
    callback = _Callback([Pack((done,))], job, Progress([Pack((done,))], Console(quiet=True)))
    gone = {"config": {"pack": 0}, "get_error": lambda: "disk full", "get_pickled_error": lambda: OSError("disk full")}
    for _ in range(RETRIES + 1):
        callback.on_trial_error(0, [], cast(TuneTrial, SimpleNamespace(**gone)))
    assert tiny.rows() == before


def test_trials_become_failed_rows_when_their_worker_gives_up(tiny: Run) -> None:
    extended = plan(find_study(str(tiny.study)), seeds=3)
    (blocked,) = (t for t in extended if t.config.seed == 2 and t.config.task.withheld == 98)
    in_the_way = Path(tiny.store.root, "curves", f"{blocked.trial_id}.parquet")
    in_the_way.mkdir()  # where its file must go
    code, output = tiny.finish("run", "study.yaml", "--seeds", "3", "--withheld", "98")
    assert code == 1
    assert "failed trials: 1" in output
    assert "Traceback" not in output
    row = tiny.rows()[blocked.trial_id]
    assert row["status"] == "failed"
    assert "(after 3 attempts)" in str(row["failure"])
    assert row["images_hash"] and row["torch_version"]

    in_the_way.rmdir()
    code, output = tiny.finish("run", "study.yaml", "--seeds", "3", "--withheld", "98", "--retry-failed")
    assert code == 0, output
    assert tiny.rows()[blocked.trial_id]["status"] == "completed"


def test_run_refuses_more_than_the_machine_has(tiny: Run) -> None:
    code, output = tiny.finish("run", "study.yaml", "--seeds", "4", "--threads", "1000")
    assert code == 1
    assert "threads=1000 is more than the" in output
    assert "Traceback" not in output


def test_run_measures_how_large_packs_should_be(tiny: Run) -> None:
    code, output = tiny.finish("run", "study.yaml", "--seeds", "5", "--withheld", "98", "--pack", "auto")
    assert code == 0, output
    assert "5 trials: 5 completed" in output
