"""How often a job is tried, by what Tune says of its failures; no Ray is started."""

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from ray.exceptions import RayActorError
from ray.tune.experiment import Trial as TuneTrial
from rich.console import Console

from study.planning.packs import Pack
from study.running.progress import Progress
from study.running.retries import LOSSES, RETRIES, Retrying


class Jobs(Retrying):
    """Remembers what was decided."""

    def __init__(self) -> None:
        super().__init__(Progress([Pack(())], Console(quiet=True)))
        self.said: list[str] = []

    def try_again(self, index: int) -> None:
        self.said.append("again")

    def give_up(self, index: int, reason: str, error: Exception | None) -> None:
        self.said.append(reason)


class Trial:
    """What Tune shows of a trial of its own, with the files it writes when the trial fails."""

    def __init__(self, folder: Path):
        self._folder, self.num_failures, self.max_failures = folder, 0, RETRIES
        self._trial = cast(TuneTrial, self)
        self.config = {"index": 0}
        self.error_file, self.pickled_error_file = str(folder / "error.txt"), str(folder / "error.pkl")

    def fails(self, jobs: Jobs, error: Exception, while_reused: bool = False) -> None:
        """Tune calls one hook or the other, as its `should_recover` has it."""
        self.num_failures += 1
        with open(self.error_file, "a") as text:
            text.write(f"Failure # {self.num_failures}\n{error}\n")
        Path(self.pickled_error_file).write_bytes(pickle.dumps(error))
        recovers = not while_reused and (self.num_failures <= self.max_failures or self.max_failures < 0)
        (jobs.on_trial_recover if recovers else jobs.on_trial_error)(0, [], self._trial)


def test_error_is_tried_again_and_then_named(tmp_path: Path) -> None:
    jobs, trial = Jobs(), Trial(tmp_path)
    for _ in range(RETRIES):
        trial.fails(jobs, ValueError("upside down"))
    assert jobs.said == []
    trial.fails(jobs, ValueError("upside down"))
    assert jobs.said == ["upside down (after 3 attempts)"]


def test_deaths_do_not_count_as_errors(tmp_path: Path) -> None:
    jobs, trial = Jobs(), Trial(tmp_path)
    for _ in range(RETRIES + 1):
        trial.fails(jobs, RayActorError())
    trial.fails(jobs, ValueError("upside down"))
    assert jobs.said == []


@pytest.mark.parametrize("reused", range(LOSSES + 1))
def test_deaths_have_a_bound_also_if_one_is_of_a_reused_worker(tmp_path: Path, reused: int) -> None:
    jobs, trial = Jobs(), Trial(tmp_path)
    died = 0
    while jobs.said in ([], ["again"]):
        if jobs.said:  # which a fresh trial of Tune does
            jobs.said, trial = [], Trial(tmp_path)
        trial.fails(jobs, RayActorError(), while_reused=died == reused)
        died += 1
        assert died <= LOSSES + 2, "a fresh trial lets one more pass, since Tune asks only after it has let it"
    assert jobs.said == [f"its worker process died {died} times in a row, as when memory runs out"]


def test_deaths_are_counted_anew_once_the_job_gets_further(tmp_path: Path) -> None:
    jobs, trial = Jobs(), Trial(tmp_path)
    for update in range(3 * LOSSES):
        jobs.on_trial_result(0, [], cast(TuneTrial, SimpleNamespace(config={"index": 0})), {"update": update + 1})
        trial.fails(jobs, RayActorError())
    assert jobs.said == []
