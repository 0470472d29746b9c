"""The holdout audit: what it proves of honest rows, and that each way to doctor a store fails the check it concerns."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from analysis_store import Row, curve, key_rows, proven, trial, whole_curve, write_study
from click.testing import CliRunner

from analysis.data.trials import load_study
from analysis.errors import AnalysisError
from analysis.findings.audit import audit_study
from esbn_core.config import TaskConfig
from esbn_core.tasks.build import build
from study.cli.main import main
from study.running.worker import split_columns
from study.store.store import Store

TRAINING = "No withheld object is in training"
TESTING = "Test problems show withheld objects only"
REPEATED = "No test problem is a training problem"
RECORDED = "Recorded keys show the same split"
SEEDS = "Arms are planned on the same seeds"
SHARED = "Arms share split, images and problems at each seed"
PLANNED = "Trials were planned before they were trained"
ENDED = "Training continued to the planned update"
TESTED = "Test problems were used after the last update"
CHECKS = [TRAINING, TESTING, REPEATED, RECORDED, SEEDS, SHARED, PLANNED, ENDED, TESTED]


def honest() -> list[Row]:
    rows = [
        proven("same_different", m, arm, seed, 0.9) for m in (0, 5) for arm in ("baseline", "a=1") for seed in (0, 1)
    ]
    shown = {"train_objects": [0, 1, 2, 3, 4], "test_objects": [0, 1, 2, 3, 4], "withheld_objects": []}
    return [*rows, proven("distribution_of_three", 0, "baseline", 0, 0.9, **shown)]


def stored(folder: Path, rows: list[Row], points: int = 3, planned: list[Row] | None = None) -> str:
    """A store with these trials, a time course of each, and keys of the last."""
    results = write_study(folder, "s", planned or rows, rows, keys=False)
    store, last = Store(results), rows[-1]["trial_id"]
    for row in rows:
        store.write("curves", row["trial_id"], curve(row["trial_id"], [0.5] * points))
    plan = store.read("plans").to_pylist()
    store.write("plans", "s", [{**row, "keys": row["trial_id"] == last} for row in plan])
    store.write("keys", last, key_rows(last))
    return results


def audited(results: str) -> pd.DataFrame:
    return audit_study(results, load_study(results, "s"))


def failing(results: str) -> list[str]:
    frame = audited(results)
    return [row["check"] for row in frame.to_dict("records") if not row["passed"]]


def test_audit_proves_an_honest_store(tmp_path: Path) -> None:
    frame = audited(stored(tmp_path, honest()))
    assert frame["check"].tolist() == CHECKS
    assert all(frame["passed"]), frame["evidence"].tolist()


DOCTORED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a withheld object in training": ({"train_objects": [*range(15), 17]}, [TRAINING]),
    "fewer objects withheld than planned": ({"withheld_objects": [16, 17, 18, 19]}, [TRAINING, TESTING, SHARED]),
    "a kept object in the test": ({"test_objects": [3, 15, 16, 17, 18, 19]}, [TESTING]),
    "a test problem seen in training": ({"repeated_problems": 1}, [REPEATED]),
    "another split than the other arm's": (
        {"withheld_objects": [0, 1, 2, 3, 4], "train_objects": [*range(5, 20)], "test_objects": [0, 1, 2, 3, 4]},
        [SHARED],
    ),
    "other problems than the other arm's": ({"problems_hash": "other"}, [SHARED]),
    "other images than the other arm's": ({"images_hash": "other"}, [SHARED]),
    "trained before it was planned": ({"started_at": datetime(2023, 12, 31, tzinfo=UTC)}, [PLANNED]),
    "tested before the last update": ({"tested_after": 20}, [TESTED]),
    "no object in training": ({"train_objects": []}, [TRAINING]),
    "no object in the test": ({"test_objects": []}, [TESTING]),
    "a split that is not stored": ({"train_objects": None}, [TRAINING]),
    "problems that are not stored": ({"problems_hash": None}, [SHARED]),
    "a test that is not stored": ({"tested_after": None}, [TESTED]),
}


@pytest.mark.parametrize(("changes", "checks"), DOCTORED.values(), ids=DOCTORED)
def test_audit_fails_on_a_doctored_trial(tmp_path: Path, changes: dict[str, Any], checks: list[str]) -> None:
    rows = honest()
    assert (rows[5]["withheld"], rows[5]["arm"]) == (5, "baseline")
    results = stored(tmp_path, [*rows[:5], {**rows[5], **changes}, *rows[6:]])
    assert failing(results) == checks
    evidence = audited(results).set_index("check").loc[checks[0], "evidence"]
    assert "same_different, m = 5" in str(evidence)


def test_audit_fails_when_training_was_cut_short(tmp_path: Path) -> None:
    assert failing(stored(tmp_path, honest(), points=2)) == [ENDED]


@pytest.mark.parametrize(("points", "failed"), [(25, []), (24, [ENDED]), (21, [ENDED]), (26, [ENDED])])
def test_audit_knows_the_end_of_a_curve_of_every_update(tmp_path: Path, points: int, failed: list[str]) -> None:
    results = stored(tmp_path, honest())
    for row in honest():
        Store(results).write("curves", row["trial_id"], whole_curve(row["trial_id"], [0.5] * points))
    assert failing(results) == failed


def test_audit_fails_when_training_went_on(tmp_path: Path) -> None:
    assert failing(stored(tmp_path, honest(), points=4)) == [ENDED]


def test_audit_fails_when_the_recorded_problems_show_other_objects(tmp_path: Path) -> None:
    rows = honest()
    results, last = stored(tmp_path, rows), rows[-1]["trial_id"]
    recorded = key_rows(last)
    recorded[0]["object"] = 19
    Store(results).write("keys", last, recorded)
    assert failing(results) == [RECORDED]


def test_audit_fails_when_the_recorded_keys_are_gone(tmp_path: Path) -> None:
    results = stored(tmp_path, honest())
    shutil.rmtree(Path(results) / "keys")
    assert failing(results) == [RECORDED]


def test_audit_fails_when_an_arm_has_seeds_of_its_own(tmp_path: Path) -> None:
    rows = honest()
    rows[1] = proven("same_different", 0, "baseline", 7, 0.9)
    assert failing(stored(tmp_path, rows)) == [SEEDS]


def test_audit_accepts_an_arm_with_fewer_seeds_and_one_with_other_sizes(tmp_path: Path) -> None:
    rows = honest()
    config = rows[2]["config"].replace('"n_train": 100', '"n_train": 60')
    larger = {**rows[2], "config": config, "problems_hash": "of 60"}
    assert failing(stored(tmp_path, [*rows[:2], larger, *rows[4:]])) == []


def test_audit_leaves_out_what_has_not_completed(tmp_path: Path) -> None:
    rows = honest()
    failed = trial("same_different", 5, "a=1", 2)
    planned = [*rows, failed, trial("same_different", 5, "a=1", 3, 0.5)]
    assert failing(stored(tmp_path, [failed, *rows], planned=planned)) == []


def test_audit_says_that_nothing_has_been_trained(tmp_path: Path) -> None:
    results = write_study(tmp_path, "s", honest(), trained=[trial("same_different", 0, "baseline", 0)])
    with pytest.raises(AnalysisError, match="study='s' has no completed trial to audit yet"):
        audited(results)


def test_command_exits_with_1_only_if_a_check_fails(tmp_path: Path) -> None:
    rows = honest()
    good = stored(tmp_path / "good", rows)
    bad = stored(tmp_path / "bad", [{**rows[0], "repeated_problems": 3}, *rows[1:]])
    fine, broken = (CliRunner().invoke(main, ["audit", "s", "--results", results]) for results in (good, bad))
    assert (fine.exit_code, broken.exit_code) == (0, 1)
    assert "FAILED" not in fine.output
    assert "FAILED" in broken.output


@pytest.mark.parametrize(("name", "withheld"), [("rmts", 90), ("distribution_of_three", 95), ("same_different", 0)])
def test_split_columns_are_those_of_the_problems(name: str, withheld: int) -> None:
    task = TaskConfig(name=name, withheld=withheld, n_train=60, n_test=40).resolve()
    sets = build(task, 3)
    columns = split_columns(sets)
    for split in ("train", "test"):
        shown = {int(number) for problem in getattr(sets, split).indices_PT for number in problem}
        assert columns[f"{split}_objects"] == sorted(shown)
    assert columns["withheld_objects"] == sorted(int(number) for number in sets.withheld)
    assert columns["repeated_problems"] == 0
    assert columns == split_columns(build(task, 3))
    assert columns["problems_hash"] != split_columns(build(task, 4))["problems_hash"]


def _repeat(sets: Any) -> Any:
    indices_PT = sets.test.indices_PT.copy()
    indices_PT[:2] = sets.train.indices_PT[0]
    return sets._replace(test=sets.test._replace(indices_PT=indices_PT))


def _swap_targets(sets: Any) -> Any:
    return sets._replace(train=sets.train._replace(targets_P=1 - sets.train.targets_P))


@pytest.mark.parametrize(("change", "repeated"), [(_repeat, 2), (_swap_targets, 0)], ids=["repeat", "targets"])
def test_split_columns_change_with_the_problems(change: Callable[[Any], Any], repeated: int) -> None:
    sets = build(TaskConfig(name="same_different", withheld=50, n_train=60, n_test=40).resolve(), 0)
    honest, changed = split_columns(sets), split_columns(change(sets))
    assert changed["repeated_problems"] == repeated
    assert changed["problems_hash"] != honest["problems_hash"]
    assert np.issubdtype(sets.train.indices_PT.dtype, np.integer)
