"""Estimates of time and price: the arithmetic by hand, and one real measurement."""

import json
from pathlib import Path

import pytest
from repository import ROOT

from ablations import Grid, Study
from esbn_core.config import TrialConfig
from esbn_core.errors import ConfigError
from esbn_core.objects import glyphs
from esbn_core.speed import Speed, measure_speed
from study.cluster.config_file import read_machine_types
from study.monitoring import cost
from study.planning.plan import PlannedTrial, plan

CLUSTER = ROOT / "cluster.yaml"


def trials(*arms: dict[str, object], withheld: tuple[int, ...] = (95,), seeds: int = 1) -> list[PlannedTrial]:
    grid = Grid(arms=arms, conditions={"distribution_of_three": withheld}, seeds=seeds)
    return plan(Study(name="any", question="?", grids=[grid]))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cost.cache_file()


@pytest.fixture
def known_speeds(cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Speeds by the number of objects to train on, in place of measured ones; lists what was asked for."""
    asked: list[tuple[str, int]] = []

    def of(self: object, kind: TrialConfig, pool: int, number: str) -> Speed:
        asked.append((kind.model.name, pool))
        return Speed(0.01 * pool, 0.001)

    monkeypatch.setattr(cost._Speeds, "of", of)
    return asked


def ignore(line: str) -> None:
    pass


@pytest.mark.usefixtures("known_speeds")
def test_estimate_adds_up_updates_and_tests_of_all_seeds() -> None:
    found = cost.estimate(trials({}, seeds=3), glyphs(), ignore)
    assert found.seconds == pytest.approx(3 * (1_800 * 0.05 + 10_000 * 0.001))  # Table 6: 150 epochs of 12 batches
    assert found.by_model == {"esbn": (pytest.approx(0.05), 5_400)}


def test_estimate_measures_the_ends_and_draws_a_line_between(known_speeds: list[tuple[str, int]]) -> None:
    found = cost.estimate(trials({}, withheld=(50, 85, 95)), glyphs(), ignore)
    assert sorted(known_speeds) == [("esbn", 5), ("esbn", 50)]
    training = 15_650 * 0.5 + 15_650 * 0.15 + 1_800 * 0.05
    assert found.seconds == pytest.approx(training + 3 * 10_000 * 0.001)


def test_estimate_measures_arms_once_that_differ_in_training_only(known_speeds: list[tuple[str, int]]) -> None:
    cost.estimate(trials({}, {"tcn": "none"}, {"updates": 7}, {"model": "rn"}), glyphs(), ignore)
    assert known_speeds == [("esbn", 5), ("rn", 5)]


def test_measured_speed_is_kept_and_not_measured_again(cache: Path) -> None:
    told: list[str] = []
    small = trials({"model": "corelnet", "encoder": "random"})
    first = cost.estimate(small, glyphs(), told.append)
    assert len(told) == 1
    assert first.seconds > 0
    (entry,) = json.loads(cache.read_text()).values()
    assert entry["about"]["machine"] == cost.hardware() == first.hardware
    assert cost.estimate(small, glyphs(), told.append) == first
    assert len(told) == 1


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "{",
            "[]",
            "1",
            '{"a": 1}',
            '{"a": {"speed": [1, 2]}}',
            '{"a": {"speed": [1], "measured_at": "2026-01-01"}}',
        ),
        *('{"a": {"speed": [1, 2], "measured_at": "now"}}', "[" * 100_000, '{"a":' * 100_000, "9" * 5_000),
    ],
    ids=lambda text: text[:50],
)
def test_kept_speeds_that_are_none_are_refused(cache: Path, text: str) -> None:
    cache.parent.mkdir()
    cache.write_text(text)
    with pytest.raises(ConfigError, match="speeds.json' does not hold what was measured; delete it to measure again"):
        cost.estimate(trials({}), glyphs(), ignore)


def test_speeds_that_cannot_be_kept_name_another_place(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.parent.write_text("in the way")
    monkeypatch.setattr(cost._Speeds, "_measured", lambda self, config: Speed(0.01, 0.001))
    with pytest.raises(ConfigError, match="cannot be written: .*; name another folder with XDG_CACHE_HOME"):
        cost.estimate(trials({}), glyphs(), ignore)


def test_measured_speed_grows_with_the_batch() -> None:
    (trial,) = trials({"model": "rn", "encoder": "random"})
    images = glyphs().scale()
    small, large = (measure_speed(trial.config.with_(batch_size=size), images) for size in (4, 64))
    assert large.update_seconds > 2 * small.update_seconds > 0
    assert small.test_seconds > 0


def test_machines_of_our_cluster_all_have_a_price() -> None:
    types, n_workers = read_machine_types(CLUSTER)
    assert all(node.usd_per_hour is not None for node in types)
    assert [node.trains for node in types] == [False, True, True, True]
    assert n_workers == 8


@pytest.mark.parametrize("text", ["provider: {}", "available_node_types: {a: {node_config: {}}}", ""])
def test_machines_refuse_what_is_no_cluster_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="is not a cluster file with instance types"):
        read_machine_types(path)
