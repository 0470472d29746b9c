"""Two runs of one study: never both train a trial, whichever came first and however it ended; with real processes."""

import json
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from s3 import bucket_uri

from study.store import lease as leases
from study.store.errors import LeaseError
from study.store.lease import Lease, lease
from study.store.store import Store

HOLDER = """
import sys, time
from study.store.errors import LeaseError
from study.store.lease import lease
from study.store.store import Store
try:
    with lease(Store(sys.argv[1]), sys.argv[2:]):
        print("held", flush=True)
        sys.stdin.read()
except LeaseError as error:
    print(error, flush=True)
"""


@pytest.fixture(params=["disk", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    s3 = request.param == "s3"
    where = bucket_uri(request.getfixturevalue("s3"), uuid.uuid4().hex) if s3 else str(tmp_path / "results")
    store = Store(where)
    store.prepare()
    return store


def start(store: Store, *trials: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER, store.uri, *trials]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def says(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


@pytest.fixture
def other(store: Store) -> Iterator[subprocess.Popen[str]]:
    """Another run, which trains a and b."""
    process = start(store, "a", "b")
    assert says(process) == "held"
    yield process
    process.kill()
    process.communicate()


def test_second_run_is_refused_with_the_first_ones_host_and_pid(store: Store, other: subprocess.Popen[str]) -> None:
    with pytest.raises(LeaseError, match=rf"pid {other.pid} on .* has 1 of these trials; wait for it or stop it"):
        with lease(store, ["b", "c"]):
            pass
    assert len(store.leases()) == 1, "the refused run has taken its claim back"


def test_runs_of_different_trials_share_a_store(store: Store, other: subprocess.Popen[str]) -> None:
    with lease(store, ["c"]):
        assert len(store.leases()) == 2


def test_lease_ends_with_its_run(store: Store, other: subprocess.Popen[str]) -> None:
    other.communicate("")
    with lease(store, ["a"]):
        pass
    assert store.leases() == {}


def test_killed_run_of_this_machine_frees_its_trials_at_once(store: Store, other: subprocess.Popen[str]) -> None:
    other.send_signal(signal.SIGKILL)
    other.wait()
    with lease(store, ["a"]) as name:
        assert set(store.leases()) == {name}


def test_lease_that_is_written_while_it_is_read_is_read_again(
    store: Store, other: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, whole = [], store.read_lease

    def read(name: str) -> str | None:
        texts.append(f"{whole(name)}" + "\0" * (not texts))  # as S3 gives the shorter of two versions
        return texts[-1]

    monkeypatch.setattr(store, "read_lease", read)
    with pytest.raises(LeaseError, match=f"pid {other.pid} on "), lease(store, ["a"]):
        pass
    assert len(texts) > 1


def test_one_of_several_runs_that_start_together_trains(store: Store) -> None:
    processes = [start(store, "a") for _ in range(3)]
    answers = [says(process) for process in processes]
    for process in processes:
        process.communicate("")
    assert answers.count("held") == 1, answers
    assert all("the run with pid" in answer for answer in answers if answer != "held")


def elsewhere(store: Store) -> None:
    text = Lease("far", "far away", 1, "0", "2026-01-01T00:00:00+00:00", True, ("a",)).text()
    store.write_lease("0", text)


def test_run_elsewhere_blocks_until_its_lease_is_old(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere(store)
    with pytest.raises(LeaseError, match=r"pid 1 on far, .* forgotten after 60 s"), lease(store, ["a"]):
        pass
    monkeypatch.setattr(leases, "LEASE_SECONDS", -5.0)  # as if more had passed
    with lease(store, ["a"]) as name:
        assert set(store.leases()) == {name}


def test_lease_is_renewed_while_its_run_lives(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.1)
    with lease(store, ["a"]) as name:
        store.drop_lease(name)
        for _ in range(100):
            if name in store.leases():
                break
            leases.time.sleep(0.05)
        text = store.read_lease(name)
        assert text and json.loads(text)["trials"] == ["a"]
    assert store.leases() == {}
