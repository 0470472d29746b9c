"""Updates to criterion, on curves whose crossings are known or found the slow way."""

import io
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_store import Row, curve, trial, whole_curve, write_study
from click.testing import CliRunner, Result
from panels import lines, notes

from analysis import AnalysisError, load_study
from analysis.data.curves import curves_of, mean_courses
from analysis.figures.convergence import draw_convergence
from analysis.findings.convergence import convergence, updates_to_criterion
from study.cli.main import main
from study.store.store import Store

TASK = "rmts"


def learning(at: int, points: int = 250) -> list[float]:
    """Accuracies that are at chance before a point and perfect from it on."""
    return [0.5] * at + [1.0] * (points - at)


def store(folder: Path, curves: dict[str, list[list[Row] | None]], missing: int = 0) -> str:
    """Trials of each arm with these curves, none where it is None, and some that are missing."""
    rows = {arm: [trial(TASK, 95, arm, seed, 0.9) for seed in range(len(of_arm))] for arm, of_arm in curves.items()}
    trained = [row for of_arm in rows.values() for row in of_arm]
    lacking = [trial(TASK, 95, "baseline", 90 + i) for i in range(missing)]
    results = write_study(folder, "s", [*trained, *lacking], trained)
    for arm, of_arm in curves.items():
        for row, points in zip(rows[arm], of_arm, strict=True):
            if points is not None:
                name = row["trial_id"]
                Store(results).write("curves", name, [{**point, "trial_id": name} for point in points])
    return results


def found(results: str, criterion: float = 99, window: int = 10) -> pd.DataFrame:
    frame = load_study(results, "s")
    return updates_to_criterion(frame, curves_of(results, frame), criterion, window)


def outcomes(results: str, arm: str = "baseline") -> list[tuple[str, float]]:
    rows = found(results)
    return [(row["outcome"], row["updates"]) for row in rows.loc[rows["arm"] == arm].to_dict("records")]


def esbn(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_answer_is_the_end_of_the_first_window(tmp_path: Path) -> None:
    at = (0, 3, 150, 195, 230)  # points; the 230th is update 500
    results = store(tmp_path, {"baseline": [whole_curve("", learning(point)) for point in at]})
    assert outcomes(results) == [("reached", update) for update in (9, 12, 159, 240, 590)]


def test_network_that_never_gets_there_is_censored_at_its_last_measurement(tmp_path: Path) -> None:
    short_of_it = [*learning(0, 9), *[0.8, *learning(0, 9)] * 24]  # never ten in a row
    results = store(tmp_path, {"baseline": [whole_curve("", learning(5)), whole_curve("", short_of_it)]})
    assert outcomes(results) == [("reached", 14), ("censored", 680)]
    (row,) = convergence(found(results))
    assert (row.n, row.reached, row.censored, row.first, row.median) == (2, 1, 1, 14, 14)


@pytest.mark.parametrize("coarse", [set(), {0, 1, 2}, {1}], ids=["every_update", "every_tenth", "both"])
def test_answers_are_those_of_a_slow_search(tmp_path: Path, coarse: set[int]) -> None:
    rng = np.random.default_rng(len(coarse))
    learned = 1 - 0.5 * np.exp(-np.arange(400) / np.array([[15], [60], [200]]))
    noisy = rng.binomial(32, learned) / 32
    curves = [curve("", of.tolist()) if i in coarse else whole_curve("", of.tolist()) for i, of in enumerate(noisy)]
    expected = []
    for points in curves:
        used = [point for point in points if not coarse or point["update"] % 10 == 0]
        ends = [
            used[i]["update"]
            for i in range(6, len(used))
            if sum(point["accuracy"] for point in used[i - 6 : i + 1]) / 7 >= 0.97
        ]
        expected.append(("reached", ends[0]) if ends else ("censored", used[-1]["update"]))
    rows = found(store(tmp_path, {"baseline": [*curves]}), 97, 7)
    assert list(zip(rows["outcome"], rows["updates"], strict=True)) == expected
    assert set(rows["step"]) == {10 if coarse else 1}


def test_level_that_is_met_exactly_counts(tmp_path: Path) -> None:
    results = store(tmp_path, {"baseline": [whole_curve("", [0.9] * 30)]})
    assert found(results, 90)["updates"].tolist() == [9]
    assert found(results, 90.001)["outcome"].tolist() == ["censored"]


def test_trials_without_an_answer_are_told_apart_and_named(tmp_path: Path) -> None:
    curves: list[list[Row] | None] = [whole_curve("", learning(5)), None, whole_curve("", [1.0] * 9)]
    results = store(tmp_path, {"baseline": curves}, missing=1)
    failed = trial(TASK, 95, "baseline", 90)
    Store(results).write("trials", failed["trial_id"], [failed])
    assert [outcome for outcome, _ in outcomes(results)] == ["reached", "no curve", "short", "failed"]
    printed = esbn("converge", "s", "--results", results).output
    assert "1/4" in printed
    for words in ("no stored curve", "curve shorter than the window", "(failed)"):
        (line,) = (line for line in printed.splitlines() if words in line)
        assert "rmts, m = 95, baseline, seed " in line


def test_curves_of_two_resolutions_are_named(tmp_path: Path) -> None:
    curves: dict[str, list[list[Row] | None]] = {
        "baseline": [whole_curve("", learning(5))],
        "tcn=none": [whole_curve("", learning(5)), curve("", learning(3, 50))],
    }
    printed = esbn("converge", "s", "--results", store(tmp_path, curves)).output
    (line,) = (line for line in printed.splitlines() if line.startswith("Measured only at every 10th"))
    assert "rmts, m = 95, tcn=none." in line and "baseline" not in line


def test_mean_course_of_two_resolutions_counts_every_network_at_every_point(tmp_path: Path) -> None:
    curves: dict[str, list[list[Row] | None]] = {
        "baseline": [whole_curve("", [1.0] * 250), curve("", [0.0] * 70)],
        "tcn=none": [whole_curve("", [1.0] * 250)],
    }
    results = store(tmp_path, curves)
    frame = load_study(results, "s")
    courses = mean_courses(frame, curves_of(results, frame))
    mixed, fine = courses[TASK, 95, "baseline"], courses[TASK, 95, "tcn=none"]
    assert set(mixed.mean) == {50}
    assert mixed.updates[:11].tolist() == [*range(0, 101, 10)]
    assert fine.updates[:11].tolist() == [*range(11)]


@pytest.mark.parametrize("kind", ["text", "markdown", "latex", "html", "csv"])
def test_table_has_median_interval_and_the_claim_of_the_paper(tmp_path: Path, kind: str) -> None:
    at = (5, 7, 9, 11, 13, 15, 17, 19)
    stuck: list[list[Row] | None] = [whole_curve("", [0.5] * 250) for _ in range(7)]
    results = store(tmp_path, {"baseline": [whole_curve("", learning(i)) for i in at], "tcn=none": stuck})
    printed = esbn("converge", "s", "--results", results, "--format", kind).output
    if kind == "csv":
        rows = pd.read_csv(io.StringIO(printed)).iloc[:2]
        assert rows[["median", "low", "high"]].to_numpy().tolist() == [[20, 14, 28], [math.inf, 690, math.inf]]
        return
    first, second = [line for line in printed.splitlines() if "baseline" in line and "100-200" in line], printed
    assert "20 [14, 28]" in first[0] and "8/8" in first[0]
    assert f"not reached [690, {'$∞$'.replace('∞', chr(92) + 'infty') if kind == 'latex' else '∞'}]" in second


def test_figure_draws_steps_and_marks_the_censored(tmp_path: Path) -> None:
    curves: list[list[Row] | None] = [whole_curve("", learning(at)) for at in (5, 7, 250)]
    results = store(tmp_path, {"baseline": curves, "tcn=none": [*curves[:1], None]})
    frame = load_study(results, "s")
    figure = draw_convergence(frame, updates_to_criterion(frame, curves_of(results, frame)))
    (steps,) = lines(figure.axes[0], "share")
    assert steps.get_drawstyle() == "steps-post"
    assert steps.get_xydata() == pytest.approx(np.array([[0, 0], [14, 100 / 3], [16, 200 / 3], [690, 200 / 3]]))
    (mark,) = lines(figure.axes[0], "censored")
    assert mark.get_xydata() == pytest.approx(np.array([[690, 200 / 3]]))
    (band,) = [patch for patch in figure.axes[0].patches if patch.get_gid() == "paper"]
    assert (band.get_extents().transformed(figure.axes[0].transData.inverted()).intervalx) == pytest.approx([100, 200])
    assert "1 completed networks have no curve" in notes(figure)
    assert "no TCN (1 of 2 trained, 1 missing)" in notes(figure)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--criterion", "0"], "criterion=0 is not a training accuracy; give percent, above 0 and up to 100"),
        (["--criterion", "100.5"], "criterion=100.5 is not a training accuracy"),
        (["--criterion", "nan"], "criterion=nan is not a training accuracy"),
        (["--window", "0"], "window=0 must be at least 1"),
    ],
    ids=str,
)
def test_a_criterion_that_makes_no_sense_is_one_sentence(tmp_path: Path, option: list[str], message: str) -> None:
    results = store(tmp_path, {"baseline": [whole_curve("", learning(5))]})
    printed = esbn("converge", "s", "--results", results, *option)
    assert printed.exit_code == 1
    assert printed.output.startswith(f"Error: {message}")


def test_study_without_curves_is_one_sentence(tmp_path: Path) -> None:
    results = store(tmp_path, {"baseline": [None]})
    with pytest.raises(AnalysisError, match="no completed trial has a training curve"):
        found(results)
