"""Arms of changed models are told apart wherever trials are read without a study."""

import json
from pathlib import Path

from analysis_store import Row, trial, write_study

import analysis

OWN = "model=mine:Mine"


def own(seed: int, accuracy: float, source: str) -> Row:
    config = json.dumps({"model": "mine:Mine", "source": source})
    row = trial("rmts", 95, OWN, seed, accuracy, model="mine:Mine", config=config)
    return row | {"trial_id": f"{source}-{seed}"}


def results_of(folder: Path, *rows: Row) -> str:
    baseline = [trial("rmts", 95, "baseline", seed, 1.0, model="esbn", config="{}") for seed in (0, 1)]
    return write_study(folder, "s", [*baseline, *rows])


def test_arm_of_one_source_keeps_its_name(tmp_path: Path) -> None:
    results = results_of(tmp_path, own(0, 0.5, "abcdef0123"), own(1, 0.6, "abcdef0123"))
    assert set(analysis.load(results)["arm"]) == {"baseline", OWN}


def test_saved_question_does_not_pool_two_versions_of_a_model(tmp_path: Path) -> None:
    results = results_of(tmp_path, own(0, 0.25, "abcdef0123"), own(0, 0.75, "0123456789"))
    rows = analysis.query(results, "select arm, avg(test_accuracy) as mean from trials group by arm").to_pylist()
    means = {row["arm"]: row["mean"] for row in rows}
    assert means == {"baseline": 1.0, f"{OWN}@abcdef": 0.25, f"{OWN}@012345": 0.75}
    frame = analysis.load(results, "trials", ["arm", "test_accuracy"])
    assert {str(arm): of_arm.mean() for arm, of_arm in frame.groupby("arm")["test_accuracy"]} == means
