"""A study on a cluster of three hosts, from `ray up` to `ray down`, in this order; what it cannot show is at the end.

The cluster file is cluster.yaml with another provider, and `ray up` runs all of its commands. Three things differ from
machines far away: ~/venv is there before the first command, so torch is not fetched again; pip finds what is missing in
a folder; and the shared folder is this machine's own disk.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hosts import Host, Hosts, HostsError

from study.find import find_study
from study.plan import plan
from study.store import Store

pytestmark = pytest.mark.slow

STUDY = """
name: {name}
question: Does a study survive its machines?
grids:
  - arms: [{{updates: {updates}, n_test: 100}}]
    conditions: {{same_different: [85, 95, 98]}}
    seeds: 2
"""
WORKERS = ("worker1", "worker2")
TOGETHER = f"--threads {os.cpu_count()} --checkpoint-seconds 0.5"  # each host has one pack at a time


@pytest.fixture(scope="module")
def say(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Prints a measurement into the report of the tests."""
    return lambda text: pytestconfig.get_terminal_writer().line(f" {text}")


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    try:
        made = Hosts(tmp_path_factory.mktemp("hosts"), ["head", *WORKERS])
    except HostsError as why:
        pytest.skip(str(why))
    with made:
        yield made


@pytest.fixture(scope="module")
def laptop(hosts: Hosts, say: Callable[[str], None]) -> Host:
    """The laptop, with the cluster up and all workers in it."""
    began = time.monotonic()
    workers = " ".join(f"--worker {hosts.machines[name].address}" for name in WORKERS)
    hosts.laptop.run("ray get-auth-token --generate")
    hosts.laptop.run(f"esbn cluster local --head {hosts.machines['head'].address} {workers}")
    hosts.laptop.run("RAY_UP_enable_autoscaler_v2=0 ray up -y local.yaml", timeout=240)
    say(f"`ray up`: {time.monotonic() - began:.0f} s")
    wait_for(lambda: f"{1 + len(WORKERS)} local.cluster.node" in status(hosts, "RAY_AUTH_MODE=token").stdout, 120)
    say(f"all workers there: {time.monotonic() - began:.0f} s")
    return hosts.laptop


class Run:
    """`esbn run` on the head, started from the laptop."""

    def __init__(self, hosts: Hosts, laptop: Host, name: str, updates: int):
        file, results = hosts.shared / f"{name}.yaml", hosts.shared / name
        file.write_text(STUDY.format(name=name, updates=updates))
        self.trials = {trial.trial_id for trial in plan(find_study(str(file)))}
        self.store, self.laptop = Store(str(results)), laptop
        command = f"esbn run /shared/{name}.yaml --address auto --results /shared/{name} {TOGETHER}"
        self.began = time.time()
        self._process = laptop.start(f"ray exec local.yaml 'cd ~/esbn-study && {command}'")

    def wait_for(self, condition: Callable[[], bool]) -> None:
        def either() -> bool:
            assert self._process.poll() is None, self._process.communicate()[0]
            return condition()

        wait_for(either, 90)

    def checkpoints(self) -> list[Path]:
        return [Path(self.store.root, "checkpoints", f"{pack}.safetensors") for pack in self.store.checkpoints()]

    def status(self) -> str:
        """What `esbn status` says on the laptop, which is no part of the cluster."""
        return self.laptop.run(f"esbn status --results /shared/{self.store.root.rsplit('/', 1)[-1]}").stdout

    def rows(self) -> list[dict[str, Any]]:
        """The trials, once the run has ended: each there once, none failed."""
        output, _ = self._process.communicate(timeout=150)
        assert self._process.returncode == 0, output
        rows = self.store.read("trials").to_pylist()
        assert len(rows) == len(self.trials)
        assert {row["trial_id"] for row in rows} == self.trials
        assert {row["status"] for row in rows} == {"completed"}
        assert not self.checkpoints()
        return rows


def status(hosts: Hosts, environment: str) -> subprocess.CompletedProcess[str]:
    """What Ray tells the laptop of the cluster, with these variables."""
    address = hosts.machines["head"].address
    return hosts.laptop.run(f"{environment} ray status --address {address}:6379", check=False)


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s"
        time.sleep(0.1)


def test_client_is_refused_when_it_has_no_token(hosts: Hosts, laptop: Host) -> None:
    laptop.run("echo 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef > /tmp/another_token")
    for environment in ("", "RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=/tmp/another_token"):
        refused = status(hosts, environment)
        assert refused.returncode != 0
        assert "AuthenticationError" in refused.stdout
    assert status(hosts, "RAY_AUTH_MODE=token").returncode == 0


def test_study_runs_on_all_hosts(hosts: Hosts, laptop: Host, say: Callable[[str], None]) -> None:
    run = Run(hosts, laptop, "whole", updates=20)
    run.wait_for(lambda: bool(run.checkpoints()))
    say(f"launch to first training update: {time.time() - run.began:.1f} s")
    seen = run.status()
    assert "whole" in seen
    rows = run.rows()
    assert {row["host"] for row in rows} == {"head", *WORKERS}
    assert "begun: same_different" in seen, "watched before its end"
    counts = [line.split() for line in run.status().splitlines() if "whole" in line]
    assert counts == [["whole", "6", "6", "0", "0"]], "planned, completed, failed, missing"


def test_study_goes_on_when_a_host_loses_power(hosts: Hosts, laptop: Host, say: Callable[[str], None]) -> None:
    run = Run(hosts, laptop, "lost", updates=60)
    run.wait_for(lambda: len(run.checkpoints()) == 3)
    victim = hosts.machines[WORKERS[1]]
    victim.off()
    off = time.time()
    kept = {path: path.stat().st_mtime for path in run.checkpoints()}
    assert len(kept) == 3, "the host was lost in the middle of the run"
    rows = run.rows()
    moved = [row for row in rows if row["resumed"]]
    assert len(moved) == 2, "the two trials of one pack"
    assert victim.name not in {row["host"] for row in rows}
    again = moved[0]["started_at"].timestamp()
    say(f"a host lost power: its pack went on elsewhere {again - off:.1f} s later")


def test_ray_down_stops_the_head(hosts: Hosts, laptop: Host) -> None:
    laptop.run("ray down -y local.yaml")
    wait_for(lambda: "ray" not in hosts.machines["head"].run("ps -eo args=").stdout, 30)
