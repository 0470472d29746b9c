"""A study on a cluster of three hosts, from `ray up` to the end, in this order; what it cannot show is at the end.

The cluster file is cluster.yaml with another provider, and `ray up` runs all of its commands. Three things differ from
machines far away: ~/venv is there before the first command, so torch is not fetched again; pip finds what is missing in
a folder; and the shared folder is this machine's own disk, which a host without network still sees.
"""

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hosts import Host, Hosts, HostsError
from survival import Run, started, wait_for

pytestmark = pytest.mark.slow

WORKERS = ("worker1", "worker2")
THREADS = os.cpu_count() or 1  # each host has one pack at a time


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    try:
        made = Hosts(tmp_path_factory.mktemp("hosts"), ["head", *WORKERS])
    except HostsError as why:
        pytest.skip(str(why))
    with made:
        yield made


@pytest.fixture(scope="module")
def laptop(hosts: Hosts, measured: Callable[[str, str], None]) -> Host:
    """The laptop, with the cluster up and all workers in it."""
    began = time.monotonic()
    workers = " ".join(f"--worker {hosts.machines[name].address}" for name in WORKERS)
    hosts.laptop.run("ray get-auth-token --generate")
    hosts.laptop.run(f"esbn cluster local --head {hosts.machines['head'].address} {workers}")
    hosts.laptop.run("RAY_UP_enable_autoscaler_v2=0 ray up -y local.yaml", timeout=240)
    measured("hosts: `ray up`", f"{time.monotonic() - began:.0f} s")
    wait_for(lambda: n_machines(hosts) == 1 + len(WORKERS), 120)
    measured("hosts: all workers there", f"{time.monotonic() - began:.0f} s")
    return hosts.laptop


def launch(hosts: Hosts, laptop: Host, name: str, *busy: str) -> Run:
    """Starts the study with results of their own, and waits until these machines have a pack with a checkpoint."""

    def checkpoints() -> list[datetime]:
        paths = Path(hosts.shared, name, "checkpoints").glob("*.safetensors")
        return [datetime.fromtimestamp(path.stat().st_mtime, UTC) for path in paths]

    def train() -> bool:
        there = {host.name for host in hosts.machines.values() if host.runs and host.runs_now("ImplicitFunc.train")}
        return there >= set(busy) and 0 < len(there) == len(checkpoints())

    run = Run(laptop, "ray exec local.yaml '{}'", f"/shared/{name}", THREADS, checkpoints)
    run.wait_for(train)
    return run


def status(hosts: Hosts, environment: str) -> subprocess.CompletedProcess[str]:
    """What Ray tells the laptop of the cluster, with these variables."""
    address = hosts.machines["head"].address
    return hosts.laptop.run(f"{environment} ray status --address {address}:6379", check=False)


def n_machines(hosts: Hosts) -> int:
    """Machines that Ray has in the cluster."""
    found = re.search(r"(\d+) local.cluster.node", status(hosts, "RAY_AUTH_MODE=token").stdout)
    return int(found[1]) if found else 0


def test_client_is_refused_when_it_has_no_token(hosts: Hosts, laptop: Host) -> None:
    laptop.run("echo 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef > /tmp/another_token")
    for environment in ("", "RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=/tmp/another_token"):
        refused = status(hosts, environment)
        assert refused.returncode != 0
        assert "AuthenticationError" in refused.stdout
    assert status(hosts, "RAY_AUTH_MODE=token").returncode == 0


def test_study_runs_on_all_hosts_and_goes_on_when_ray_is_killed_on_one(
    hosts: Hosts, laptop: Host, measured: Callable[[str, str], None]
) -> None:
    run = launch(hosts, laptop, "killed", "head", *WORKERS)
    measured("hosts: launch to first checkpoint", f"{(min(run.checkpoints()) - run.began).total_seconds():.1f} s")
    hosts.machines["worker2"].run("pkill -KILL raylet")
    assert "begun: same_different" in run.status(), "watched before its end"
    measured("hosts: Ray killed on a worker", f"its pack went on elsewhere {seconds_lost(run, 'worker2'):.1f} s later")
    counts = [line.split() for line in run.status().splitlines() if "survives" in line]
    assert counts == [["survives", "6", "6", "0", "0"]], "planned, completed, failed, missing"


def test_study_goes_on_when_a_network_is_cut_and_given_back(
    hosts: Hosts, laptop: Host, measured: Callable[[str, str], None]
) -> None:
    machines = n_machines(hosts)
    run = launch(hosts, laptop, "cut", "worker1")
    hosts.unplug("worker1")
    began = time.monotonic()
    # Meanwhile the host trains on, and since it still sees the shared folder it may even come to its pack's end.
    wait_for(lambda: 0 < n_machines(hosts) < machines, 90)
    measured("hosts: network cut", f"noticed {time.monotonic() - began:.1f} s later")
    hosts.plug("worker1")
    run.end()
    began = time.monotonic()
    wait_for(lambda: n_machines(hosts) == 1 + len(WORKERS), 90)
    measured("hosts: network given back", f"all there again {time.monotonic() - began:.0f} s after the study")


def test_study_goes_on_when_a_host_loses_power(
    hosts: Hosts, laptop: Host, measured: Callable[[str, str], None], pytestconfig: pytest.Config
) -> None:
    if not pytestconfig.getoption("--long"):
        pytest.skip("without --long; test_on_aws.py loses a machine in the same way")
    run = launch(hosts, laptop, "lost", "worker2")
    hosts.off("worker2")
    measured("hosts: power lost", f"its pack went on elsewhere {seconds_lost(run, 'worker2'):.1f} s later")


def seconds_lost(run: Run, victim: str) -> float:
    """Ends a run; how long the pack of a host that has just been lost waited for another."""
    at = datetime.now(UTC)
    rows = run.end()
    moved = [row for row in rows if row["resumed"]]
    assert len(moved) == 2, "the two trials of one pack"
    assert victim not in {row["host"] for row in moved}
    return (started(moved[0]) - at).total_seconds()


def test_nothing_is_left_when_the_cluster_file_is_followed_to_its_end(hosts: Hosts, laptop: Host) -> None:
    text = laptop.run("cat local.yaml").stdout
    (down, workers) = (
        re.findall(rf"^#   ({first} .*?)(?:  .*)?$", text, re.MULTILINE) for first in ("ray down", "for")
    )
    laptop.run(down[0])
    asked = "ssh -o StrictHostKeyChecking=accept-new -o ConnectTimeout=3 -i"  # one of the hosts has lost power
    laptop.run(workers[0].replace("ssh -i", asked), check=False)
    for host in hosts.machines.values():
        assert not host.runs or not host.runs_now("/ray/"), host.name
