"""Many machines, simulated on this one: what the driver takes for a job, which bounds how many machines it can feed.

pytest tests/study/running/test_scale.py --nodes 16 --jobs 1000
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster
from repository import NO_CLUSTER
from runs import Run

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.skipif(bool(NO_CLUSTER), reason=NO_CLUSTER)]

STUDY = """
name: scale
question: How fast is a job handed out?
grids:
  - arms: [{updates: 1, n_test: 2, encoder: random}]
    conditions: {same_different: [98]}
    seeds: 1
"""


@pytest.fixture
def cluster(pytestconfig: pytest.Config) -> Iterator[Cluster]:
    """Machines with one logical core each; the head takes no packs."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(int(pytestconfig.getoption("--nodes") or 0)):
        cluster.add_node(wait=False, num_cpus=1, object_store_memory=80 * 2**20)
    cluster.wait_for_nodes(timeout=600)
    yield cluster
    cluster.shutdown()


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(process: subprocess.Popen[bytes]) -> float:
    """The largest so far, in MB."""
    (line,) = [line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if "VmHWM" in line]
    return int(line.split()[1]) / 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_driver_hands_out_jobs(
    tmp_path: Path, cluster: Cluster, measured: Callable[[str, str], None], pytestconfig: pytest.Config
) -> None:
    n_nodes, n_jobs = len(cluster.worker_nodes), int(pytestconfig.getoption("--jobs") or 0)
    run, seen = Run(tmp_path, STUDY), []
    command = [str(Path(sys.executable).with_name("esbn")), "run", run.study.name, "--seeds", str(n_jobs)]
    command += ["--pack", "1", "--address", cluster.address]
    with open(tmp_path / "output", "w") as output:
        driver = subprocess.Popen(command, cwd=tmp_path, stdout=output, stderr=subprocess.STDOUT)
        for n in (
            2 * n_nodes,
            n_jobs - n_nodes,
        ):  # when all workers have started, and before the first has nothing left
            while len(run.store.names("trials")) < n:
                assert driver.poll() is None, Path(output.name).read_text()
                time.sleep(0.1)
            seen.append((len(run.store.names("trials")), time.monotonic(), cpu_seconds(driver), memory(driver)))
        assert driver.wait(60) == 0
    (first, began, cpu_before, small), (last, ended, cpu_after, large) = seen
    each = (cpu_after - cpu_before) / (last - first)
    measured(f"{n_jobs} jobs on {n_nodes} nodes of this machine", f"{(last - first) / (ended - began):.1f} a second")
    measured("their driver", f"{1000 * each:.0f} ms of CPU a job, so at most {1 / each:.0f} a second; {large:.0f} MB")
    assert len(run.rows()) == n_jobs
    assert each < 0.1
    assert large - small < 50 + 0.1 * n_jobs
