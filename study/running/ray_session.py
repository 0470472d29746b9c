"""What every run asks of Ray: a connection, slots for its jobs, and how often a job is tried.

The store is the state: Tune schedules and retries, and its own snapshots are thrown away.
"""

import logging
import math
import os
import sys
import tempfile
from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import ray
from ray import cloudpickle, tune
from ray.cloudpickle import register_pickle_by_value
from ray.exceptions import RayActorError, RayError
from ray.tune.experiment import Trial as TuneTrial
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from esbn_core.errors import ConfigError
from esbn_core.own_model import OwnModel
from study.running.progress import Display
from study.running.run_context import MEMORY_SETTINGS, private, shares
from study.store.store import Store

MOST_THREADS = 4  # for a pack, by default; more gain nothing
RETRIES = 2  # of a job that raised an error, before it counts as failed
LOSSES = 5  # workers that a job may lose in a row without getting further; more, and it is what kills them
JOB = "job"  # the setting of a Tune trial that says which job of ours it is


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


def connect(resources: Resources, models: Iterable[Any]) -> None:
    """Connects to Ray until this process ends, and lets its workers know these models, those of the user's own too.

    Raises:
        ConfigError: there is no such cluster, or Ray does not start here.
    """
    if not ray.is_initialized():  # by the last of several searches or looks
        _init(resources)
    for module in {type(model).__module__ for model in models if isinstance(model, OwnModel)}:
        register_pickle_by_value(sys.modules[module])  # which no worker could import


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


def find_slots(resources: Resources, n_jobs: int) -> Slots:
    """Shares out what the cluster has among jobs of a process each.

    Raises:
        ConfigError: this machine can never have what a pack asks for, or it is not said what a cluster that is yet to
            grow will have.
    """
    have, threads = ray.cluster_resources(), resources.threads or _threads(n_jobs)
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
    return Slots(threads, gpus, max(1, int(min(by_cpu, have.get("GPU", 0) // gpus) if gpus else by_cpu)))


def _threads(n_jobs: int) -> int:
    """Threads for each pack where there are fewer jobs than cores; the same however many of them are done."""
    largest = max(node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"])
    spare = int(ray.cluster_resources().get("CPU", 0)) // n_jobs
    return max(1, min(MOST_THREADS, spare, int(largest)))  # a pack cannot have cores of two machines


def refuse_private_disks(store: Store, lease: str) -> None:
    """Asks every machine of the cluster whether it sees the lease; one that joins later is asked by its first pack."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    if not store.local or len(nodes) == 1:
        return

    @ray.remote(num_cpus=0, max_retries=0)
    def ask(results: str) -> bool:
        return shares(Store(results), lease)

    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        try:
            seen = ray.get(ask.options(scheduling_strategy=there).remote(store.uri))
        except RayError:
            continue  # it has just left
        if not seen:
            raise ConfigError(private(store.uri, f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"))


def fit(trainable: Callable[..., None], slots: Slots, callback: tune.Callback, **settings: Any) -> None:
    """Runs jobs on Tune until none is left; `settings` are `param_space` and those of `tune.TuneConfig`."""
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


@dataclass
class _Attempts:
    """What has gone wrong with a job so far."""

    errors: int = 0
    losses: int = 0
    """Workers lost since the job last got further than ever before."""
    furthest: int = 0

    def count(self, error: Exception | None) -> None:
        """Counts a failure as Tune reports it: a dead worker or machine by `RayActorError`, all else is an error."""
        if not isinstance(error, RayActorError):
            self.errors += 1
        elif not error.preempted:  # a machine that was taken back says nothing about the job
            self.losses += 1

    def over(self) -> bool:
        return self.errors > RETRIES or self.losses > LOSSES


def _last_error(trial: TuneTrial) -> Exception | None:
    """What a trial has just met, from the file that Tune wrote for it here, and which is deleted, so that it is not
    taken for the next error. `trial.get_pickled_error` reads a copy, which may be late: none yet, or the one before."""
    file = trial.pickled_error_file
    if file is None or not Path(file).exists():
        return None
    error = cloudpickle.loads(Path(file).read_bytes())
    Path(file).unlink()
    return error


class Retrying(tune.Callback):
    """Decides how often a job is tried, and tells the display what Tune sees.

    Tune counts failures of all kinds together, so after each the number it allows is set anew from our own counts.
    """

    def __init__(self, progress: Display) -> None:
        self._progress = progress
        self._attempts: dict[int, _Attempts] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks for a restore that is never made; a terminal cannot be pickled

    @abstractmethod
    def again(self, job: int) -> None:
        """Tune gave the job up too early: it retries no worker that dies while it is being reused."""

    @abstractmethod
    def gave_up(self, job: int, reason: str) -> None:
        """The job is tried no more."""

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        self._progress.started(trial.config[JOB])

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **info: Any
    ) -> None:
        attempts, update = self._of(trial), result.get("update", 0)
        if update > attempts.furthest:
            attempts.furthest, attempts.losses = update, 0
        self._progress.reported(trial.config[JOB], result)

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        self._progress.ended(trial.config[JOB])

    def on_trial_recover(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        attempts = self._of(trial)
        attempts.count(_last_error(trial))
        left = 0 if attempts.losses >= LOSSES else max(0, RETRIES - attempts.errors)
        trial.max_failures = trial.num_failures + left
        self._progress.lost(trial.config[JOB])

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        job, attempts = trial.config[JOB], self._of(trial)
        attempts.count(_last_error(trial))
        if not attempts.over():
            self._progress.lost(job)
            self.again(job)
        elif attempts.errors > RETRIES:
            last_line = Path(str(trial.error_file)).read_text().strip().splitlines()[-1].strip()
            self.gave_up(job, f"{last_line} (after {attempts.errors} attempts)")
        else:
            self.gave_up(job, f"its worker process died {attempts.losses} times in a row, as when memory runs out")

    def _of(self, trial: TuneTrial) -> _Attempts:
        return self._attempts.setdefault(trial.config[JOB], _Attempts())
