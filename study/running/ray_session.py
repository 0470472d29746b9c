"""Ray session: the connection, what each pack gets of the cluster, and a loop of Tune.

The store is the state: Tune schedules and retries, and its own snapshots are thrown away.
"""

import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import ray
from ray import tune
from ray.cloudpickle import register_pickle_by_value
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from esbn_core.errors import ConfigError
from esbn_core.objects import Objects
from esbn_core.own_model import OwnModel
from study.running.resources import MOST_THREADS, Resources
from study.running.retries import RETRIES
from study.running.run_context import MEMORY_SETTINGS, RunContext, sees_store, unshared_store_message
from study.store.provenance import provenance
from study.store.store import Store


def start_session(
    resources: Resources, models: Iterable[Any], n_packs: int, store: Store, lease: str, objects: Objects
) -> tuple["Slots", RunContext]:
    """Connects to Ray until this process ends, and shares out what it has among packs.

    Args:
        models: configs of all models that are to be trained; workers get to know those of the user's own.
        n_packs: the most packs there will be.
        lease: name of the run's lease on the store.
    Raises:
        ConfigError: there is no such cluster, Ray does not start here, the machines do not have what `resources` ask,
            or they do not share the store.
    """
    if not ray.is_initialized():  # by the last of several searches or looks
        _init(resources)
    for module in {type(model).__module__ for model in models if isinstance(model, OwnModel)}:
        register_pickle_by_value(sys.modules[module])  # which no worker could import
    slots = find_slots(resources, n_packs)
    _refuse_private_disks(store, lease)
    context = RunContext(
        store.uri, lease, objects, provenance(), slots.device, slots.threads, resources.checkpoint_seconds
    )
    return slots, context


def _init(resources: Resources) -> None:
    quiet = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AIR_NEW_OUTPUT": "0",  # no banner of Tune's own
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the store has it all
        "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends the run at once; checkpoints are there already
        **MEMORY_SETTINGS,
    }
    for name, value in quiet.items():
        os.environ.setdefault(name, value)
    if resources.address:  # its workers do not have the environment of this process
        own: dict[str, Any] = {"runtime_env": {"env_vars": MEMORY_SETTINGS}}
    else:
        own = {"include_dashboard": False, "object_store_memory": 256 * 2**20}
    try:
        ray.init(address=resources.address or "local", log_to_driver=False, logging_level=logging.ERROR, **own)
    except Exception as error:  # Ray raises bare ones, as when a process of its own dies at the start
        cluster = f"address={resources.address!r} is no Ray cluster one can connect to"
        raise ConfigError(f"{cluster if resources.address else 'Ray does not start here'}: {error}") from None
    logging.getLogger("ray").setLevel(logging.CRITICAL)  # why a pack failed is in its rows, and said once


@dataclass(frozen=True)
class Slots:
    """What each pack gets, and how many packs fit into the cluster as it is."""

    threads: int
    gpus: float
    n: int

    @property
    def device(self) -> str:
        """As torch names it."""
        return "cuda" if self.gpus else "cpu"

    @property
    def per_pack(self) -> dict[str, float]:
        """As Ray names it."""
        return {"cpu": self.threads, "gpu": self.gpus}


def find_slots(resources: Resources, n_packs: int) -> Slots:
    """Shares out what the cluster has among packs.

    Raises:
        ConfigError: this machine can never have what a pack asks for, or it is not said what a cluster that is yet to
            grow will have.
    """
    have, threads = ray.cluster_resources(), resources.threads or _threads(n_packs)
    gpus = resources.gpus_per_pack
    if gpus is None:
        gpus = 1.0 if have.get("GPU") else 0.0
    for name, wanted, kind in (("threads", threads, "CPU"), ("gpus_per_pack", gpus, "GPU")):
        if resources.address is None and wanted > have.get(kind, 0):
            raise ConfigError(f"{name}={wanted} is more than the {have.get(kind, 0):.0f} {kind}s of this machine")
    if resources.gpus_per_pack is None and not gpus and have.get("CPU", 0) < threads:
        raise ConfigError(
            "the cluster has no CPUs for packs yet; ask for its GPUs with --gpus-per-pack 1, or for CPUs with 0"
        )
    by_cpu = have.get("CPU", 0) // threads
    return Slots(threads, gpus, max(1, int(min(by_cpu, have.get("GPU", 0) // gpus) if gpus else by_cpu)))


def _threads(n_packs: int) -> int:
    """Gives packs more threads where there are fewer of them than cores; the same however many of them are done."""
    largest = max(node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"])
    spare = int(ray.cluster_resources().get("CPU", 0)) // n_packs
    return max(1, min(MOST_THREADS, spare, int(largest)))  # a pack cannot have cores of two machines


def _refuse_private_disks(store: Store, lease: str) -> None:
    """Asks every machine of the cluster whether it sees the lease; one that joins later is asked by its first pack."""
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
            continue  # it has just left
        if not seen:
            raise ConfigError(
                unshared_store_message(store.uri, f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})")
            )


def run_on_tune(trainable: Callable[..., None], slots: Slots, callback: tune.Callback, **settings: Any) -> None:
    """Runs packs on Tune until none is left; `settings` are `param_space` and those of `tune.TuneConfig`."""
    param_space = settings.pop("param_space", {})
    with tempfile.TemporaryDirectory(prefix="esbn-tune-", ignore_cleanup_errors=True) as scratch:
        tune.Tuner(
            tune.with_resources(trainable, slots.per_pack),
            param_space=param_space,
            tune_config=tune.TuneConfig(reuse_actors=True, **settings),
            run_config=tune.RunConfig(
                name="packs",
                storage_path=scratch,
                failure_config=tune.FailureConfig(max_failures=RETRIES),
                callbacks=[callback],
                verbose=0,
            ),
        ).fit()
