"""Two runs of one study: never both train a trial, whichever came first and however it ended; with real processes."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from runs import descendants

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


FAR = Lease("far", "far away", 1, "0", "2026-01-01T00:00:00+00:00", True, ("a",))


def test_run_elsewhere_blocks_until_its_lease_is_old(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write_lease("0", FAR.text())
    with pytest.raises(LeaseError, match=r"pid 1 on far, .* lease ends after 60 s"), lease(store, ["a"]):
        pass
    monkeypatch.setattr(leases, "LEASE_SECONDS", -5.0)  # as if more had passed
    with lease(store, ["a"]) as name:
        assert set(store.leases()) == {name}


def put(store: Store, content: bytes, seconds_ahead: float = 0) -> Path:
    """Writes a lease of another run into a store on the disk, dated as said."""
    path = Path(store.root, "leases", "other.json")
    path.write_bytes(content)
    date(path, seconds_ahead)
    return path


def date(path: Path, seconds_ahead: float) -> None:
    then = time.time() + seconds_ahead
    os.utime(path, (then, then))


def test_dead_lease_on_other_trials_stays_for_a_run_that_only_stood_still(disk: Store) -> None:
    path = put(disk, FAR.text().encode(), -3600)
    with lease(disk, ["b"]):
        assert path.exists()
    assert leases.held(disk) == set()


@pytest.mark.parametrize("seconds_ahead", [-3600, 7200])
def test_process_of_this_machine_that_stands_still_keeps_its_lease(disk: Store, seconds_ahead: float) -> None:
    other = start(disk, "a")
    assert says(other) == "held"
    other.send_signal(signal.SIGSTOP)
    (path,) = Path(disk.root, "leases").iterdir()
    date(path, seconds_ahead)
    with pytest.raises(LeaseError, match=f"pid {other.pid} on "), lease(disk, ["a"]):
        pass
    assert leases.held(disk) == {"a"}
    other.kill()
    other.communicate()
    date(path, seconds_ahead)
    with lease(disk, ["a"]) as name:
        assert set(disk.leases()) == {name}


FIELDS = json.loads(FAR.text())
WRONG = {"host": 7, "machine": None, "pid": "1", "process": [], "since": {}, "running": 1, "trials": "a"}
UNREADABLE = {
    "empty": b"",
    "random": random.Random(0).randbytes(300),
    "not UTF-8": b'{"host": "\xff"}',
    "nested": b"[" * 100_000,
    "null": b"null",
    "number": b"1" * 5_000,
    "list": b"[]",
    "extra": json.dumps({**FIELDS, "colour": "red"}).encode(),
    "lone surrogate": json.dumps({**FIELDS, "host": "\ud800"}).encode(),
    "trial of a wrong type": json.dumps({**FIELDS, "trials": ["a", 7]}).encode(),
    **{f"no {name}": json.dumps({k: v for k, v in FIELDS.items() if k != name}).encode() for name in FIELDS},
    **{f"{name} of a wrong type": json.dumps({**FIELDS, name: wrong}).encode() for name, wrong in WRONG.items()},
    **{f"null {name}": json.dumps({**FIELDS, name: None}).encode() for name in FIELDS},
    **{f"cut at {n}": FAR.text().encode()[:n] for n in range(10, len(FAR.text()), 40)},
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_file_that_is_no_lease_blocks_until_it_is_old(
    disk: Store, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "READINGS", 1)
    path = put(disk, content, -20)
    with pytest.raises(
        LeaseError, match=r"leases/other.json of .* is not a valid lease, .* expires in (39|40) s .*; wait, or"
    ):
        with lease(disk, ["b"]):
            pass
    with pytest.raises(LeaseError, match="is not a valid lease"):
        leases.held(disk)
    date(path, -61)
    assert leases.held(disk) == set()
    with lease(disk, ["b"]) as name:
        assert set(disk.leases()) == {name}


@pytest.mark.parametrize(
    "make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")], ids=["folder", "pipe", "broken link"]
)
def test_what_is_no_file_is_no_lease(disk: Store, make: Callable[[Path], None]) -> None:
    make(Path(disk.root, "leases", "other.json"))
    with lease(disk, ["a"]) as name:
        assert set(disk.leases()) == {name}


@pytest.mark.parametrize("content", [FAR.text().encode(), b"random"], ids=["elsewhere", "unreadable"])
def test_lease_dated_ahead_is_dead_unless_it_is_renewed(
    disk: Store, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "WATCH_SECONDS", 2.0)
    path = put(disk, content, 7200)
    other = path.with_name("second.json")
    other.write_bytes(content)
    date(other, 7200)
    over = threading.Event()

    def renew() -> None:
        while not over.wait(0.2):
            date(path, 7200)

    renewal = threading.Thread(target=renew)
    renewal.start()
    with pytest.raises(LeaseError, match="pid 1 on far|is not a valid lease"), lease(disk, ["a"]):
        pass
    over.set()
    renewal.join()
    other.write_bytes(content)
    date(other, 7200)
    began = time.monotonic()
    with lease(disk, ["a"]) as name:
        assert set(disk.leases()) == {name}
    assert 2 <= time.monotonic() - began < 4, "both were watched at once"


def test_lease_is_renewed_while_its_run_lives(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.1)
    with lease(store, ["a"]) as name:
        written = store.leases()[name]
        deadline = time.monotonic() + 10
        while store.leases()[name] == written:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        text = store.read_lease(name)
        assert text and json.loads(text)["trials"] == ["a"]
    assert store.leases() == {}


LOSER = f"""
import signal
from study.store import lease as leases
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's `&` has had ignored, for its children too
leases.RENEW_SECONDS = 0.2
{HOLDER}"""


def test_run_that_lost_its_lease_stops_and_does_not_bring_it_back(store: Store) -> None:
    command = [sys.executable, "-c", LOSER, store.uri, "a"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as loser:
        assert says(loser) == "held"
        (name,) = store.leases()
        loser.send_signal(signal.SIGSTOP)
        store.drop_lease(name)
        loser.send_signal(signal.SIGCONT)
        assert "is gone: another run has taken over its trials while this one was suspended" in says(loser)
        assert loser.wait(10) == 0
    assert store.leases() == {}


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a space of process ids, which only root may do")
def test_run_of_another_machine_that_stood_still_is_taken_over_and_stops(disk: Store) -> None:
    elsewhere = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]  # to leases, another machine
    command = [*elsewhere, sys.executable, "-c", LOSER, disk.uri, "a"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert says(other) == "held"
        ((pid, _),) = descendants(other.pid)
        os.kill(pid, signal.SIGSTOP)
        (path,) = Path(disk.root, "leases").iterdir()
        with pytest.raises(LeaseError, match="lease ends after 60 s"), lease(disk, ["a"]):
            pass
        date(path, -61)
        with lease(disk, ["a"]) as name:
            os.kill(pid, signal.SIGCONT)
            assert "another run has taken over" in says(other)
            assert other.wait(10) == 0
            assert set(disk.leases()) == {name}
            disk.save_checkpoint("pack", b"of the run that took over")


def test_nothing_is_written_under_a_lease_that_is_gone(store: Store) -> None:
    store.save_checkpoint("pack", b"mine")
    row = {"trial_id": "a", "status": "completed", "test_accuracy": 0.5}
    with pytest.raises(LeaseError, match="another run has taken over"), lease(store, ["a"]) as name:
        store.write("curves", "a", [{"trial_id": "a", "update": 0, "loss": 0.7, "accuracy": 0.5}])
        Store(store.uri).drop_lease(name)
        for write in (
            lambda: store.write("trials", "a", [row]),
            lambda: store.write_merged("trials", ["a"], [row]),
            lambda: store.save_checkpoint("pack", b"mine too"),
            lambda: store.drop_checkpoint("pack"),
        ):
            with pytest.raises(LeaseError, match="another run has taken over"):
                write()
        store.require_lease()
    assert store.load_checkpoint("pack") == b"mine"
    assert store.names("trials") == set() and store.names("curves") == {"a"}
    store.write("trials", "b", [{**row, "trial_id": "b"}])


def test_lease_can_be_taken_where_its_empty_folder_is_missing(disk: Store) -> None:
    Path(disk.root, "leases").rmdir()
    with lease(disk, ["a"]) as name:
        assert set(disk.leases()) == {name}
