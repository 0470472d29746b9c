"""A study on AWS as cluster.yaml starts it, from `ray up` to `ray down`, in this order; aws.py says what AWS is here.

The cluster file is cluster.yaml itself but for two numbers. Two things differ from AWS besides: ~/venv is there before
the first command, and pip finds what is missing in a folder (as in test_on_hosts.py); and machines have no GPU, so that
packs ask for CPUs.
"""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
import yaml
from aws import BUCKET, ENVIRONMENT, NETWORK, Aws
from hosts import ROOT, Host, Hosts, HostsError
from survival import N_PACKS, Run, started, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SIZES = {
    "idle_timeout_minutes": 0.5,
    "upscaling_speed": 1.0,  # one machine a request, since moto starts the fewest that a request names, not the most
}
RESULTS = f"s3://{BUCKET}/results"
THREADS = 1  # so that the packs fit on one machine of 4 CPUs, and all of them lose it


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    folder = tmp_path_factory.mktemp("aws")
    try:
        hosts = Hosts(folder, network=NETWORK, environment=ENVIRONMENT)
    except HostsError as why:
        pytest.skip(str(why))
    with hosts, Aws(hosts, folder) as aws:
        yield aws


@pytest.fixture(scope="module")
def laptop(aws: Aws, measured: Callable[[str, str], None]) -> Host:
    """The laptop, with a head and no workers."""
    for name, value in SIZES.items():
        aws.laptop.run(f"sed -i -E 's/^{name}: [0-9.]+/{name}: {value}/' cluster.yaml")
    aws.laptop.run("ray get-auth-token --generate")
    aws.laptop.run(f"esbn cluster roles --results {RESULTS}")
    began = time.monotonic()
    aws.laptop.run("ray up -y cluster.yaml", timeout=240)
    measured("AWS: `ray up`", f"{time.monotonic() - began:.0f} s")
    return aws.laptop


def test_cluster_file_differs_from_the_real_one_in_sizes_alone(laptop: Host) -> None:
    real = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    here = yaml.safe_load(laptop.run("cat cluster.yaml").stdout)
    assert here == {**real, **SIZES} != real


def test_study_survives_a_reclaimed_machine_and_leaves_nothing(
    aws: Aws, laptop: Host, measured: Callable[[str, str], None]
) -> None:
    """One story of one cluster, from `ray up` to `ray down`."""
    assert [machine.market for machine in aws.instances("pending", "running")] == ["on-demand"], "the head alone"

    job = "ray job submit --address http://127.0.0.1:8265 --"
    run = Run(
        laptop, f"ray exec cluster.yaml '{job} {{}}'", RESULTS, THREADS, lambda: aws.objects("results/checkpoints")
    )
    run.wait_for(lambda: bool(run.checkpoints()), 180)
    measured("AWS: launch to first checkpoint, from no workers", f"{(run.checkpoints()[0] - run.began).seconds} s")
    run.wait_for(lambda: len(run.checkpoints()) == N_PACKS)
    assert "begun: same_different" in run.status()
    workers = spot(aws, "running")
    (reclaimed,) = workers
    aws.reclaim(reclaimed)
    at = datetime.now(UTC)
    rows = run.end(240)
    (replacement,) = spot(aws, "running")
    assert {row["host"] for row in rows} == {replacement} != {reclaimed}
    assert all(row["resumed"] for row in rows), "every pack from its checkpoint"
    again = min(started(row) for row in rows)
    measured("AWS: machine reclaimed", f"its packs went on elsewhere {(again - at).total_seconds():.1f} s later")

    began = time.monotonic()
    wait_for(lambda: not spot(aws, "pending", "running"), 120)
    measured("AWS: idle machines given back", f"{time.monotonic() - began:.0f} s after the study")
    assert len(aws.instances("running")) == 1

    laptop.run("ray down -y cluster.yaml")
    assert not aws.instances("pending", "running", "stopping", "stopped")


def spot(aws: Aws, *states: str) -> set[str]:
    """Names of the spot machines in one of these states."""
    return {machine.name for machine in aws.instances(*states) if machine.market == "spot"}
