"""Runs packs on Ray Tune, of which study/running/ray_session.py says how it is used."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayError
from rich.console import Console

from esbn_core.errors import ConfigError
from esbn_core.objects import Objects
from study.planning import rows
from study.planning.completion import state
from study.planning.plan import Pack, PlannedTrial, pack
from study.running.progress import Progress
from study.running.ray_session import JOB, Resources, Retrying, Slots, connect, find_slots, fit, refuse_private_disks
from study.running.run_context import PACK_ON_CPU, PACK_ON_GPU, Job
from study.store.errors import StoreError
from study.store.provenance import provenance
from study.store.store import Store


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
    connect(resources, (trial.config.model for trial in wanted))
    slots = find_slots(resources, len(wanted))
    refuse_private_disks(store, lease)
    largest = resources.largest_pack or (PACK_ON_GPU if slots.gpus else PACK_ON_CPU)
    if largest == "auto":
        largest = _measured_pack(wanted, objects, slots)
    packs = pack(wanted, todo, n_slots=slots.n, largest=largest, begun=begun)
    job = Job(store.uri, lease, objects, provenance(), slots.device, slots.threads, resources.checkpoint_seconds)
    console.print(f"{sum(len(p.trials) for p in packs)} trials in {len(packs)} packs, {slots.n} at a time")
    with Progress(packs, console) as progress:
        callback = _Callback(packs, job, store, progress)
        while left := callback.take():
            trainable = tune.with_parameters(_trainable, packs=packs, job=job)
            fit(trainable, slots, callback, param_space={JOB: tune.grid_search(left)})
    if callback.unwritten:
        raise callback.unwritten


def _measured_pack(wanted: Sequence[PlannedTrial], objects: Objects, slots: Slots) -> int:
    """Measures on a worker how many networks of the costliest variant are best trained together."""
    costliest = max(wanted, key=lambda trial: trial.cost).config
    n_seeds = sum(replace(trial.config, seed=costliest.seed) == costliest for trial in wanted)

    @ray.remote(num_cpus=slots.threads, num_gpus=slots.gpus)
    def measured() -> int:
        from esbn_core.speed import best_pack

        return best_pack(costliest, objects.scale(), n_seeds, threads=slots.threads, device=slots.device)

    try:
        return ray.get(measured.options(max_retries=0).remote())
    except RayError as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"--pack auto could not be measured ({reason}); name a number with --pack") from None


def _trainable(config: dict[str, Any], packs: list[Pack], job: Job) -> None:
    from study.running.worker import run_pack

    run_pack(job, packs[config[JOB]], tune.report)


class _Callback(Retrying):
    """Writes the rows of packs that are tried no more."""

    def __init__(self, packs: Sequence[Pack], job: Job, store: Store, progress: Progress):
        super().__init__(progress)
        self._packs, self._job, self._store = packs, job, store
        self._left = list(range(len(packs)))
        self.unwritten: StoreError | None = None
        """Why the rows of a failed pack could not be written; the pack is missing then, and trained again."""

    def take(self) -> list[int]:
        """Numbers of the packs to train now."""
        left, self._left = self._left, []
        return left

    def again(self, job: int) -> None:
        self._left.append(job)

    def gave_up(self, job: int, reason: str) -> None:
        try:
            now = state(self._packs[job].trials, self._store)
            for planned in (*now.missing, *now.failed):
                rows.write_failure(self._store, planned, reason, **self._job.shared())
        except StoreError as error:
            self.unwritten = error
        self._progress.ended(job, reason)
