"""A merged store of 10,000 trials and a million points is asked, tabled and drawn nearly as fast as a hundredth of it.

ESBN_LARGE=100000 makes it 100,000 trials and ten million points.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from large_store import POINTS, write_large

from study.store.compact import compact

TRIALS = int(os.environ.get("ESBN_LARGE", "10000"))
SMALLER, LONGER, BYTES = 100, 8, 2 * 10**9
"""A hundred times the trials may take eight times the CPU time, which is mostly that of the start, and 2 GB."""
MEASURE = """
import json, resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss * 1024]))
"""
"""A process of its own, since the peak of a child counts what its parent had when it was made."""


def write(folder: Path, trials: int) -> str:
    store = write_large(str(folder / "results"), trials)
    compact(store, lambda _: None)
    assert len(store.files("curves").merged) == len(store.files("trials").merged) == 1
    assert store.read("curves", ["update"]).num_rows == trials * POINTS
    return store.uri


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write(tmp_path_factory.mktemp("large"), TRIALS)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write(tmp_path_factory.mktemp("small"), TRIALS // SMALLER)


def seconds_and_bytes(command: list[str], results: str, folder: Path) -> tuple[float, int]:
    """CPU time of a command, so that other work does not count, and the largest memory it had."""
    esbn = str(Path(sys.executable).with_name("esbn"))
    measured = [sys.executable, "-c", MEASURE, esbn, *command, "--results", results]
    seconds, peak = json.loads(subprocess.run(measured, cwd=folder, capture_output=True, check=True).stdout)
    return seconds, peak


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize(
    "command",
    [["query", "accuracy"], ["converge", "large"], ["table", "large"], ["table"], ["figures", "large"]],
    ids=str,
)
def test_command_is_fast_on_a_large_store(large: str, small: str, tmp_path: Path, command: list[str]) -> None:
    base, _ = seconds_and_bytes(command, small, tmp_path)
    seconds, peak = seconds_and_bytes(command, large, tmp_path)
    assert seconds < LONGER * base
    assert peak < BYTES
