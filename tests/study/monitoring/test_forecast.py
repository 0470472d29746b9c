"""Forecasts, by hand, with the speed of this machine put in."""

import pytest

from esbn_core.config import PAPER, TrialConfig
from esbn_core.speed import Speed
from study.monitoring import cost
from study.monitoring.forecast import _SAMPLE, forecast
from study.planning.speeds import reference_seconds

TRIALS = [PAPER.with_(task="rmts", withheld=95, seed=seed).resolve() for seed in range(3)]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts measurements; an update takes 0.1 s here, and a test problem 1 ms."""
    asked: list[int] = []

    def of(self: object, kind: TrialConfig, objects: int, number: str) -> Speed:
        asked.append(objects)
        return Speed(0.1, 0.001)

    monkeypatch.setattr(cost.Speeds, "of", of)
    return asked


def ignore(text: str) -> None: ...


def test_forecast_scales_the_reference_by_one_measurement(measured: list[int]) -> None:
    here = _SAMPLE.train.updates * 0.1 + _SAMPLE.task.n_test * 0.001
    factor = here / reference_seconds(_SAMPLE)
    predicted = forecast(TRIALS, ignore)
    assert predicted is not None
    assert predicted.process_seconds == pytest.approx(factor * sum(map(reference_seconds, TRIALS)))
    assert predicted.slots == min(cost.packs_at_once(), len(TRIALS))
    assert predicted.seconds == predicted.process_seconds / predicted.slots
    assert measured == [5]


def test_no_machine_makes_one_trial_shorter(measured: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "packs_at_once", lambda: 64)
    one, three = forecast(TRIALS[:1], ignore), forecast(TRIALS, ignore)
    assert one is not None and three is not None
    assert one.seconds == three.seconds == one.process_seconds
    assert (one.slots, three.slots) == (1, 3)


def test_short_work_is_not_measured(measured: list[int]) -> None:
    assert forecast(TRIALS, ignore, least=100 * sum(map(reference_seconds, TRIALS))) is None
    assert forecast([], ignore, least=1) is forecast([], ignore) is None
    assert measured == []
