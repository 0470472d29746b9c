"""Launch of packs on Ray Tune, and rows for packs that are given up."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayError
from ray.tune.experiment import Trial as TuneTrial
from rich.console import Console

from esbn_core.errors import ConfigError, UserError
from esbn_core.objects import Objects
from study.planning import rows
from study.planning.completion import begun_packs, completion
from study.planning.packs import Pack, pack
from study.planning.plan import PlannedTrial
from study.planning.study_plan import StudyPlan
from study.running.progress import Progress
from study.running.ray_session import Slots, start_session
from study.running.resources import PACK_ON_CPU, PACK_ON_GPU, Resources
from study.running.retries import INDEX, Failure, MachineError, Retrying, reporting_errors
from study.running.run_context import RunContext
from study.store.compact import merge_ended
from study.store.errors import StoreError
from study.store.store import Store

MERGED_TOGETHER = 500
"""Number of finished trials whose files a run merges at a time, so that a large study reads as fast as a small one."""


def launch(
    plan: StudyPlan, todo: Collection[str], store: Store, lease: str, resources: Resources, console: Console
) -> None:
    """Trains the trials of a plan whose ids are in `todo`; results go to the store as each pack ends.

    Raises:
        ConfigError: this machine or cluster lacks the requested `resources`, or does not share the store.
        RunError: Ray or Tune stopped and cannot continue.
        StoreError: rows of failed trials could not be written.
        MachineError: workers died before they began, or the machine lacked memory for one.
    """
    begun = begun_packs(plan.trials, todo, store)
    with console.status("starting Ray"):
        session = start_session(resources, len(plan.trials), store, lease, plan.objects, console)
    slots = session.slots
    largest = resources.largest_pack or (PACK_ON_GPU if slots.gpus else PACK_ON_CPU)
    if largest == "auto":
        largest = _measured_pack(plan.trials, plan.objects, slots)
    packs = pack(plan.trials, todo, n_slots=slots.n, largest=largest, begun=begun)
    console.print(f"{sum(len(p.trials) for p in packs)} trials in {len(packs)} packs, {slots.n} at a time")
    with Progress(packs, console) as progress:
        retries = _PackRetries(packs, session.context, store, progress)
        while left := retries.left():
            parameters = {"packs": packs, "context": session.context}
            session.run(_trainable, parameters, retries, config={INDEX: tune.grid_search(left)})
    if retries.unwritten:
        raise retries.unwritten


def _measured_pack(wanted: Sequence[PlannedTrial], objects: Objects, slots: Slots) -> int:
    """Measures on a worker the best pack size for the costliest variant."""
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
        raise ConfigError(f"--pack auto could not be measured ({reason}); give a number with --pack") from None


def _trainable(config: dict[str, Any], packs: list[Pack], context: RunContext) -> None:
    from study.running.worker import run_pack

    reporting_errors(run_pack, context, packs[config[INDEX]])


class _PackRetries(Retrying):
    """Writes the rows of packs that are given up, and merges the files of packs that have ended."""

    def __init__(self, packs: Sequence[Pack], context: RunContext, store: Store, progress: Progress):
        super().__init__(progress)
        self._packs, self._context, self._store = packs, context, store
        self._unmerged: set[str] = set()
        self.unwritten: UserError | None = None
        """Why a pack was given up without rows: they could not be written, or no worker could train it."""

    def left(self) -> list[int]:
        """Returns the indices of the packs to train."""
        return [index for index in range(len(self._packs)) if index not in self.ended]

    def try_again(self, index: int) -> None:
        pass  # it is left

    def take_back(self) -> None:
        pass  # they are left

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        super().on_trial_complete(iteration, trials, trial, **info)
        self._unmerged.update(planned.trial_id for planned in self._packs[trial.config[INDEX]].trials)
        if len(self._unmerged) >= MERGED_TOGETHER:
            with suppress(StoreError):  # unmerged files read slower, but nothing is lost
                merge_ended(self._store, self._unmerged)
            self._unmerged.clear()

    def give_up(self, index: int, failure: Failure) -> None:
        try:
            if failure.of_machine:
                raise MachineError(failure.reason)
            now = completion(self._packs[index].trials, self._store)
            for planned in (*now.missing, *now.failed):
                rows.write_failure(self._store, planned, failure.reason, **self._context.shared())
        except (StoreError, MachineError) as error:
            self.unwritten = error
        self._progress.ended(index, failure.reason)
