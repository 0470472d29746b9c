"""Speeds of the reference machine, read by hand beside the module."""

import csv
from collections import defaultdict

import pytest
from repository import ROOT

from ablations import REGISTRY
from esbn_core.config import PAPER
from study.planning.plan import variants
from study.planning.speeds import kind, reference_machine, reference_seconds, rough, training_objects

FILE = ROOT / "study" / "planning" / "speeds.csv"


def table() -> dict[tuple[str, str, str], dict[int, tuple[float, float]]]:
    with FILE.open(encoding="utf-8", newline="") as file:
        next(file)
        rows: dict[tuple[str, str, str], dict[int, tuple[float, float]]] = defaultdict(dict)
        for row in csv.DictReader(file):
            speed = float(row["update_ms"]), float(row["test_ms"])
            rows[row["model"], row["encoder"], row["task"]][int(row["objects"])] = speed
        return rows


def test_every_trial_of_a_declared_study_is_in_the_table() -> None:
    there = table()
    for study in REGISTRY.values():
        for variant in variants(study):
            objects = there[kind(variant.config)]
            assert min(objects) <= training_objects(variant.config) <= max(objects)


def test_seconds_at_a_measured_number_of_objects_are_updates_and_test_problems_times_their_speed() -> None:
    for objects, (update_ms, test_ms) in table()["esbn", "conv", "distribution_of_three"].items():
        config = PAPER.with_(task="distribution_of_three", withheld=100 - objects, updates=50).resolve()
        assert reference_seconds(config) == pytest.approx((50 * update_ms + config.task.n_test * test_ms) / 1000)


def test_seconds_between_two_measured_numbers_of_objects_are_on_the_line_between() -> None:
    (few, slow), (many, fast) = sorted(table()["esbn", "conv", "rmts"].items())
    middle = (few + many) // 2
    part = (middle - few) / (many - few)
    config = PAPER.with_(task="rmts", withheld=100 - middle, updates=1_000).resolve()
    update_ms, test_ms = (a + part * (b - a) for a, b in zip(slow, fast, strict=True))
    assert reference_seconds(config) == pytest.approx((1_000 * update_ms + config.task.n_test * test_ms) / 1000)


def test_seconds_outside_the_table_are_those_of_its_nearest_row() -> None:
    at_100 = PAPER.with_(task="rmts", withheld=0, updates=10).resolve()
    at_400 = PAPER.with_(task="rmts", withheld=0, n_objects=400, updates=10).resolve()
    assert reference_seconds(at_400) == pytest.approx(reference_seconds(at_100))


def test_encoder_that_was_not_measured_for_a_model_counts_as_the_papers() -> None:
    rare = PAPER.with_(task="rmts", withheld=95, model="trn", encoder="conv_unpadded", updates=10).resolve()
    assert reference_seconds(rare) > 0


def test_reference_machine_is_named() -> None:
    assert len(reference_machine()) > 10


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "1 minute"),
        (61, "1 minute"),
        (300, "5 minutes"),
        (5_000, "83 minutes"),
        (7_200, "2 hours"),
        (100_000, "28 hours"),
        (10**6, "12 days"),
    ],
)
def test_rough_time_in_words(seconds: float, words: str) -> None:
    assert rough(seconds) == words
