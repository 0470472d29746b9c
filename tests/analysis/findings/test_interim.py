"""Tests at several looks: error rates by simulation, what a look counts, and what verdict and compare make of it."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from analysis_store import Row, plan_row, trial, write_study
from click.testing import CliRunner

from analysis.data.trials import load_study
from analysis.errors import AnalysisError
from analysis.findings.comparison import pairs
from analysis.findings.interim import at_looks, n_looks
from analysis.findings.reproduction import verdicts
from analysis.statistics.tests import Difference, difference, flip_tests, holm, p_apart, p_most, repeated
from analysis.tables.comparison import by_condition, by_seed
from analysis.tables.reproduction import report
from study.cli.main import main
from study.store.schema import TABLES
from study.store.store import Store

STUDIES, CELLS, LOOKS, SEEDS = 4_000, 3, 3, 6  # SEEDS are added by each look
ALPHA = 0.05
SLACK = 3 * math.sqrt(ALPHA * (1 - ALPHA) / STUDIES)


def _apart_by_the_margin(rng: np.random.Generator) -> np.ndarray:
    ours = rng.normal(3.0, (0.7, 1.5, 3.0), (LOOKS * SEEDS, STUDIES, CELLS))
    paper = rng.normal(0, (1.0, 1.5, 0.7), (10, STUDIES, CELLS))
    means = [_difference(ours[: look * SEEDS], paper) for look in range(1, LOOKS + 1)]
    return np.stack([p_apart(of_look, 3.0) for of_look in means])


def _difference(x: np.ndarray, y: np.ndarray) -> Difference:
    n, other = len(x), len(y)
    sem, other_sem = x.std(axis=0, ddof=1) / math.sqrt(n), y.std(axis=0, ddof=1) / math.sqrt(other)
    return difference(x.mean(axis=0) - y.mean(axis=0), sem, np.full(sem.shape, n), other_sem, other)


def _half_of_all_networks_agree(rng: np.random.Generator) -> np.ndarray:
    agree = rng.random((LOOKS * SEEDS, STUDIES, CELLS)) < 0.5
    looks = [agree[: look * SEEDS] for look in range(1, LOOKS + 1)]
    return np.stack([p_most(look.sum(axis=0), np.full(look.shape[1:], len(look))) for look in looks])


def _arms_alike(rng: np.random.Generator) -> np.ndarray:
    d = rng.normal(0, 2.0, (LOOKS * SEEDS, CELLS, STUDIES // 16))
    looks = [d[: look * SEEDS] for look in range(1, LOOKS + 1)]
    return np.array([[flip_tests(of_study).p for of_study in look.T.swapaxes(1, 2)] for look in looks])


def _studies_in_error(p_LSC: np.ndarray, looks: int) -> float:
    """How many of the studies reject anything at any look, where all null hypotheses hold."""
    return float(np.mean([(holm(repeated(p_LC, looks)) <= ALPHA).any() for p_LC in p_LSC.swapaxes(0, 1)]))


Null = Callable[[np.random.Generator], np.ndarray]
NULLS: list[Null] = [_apart_by_the_margin, _half_of_all_networks_agree, _arms_alike]


@pytest.mark.parametrize("null", NULLS)
def test_all_looks_together_have_an_error_rate_of_at_most_alpha(null: Null) -> None:
    p_LSC = null(np.random.default_rng(0))
    assert 0.002 < _studies_in_error(p_LSC, LOOKS) <= ALPHA + SLACK


@pytest.mark.parametrize("null", NULLS)
def test_looks_that_are_not_counted_have_a_higher_one(null: Null) -> None:
    p_LSC = null(np.random.default_rng(0))
    assert _studies_in_error(p_LSC, 1) > 1.5 * _studies_in_error(p_LSC, LOOKS)


@pytest.mark.parametrize("null", NULLS)
def test_level_holds_where_the_results_so_far_decide_what_is_looked_at(null: Null) -> None:
    """Only the cell with the smallest p at the first look goes on."""
    p_LSC = null(np.random.default_rng(1))
    p_LSC[1:, np.arange(CELLS) != p_LSC[0].argmin(axis=1)[:, None]] = np.nan
    assert _studies_in_error(p_LSC, LOOKS) <= ALPHA + SLACK


def test_a_first_look_read_at_the_full_level_has_the_error_rate_the_notes_state() -> None:
    """Every reader who would have kept the first verdict, and tops up otherwise."""
    p_LSC = _apart_by_the_margin(np.random.default_rng(0))[:, :, :1]
    kept = p_LSC[0, :, 0] <= ALPHA
    later = np.array([repeated(p_LC, LOOKS)[0] <= ALPHA for p_LC in p_LSC.swapaxes(0, 1)])
    rate = float(np.mean(kept | later))
    assert np.mean(kept) < rate <= (2 - 1 / LOOKS) * ALPHA + SLACK


def test_repeated_counts_the_looks_not_taken() -> None:
    p_LC = np.array([[0.02, 0.5, np.nan], [0.01, np.nan, np.nan]])
    assert repeated(p_LC, 4).tolist() == pytest.approx([0.04, 1.0, math.nan], nan_ok=True)


def planned(accuracies: Sequence[float | None], arm: str = "baseline", per_look: int = 3, looks: int = 2) -> list[Row]:
    rows = [trial("rmts", 95, arm, seed, accuracy) for seed, accuracy in enumerate(accuracies)]
    return [{**row, "looks": looks, "seeds_per_look": per_look} for row in rows]


def write(folder: Path, rows: list[Row], trained: list[Row] | None = None) -> str:
    """A study with looks; the rows of trials have no such columns."""
    bare = [{k: v for k, v in row.items() if k not in ("looks", "seeds_per_look")} for row in trained or rows]
    return write_study(folder, "s", rows, bare)


def judged(results: str) -> pd.DataFrame:
    return verdicts(load_study(results, "s"))


OURS = [0.93, 0.96, 0.945, 0.951, 0.949, 0.95]  # the paper has 95.0 +- 0.7 here


def test_look_counts_its_seeds_once_all_have_ended(tmp_path: Path) -> None:
    rows = planned([0.9, None, 0.8, 0.7, 0.6])
    frame = load_study(write(tmp_path, rows), "s")
    first, second = at_looks(frame)
    assert n_looks(frame) == 2
    assert first["status"].tolist() == ["completed", "failed", "completed"]
    assert second["status"].tolist() == ["missing"] * 5  # the sixth is not there


def test_looks_are_found_where_an_older_plan_does_not_know_them(tmp_path: Path) -> None:
    results = write(tmp_path, planned(OURS[:3]))
    schema = TABLES["plans"].remove(TABLES["plans"].get_field_index("looks"))
    schema = schema.remove(schema.get_field_index("seeds_per_look"))
    older = pa.Table.from_pylist([plan_row("s", row) for row in planned(OURS[:3])], schema)
    pq.write_table(older, tmp_path / "plans" / "a.parquet")
    frame = load_study(results, "s")
    assert frame[["looks", "seeds_per_look"]].values.tolist() == [[2, 3]] * 3


def test_look_waits_for_a_planned_seed(tmp_path: Path) -> None:
    rows = planned([0.9, 0.8, 0.8])
    (row,) = judged(write(tmp_path, rows, rows[:2])).to_dict("records")
    assert math.isnan(row["p_agrees"]) and row["obstacle"] == "look not complete"


def test_verdict_takes_the_smallest_p_of_the_looks_times_their_number(tmp_path: Path) -> None:
    (row,) = judged(write(tmp_path, planned(OURS))).to_dict("records")
    (first,) = judged(write(tmp_path / "first", planned(OURS[:3], looks=1))).to_dict("records")
    (all_six,) = judged(write(tmp_path / "all", planned(OURS, looks=1))).to_dict("records")
    assert (first["p_agrees"], all_six["p_agrees"]) == (2.0**-3, 2.0**-6)
    assert row["p_agrees"] == 2 * 2.0**-6
    assert row["p_differs"] == 1.0
    assert (row["n"], row["looks"]) == (6, 2)


def test_results_between_looks_are_in_no_test(tmp_path: Path) -> None:
    rows = planned([*OURS[:3], 0.1, 0.1, 0.1])
    before, between = (judged(write(tmp_path / str(n), rows, rows[:n])).iloc[0] for n in (3, 5))
    assert before["p_agrees"] == between["p_agrees"]
    assert before["n"] != between["n"]


def test_comparison_takes_the_smallest_p_of_the_looks_times_their_number(tmp_path: Path) -> None:
    base, arm = [0.9, 0.91, 0.88, 0.93, 0.9, 0.92], [0.85, 0.90, 0.86, 0.84, 0.83, 0.88]
    results = write(tmp_path, [*planned(base), *planned(arm, "a")])
    (row,) = pairs(load_study(results, "s"), "baseline").to_dict("records")
    assert row["p"] == 2 * (2 / 2**6)  # all six differences have one sign
    assert row["n"] == 6


def test_pairs_are_looked_at_where_both_arms_have_come(tmp_path: Path) -> None:
    base, arm = [0.9, 0.91, 0.88, 0.93, 0.9, 0.92], [0.85, 0.90, 0.86]
    results = write(tmp_path, [*planned(base), *planned(arm, "a")])
    (row,) = pairs(load_study(results, "s"), "baseline").to_dict("records")
    assert row["p"] == 2 * (2 / 2**3)


def test_reports_state_the_looks(tmp_path: Path) -> None:
    results = write(tmp_path, [*planned(OURS), *planned([a - 0.01 for a in OURS], "a")])
    for text in (report(judged(results), "text"), by_seed(load_study(results, "s"), "baseline", "text")):
        assert "Looks: 2 are planned" in text and "Bonferroni" in text and "1.5 times the level" in text
    assert "would pass at 0.05/1/2" in report(judged(results), "text")
    assert "Only the seeds of the first look" in by_condition(load_study(results, "s"), "baseline", "text")


def test_report_of_a_single_look_is_silent_about_looks(tmp_path: Path) -> None:
    rows = [trial("rmts", 95, "baseline", seed, accuracy) for seed, accuracy in enumerate(OURS)]
    assert "Looks" not in report(judged(write_study(tmp_path, "s", rows)), "text")


def test_plans_with_two_numbers_of_looks_are_refused(tmp_path: Path) -> None:
    results = write(tmp_path, planned(OURS))
    row = Store(results).read("plans").to_pylist()[0]
    Store(results).write("plans", "stale", [{**row, "looks": 5}])
    with pytest.raises(AnalysisError, match="different numbers of looks: 2, 5"):
        load_study(results, "s")
    shown = CliRunner().invoke(main, ["verdict", "s", "--results", results])
    assert shown.exit_code == 1 and "Traceback" not in shown.output
