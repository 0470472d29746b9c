"""Retry policy: how often a pack is tried after errors, and after lost workers."""

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import cloudpickle, tune
from ray.exceptions import RayActorError, RayTaskError
from ray.tune.experiment import Trial as TuneTrial

from study.running.progress import Display

INDEX = "index"  # setting of a Tune trial: the number of our pack or suggestion
RETRIES = 2  # of a pack that raised an error, before it counts as failed
LOSSES = 5  # workers that a pack may lose in a row without getting further; more, and it is what kills them


@dataclass
class _Attempts:
    """What has gone wrong with a pack so far."""

    errors: int = 0
    losses: int = 0
    """Workers lost since the pack last got further than ever before."""
    furthest: int = 0

    def count(self, error: Exception | None) -> None:
        """Counts a failure as Tune reports it: `RayActorError` is a dead worker or machine, all else is an error."""
        if not isinstance(error, RayActorError):
            self.errors += 1
        elif not error.preempted:  # a machine that was taken back says nothing about the pack
            self.losses += 1

    def over(self) -> bool:
        return self.errors > RETRIES or self.losses > LOSSES


def _last_error(trial: TuneTrial) -> Exception | None:
    """Reads what a trial has just met from the file that Tune wrote for it here, and deletes the file, so that it is
    not taken for the next error. `trial.get_pickled_error` reads a copy, which may come late.
    """
    file = trial.pickled_error_file
    if file is None or not Path(file).exists():
        return None
    error = cloudpickle.loads(Path(file).read_bytes())
    Path(file).unlink()
    return error.cause if isinstance(error, RayTaskError) else error


class Retrying(tune.Callback):
    """Decides how often a pack is tried, and tells the display what Tune sees.

    Tune counts failures of all kinds together, so after each the number it allows is set again from our own counts.
    """

    def __init__(self, progress: Display) -> None:
        self._progress = progress
        self._attempts: dict[int, _Attempts] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks for a restore that is never made; a terminal cannot be pickled

    @abstractmethod
    def try_again(self, index: int) -> None:
        """Takes back a pack that Tune gave up too early: it retries no worker that dies while it is being reused."""

    @abstractmethod
    def give_up(self, index: int, reason: str, error: Exception | None) -> None:
        """Ends a pack that is tried no more; `error` is what it met last."""

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        self._progress.started(trial.config[INDEX])

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **info: Any
    ) -> None:
        attempts, update = self._of(trial), result.get("update", 0)
        if update > attempts.furthest:
            attempts.furthest, attempts.losses = update, 0
        self._progress.reported(trial.config[INDEX], result)

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        self._progress.ended(trial.config[INDEX])

    def on_trial_recover(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        attempts = self._of(trial)
        attempts.count(_last_error(trial))
        left = 0 if attempts.losses >= LOSSES else max(0, RETRIES - attempts.errors)
        trial.max_failures = trial.num_failures + left
        self._progress.lost(trial.config[INDEX])

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        index, attempts, error = trial.config[INDEX], self._of(trial), _last_error(trial)
        attempts.count(error)
        if not attempts.over():
            self._progress.lost(index)
            self.try_again(index)
        elif attempts.errors > RETRIES:
            last_line = Path(str(trial.error_file)).read_text().strip().splitlines()[-1].strip()
            self.give_up(index, f"{last_line} (after {attempts.errors} attempts)", error)
        else:
            died = f"its worker process died {attempts.losses} times in a row, as when memory runs out"
            self.give_up(index, died, error)

    def _of(self, trial: TuneTrial) -> _Attempts:
        return self._attempts.setdefault(trial.config[INDEX], _Attempts())
