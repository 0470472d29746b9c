"""Retry policy: how often a pack is tried after errors, and after lost workers."""

from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ray import tune
from ray.tune.experiment import Trial as TuneTrial

from esbn_core.errors import UserError
from esbn_core.printable import printable
from study.running.connection import GO_ON_LATER, last_death, temporary_folder
from study.running.memory import MemoryShortageError, memory_shortage
from study.running.progress import Display
from study.store.errors import StoreError

INDEX = "index"  # setting of a Tune trial: the number of our pack or suggestion
RETRIES = 2  # of a pack that raised an error, before it counts as failed
LOSSES = 5  # workers that a pack may lose in a row without progress; after more, the pack is taken to be the cause


class Failure(NamedTuple):
    """Why a job is given up."""

    reason: str
    of_store: bool = False
    """Whether the store failed, which says nothing about the job."""
    of_machine: bool = False
    """Whether workers died before they began the job, or for lack of memory, which says nothing about it either."""


class MachineError(UserError):
    """No worker on the machine could finish a job, which stays missing; the same command trains it."""

    def __init__(self, reason: str):
        super().__init__(f"no worker could train on this machine: {reason}; {GO_ON_LATER}")


class ReportedError(Exception):
    """Ends a worker's attempt after its error was reported."""


def reporting_errors(work: Callable[..., None], *arguments: Any) -> None:
    """Does a worker's work and reports its errors to the driver as text.

    Tune stores exceptions as pickles, which run code when they are read. So Tune always sees the same exception.
    """
    tune.report({})  # a worker that dies before this line died at startup
    try:
        work(*arguments, tune.report)
    except Exception as error:
        lines = f"{type(error).__name__}: {error}".strip().splitlines()
        tune.report({"error": printable(lines[0].strip()), "of_store": isinstance(error, StoreError)})
        raise ReportedError from None


@dataclass
class _Attempts:
    """Errors and lost workers of a pack so far."""

    errors: int = 0
    losses: int = 0
    """Workers lost since the pack last made new progress."""
    furthest: int = 0
    begun: bool = False
    """Whether a worker has reported anything."""
    reported: Failure | None = None
    """Error that the worker has reported and that is ending its attempt."""

    def count(self, preempted: bool) -> Failure | None:
        """Counts the end of an attempt as an error, if its worker reported one (returned), or else as a lost worker."""
        error, self.reported = self.reported, None
        if error is not None:
            self.errors += 1
        elif not preempted:  # a preempted machine says nothing about the pack
            self.losses += 1
        return error

    def over(self) -> bool:
        return self.errors > RETRIES or self.losses > LOSSES


class Retrying(tune.Callback):
    """Decides how often a pack is tried, and passes Tune's events to the display.

    Tune counts failures of all kinds together, so its limit is reset from our own counts after each failure.
    """

    def __init__(self, progress: Display) -> None:
        self._progress = progress
        self._attempts: dict[int, _Attempts] = {}
        self.begun = False
        """Whether any worker has started."""
        self._failures: dict[str, int] = {}
        self.ended: set[int] = set()
        """Packs that have ended or were given up."""

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks for a restore that never happens; a terminal cannot be pickled

    @abstractmethod
    def try_again(self, index: int) -> None:
        """Takes back a pack that Tune gave up too early: Tune does not retry a worker that dies while being reused."""

    @abstractmethod
    def take_back(self) -> None:
        """Takes back all packs that have not ended, after Tune has stopped early."""

    @abstractmethod
    def give_up(self, index: int, failure: Failure) -> None:
        """Ends a pack that is given up."""

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        self.begun = True
        self._progress.started(trial.config[INDEX])

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **info: Any
    ) -> None:
        attempts, update = self._of(trial), result.get("update", 0)
        attempts.begun = True
        if "error" in result:
            attempts.reported = Failure(result["error"], result["of_store"])
        if update > attempts.furthest:
            attempts.furthest, attempts.losses = update, 0
        self._progress.reported(trial.config[INDEX], result)

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        self.ended.add(trial.config[INDEX])
        self._progress.ended(trial.config[INDEX])

    def on_trial_recover(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """Counts a failure after which Tune tries the pack again."""
        attempts = self._of(trial)
        attempts.count(self._preempted(trial))
        left = 0 if attempts.losses >= LOSSES else max(0, RETRIES - attempts.errors)
        trial.max_failures = trial.num_failures + left
        self._progress.lost(trial.config[INDEX])
        self._stop_if_short_of_memory(trial)

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """Takes back a pack that Tune has given up, or gives it up if it has failed too often."""
        index, attempts = trial.config[INDEX], self._of(trial)
        error = attempts.count(self._preempted(trial))
        if not attempts.over():
            self._progress.lost(index)
            self.try_again(index)
            self._stop_if_short_of_memory(trial)
            return
        self.ended.add(index)
        if error is not None:
            self.give_up(index, error._replace(reason=f"{error.reason} (after {attempts.errors} attempts)"))
        else:
            self.give_up(index, self._loss(trial))

    def _loss(self, trial: TuneTrial) -> Failure:
        """Says why a pack that has lost all its workers is given up."""
        attempts, said = self._of(trial), _last_failure(trial)
        shortage = memory_shortage(said)
        died_early = "" if attempts.begun else last_death()
        last_line = said.strip().rpartition("\n")[2].strip()
        cause = shortage or died_early or last_line or "unknown, as Tune wrote no error file"
        why = f"it lost {attempts.losses} workers in a row, the last by: {cause}"
        return Failure(why, of_machine=not attempts.begun or shortage is not None)

    def _stop_if_short_of_memory(self, trial: TuneTrial) -> None:
        """Stops all jobs of a local run if memory has run out again; on a cluster, jobs move to other machines."""
        if temporary_folder() and self._of(trial).losses > 1 and (shortage := memory_shortage(_last_failure(trial))):
            raise MemoryShortageError(shortage)

    def _of(self, trial: TuneTrial) -> _Attempts:
        return self._attempts.setdefault(trial.config[INDEX], _Attempts())

    def _preempted(self, trial: TuneTrial) -> bool:
        """Returns whether Tune ignored the failure, as it does for preempted machines."""
        before = self._failures.get(trial.trial_id, 0)
        self._failures[trial.trial_id] = trial.num_failures
        return trial.num_failures == before


def _last_failure(trial: TuneTrial) -> str:
    """Returns Tune's record of a trial's last failure, as text from Ray."""
    with suppress(OSError):
        return Path(str(trial.error_file)).read_text().rpartition("Failure # ")[2]
    return ""
