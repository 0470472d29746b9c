"""Runs a search on Ray Tune: Tune gives suggestions to workers, retries them and stops them; Optuna decides which."""

from collections.abc import Mapping
from typing import Any

from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from rich.console import Console

from ablations import SearchSpace
from esbn_core.objects import Objects, glyphs
from study.planning import rows
from study.planning.plan import Suggestion
from study.running.ray_session import JOB, Resources, Retrying, connect, find_slots, fit, refuse_private_disks
from study.running.run_context import Job
from study.searching.progress import SearchProgress
from study.searching.suggestions import Suggestions
from study.store.errors import StoreError
from study.store.lease import lease
from study.store.names import lease_of_search
from study.store.provenance import provenance
from study.store.store import Store

STORE_ERROR = f"{StoreError.__module__}.{StoreError.__name__}: "


def search(
    space: SearchSpace,
    store: Store,
    resources: Resources,
    console: Console,
    *,
    sampler: str = "tpe",
    pruner: str = "asha",
) -> Suggestions:
    """Makes and trains what is missing of a search; results go to the store as each suggestion ends.

    Returns:
        The search with all its suggestions; `Suggestions.best` is what it has found.
    Raises:
        ConfigError: the store has another search of this name, or this machine cannot do what `resources` ask.
        LeaseError: another driver runs this search.
        StoreError: the store cannot be read or written; the same call goes on once it can.
    """
    objects = glyphs()
    store.prepare()
    rows.write_objects(store, objects)
    with lease(store, [lease_of_search(space.name)]) as held:
        shared = {"images_hash": objects.digest(), **provenance()}
        suggestions = Suggestions(space, store, sampler, pruner, shared)
        if not suggestions.over:
            connect(resources, space.models())
            _run(suggestions, objects, held, resources, console)
    return suggestions


def _run(suggestions: Suggestions, objects: Objects, held: str, resources: Resources, console: Console) -> None:
    store, space = suggestions.store, suggestions.space
    slots = find_slots(resources, space.suggestions)
    refuse_private_disks(store, held)
    job = Job(store.uri, held, objects, provenance(), slots.device, slots.threads, resources.checkpoint_seconds)
    left = len(suggestions.waiting) + max(0, space.suggestions - len(suggestions.rows))
    console.print(f"{left} suggestions of {space.seeds} networks each to come, {slots.n} at a time")
    with SearchProgress(suggestions, console) as progress:
        driver = _Driver(suggestions, progress)
        while not suggestions.over and not driver.unwritten:
            fit(
                tune.with_parameters(_trainable, job=job),
                slots,
                driver,
                search_alg=_Asking(driver),
                scheduler=_Pruning(driver),
                num_samples=-1,
                # a cluster can grow; Tune asks for one suggestion more than there is room for
                max_concurrent_trials=None if resources.address else slots.n,
            )
    if driver.unwritten:
        raise driver.unwritten


def _trainable(config: Mapping[str, Any], job: Job) -> None:
    from study.running.worker import run_suggestion

    run_suggestion(job, config["suggestion"], tune.report)


class _Driver(Retrying):
    """Passes on to the suggestions what Tune sees, until the store cannot be written."""

    def __init__(self, suggestions: Suggestions, progress: SearchProgress):
        super().__init__(progress)
        self.suggestions = suggestions
        self.unwritten: StoreError | None = None
        """Why a row could not be written; what it would have said is found out again by the next driver."""

    def next(self) -> Suggestion | None:
        """A suggestion to train; None if there is none now."""
        if self.unwritten:
            return None
        try:
            return self.suggestions.next()
        except StoreError as error:
            self.unwritten = error
            return None

    @property
    def over(self) -> bool:
        """Whether no suggestion is to be begun any more."""
        return self.unwritten is not None or self.suggestions.over

    def stops(self, number: int, report: Mapping[str, Any]) -> bool:
        """Takes what a worker reports; whether the suggestion is to be stopped there."""
        try:
            if "status" in report:
                self.suggestions.ended(number)
            elif "rungs" in report and self.suggestions.reached(number, report["rungs"]):
                self.suggestions.prune(number)
                return True
        except StoreError as error:
            self.unwritten = error
            return True
        return self.unwritten is not None

    def again(self, job: int) -> None:
        self.suggestions.again(job)

    def gave_up(self, job: int, reason: str) -> None:
        try:
            if reason.startswith(STORE_ERROR):  # which says nothing about the suggestion
                raise StoreError(reason.removeprefix(STORE_ERROR))
            self.suggestions.give_up(job, reason)
        except StoreError as error:
            self.unwritten = error
        self._progress.ended(job, reason)


class _Asking(Searcher):
    """Tune's source of suggestions."""

    def __init__(self, driver: _Driver):
        super().__init__()
        self._driver = driver

    def suggest(self, trial_id: str) -> Any:
        suggestion = self._driver.next()
        if suggestion is not None:
            return {JOB: suggestion.number, "suggestion": suggestion}
        return Searcher.FINISHED if self._driver.over else None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        pass  # the scheduler has told

    def save(self, checkpoint_path: str) -> None:
        open(checkpoint_path, "wb").close()  # for Tune's restore, which is never made


class _Pruning(FIFOScheduler):
    """Stops a suggestion where Optuna's pruner says so."""

    def __init__(self, driver: _Driver):
        super().__init__()
        self._driver = driver

    def on_trial_result(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> str:
        stop = self._driver.stops(trial.config[JOB], result)
        return TrialScheduler.STOP if stop else TrialScheduler.CONTINUE
