"""Leases on trials: a run holds a lease on the trials it trains, so that no other run trains them too.

Compactions and imports hold leases as well, so that no run trains the trials whose files they move.

A lease is a file of the store that its run renews. On the machine that wrote it, the process decides: the lease is
alive as long as the process is, whatever its age. On other machines the store's clock decides: a lease that has not
been renewed for `LEASE_SECONDS` is dead. A lease dated in the future, e.g. after a clock was set back, is watched for
`WATCH_SECONDS` and is dead unless it is renewed meanwhile. A file that is not a valid lease ages like a lease from
another machine and blocks every run until it is dead, because its trials are unknown.

Two runs that start together see each other, because each writes its claim before it looks for others. A run that finds
another lease on its trials gives up. If there are only claims, the first by name waits for the others to give up. This
requires that the store lists a file as soon as it is written, as S3 and local disks do.

A run takes over the trials of a dead lease by deleting the lease. If the other run was only suspended (its machine
slept, its network was down), it then finds its lease gone: its driver stops within `RENEW_SECONDS`, and until then all
writes of driver and workers are rejected (`Store.lease`). So both may train for a while, but only one writes rows and
checkpoints. One gap remains, the milliseconds between checking the lease and the following write: a run that wakes at
the very moment its lease is deleted can write one more file, or restore its lease.
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

LEASE_SECONDS = 60.0  # a lease not renewed for this long is dead
RENEW_SECONDS = 10.0
WATCH_SECONDS = 25.0  # 2.5 renewals; how long to watch a lease dated further in the future than this
READINGS = 5  # of an invalid lease before it counts as unreadable
CLAIM_SECONDS = 10.0  # how long the first of several claims waits for the others to give up


@dataclass(frozen=True)
class Lease:
    """Content of a lease file.

    Attributes:
        host: name of the machine.
        machine: identifies the machine and its pid namespace among machines with the same name.
        pid: process id of the run on that machine.
        process: distinguishes that process from a later one with the same pid; empty if the system cannot tell.
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
        """Reads the output of `text`; raises `ValueError` for anything else."""
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
        """Returns whether its process still runs; None if it is on another machine, or the system cannot tell."""
        if not self.process or self.machine != _machine():
            return None
        return self.process == _process(self.pid)


UNREADABLE = Lease("", "", 0, "", "", True, ())
"""Placeholder for a file that is not a valid lease."""


@contextmanager
def lease(store: Store, trials: Collection[str]) -> Iterator[str]:
    """Holds a lease on trials or on a search (see `lease_of_search`) and renews it; yields its name.

    Raises:
        LeaseError: another live run has some of them, or has taken them over meanwhile.
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
        with suppress(StoreError):  # it then dies with this process; for other machines, by age
            store.drop_lease(name)


@contextmanager
def _renewed(store: Store, name: str, own: Lease) -> Iterator[None]:
    """Renews a lease while the block runs, and interrupts the block, as Ctrl-C would, once the lease is gone."""
    over, lost = threading.Event(), threading.Event()
    holder = threading.get_ident()

    def renew() -> None:
        while not over.wait(RENEW_SECONDS):
            with suppress(StoreError):  # perhaps a brief failure of disk or network
                if not store.has_lease(name):
                    lost.set()
                    if holder == threading.main_thread().ident:  # only the main thread can be interrupted
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
    """Returns when no other run has these trials; raises `LeaseError` if one keeps them."""
    deadline = None
    while others := _others(store, name, own):
        other, held = others[0]
        deadline = deadline or time.monotonic() + CLAIM_SECONDS
        if held.running or other < name or time.monotonic() > deadline:
            raise LeaseError(
                f"the run with pid {held.pid} on {held.host}, begun {held.since}, has {_named(held, own)}; wait for it "
                f"or stop it there (if it was killed elsewhere, its lease ends after {LEASE_SECONDS:.0f} s)"
            )
        time.sleep(0.2)


def _named(held: Lease, own: Lease) -> str:
    """Describes the trials or searches that both want."""
    both = set(held.trials) & set(own.trials)
    searches = sorted(name for name in both if name.startswith(lease_of_search("")))
    return ", ".join(searches) or f"{len(both)} of these trials"


def held(store: Store) -> set[str]:
    """Returns the ids of the trials on which live runs have leases."""
    with lease(store, ()) as name:  # dated by the store's clock, like the others
        return {trial for _, other in _living(store, name) for trial in other.trials}


def _others(store: Store, name: str, own: Lease) -> list[tuple[str, Lease]]:
    """Returns the live leases of other runs on the same trials; running ones come before claims."""
    return sorted(_living(store, name, set(own.trials)), key=lambda rival: (not rival[1].running, rival[0]))


def _read(store: Store, name: str) -> Lease | None:
    """Reads a lease; None if it is gone.

    Reading from S3 takes two requests, for size and content. A file replaced between them is read truncated or with an
    extra byte. So an invalid lease is read again.
    """
    for _ in range(READINGS):
        with suppress(ValueError, StoreError):  # StoreError: another user's file, which may not be read
            text = store.read_lease(name)
            return None if text is None else Lease.parse(text)
        time.sleep(0.1)
    return UNREADABLE


def _living(store: Store, name: str, wanted: Collection[str] | None = None) -> Iterator[tuple[str, Lease]]:
    """Yields the live leases of other runs.

    Args:
        name: own lease, which has just been written.
        wanted: trials to take over: only leases on some of them count, and dead ones are deleted. None: all leases.
    Raises:
        LeaseError: a file is not a valid lease, and not old enough to be dead.
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
                f"leases/{other}.json of {store.uri} is not a valid lease, and expires in "
                f"{LEASE_SECONDS - age:.0f} s unless it is rewritten; wait, or delete it if no run is active"
            )
        if alive:
            yield other, held
        elif wanted is not None:
            store.drop_lease(other)


def _watch(store: Store, name: str, written: datetime, until: float) -> bool:
    """Waits for a lease to be renewed; returns False if it is not, or if it ends."""
    while (now := store.leases().get(name)) == written and time.monotonic() < until:
        time.sleep(min(1.0, RENEW_SECONDS))
    return now not in (written, None)


def _machine() -> str:
    """Returns host, boot id and pid namespace, as far as the system provides them."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _process(pid: int) -> str:
    """Returns a process's start time in clock ticks since boot; empty if it is gone or the system cannot tell."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state == "Z" else fields[18]
