"""A machine that runs out of memory: what Ray reports in a sentence, and a run that goes on once there is some."""

import subprocess
import sys
from pathlib import Path

import pytest
from runs import Run

from study.running.memory import memory_shortage

REPORT = """Failure # 1 (occurred at 2026-11-28_04-09-39)
2 worker(s) were killed due to the node running low on memory. Memory on the node (IP: 10.0.0.7, ID: 0e1d) was 15.11GB \
used / 16.00GB limit (0.944)
Considered workers: [
Top 10 memory users: PID\tMEM(GB)\tCOMMAND
25913\t12.01\t/usr/bin/python3 other.py
25622\t0.18\tpython run
Refer to the documentation on how to address the out of memory issue: https://docs.ray.io.
"""
STUDY = """
name: hungry
question: Does a run wait for memory?
grids:
  - arms: [{updates: 60, n_test: 20, encoder: mlp}]
    conditions: {same_different: [95, 98]}
    seeds: 2
"""
TAKE = "import sys, time\ntaken = bytearray(int(sys.argv[1]))\nfor i in range(0, len(taken), 4096):\n    taken[i] = 1\n"


def test_shortage_names_the_machine_and_its_largest_process() -> None:
    sentence = "Memory ran out on 10.0.0.7 (15.11 of 16.00 GB used)"
    assert (
        memory_shortage(REPORT) == f"{sentence}; the largest process is /usr/bin/python3 other.py (pid 25913, 12.01 GB)"
    )
    assert memory_shortage(REPORT.partition("Considered")[0]) == sentence
    assert memory_shortage(REPORT.replace("10.0.0.7", "10.0.0.6") + REPORT) == memory_shortage(REPORT)
    assert memory_shortage("The actor is dead because its worker process has died.") is None


@pytest.mark.slow
@pytest.mark.alone
def test_run_waits_for_memory_with_fewer_packs_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    memory = {name: 1024 * int(size) for name, size, *_ in listed}
    total, available = memory["MemTotal:"], memory["MemAvailable:"]
    monkeypatch.setenv("RAY_memory_usage_threshold", f"{1 - available / total + 0.15:.2f}")
    run = Run(tmp_path, STUDY)
    driver = run.start("run", "study.yaml", "--pack", "1")
    assert driver.stdout
    said = [next(line for line in driver.stdout if line.startswith("4 trials in 4 packs"))]
    with subprocess.Popen([sys.executable, "-c", TAKE + "time.sleep(300)", str(total // 4)]) as other:
        while "1 at a time" not in said[-1]:
            said.append(driver.stdout.readline())
            assert said[-1], said
        other.kill()
    output, _ = driver.communicate(timeout=200)
    assert driver.returncode == 0 and "4 trials: 4 completed, 0 failed, 0 missing" in output, output
    shortages = said[1:]
    assert len(shortages) >= 2 and all("Memory ran out on" in line for line in shortages), said
    assert f"the largest process is {sys.executable}" in shortages[-1] and f"(pid {other.pid}, " in shortages[-1]
