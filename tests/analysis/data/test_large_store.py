"""A merged store of 10,000 trials and a million points is asked, tabled and drawn within seconds and 2 GB.

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
SECONDS, CORES, BYTES = 10, 2, 2 * 10**9
MEASURE = """
import json, resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss * 1024]))
"""
"""A process of its own, since the peak of a child counts what its parent had when it was made."""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> str:
    store = write_large(str(tmp_path_factory.mktemp("large") / "results"), TRIALS)
    compact(store, lambda _: None)
    assert len(store.files("curves").merged) == len(store.files("trials").merged) == 1
    assert store.read("curves", ["update"]).num_rows == TRIALS * POINTS
    return store.uri


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [["query", "accuracy"], ["query", "speed"], ["table", "large"], ["table"], ["figures", "large"]], ids=str
)
def test_command_is_fast_on_a_large_store(results: str, tmp_path: Path, command: list[str]) -> None:
    esbn = str(Path(sys.executable).with_name("esbn"))
    measured = [sys.executable, "-c", MEASURE, esbn, *command, "--results", results]
    seconds, peak = json.loads(subprocess.run(measured, cwd=tmp_path, capture_output=True, check=True).stdout)
    assert seconds < SECONDS * CORES  # what both cores can do; other work does not count
    assert peak < BYTES
