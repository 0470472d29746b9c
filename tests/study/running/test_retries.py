"""How often a job is tried, by what Tune and the workers say of its failures; no Ray is started."""

from pathlib import Path
from typing import cast

import pytest
from ray import tune
from ray.tune.experiment import Trial as TuneTrial
from rich.console import Console

from study.planning.packs import Pack
from study.running.progress import Progress
from study.running.retries import LOSSES, RETRIES, Failure, ReportedError, Retrying, reporting_errors


class Jobs(Retrying):
    """Remembers what was decided."""

    def __init__(self) -> None:
        super().__init__(Progress([Pack(())], Console(quiet=True)))
        self.said: list[str] = []

    def try_again(self, index: int) -> None:
        self.said.append("again")

    def take_back(self) -> None:
        pass

    def give_up(self, index: int, failure: Failure) -> None:
        self.said.append(f"{failure.reason}{' (store)' if failure.of_store else ''}")


class Trial:
    """What Tune shows of a trial of its own, with the file it writes when the trial fails."""

    def __init__(self, folder: Path):
        self.num_failures, self.max_failures = 0, RETRIES
        self._trial = cast(TuneTrial, self)
        self.config, self.trial_id = {"index": 0}, str(id(self))
        self.error_file = str(folder / "error.txt")

    def reports(self, jobs: Jobs, **result: object) -> None:
        jobs.on_trial_result(0, [], self._trial, result)

    def raises(self, jobs: Jobs, of_store: bool = False) -> None:
        """Tune gets an error which the worker has reported."""
        self.reports(jobs, error="ValueError: upside down", of_store=of_store)
        self.fails(jobs, "what Tune wrote")

    def fails(self, jobs: Jobs, text: str = "", while_reused: bool = False, preempted: bool = False) -> None:
        """Tune calls one hook or the other, as its `should_recover` has it."""
        self.num_failures += not preempted
        with open(self.error_file, "a") as file:
            file.write(f"Failure # {self.num_failures}\n{text}\n")
        recovers = not while_reused and (self.num_failures <= self.max_failures or self.max_failures < 0)
        (jobs.on_trial_recover if recovers else jobs.on_trial_error)(0, [], self._trial)


@pytest.mark.parametrize("of_store", [False, True])
def test_error_is_tried_again_and_then_named(tmp_path: Path, of_store: bool) -> None:
    jobs, trial = Jobs(), Trial(tmp_path)
    for _ in range(RETRIES):
        trial.raises(jobs, of_store)
    assert jobs.said == [] and jobs.ended == set()
    trial.raises(jobs, of_store)
    assert jobs.said == [f"ValueError: upside down (after 3 attempts){' (store)' if of_store else ''}"]
    assert jobs.ended == {0}


def test_deaths_do_not_count_as_errors(tmp_path: Path) -> None:
    jobs, trial = Jobs(), Trial(tmp_path)
    for _ in range(RETRIES + 1):
        trial.fails(jobs)
    trial.raises(jobs)
    assert jobs.said == []


def test_machines_that_are_taken_back_count_as_nothing(tmp_path: Path) -> None:
    jobs, trial = Jobs(), Trial(tmp_path)
    for _ in range(3 * LOSSES):
        trial.fails(jobs, preempted=True)
    for _ in range(LOSSES):
        trial.fails(jobs)
    assert jobs.said == []


@pytest.mark.parametrize("reused", range(LOSSES + 1))
def test_deaths_have_a_bound_also_if_one_is_of_a_reused_worker(tmp_path: Path, reused: int) -> None:
    jobs, trial = Jobs(), Trial(tmp_path)
    died = 0
    while jobs.said in ([], ["again"]):
        if jobs.said:  # which a fresh trial of Tune does
            jobs.said, trial = [], Trial(tmp_path)
        trial.fails(jobs, "The actor died.\nIts process was killed.", while_reused=died == reused)
        died += 1
        assert died <= LOSSES + 2, "a fresh trial lets one more pass, since Tune asks only after it has let it"
    assert jobs.said == [f"it lost {died} workers in a row, the last by: Its process was killed."]
    assert jobs.ended == {0}


def test_deaths_are_counted_anew_once_the_job_gets_further(tmp_path: Path) -> None:
    jobs, trial = Jobs(), Trial(tmp_path)
    for update in range(3 * LOSSES):
        trial.reports(jobs, update=update + 1)
        trial.fails(jobs)
    assert jobs.said == []


def test_error_of_a_worker_is_reported_without_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[dict[str, object]] = []
    monkeypatch.setattr(tune, "report", reports.append)

    def work(report: object) -> None:
        raise RuntimeError("\x1b[31mred\x07")

    with pytest.raises(ReportedError):
        reporting_errors(work)
    assert reports == [{}, {"error": r"RuntimeError: \x1b[31mred\x07", "of_store": False}]
