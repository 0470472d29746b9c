"""Estimates of the time left, on a clock set by hand."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from ablations import Grid, Study
from study.planning.packs import Pack
from study.planning.plan import plan
from study.running import progress
from study.running.progress import Display, Progress, duration
from study.searching.progress import SearchProgress
from study.searching.suggestions import Suggestions

SILENT = Console(quiet=True)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def packs() -> list[Pack]:
    """Four packs of one network each, of 100 updates."""
    grid = Grid(arms=[{"updates": 100}], conditions={"rmts": (95,)}, seeds=4)
    return [Pack((trial,)) for trial in plan(Study(name="s", question="?", grids=[grid]))]


def left(display: Display) -> float | None:
    return display._seconds_left()


def test_time_left_is_that_of_what_is_left_at_the_speed_so_far(clock: SimpleNamespace, packs: list[Pack]) -> None:
    shown = Progress(packs, SILENT)
    for i in (0, 1):
        shown.started(i)
        shown.reported(i, {"update": 0})
    clock.now += 5
    assert left(shown) is None, "too early"
    clock.now += 15
    for i in (0, 1):
        shown.reported(i, {"update": 50})
    assert left(shown) == pytest.approx(60), "two of four packs are half done after 20 s"


def test_what_an_earlier_run_made_is_no_part_of_the_speed(clock: SimpleNamespace, packs: list[Pack]) -> None:
    shown = Progress(packs[:1], SILENT)
    shown.started(0)
    shown.reported(0, {"update": 80})
    clock.now += 20
    shown.reported(0, {"update": 90})
    assert left(shown) == pytest.approx(20)


def test_pack_that_is_given_up_makes_nothing_faster(clock: SimpleNamespace, packs: list[Pack]) -> None:
    shown = Progress(packs[:2], SILENT)
    for i in (0, 1):
        shown.started(i)
        shown.reported(i, {"update": 0})
    clock.now += 20
    shown.reported(0, {"update": 50})
    shown.ended(1, "ValueError: upside down")
    assert (left(shown) or 0) >= 20, "the other half of the first pack takes 20 s"


def test_pack_that_begins_again_before_its_checkpoint_counts_as_nothing(
    clock: SimpleNamespace, packs: list[Pack]
) -> None:
    shown = Progress(packs[:1], SILENT)
    shown.reported(0, {"update": 90})
    clock.now += 20
    shown.reported(0, {"update": 10})
    assert left(shown) is None


def test_resumed_search_is_estimated_from_what_it_makes_itself(clock: SimpleNamespace) -> None:
    def row(i: int, status: str = "running") -> dict[str, Any]:
        return {"suggestion": i, "status": status, "updates": 100, "same_as": None}

    rows = [row(0, "completed"), row(1)]
    shown = SearchProgress(cast(Suggestions, SimpleNamespace(rows=rows, space=SimpleNamespace(suggestions=4))), SILENT)
    shown.started(1)
    shown.reported(1, {"update": 90})
    clock.now += 20
    shown.reported(1, {"update": 95})
    assert left(shown) == pytest.approx(20 / 0.05 * 2.05), "a twentieth of a suggestion took 20 s"


@pytest.mark.parametrize(("seconds", "words"), [(59, "59s"), (60, "1m00s"), (3599.6, "1h00m"), (7260, "2h01m")])
def test_duration_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
