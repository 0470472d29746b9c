"""Ray session: the connection, the resources of each pack, and a loop around Tune.

The store is the only state. Tune schedules and retries; its own snapshots are discarded.
"""

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayError
from ray.tune.error import TuneError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from rich.console import Console

from esbn_core.errors import ConfigError, UserError
from esbn_core.objects import Objects
from esbn_core.printable import printable
from study.running.connection import (
    CLUSTER_PATIENCE,
    GO_ON_LATER,
    LOCAL_PATIENCE,
    connect,
    disconnect,
    open_to_strangers,
    temporary_folder,
    watch,
    why_none_starts,
)
from study.running.memory import MemoryShortageError, memory_shortage
from study.running.resources import MOST_THREADS, Resources
from study.running.retries import RETRIES, Retrying
from study.running.run_context import RunContext, sees_store, unshared_store_message
from study.store.provenance import provenance
from study.store.store import Store

START_SECONDS = 60.0  # before a run reports that no worker has started
RESTARTS = 3  # of Tune in a row, without a job that ended in between
SHORTAGES = 12  # of memory in a row, counted the same way
MOST_WAITING_SECONDS = 60  # after a shortage


class RunError(UserError):
    """Ray or Tune stopped and cannot continue; the message says why and what to do."""


class Session:
    """A connection to Ray, and the resources of each pack."""

    def __init__(self, address: str | None, slots: "Slots", context: RunContext, console: Console):
        self.slots, self.context = slots, context
        self._address, self._console = address, console
        self._stops, self._stopped_by = 0, ""  # of Tune, since the last job ended
        self._short_of_memory = False
        self._most_at_once: int | None = None

    def run(self, trainable: Callable[..., None], parameters: dict[str, Any], jobs: Retrying, **settings: Any) -> None:
        """Runs jobs on Tune until none are left or Tune stops early; the next call runs the remaining jobs.

        Args:
            trainable: takes a Tune trial's `config` and the parameters.
            settings: further arguments of `tune.run`.
        Raises:
            RunError: Tune stops repeatedly, or Ray cannot be restarted.
        """
        self._connect_again()
        ended = len(jobs.ended)
        try:
            patience = LOCAL_PATIENCE if self._address is None else CLUSTER_PATIENCE
            with watch(patience), self._telling_if_none_starts(jobs):
                if self._most_at_once is not None:
                    settings["max_concurrent_trials"] = self._most_at_once
                _tune(tune.with_parameters(trainable, **parameters), self.slots, jobs, **settings)
        except UserError:
            raise
        except Exception as error:  # a full disk, a dead Ray process or Tune itself can raise anything
            self._stops = 1 if len(jobs.ended) > ended else self._stops + 1
            shortage = str(error) if isinstance(error, MemoryShortageError) else memory_shortage(str(error))
            self._short_of_memory, self._stopped_by = shortage is not None, shortage or _reason(error)
            disconnect()
        jobs.take_back()

    @contextmanager
    def _telling_if_none_starts(self, jobs: Retrying) -> Iterator[None]:
        def tell() -> None:
            if not jobs.begun:
                why = f"; Ray's log says: {printable(said)}" if (said := why_none_starts()) else ""
                self._console.print(f"No worker has started after {START_SECONDS:.0f} s{why}. Still waiting")

        timer = threading.Timer(START_SECONDS, tell)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _connect_again(self) -> None:
        if ray.is_initialized():
            return
        why = f"Ray Tune stopped ({self._stopped_by})"
        if self._stops > (SHORTAGES if self._short_of_memory else RESTARTS):
            raise RunError(f"{why}, {self._stops} times in a row; {GO_ON_LATER}")
        if self._short_of_memory:
            self._wait_for_memory()
        else:
            self._console.print(f"{why}; restarting it with the remaining jobs")
        try:
            connect(self._address)
        except ConfigError as error:
            raise RunError(f"{why} and cannot continue: {error}; {GO_ON_LATER}") from None

    def _wait_for_memory(self) -> None:
        """Waits, longer each time, and reduces the jobs at a time if memory has run out again."""
        if self._stops > 1:
            self._most_at_once = max(1, (self._most_at_once or self.slots.n) // 2)
        seconds = min(MOST_WAITING_SECONDS, 5 * 2 ** (self._stops - 1))
        at_once = self._most_at_once or self.slots.n
        self._console.print(f"{self._stopped_by}; continuing in {seconds} s with {at_once} at a time")
        time.sleep(seconds)


def start_session(
    resources: Resources,
    n_packs: int,
    store: Store,
    lease: str,
    objects: Objects,
    console: Console,
) -> Session:
    """Connects to Ray until this process ends, and divides its resources among packs.

    Args:
        n_packs: largest number of packs.
        lease: name of the run's lease on the store.
    Raises:
        ConfigError: there is no such cluster, Ray cannot start here, the machines lack the requested `resources`, or
            they do not share the store.
    """
    if not ray.is_initialized():  # an earlier search or look may have done it
        connect(resources.address)
        if warning := open_to_strangers(resources.address):
            console.print(f"Warning: {warning}")
    slots = find_slots(resources, n_packs)
    _refuse_private_disks(store, lease)
    context = RunContext(
        store.uri, lease, objects, provenance(), slots.device, slots.threads, resources.checkpoint_seconds
    )
    return Session(resources.address, slots, context, console)


def _reason(error: Exception) -> str:
    """Returns the line that names the error; Tune wraps tracebacks in its own errors."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return (lines[-1] if isinstance(error, TuneError) else lines[0]).strip()


@dataclass(frozen=True)
class Slots:
    """Resources of each pack, and the number of packs that fit into the cluster now."""

    threads: int
    gpus: float
    n: int

    @property
    def device(self) -> str:
        """Device name for torch."""
        return "cuda" if self.gpus else "cpu"

    @property
    def per_pack(self) -> dict[str, float]:
        """Resources by Ray's names."""
        return {"cpu": self.threads, "gpu": self.gpus}


def find_slots(resources: Resources, n_packs: int) -> Slots:
    """Divides the cluster's resources among packs.

    Raises:
        ConfigError: a pack needs more than this machine has, or the cluster has no CPUs yet and `resources` do not say
            what its packs will use.
    """
    have, threads = ray.cluster_resources(), resources.threads or _threads(n_packs)
    gpus = resources.gpus_per_pack
    if gpus is None:
        gpus = 1.0 if have.get("GPU") else 0.0
    for name, wanted, kind in (("threads", threads, "CPU"), ("gpus_per_pack", gpus, "GPU")):
        if resources.address is None and wanted > have.get(kind, 0):
            raise ConfigError(f"{name}={wanted} is more than this machine's {have.get(kind, 0):.0f} {kind}s")
    if resources.gpus_per_pack is None and not gpus and have.get("CPU", 0) < threads:
        raise ConfigError(
            "the cluster has no CPUs for packs yet; request GPUs with --gpus-per-pack 1, or CPUs with --gpus-per-pack 0"
        )
    by_cpu = have.get("CPU", 0) // threads
    return Slots(threads, gpus, max(1, int(min(by_cpu, have.get("GPU", 0) // gpus) if gpus else by_cpu)))


def _threads(n_packs: int) -> int:
    """Returns the threads per pack: more than one if there are fewer packs than cores; independent of progress."""
    largest = max(node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"])
    spare = int(ray.cluster_resources().get("CPU", 0)) // n_packs
    return max(1, min(MOST_THREADS, spare, int(largest)))  # a pack cannot use cores of two machines


def _refuse_private_disks(store: Store, lease: str) -> None:
    """Checks that every machine of the cluster sees the lease; on machines that join later, the first pack checks."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    if not store.local or len(nodes) == 1:
        return

    @ray.remote(num_cpus=0, max_retries=0)
    def ask(results: str) -> bool:
        return sees_store(Store(results), lease)

    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        try:
            seen = ray.get(ask.options(scheduling_strategy=there).remote(store.uri))
        except RayError:
            continue  # the machine has just left
        if not seen:
            raise ConfigError(
                unshared_store_message(store.uri, f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})")
            )


def _tune(trainable: Callable[..., None], slots: Slots, jobs: Retrying, **settings: Any) -> None:
    """Runs Tune without its `Tuner`, which would read the errors of trials from pickles."""
    with tempfile.TemporaryDirectory(prefix="tune-", dir=temporary_folder(), ignore_cleanup_errors=True) as scratch:
        tune.run(
            tune.with_resources(trainable, slots.per_pack),
            name="packs",
            storage_path=scratch,
            reuse_actors=True,
            max_failures=RETRIES,
            raise_on_failed_trial=False,
            callbacks=[jobs],
            verbose=0,
            **settings,
        )
