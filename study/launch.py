"""Runs packs on Ray Tune. The store is the state: Tune schedules and retries, and its own snapshots are thrown away."""

import logging
import math
import os
import sys
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import ray
from ray import tune
from ray.cloudpickle import register_pickle_by_value
from ray.exceptions import RayActorError, RayError
from ray.tune.experiment import Trial as TuneTrial
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from rich.console import Console

from esbn_core.errors import ConfigError
from esbn_core.objects import Objects
from esbn_core.speed import best_pack
from study import rows
from study.plan import Pack, PlannedTrial, pack
from study.progress import Progress
from study.provenance import provenance
from study.state import state
from study.store import Store, StoreError
from study.worker import MEMORY_SETTINGS, PACK_ON_CPU, PACK_ON_GPU, Job, private, run_pack, shares

MOST_THREADS = 4  # for a pack, by default; more gain nothing
RETRIES = 2  # of a pack that raised an error, before its trials count as failed
LOSSES = 5  # workers that a pack may lose in a row without getting further; more, and it is what kills them


@dataclass(frozen=True)
class Resources:
    """What a run may use.

    Attributes:
        address: of a Ray cluster; None starts Ray on this machine.
        gpus_per_trial: GPUs, or a fraction of one, for every pack; None: one if Ray has any.
        threads: CPU threads for every pack; None: as many as leave no core idle, at most `MOST_THREADS`.
        largest_pack: most networks trained together; None: what suits the device; auto: measured first.
        checkpoint_seconds: time between two checkpoints of a pack.
    """

    address: str | None = None
    gpus_per_trial: float | None = None
    threads: int | None = None
    largest_pack: int | Literal["auto"] | None = None
    checkpoint_seconds: float = 60.0

    def __post_init__(self) -> None:
        for name in ("gpus_per_trial", "checkpoint_seconds"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ConfigError(f"{name}={value} must be a number of at least 0")


def launch(
    wanted: Sequence[PlannedTrial],
    todo: Collection[str],
    begun: Sequence[Sequence[PlannedTrial]],
    objects: Objects,
    store: Store,
    lease: str,
    resources: Resources,
    console: Console,
) -> None:
    """Trains the trials of `wanted` whose ids are in `todo`; results go to the store as each pack ends.

    Raises:
        ConfigError: this machine or cluster cannot do what `resources` ask, or does not share the store.
        StoreError: rows of failed trials could not be written.
    """
    _connect(resources)
    for module in {type(trial.config.model).__module__ for trial in wanted if ":" in trial.config.model.name}:
        register_pickle_by_value(sys.modules[module])  # a model of the user's own, which no worker could import
    try:
        threads = resources.threads or _threads(len(wanted))
        _refuse_private_disks(store, lease)
        gpus, n_slots = _slots(resources, threads)
        device, per_pack = "cuda" if gpus else "cpu", {"cpu": threads, "gpu": gpus}
        largest = resources.largest_pack or (PACK_ON_GPU if gpus else PACK_ON_CPU)
        if largest == "auto":
            largest = _measured_pack(wanted, objects, device, threads, per_pack)
        packs = pack(wanted, todo, n_slots=n_slots, largest=largest, begun=begun)
        job = Job(store.uri, lease, objects, provenance(), device, threads, resources.checkpoint_seconds)
        console.print(f"{sum(len(p.trials) for p in packs)} trials in {len(packs)} packs, {n_slots} at a time")
        with Progress(packs, console) as progress:
            callback = _Callback(packs, job, progress)
            left = list(range(len(packs)))
            while left:
                left = _tune(packs, left, job, per_pack, callback)
        if callback.unwritten:
            raise callback.unwritten
    finally:
        ray.shutdown()


def _connect(resources: Resources) -> None:
    quiet = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AIR_NEW_OUTPUT": "0",  # no banner of Tune's own
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the store has it all
        "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends the run at once; checkpoints are there already
        **MEMORY_SETTINGS,
    }
    for name, value in quiet.items():
        os.environ.setdefault(name, value)
    local = {} if resources.address else {"include_dashboard": False, "object_store_memory": 256 * 2**20}
    try:
        ray.init(address=resources.address or "local", log_to_driver=False, logging_level=logging.ERROR, **local)
    except ConnectionError as error:
        raise ConfigError(f"address={resources.address!r} is no Ray cluster one can connect to: {error}") from None
    logging.getLogger("ray").setLevel(logging.CRITICAL)  # why a pack failed is in its rows, and said once


def _threads(n_trials: int) -> int:
    """Threads for each pack where there are fewer trials than cores; the same however many of them are done."""
    largest = max(node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"])
    spare = int(ray.cluster_resources().get("CPU", 0)) // n_trials
    return max(1, min(MOST_THREADS, spare, int(largest)))  # a pack cannot have cores of two machines


def _measured_pack(
    wanted: Sequence[PlannedTrial], objects: Objects, device: str, threads: int, per_pack: dict[str, float]
) -> int:
    """Measures on a worker how many networks of the costliest variant are best trained together."""
    costliest = max(wanted, key=lambda trial: trial.cost).config
    n_seeds = sum(replace(trial.config, seed=costliest.seed) == costliest for trial in wanted)
    images = objects.scale()

    @ray.remote(num_cpus=per_pack["cpu"], num_gpus=per_pack["gpu"])
    def measured() -> int:
        return best_pack(costliest, images, n_seeds, threads=threads, device=device)

    return ray.get(measured.remote())


def _refuse_private_disks(store: Store, lease: str) -> None:
    """Asks every machine of the cluster whether it sees the lease; one that joins later is asked by its first pack."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    if not store.local or len(nodes) == 1:
        return
    ask = ray.remote(num_cpus=0, max_retries=0)(shares)
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        try:
            seen = ray.get(ask.options(scheduling_strategy=there).remote(store.uri, lease))
        except RayError:
            continue  # it has just left
        if not seen:
            raise ConfigError(private(store.uri, f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"))


def _slots(resources: Resources, threads: int) -> tuple[float, int]:
    """GPUs of each pack, and how many packs fit into the cluster as it is.

    Raises:
        ConfigError: this machine can never have what a pack asks for. A cluster may yet grow, so it is not asked.
    """
    have = ray.cluster_resources()
    gpus = resources.gpus_per_trial
    if gpus is None:
        gpus = 1.0 if have.get("GPU") else 0.0
    for name, wanted, kind in (("threads", threads, "CPU"), ("gpus_per_trial", gpus, "GPU")):
        if resources.address is None and wanted > have.get(kind, 0):
            raise ConfigError(f"{name}={wanted} is more than the {have.get(kind, 0):.0f} {kind}s of this machine")
    if resources.gpus_per_trial is None and not gpus and have.get("CPU", 0) < threads:
        raise ConfigError(
            "the cluster has no CPUs for packs yet; ask for its GPUs with --gpus-per-trial 1, or for CPUs with 0"
        )
    by_cpu = have.get("CPU", 0) // threads
    return gpus, max(1, int(min(by_cpu, have.get("GPU", 0) // gpus) if gpus else by_cpu))


def _tune(
    packs: Sequence[Pack], left: Sequence[int], job: Job, per_pack: dict[str, float], callback: "_Callback"
) -> list[int]:
    """Runs the packs with these numbers and returns the numbers of those that are to be run again."""
    callback.again = []
    trainable = tune.with_parameters(_trainable, packs=list(packs), job=job)
    with tempfile.TemporaryDirectory(prefix="esbn-tune-", ignore_cleanup_errors=True) as scratch:
        tune.Tuner(
            tune.with_resources(trainable, per_pack),
            param_space={"pack": tune.grid_search(list(left))},
            tune_config=tune.TuneConfig(reuse_actors=True),
            run_config=tune.RunConfig(
                name="packs",
                storage_path=scratch,
                failure_config=tune.FailureConfig(max_failures=RETRIES),
                callbacks=[callback],
                verbose=0,
            ),
        ).fit()
    return callback.again


def _trainable(config: dict[str, Any], packs: list[Pack], job: Job) -> None:
    run_pack(job, packs[config["pack"]], tune.report)


@dataclass
class _Attempts:
    """What has gone wrong with a pack so far."""

    errors: int = 0
    losses: int = 0
    """Workers lost since the pack last got further than ever before."""
    furthest: int = 0

    def count(self, error: Exception | None) -> None:
        """Counts a failure as Tune reports it: a dead worker or machine by `RayActorError`, all else is an error."""
        if not isinstance(error, RayActorError):
            self.errors += 1
        elif not error.preempted:  # a machine that was taken back says nothing about the pack
            self.losses += 1

    def over(self) -> bool:
        return self.errors > RETRIES or self.losses > LOSSES


class _Callback(tune.Callback):
    """Tells the progress display what Tune sees, and decides how often a pack is tried.

    Tune counts failures of all kinds together, so after each the number it allows is set anew from our own counts.
    """

    def __init__(self, packs: Sequence[Pack], job: Job, progress: Progress):
        self._packs, self._job, self._progress = packs, job, progress
        self._store = Store(job.results)
        self._attempts = [_Attempts() for _ in packs]
        self.again: list[int] = []
        """Packs that Tune gave up too early: it retries no worker that dies while it is being reused."""
        self.unwritten: StoreError | None = None
        """Why the rows of a failed pack could not be written; the pack is missing then, and trained again."""

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks for a restore that is never made; a terminal cannot be pickled

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        self._progress.started(trial.config["pack"])

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **info: Any
    ) -> None:
        i = trial.config["pack"]
        attempts, update = self._attempts[i], result.get("update", 0)
        if update > attempts.furthest:
            attempts.furthest, attempts.losses = update, 0
        self._progress.reported(i, result)

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        self._progress.ended(trial.config["pack"])

    def on_trial_recover(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        i = trial.config["pack"]
        attempts = self._attempts[i]
        attempts.count(trial.get_pickled_error())
        left = 0 if attempts.losses == LOSSES else RETRIES - attempts.errors
        trial.max_failures = trial.num_failures + left
        self._progress.lost(i)

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        i = trial.config["pack"]
        attempts = self._attempts[i]
        attempts.count(trial.get_pickled_error())
        if not attempts.over():
            self.again.append(i)
            self._progress.lost(i)
            return
        if attempts.errors > RETRIES:
            lines = str(trial.get_error() or "unknown error").strip().splitlines()
            reason = f"{lines[-1].strip()} (after {attempts.errors} attempts)"
        else:
            reason = f"its worker process died {attempts.losses} times in a row, as when memory runs out"
        try:
            now = state(self._packs[i].trials, self._store)
            for planned in (*now.missing, *now.failed):
                rows.write_failure(self._store, planned, reason, **self._job.shared())
        except StoreError as error:
            self.unwritten = error
        self._progress.ended(i, reason)
