"""Estimates of time and price: the arithmetic by hand, and one real measurement."""

import io
import json
import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from repository import ROOT
from rich.console import Console

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
    file = cost.cache_file()
    assert file is not None
    return file


@pytest.fixture
def measured_speeds(monkeypatch: pytest.MonkeyPatch) -> list[TrialConfig]:
    """Configs whose speed was asked for; all are equally fast."""
    asked: list[TrialConfig] = []

    def measured(self: object, config: TrialConfig) -> Speed:
        asked.append(config)
        return Speed(0.01, 0.001)

    monkeypatch.setattr(cost.Speeds, "_measured", measured)
    return asked


@pytest.fixture
def known_speeds(cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Speeds by the number of objects to train on, in place of measured ones; lists what was asked for."""
    asked: list[tuple[str, int]] = []

    def of(self: object, kind: TrialConfig, pool: int, number: str) -> Speed:
        asked.append((kind.model.name, pool))
        return Speed(0.01 * pool, 0.001)

    monkeypatch.setattr(cost.Speeds, "of", of)
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


@pytest.mark.slow
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


WHOLE = {"speed": [0.01, 0.001], "measured_at": "2026-01-01 10:00 UTC"}


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "1", "null", '{"a": 1}', "[" * 100_000, '{"a":' * 100_000, "9" * 5_000, "\0", "\ufeff"),
        *(json.dumps({"KEY": {**WHOLE, "speed": speed}}) for speed in ([1], [1, 2, 3], [math.nan, 1], [math.inf, 1])),
        *(json.dumps({"KEY": {**WHOLE, "speed": speed}}) for speed in ([-1, 1], [[1], 1], "12a", None, [10**400, 1])),
        *(json.dumps({"KEY": {**WHOLE, "measured_at": at}}) for at in ("now", "", 5, None)),
        *(json.dumps({"KEY": {"speed": [1, 2]}}), json.dumps({"KEY": WHOLE})[:-9], json.dumps([WHOLE])),
    ],
    ids=lambda text: text[:60],
)
def test_kept_speeds_that_are_none_are_measured_again(
    cache: Path, measured_speeds: list[TrialConfig], text: str
) -> None:
    cost.estimate(trials({}), glyphs(), ignore)
    (key,) = json.loads(cache.read_text())
    cache.write_text(text.replace("KEY", key), encoding="utf-8")
    found = cost.estimate(trials({}), glyphs(), ignore)
    assert len(measured_speeds) == 2
    assert found.kept_in == cache
    assert json.loads(cache.read_text())[key]["speed"] == [0.01, 0.001]


def test_one_kept_speed_that_is_none_leaves_the_others(cache: Path, measured_speeds: list[TrialConfig]) -> None:
    cost.estimate(trials({}), glyphs(), ignore)
    cache.write_text(json.dumps({**json.loads(cache.read_text()), "torn": None}))
    cost.estimate(trials({}), glyphs(), ignore)
    assert len(measured_speeds) == 1


SPOILT: dict[str, Callable[[Path], object]] = {
    "file in place of the folder": lambda cache: cache.parent.write_text(""),
    "folder in place of the file": lambda cache: cache.mkdir(parents=True),
    "pipe": lambda cache: (cache.parent.mkdir(), os.mkfifo(cache)),
    "device": lambda cache: (cache.parent.mkdir(), cache.symlink_to("/dev/full")),
    "link to nowhere": lambda cache: (cache.parent.mkdir(), cache.symlink_to("/proc/nothing/speeds.json")),
}


@pytest.mark.usefixtures("measured_speeds")
@pytest.mark.parametrize("spoilt", SPOILT)
def test_speeds_that_cannot_be_kept_are_done_without(cache: Path, spoilt: str) -> None:
    SPOILT[spoilt](cache)
    assert cost.estimate(trials({}), glyphs(), ignore).kept_in is None


@pytest.mark.usefixtures("measured_speeds")
@pytest.mark.parametrize("place", ["/proc/nothing", "/dev/null", "/" + "a" * 300])
@pytest.mark.parametrize("variable", ["HOME", "XDG_CACHE_HOME"])
def test_home_that_cannot_be_written_is_done_without(
    monkeypatch: pytest.MonkeyPatch, variable: str, place: str
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv(variable, place)
    assert cost.estimate(trials({}), glyphs(), ignore).kept_in is None


@pytest.mark.usefixtures("measured_speeds")
def test_user_without_a_home_gets_an_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as without HOME and a line in /etc/passwd
    found = cost.estimate(trials({}), glyphs(), ignore)
    assert found.kept_in is None
    printed = io.StringIO()
    Console(file=printed, width=160).print(cost.summary(found, Path("none.yaml")))
    assert "not kept: no writable cache folder" in printed.getvalue()


@pytest.mark.slow
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
