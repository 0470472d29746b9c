"""Validation problems of a search: from training objects only, apart from training, never a test problem."""

import numpy as np
import pytest

from esbn_core import counts
from esbn_core.config import PAPER, ResolvedTrial
from esbn_core.errors import ConfigError
from esbn_core.tasks.build import build
from esbn_core.tasks.problems import Problems

TASKS = ("same_different", "rmts", "distribution_of_three", "identity_rules")
APART = [(task, m, v) for task in TASKS for m, v in ((50, 10), (85, 3), (85, 5))] + [
    ("same_different", 95, 2),
    ("distribution_of_three", 95, 1),
    ("identity_rules", 95, 1),
]


def config(task: str, withheld: int, validation: int | None) -> ResolvedTrial:
    return PAPER.with_(task=task, withheld=withheld, validation=validation).resolve()


def shown(problems: Problems) -> set[int]:
    return set(problems.indices_PT.ravel().tolist())


def kinds(task: str, problems: Problems) -> set[tuple[int, ...]]:
    """What tells problems apart; of distribution of three its matrix, whatever the choices."""
    n_steps = 5 if task == "distribution_of_three" else None
    return {tuple(row[:n_steps]) for row in problems.indices_PT.tolist()}


@pytest.mark.parametrize("seed", [0, 1_000])
@pytest.mark.parametrize(("task", "withheld", "validation"), APART)
def test_validation_shows_objects_kept_apart_and_no_withheld_one(
    task: str, withheld: int, validation: int, seed: int
) -> None:
    plain, sets = (build(config(task, withheld, v).task, seed) for v in (None, validation))
    assert np.array_equal(sets.withheld, plain.withheld), "the split is that of the trial with test problems"
    kept = set(range(100)) - set(plain.withheld.tolist())
    apart = kept - set(sets.train_pool.tolist())
    assert len(apart) == validation
    assert shown(sets.train) <= kept - apart
    assert shown(sets.test) <= kept
    least = counts.SPECS[task].min_objects
    assert all(apart & set(row) for row in sets.test.indices_PT.tolist()) or least == 5, "rmts shows 4 or 5 of 5"
    if validation >= least:
        assert shown(sets.test) <= apart
    assert set(sets.test_pool.tolist()) >= shown(sets.test)


@pytest.mark.parametrize(
    ("task", "withheld"), [(t, m) for t in TASKS for m in (0, 50, 95)], ids=lambda value: str(value)
)
def test_problems_held_out_are_neither_in_training_nor_in_the_test(task: str, withheld: int) -> None:
    plain, sets = (build(config(task, withheld, v).task, 3) for v in (None, 0))
    train, validation, test = (kinds(task, p) for p in (sets.train, sets.test, plain.test))
    assert validation and not validation & train
    assert not (train | validation) & test
    if not withheld:
        assert train | validation == kinds(task, plain.train), "the training problems of the trial that is tested"
    else:
        assert not (shown(sets.train) | shown(sets.test)) & set(plain.withheld.tolist())


@pytest.mark.parametrize("task", TASKS)
def test_seeds_of_a_pack_have_sets_of_equal_size(task: str) -> None:
    for validation in (0, counts.default_validation(task, 100, 85)):
        sizes = {
            tuple(len(part.targets_P) for part in build(config(task, 85, validation).task, seed)[:2])
            for seed in range(4)
        }
        assert len(sizes) == 1


def test_trial_that_is_tested_keeps_its_identity() -> None:
    assert "validation" not in PAPER.resolve().flat()
    assert config("same_different", 95, 0).trial_id() != config("same_different", 95, None).trial_id()


@pytest.mark.parametrize(
    ("task", "withheld", "validation", "message"),
    [
        ("same_different", 95, 4, "validation=4 leaves 1 of 5 objects for training; .* validation can be 0 to 3 here"),
        ("same_different", 0, 3, "validation=3 must be 0 with withheld=0"),
        ("same_different", 98, 0, "has 4 different problems of 2 objects, too few"),
        ("rmts", 95, 1, "validation can be 0 to 0 here"),
        ("rmts", 85, -1, "validation=-1 must be a whole number of at least 0"),
    ],
)
def test_validation_that_cannot_be_had_is_refused(task: str, withheld: int, validation: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(task, withheld, validation)


def test_validation_is_refused_where_problems_are_not_balanced() -> None:
    with pytest.raises(ConfigError, match="needs sampling='balanced'"):
        PAPER.with_(task="rmts", withheld=85, sampling="as_released", validation=3)
