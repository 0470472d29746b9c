"""A cluster of two machines, the second with a disk of its own in a mount namespace."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster
from repository import NO_CLUSTER

from study.store.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(NO_CLUSTER), reason=NO_CLUSTER)]

STUDY = """
name: machines
question: Do all machines see the store?
grids:
  - arms: [{updates: 2, n_test: 20, encoder: random}]
    conditions: {same_different: [95, 98]}
    seeds: 1
"""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield cluster
    cluster.shutdown()


def join(cluster: Cluster, private: Path) -> None:
    """Starts a node to which the folder is an empty disk of its own."""
    ray = Path(sys.executable).with_name("ray")
    script = 'mount -t tmpfs none "$0" && exec "$1" start --address "$2" --num-cpus 1 --disable-usage-stats'
    command = ["unshare", "--mount", "sh", "-c", script, str(private), str(ray), cluster.address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a disk, which only root may do")
def test_run_refuses_a_private_disk_and_trains_on_a_shared_one(tmp_path: Path, cluster: Cluster) -> None:
    private, shared = tmp_path / "private", tmp_path / "shared"
    private.mkdir()
    (tmp_path / "study.yaml").write_text(STUDY)
    join(cluster, private)
    outputs = []
    for folder in (private, shared):
        command = [str(Path(sys.executable).with_name("esbn")), "run", "study.yaml", "--address", cluster.address]
        done = subprocess.run(
            [*command, "--results", str(folder / "results")], cwd=tmp_path, capture_output=True, text=True, timeout=200
        )
        outputs.append((done.returncode, done.stdout + done.stderr))
    code, refused = outputs[0]
    assert code == 1
    assert "is not the folder that this run started with; --results must be storage" in refused
    assert "Traceback" not in refused
    assert Store(str(private / "results")).names("trials") == set()
    code, trained = outputs[1]
    assert code == 0, trained
    assert len(Store(str(shared / "results")).names("trials")) == 2
