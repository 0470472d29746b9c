"""Leases on trials: a run holds one on what it trains, so that two runs never train one trial twice.

A compaction and an import hold one too, so that nobody trains what they move.

A lease is a file of the store that its run renews while it lives. It counts as dead once the store's clock says that it
has not been renewed for `LEASE_SECONDS`, or at once if its process was on this machine and is gone.

Two runs that start together see each other, because each writes its claim before it looks for others: a run that finds
another's lease on its trials gives up, except that of claims alone the first in the order of their names waits for the
rest to give up. What this asks of the store is that a file written is listed from then on, as S3 and local disks do.
What it cannot see is a run that stood still for longer than `LEASE_SECONDS` (a suspended laptop) and then goes on: if
another has taken over, both train, and write the same rows twice.
"""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from study.store.errors import LeaseError, StoreError
from study.store.names import lease_of_search
from study.store.store import Store

LEASE_SECONDS = 60.0  # a lease that was not renewed for so long is dead
RENEW_SECONDS = 10.0
READINGS = 5  # of a lease that makes no sense, before it is taken for none
CLAIM_SECONDS = 10.0  # how long the first of several claims waits for the others to give up


@dataclass(frozen=True)
class Lease:
    """Content of the file of a lease.

    Attributes:
        host: name of the machine.
        machine: what tells this machine, and its space of process ids, from others of its name.
        pid: of the run on that machine.
        process: what tells that process from a later one with its pid; empty where the system does not say.
        since: UTC time at which the run began.
        running: False while the run only claims its trials.
        trials: ids of the trials it trains.
    """

    host: str
    machine: str
    pid: int
    process: str
    since: str
    running: bool
    trials: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Lease":
        fields = json.loads(text)
        return cls(**{**fields, "trials": tuple(fields["trials"])})

    def text(self) -> str:
        return json.dumps(asdict(self))

    def gone(self) -> bool:
        """True if its process ran on this machine and has exited."""
        return self.machine == _machine() and self.process != _process(self.pid)


@contextmanager
def lease(store: Store, trials: Collection[str]) -> Iterator[str]:
    """Holds a lease on trials, or on a search (see `lease_of_search`), and renews it; gives its name.

    Raises:
        LeaseError: another run that is alive has some of them.
    """
    name = uuid.uuid4().hex
    now = datetime.now(UTC).isoformat(timespec="seconds")
    own = Lease(socket.gethostname(), _machine(), os.getpid(), _process(os.getpid()), now, False, tuple(trials))
    store.write_lease(name, own.text())
    try:
        _win(store, name, own)
        own = replace(own, running=True)
        store.write_lease(name, own.text())
        over = threading.Event()
        renewal = threading.Thread(target=_renew, args=(store, name, own, over), daemon=True)
        renewal.start()
        try:
            yield name
        finally:
            over.set()
            renewal.join()
    finally:
        with suppress(StoreError):  # then it dies of age
            store.drop_lease(name)


def _win(store: Store, name: str, own: Lease) -> None:
    """Returns once no other run has these trials; raises `LeaseError` if one keeps them."""
    deadline = time.monotonic() + CLAIM_SECONDS
    while others := _others(store, name, own):
        other, held = others[0]
        if held.running or other < name or time.monotonic() > deadline:
            raise LeaseError(
                f"the run with pid {held.pid} on {held.host}, begun {held.since}, has {_named(held, own)}; wait for it "
                f"or stop it there (a run that was killed elsewhere is forgotten after {LEASE_SECONDS:.0f} s)"
            )
        time.sleep(0.2)


def _named(held: Lease, own: Lease) -> str:
    """Returns what both want, for people."""
    both = set(held.trials) & set(own.trials)
    searches = sorted(name for name in both if name.startswith(lease_of_search("")))
    return ", ".join(searches) or f"{len(both)} of these trials"


def held(store: Store) -> set[str]:
    """Returns the ids of the trials that living runs have leases on."""
    with lease(store, ()) as name:  # its age is that of the others' clock: the store's
        return {trial for _, other in _living(store, name) for trial in other.trials}


def _others(store: Store, name: str, own: Lease) -> list[tuple[str, Lease]]:
    """Returns the living leases of other runs on the same trials, those that are sure of theirs first."""
    rivals = [(other, held) for other, held in _living(store, name) if set(held.trials) & set(own.trials)]
    return sorted(rivals, key=lambda rival: (not rival[1].running, rival[0]))


def _read(store: Store, name: str) -> Lease | None:
    """Reads a lease; None if it is gone.

    A file of S3 that is replaced between the two requests of a reading, for its size and for its content, is read cut
    off or with a byte too many. So what makes no sense is read again.
    """
    for _ in range(READINGS):
        text = store.read_lease(name)
        if text is None:
            return None
        try:
            return Lease.parse(text)
        except (ValueError, TypeError, KeyError):
            time.sleep(0.1)
    raise StoreError(f"leases/{name}.json of {store.uri} is not a lease; delete it")


def _living(store: Store, name: str) -> Iterator[tuple[str, Lease]]:
    """Yields all leases but this one of runs that are alive, and deletes dead ones."""
    written = store.leases()
    if name not in written:
        raise StoreError(f"{store.uri} does not list a file that was just written into it; is it being deleted?")
    for other in written.keys() - {name}:
        held = _read(store, other)
        if held is None:
            continue  # it has just ended
        age = (written[name] - written[other]).total_seconds()
        if age > LEASE_SECONDS or held.gone():
            store.drop_lease(other)
        else:
            yield other, held


def _renew(store: Store, name: str, own: Lease, over: threading.Event) -> None:
    while not over.wait(RENEW_SECONDS):
        try:
            store.write_lease(name, own.text())
        except StoreError:
            continue  # a full disk or a lost network, perhaps for a moment


def _machine() -> str:
    """Returns the host, this boot of it, and the namespace in which pids mean something, where the system tells."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _process(pid: int) -> str:
    """Returns the start of a process in clock ticks since boot; empty if it is gone or the system does not tell."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state == "Z" else fields[18]
