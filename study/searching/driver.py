"""Search on Ray Tune: Optuna makes suggestions and prunes them; Tune runs, retries and stops them."""

from collections.abc import Mapping
from typing import Any

from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from rich.console import Console

from ablations import SearchSpace
from esbn_core.errors import UserError
from esbn_core.objects import Objects, glyphs
from study.planning import rows
from study.planning.packs import Suggestion
from study.running.ray_session import start_session
from study.running.resources import Resources
from study.running.retries import INDEX, Failure, MachineError, Retrying, reporting_errors
from study.running.run_context import RunContext
from study.searching.progress import SearchProgress
from study.searching.suggestions import Suggestions
from study.store.errors import StoreError
from study.store.lease import lease
from study.store.names import lease_of_search
from study.store.provenance import provenance
from study.store.store import Store


def search(
    space: SearchSpace,
    store: Store,
    resources: Resources,
    console: Console,
    *,
    sampler: str = "tpe",
    pruner: str = "asha",
) -> Suggestions:
    """Makes and trains the missing suggestions of a search; results go to the store as each suggestion ends.

    Returns:
        The search with all its suggestions; `Suggestions.best` is the best one.
    Raises:
        ConfigError: the store has another search of this name, or this machine lacks the requested `resources`.
        RunError: Ray or Tune stopped and cannot continue; repeating the call continues.
        LeaseError: another driver runs this search.
        StoreError: the store cannot be read or written; repeating the call continues once it can.
    """
    objects = glyphs()
    store.prepare()
    rows.write_objects(store, objects)
    with lease(store, [lease_of_search(space.name)]) as held:
        shared = {"images_hash": objects.digest(), **provenance()}
        suggestions = Suggestions(space, store, sampler, pruner, shared)
        if not suggestions.exhausted:
            _train(suggestions, objects, held, resources, console)
    return suggestions


def _train(suggestions: Suggestions, objects: Objects, held: str, resources: Resources, console: Console) -> None:
    """Trains suggestions until all have ended; `held` is the lease of the search."""
    store, space = suggestions.store, suggestions.space
    session = start_session(resources, space.suggestions, store, held, objects, console)
    left = len(suggestions.waiting) + max(0, space.suggestions - len(suggestions.rows))
    console.print(f"{left} suggestions of {space.seeds} networks each to train, {session.slots.n} at a time")
    with SearchProgress(suggestions, console) as progress:
        driver = _Driver(suggestions, progress)
        while not driver.finished:
            session.run(
                _trainable,
                {"context": session.context},
                driver,
                search_alg=_Source(driver),
                scheduler=_Pruner(driver),
                num_samples=-1,
                # a cluster can grow; Tune asks for one suggestion more than there is room for
                max_concurrent_trials=None if resources.address else session.slots.n,
            )
    if driver.unwritten:
        raise driver.unwritten


def _trainable(config: Mapping[str, Any], context: RunContext) -> None:
    from study.searching.worker import run_suggestion

    reporting_errors(run_suggestion, context, config["suggestion"])


class _Driver(Retrying):
    """Passes Tune's events to the suggestions, until the store cannot be written."""

    def __init__(self, suggestions: Suggestions, progress: SearchProgress):
        super().__init__(progress)
        self.suggestions = suggestions
        self._given_out: set[int] = set()
        self.unwritten: UserError | None = None
        """Why a row could not be written; the next driver recovers its content from the store."""

    @property
    def finished(self) -> bool:
        """Whether no more suggestions will be started."""
        return self.unwritten is not None or self.suggestions.exhausted

    def take_next(self) -> Suggestion | None:
        """Returns a suggestion to train; None if there is none now."""
        if self.unwritten:
            return None
        try:
            suggestion = self.suggestions.take_next()
        except StoreError as error:
            self.unwritten = error
            return None
        if suggestion is not None:
            self._given_out.add(suggestion.number)
        return suggestion

    def take_report(self, number: int, report: Mapping[str, Any]) -> bool:
        """Takes a worker's report; returns whether to stop the suggestion."""
        try:
            if "status" in report:
                self.suggestions.take_end(number)
            elif "rungs" in report and self.suggestions.report_rungs(number, report["rungs"]):
                self.suggestions.prune(number)
                return True
        except StoreError as error:
            self.unwritten = error
        return self.unwritten is not None

    def try_again(self, index: int) -> None:
        self._given_out.discard(index)
        self.suggestions.put_back(index)

    def take_back(self) -> None:
        for index in sorted(self._given_out - self.ended, reverse=True):
            self.try_again(index)

    def give_up(self, index: int, failure: Failure) -> None:
        try:
            if failure.of_store:
                raise StoreError(failure.reason)
            if failure.of_machine:
                raise MachineError(failure.reason)
            self.suggestions.give_up(index, failure.reason)
        except (StoreError, MachineError) as error:
            self.unwritten = error
        self._progress.ended(index, failure.reason)


class _Source(Searcher):
    """Tune's source of suggestions."""

    def __init__(self, driver: _Driver):
        super().__init__()
        self._driver = driver

    def suggest(self, trial_id: str) -> Any:
        suggestion = self._driver.take_next()
        if suggestion is not None:
            return {INDEX: suggestion.number, "suggestion": suggestion}
        return Searcher.FINISHED if self._driver.finished else None

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        pass  # the scheduler has handled it

    def save(self, checkpoint_path: str) -> None:
        open(checkpoint_path, "wb").close()  # for Tune's restore, which never happens


class _Pruner(FIFOScheduler):
    """Stops suggestions that Optuna's pruner rejects."""

    def __init__(self, driver: _Driver):
        super().__init__()
        self._driver = driver

    def on_trial_result(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> str:
        stop = self._driver.take_report(trial.config[INDEX], result)
        return TrialScheduler.STOP if stop else TrialScheduler.CONTINUE
