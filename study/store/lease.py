"""Leases on trials: a run holds one on what it trains, so that two runs never train one trial twice.

A compaction and an import hold one too, so that nobody trains what they move.

A lease is a file of the store that its run renews while it lives. On the machine that wrote it, its process decides:
the lease lives as long as the process does, however old it is. Elsewhere the store's clock decides: a lease that was
not renewed for `LEASE_SECONDS` is dead. A lease dated ahead, as after a clock was set back, is watched for
`WATCH_SECONDS` and is dead unless it is renewed meanwhile. A file that is no lease ages like one from elsewhere, and
blocks every run until it is dead, because nobody knows which trials it is about.

Two runs that start together see each other, because each writes its claim before it looks for others: a run that finds
another's lease on its trials gives up, except that of claims alone the first in the order of their names waits for the
rest to give up. What this asks of the store is that a file written is listed from then on, as S3 and local disks do.

A run takes over the trials of a dead lease by deleting it. If the other run only stood still (its machine was
suspended, its network was lost), it finds its lease gone: its driver stops within `RENEW_SECONDS`, and until then
driver and workers are refused every write (`Store.lease`). So both may train for a while, but only one writes rows and
checkpoints. One gap is left, the milliseconds between a look at the lease and the write that follows: a run that wakes
in the very moment in which its lease is deleted can write one more file, or bring its lease back.
"""

import json
import os
import signal
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
WATCH_SECONDS = 25.0  # 2.5 renewals; how long a lease dated further ahead than that is watched
READINGS = 5  # of a lease that makes no sense, before it counts as unreadable
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
        """Reads what `text` wrote; raises `ValueError` at anything else."""
        try:
            fields = json.loads(text)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        types = {"host": str, "machine": str, "pid": int, "process": str, "since": str, "running": bool, "trials": list}
        if not isinstance(fields, dict) or {name: type(value) for name, value in fields.items()} != types:
            raise ValueError("not the fields of a lease")
        parsed = cls(**{**fields, "trials": tuple(fields["trials"])})
        shown = (parsed.host, parsed.since, *parsed.trials)
        if not all(isinstance(value, str) and value.isprintable() for value in shown):
            raise ValueError("not the values of a lease")
        return parsed

    def text(self) -> str:
        return json.dumps(asdict(self))

    def runs(self) -> bool | None:
        """Returns whether its process still runs; None if that is on another machine, or this system cannot tell."""
        if not self.process or self.machine != _machine():
            return None
        return self.process == _process(self.pid)


UNREADABLE = Lease("", "", 0, "", "", True, ())
"""Stands for a file that is no lease."""


@contextmanager
def lease(store: Store, trials: Collection[str]) -> Iterator[str]:
    """Holds a lease on trials, or on a search (see `lease_of_search`), and renews it; gives its name.

    Raises:
        LeaseError: another run that is alive has some of them, or has taken them over meanwhile.
    """
    name = uuid.uuid4().hex
    now = datetime.now(UTC).isoformat(timespec="seconds")
    own = Lease(socket.gethostname(), _machine(), os.getpid(), _process(os.getpid()), now, False, tuple(trials))
    store.write_lease(name, own.text())
    outer = store.lease
    try:
        _win(store, name, own)
        store.lease = name
        own = replace(own, running=True)
        store.write_lease(name, own.text())
        with _renewed(store, name, own):
            yield name
    finally:
        store.lease = outer
        with suppress(StoreError):  # then it dies with this process, or elsewhere of age
            store.drop_lease(name)


@contextmanager
def _renewed(store: Store, name: str, own: Lease) -> Iterator[None]:
    """Renews a lease while the block runs, and interrupts the block, as Ctrl-C would, once the lease is gone."""
    over, lost = threading.Event(), threading.Event()
    holder = threading.get_ident()

    def renew() -> None:
        while not over.wait(RENEW_SECONDS):
            with suppress(StoreError):  # a full disk or a lost network, perhaps for a moment
                if not store.has_lease(name):
                    lost.set()
                    if holder == threading.main_thread().ident:  # the only one that can be interrupted
                        signal.pthread_kill(holder, signal.SIGINT)
                    return
                store.write_lease(name, own.text())

    renewal = threading.Thread(target=renew, daemon=True)
    renewal.start()
    try:
        try:
            yield
        finally:
            over.set()
            renewal.join()
    except KeyboardInterrupt:
        if lost.is_set():
            store.require_lease()
        raise


def _win(store: Store, name: str, own: Lease) -> None:
    """Returns once no other run has these trials; raises `LeaseError` if one keeps them."""
    deadline = None
    while others := _others(store, name, own):
        other, held = others[0]
        deadline = deadline or time.monotonic() + CLAIM_SECONDS
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
    return sorted(_living(store, name, set(own.trials)), key=lambda rival: (not rival[1].running, rival[0]))


def _read(store: Store, name: str) -> Lease | None:
    """Reads a lease; None if it is gone.

    A file of S3 that is replaced between the two requests of a reading, for its size and for its content, is read cut
    off or with a byte too many. So what makes no sense is read again.
    """
    for _ in range(READINGS):
        with suppress(ValueError, StoreError):  # the latter for a file of another user that may not be read
            text = store.read_lease(name)
            return None if text is None else Lease.parse(text)
        time.sleep(0.1)
    return UNREADABLE


def _living(store: Store, name: str, wanted: Collection[str] | None = None) -> Iterator[tuple[str, Lease]]:
    """Yields the leases of other runs that are alive.

    Args:
        name: own lease, which has just been written.
        wanted: trials to take over: only leases on some of them count, and dead ones are deleted. None: all leases.
    Raises:
        LeaseError: a file is no lease, and not old enough to be dead.
    """
    written, listed = store.leases(), time.monotonic()
    if name not in written:
        raise StoreError(f"{store.uri} does not list a file that was just written into it; is it being deleted?")
    for other in written.keys() - {name}:
        held = _read(store, other)
        if held is None or (wanted is not None and held is not UNREADABLE and set(wanted).isdisjoint(held.trials)):
            continue
        age = (written[name] - written[other]).total_seconds()
        alive = held.runs()
        if alive is None and age < -WATCH_SECONDS:
            alive = _watch(store, other, written[other], listed + WATCH_SECONDS)
        elif alive is None:
            alive = age <= LEASE_SECONDS
        if alive and held is UNREADABLE:
            raise LeaseError(
                f"leases/{other}.json of {store.uri} is not a lease that can be read, and counts as dead in "
                f"{LEASE_SECONDS - age:.0f} s unless it is written again; wait, or delete it if no run is at work"
            )
        if alive:
            yield other, held
        elif wanted is not None:
            store.drop_lease(other)


def _watch(store: Store, name: str, written: datetime, until: float) -> bool:
    """Waits for a lease to be renewed; False if it is not, or if it ends."""
    while (now := store.leases().get(name)) == written and time.monotonic() < until:
        time.sleep(min(1.0, RENEW_SECONDS))
    return now not in (written, None)


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
