"""One study that something happens to at a random moment: whatever dies, each trial is trained once and ends as ever.

pytest tests/study/running/test_survival.py --rounds 20      # each fault 20 times; the summary counts what came of it
"""

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from runs import Run, descendants

pytestmark = pytest.mark.slow

STUDY = """
name: faults
question: Does a study survive its processes?
grids:
  - arms: [{updates: 40, n_test: 100}, {encoder: mlp, updates: 40, n_test: 100}]
    conditions: {same_different: [98]}
    seeds: 2
  - arms: [{updates: 30, n_test: 100}]
    conditions: {distribution_of_three: [95]}
    seeds: 1
    keys: true
"""
COMMAND = ("run", "study.yaml", "--pack", "2", "--checkpoint-seconds", "0.5")


@dataclass
class Unbroken:
    """What the study gives when nothing happens to it."""

    seconds: float
    outcome: dict[str, Any]


def outcome(run: Run) -> dict[str, Any]:
    """Of each trial, what does not depend on when and where it was trained: results, whole curve and keys."""
    curves = run.store.read("curves").to_pandas().sort_values(["trial_id", "update"])
    keys = run.store.read("keys").to_pandas()
    return {
        trial_id: (
            row["status"],
            row["test_accuracy"],
            row["test_loss"],
            curves.loc[curves["trial_id"] == trial_id, ["update", "loss", "accuracy"]].to_numpy().tobytes(),
            keys.loc[keys["trial_id"] == trial_id].astype(str).to_csv(),
        )
        for trial_id, row in run.rows().items()
    }


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Unbroken:
    run, began = Run(tmp_path_factory.mktemp("unbroken"), STUDY), time.monotonic()
    code, output = run.finish(*COMMAND)
    assert code == 0, output
    return Unbroken(time.monotonic() - began, outcome(run))


class Watch:
    """Sees how often each trial's file is written: a trial trained twice to its end would be."""

    def __init__(self, run: Run):
        self._folder, self._seen = Path(run.store.root, "trials"), set[tuple[str, int, int]]()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.02):
            if self._folder.is_dir():
                for entry in os.scandir(self._folder):
                    if not entry.name.startswith("."):
                        stat = entry.stat()
                        self._seen.add((entry.name, stat.st_ino, stat.st_mtime_ns))

    def assert_each_written_once(self) -> None:
        names = [name for name, _, _ in self._seen]
        assert len(names) == len(set(names)), "a finished trial was trained again"


def running(driver: subprocess.Popen[str], what: str) -> list[int]:
    """Pids of the driver's processes of one kind; waits for the first one, and gives none if the run has ended."""
    while driver.poll() is None:
        if found := [pid for pid, arguments in descendants(driver.pid) if what in arguments[0]]:
            return found
        time.sleep(0.05)
    return []


def kill(pids: list[int]) -> bool:
    """Whether one was still there."""
    killed = False
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            killed = True
    return killed


def kill_worker(run: Run, driver: subprocess.Popen[str]) -> bool:
    return kill(running(driver, "ray::Implicit")[:1])


def kill_writer(run: Run, driver: subprocess.Popen[str]) -> bool:
    """Kills a worker while one of its files is half written."""
    folders = [Path(run.store.root, table) for table in ("keys", "curves", "trials", "checkpoints")]
    while driver.poll() is None:
        if any(path.name.startswith(".") for folder in folders for path in folder.glob(".*")):
            return kill(running(driver, "ray::Implicit"))
    return False


def kill_raylet(run: Run, driver: subprocess.Popen[str]) -> bool:
    return kill(running(driver, "raylet/raylet"))


def kill_driver(run: Run, driver: subprocess.Popen[str]) -> bool:
    return driver.poll() is None and kill([driver.pid])


def ctrl_c(run: Run, driver: subprocess.Popen[str]) -> bool:
    while driver.poll() is None and not Path(run.store.root).exists():
        time.sleep(0.05)  # Python is still starting
    driver.send_signal(signal.SIGINT)
    return driver.wait(60) == 130


def launch_again(run: Run, driver: subprocess.Popen[str]) -> bool:
    code, output = run.finish(*COMMAND)
    assert code == 0 or f"the run with pid {driver.pid} on" in output, output
    return code != 0


FAULTS: dict[str, tuple[Callable[[Run, subprocess.Popen[str]], bool], bool]] = {
    "worker killed": (kill_worker, True),
    "writer killed": (kill_writer, True),
    "raylet killed": (kill_raylet, False),  # it need not, if Ray was still starting
    "driver killed": (kill_driver, False),
    "Ctrl-C": (ctrl_c, False),
    "launched twice": (launch_again, True),
}
"""What is done to a run, which says whether it was in time, and whether the run must end well by itself all the same;
otherwise the next launch must end it."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "fault" in metafunc.fixturenames:
        rounds = range(int(metafunc.config.getoption("--rounds") or 0))
        metafunc.parametrize(("fault", "number"), [(fault, n) for fault in FAULTS for n in rounds])


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path, STUDY)
    with Watch(run) as watch:
        yield run
    watch.assert_each_written_once()


def test_study_survives(
    fault: str, number: int, run: Run, unbroken: Unbroken, measured: Callable[[str, str], None]
) -> None:
    strike, goes_on = FAULTS[fault]
    driver = run.start(*COMMAND)
    with suppress(subprocess.TimeoutExpired):
        driver.wait(random.uniform(0, 0.5 * unbroken.seconds))
    ours = [pid for pid, _ in descendants(driver.pid)]
    struck = strike(run, driver)
    output, _ = driver.communicate(timeout=200)
    done = run.rows() if Path(run.store.root).exists() else {}
    assert "Traceback" not in output
    if goes_on or not struck:
        assert driver.returncode == 0, output
    wait_until_gone(ours)
    code, output = run.finish(*COMMAND)
    assert code == 0, output
    after = run.rows()
    assert {trial_id: after[trial_id] for trial_id in done} == done
    assert outcome(run) == unbroken.outcome
    assert run.store.checkpoints() == set() and run.store.leases() == {}
    ended = "by itself" if driver.returncode == 0 else "by the next launch"
    measured(fault, f"ended {ended}" if struck else "came too late")


def wait_until_gone(pids: list[int]) -> None:
    """A run that is dead leaves nothing that trains or schedules; Ray's agents take longer to notice."""
    deadline = time.monotonic() + 60
    while left := [pid for pid in pids if any(what in commandline(pid) for what in ("ray::Impl", "raylet/raylet"))]:
        assert time.monotonic() < deadline, f"outlive their driver: {[commandline(pid) for pid in left]}"
        time.sleep(0.2)


def commandline(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""
