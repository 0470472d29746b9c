"""Verdicts: against scipy.stats, by simulated studies, and through the command."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_store import Row, trial, write_study
from click.testing import CliRunner, Result
from scipy import stats

from analysis.data.trials import load_study
from analysis.errors import AnalysisError
from analysis.findings.accuracy import VariantAccuracy
from analysis.findings.reproduction import judge, verdicts
from analysis.statistics.summary import summarise
from analysis.tables.reproduction import report
from study.cli.main import main

SIMULATED = 600


def cell(accuracies: list[float], mean: float, sem: float, planned: int | None = None) -> VariantAccuracy:
    """A variant with these accuracies of ours, and the paper's mean and standard error; all are fractions."""
    n, ours, our_sem = summarise(accuracies)
    planned = planned or n
    points = 100 * (ours - mean)
    return VariantAccuracy("rmts", 95, "a", n, planned, 0, planned - n, ours, our_sem, mean, sem, "Table 10", points)


def spread(n: int, mean: float, sd: float) -> list[float]:
    """n accuracies that have this mean and sample standard deviation exactly."""
    x_N = np.arange(n) - (n - 1) / 2
    return (mean + sd * x_N / x_N.std(ddof=1)).tolist()


def verdict(*cells: VariantAccuracy, margin: float = 3.0, alpha: float = 0.05) -> pd.DataFrame:
    return judge(pd.DataFrame(cells), margin, alpha)


def scipy_p(ours: list[float], mean: float, sem: float, margin: float) -> tuple[float, float]:
    """p of equivalence and of difference by scipy, from 10 networks of the paper's mean and standard error."""

    def p(shift: float, alternative: str) -> float:
        x = [100 * a for a in ours]
        mine = (np.mean(x) + shift, np.std(x, ddof=1), len(x))
        theirs = (100 * mean, 100 * sem * math.sqrt(10), 10)
        return stats.ttest_ind_from_stats(*mine, *theirs, equal_var=False, alternative=alternative).pvalue

    return max(p(-margin, "less"), p(margin, "greater")), p(0, "two-sided")


def test_p_values_are_those_of_scipy_when_there_is_one_cell() -> None:
    ours = [0.93, 0.95, 0.94, 0.96]
    row = verdict(cell(ours, 0.95, 0.007)).iloc[0]
    assert (row["p_equivalence"], row["p_difference"]) == pytest.approx(scipy_p(ours, 0.95, 0.007, 3.0), rel=1e-6)


def test_p_values_are_corrected_over_both_tests_of_every_cell() -> None:
    near, far = spread(10, 0.951, 0.01), spread(10, 0.90, 0.01)
    rows = verdict(cell(near, 0.95, 0.003), cell(far, 0.95, 0.003), cell([0.5], 0.95, 0.003))
    raw = [scipy_p(near, 0.95, 0.003, 3.0)[0], scipy_p(far, 0.95, 0.003, 3.0)[1]]
    assert rows["family"].tolist() == [6, 6, 6]
    corrected = [rows["p_equivalence"][0], rows["p_difference"][1]]
    assert corrected == pytest.approx([3 * p for p in raw], rel=1e-6)  # at most 3 of the 6 null hypotheses hold at once


def test_difference_that_is_small_and_real_counts_as_reproduced() -> None:
    row = verdict(cell(spread(10, 0.96, 0.005), 0.95, 0.002)).iloc[0]
    assert row["p_equivalence"] < 0.05 and row["p_difference"] < 0.05
    assert row["verdict"] == "reproduced"


def test_difference_beyond_the_margin_differs() -> None:
    assert verdict(cell(spread(10, 0.80, 0.02), 0.95, 0.007))["verdict"].tolist() == ["differs"]


def test_difference_that_is_real_and_maybe_beyond_the_margin_differs() -> None:
    row = verdict(cell(spread(10, 0.923, 0.01), 0.95, 0.003)).iloc[0]
    assert row["p_equivalence"] > 0.05
    assert row["verdict"] == "differs"


def test_wide_interval_is_undecided() -> None:
    row = verdict(cell(spread(3, 0.94, 0.05), 0.95, 0.007)).iloc[0]
    assert row["low_points"] < -3 < 0 < row["high_points"]
    assert row["verdict"] == "undecided"


@pytest.mark.parametrize("accuracies", [[], [0.95]], ids=["n=0", "n=1"])
def test_fewer_than_two_networks_are_undecided(accuracies: list[float]) -> None:
    row = verdict(cell(accuracies, 0.95, 0.007, planned=10)).iloc[0]
    assert (row["verdict"], row["obstacle"], row["n"]) == ("undecided", "n < 2", len(accuracies))
    assert math.isnan(row["p_equivalence"]) and pd.isna(row["more_seeds"])


@pytest.mark.parametrize("at", [1.0, 0.5])
def test_ties_have_the_spread_that_rounding_may_hide(at: float) -> None:
    row = verdict(cell([at] * 10, at, 0.0)).iloc[0]
    half = stats.t.ppf(0.975, 18) * math.hypot(0.05, 0.05)
    assert (row["low_points"], row["high_points"]) == (pytest.approx(-half), pytest.approx(half))
    assert (row["verdict"], row["p_difference"]) == ("reproduced", 1.0)


def test_tie_differs_from_another_printed_tie() -> None:
    assert verdict(cell([1.0] * 10, 0.5, 0.0))["verdict"].tolist() == ["differs"]


def test_printed_zero_does_not_make_a_rounded_mean_differ() -> None:
    row = verdict(cell([1.0] * 10, 0.999, 0.0)).iloc[0]
    assert row["p_difference"] > 0.05
    assert row["verdict"] == "reproduced"


def _wrong(rng: np.random.Generator, differences: Sequence[float]) -> bool:
    """Whether a study whose cells have these true differences, in points, gets a wrong verdict anywhere."""
    cells = []
    for difference, sd, paper_sd, n in zip(differences, (2, 0.5, 3, 1), (1.5, 1, 2, 1), (5, 10, 20, 3), strict=True):
        _, mean, sem = summarise(rng.normal(70, paper_sd, 10))
        ours = rng.normal(70 + difference, sd, n) / 100
        cells.append(cell(ours.tolist(), round(mean, 1) / 100, round(sem, 1) / 100))  # as the paper prints them
    error = {0.0: "differs", 3.0: "reproduced"}
    return any(said == error[true] for said, true in zip(verdict(*cells)["verdict"], differences, strict=True))


@pytest.mark.parametrize("differences", [[3.0] * 4, [0.0] * 4, [0.0, 3.0, 3.0, 0.0]], ids=["margin", "zero", "both"])
def test_a_verdict_is_wrong_in_at_most_alpha_of_studies(differences: list[float]) -> None:
    rng = np.random.default_rng(0)
    rate = np.mean([_wrong(rng, differences) for _ in range(SIMULATED)])
    assert 0 < rate <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / SIMULATED)


def test_planned_seeds_are_the_fewest_that_decide() -> None:
    rows = verdict(cell(spread(3, 0.945, 0.02), 0.95, 0.003), cell(spread(4, 0.97, 0.02), 0.95, 0.003))
    for n, mean, row in zip((3, 4), (0.945, 0.97), rows.to_dict("records"), strict=True):
        assert row["verdict"] == "undecided"
        enough = n + row["more_seeds"]
        at = [min(scipy_p(spread(k, mean, 0.02), 0.95, 0.003, 3.0)) for k in range(2, enough + 1)]
        assert at[-1] <= 0.05 / 2
        assert min(at[n - 2 : -1]) > 0.05 / 2


def test_planning_does_not_take_seeds_away() -> None:
    """With many networks Welch's degrees of freedom fall to the paper's nine, so a low level may ask for fewer."""
    few, many = (verdict(cell(spread(n, 0.95, 0.008), 0.95, 0.004), alpha=1e-5).iloc[0] for n in (20, 100))
    assert few["verdict"] == "reproduced"
    assert (many["verdict"], many["obstacle"]) == ("undecided", "paper's SEM")


def test_decided_cell_needs_no_seeds() -> None:
    row = verdict(cell([1.0] * 10, 1.0, 0.0)).iloc[0]
    assert (row["more_seeds"], row["obstacle"]) == (0, "")


def test_planning_says_when_the_papers_error_hides_the_margin() -> None:
    row = verdict(cell(spread(10, 0.72, 0.01), 0.71, 0.10)).iloc[0]
    assert pd.isna(row["more_seeds"])
    assert row["obstacle"] == "paper's SEM"


def test_planning_says_when_the_difference_is_between_zero_and_the_margin() -> None:
    # the paper's 1.0 points x 1.83 (one-sided, 9 degrees of freedom) are less than 3.0 and more than 1.5
    row = verdict(cell(spread(10, 0.725, 0.01), 0.71, 0.010)).iloc[0]
    assert pd.isna(row["more_seeds"])
    assert row["obstacle"] == "between zero and margin"


@pytest.mark.parametrize(
    ("margin", "alpha", "message"),
    [(0.0, 0.05, "margin=0.0"), (math.nan, 0.05, "margin=nan"), (3.0, 1.0, "alpha=1.0"), (3.0, math.nan, "alpha=nan")],
)
def test_judge_refuses_what_is_no_margin_and_no_level(margin: float, alpha: float, message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        verdict(cell([1.0] * 10, 1.0, 0.0), margin=margin, alpha=alpha)


def _rows(accuracies: list[float | None], arm: str = "baseline") -> list[Row]:
    return [trial("rmts", 95, arm, seed, accuracy) for seed, accuracy in enumerate(accuracies)]


def test_verdicts_leave_failed_and_missing_seeds_out_of_the_mean_and_show_them(tmp_path: Path) -> None:
    planned = _rows([0.95, 0.96, 0.94, None, 0.1])
    frame = verdicts(load_study(write_study(tmp_path, "s", planned, planned[:4]), "s"))
    (row,) = frame.to_dict("records")
    assert (row["n"], row["failed"], row["missing"]) == (3, 1, 1)
    assert row["difference_points"] == pytest.approx(0.0)
    text = report(frame, "text")
    assert "3/5" in text
    assert "Incomplete: rmts, m = 95, baseline: 3 of 5 trained, 1 failed, 1 missing." in text


def test_verdicts_judge_published_variants_only(tmp_path: Path) -> None:
    results = write_study(tmp_path, "s", [*_rows([0.95]), *_rows([0.95], "own_arm=1")])
    assert verdicts(load_study(results, "s"))["arm"].tolist() == ["baseline"]


def test_verdicts_say_when_nothing_is_published(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="the paper has no value for any variant"):
        verdicts(load_study(write_study(tmp_path, "s", _rows([0.95], "own_arm=1")), "s"))


def test_report_states_its_rules() -> None:
    text = report(verdict(cell([1.0] * 10, 1.0, 0.0), cell([0.9], 0.95, 0.007), margin=2.5, alpha=0.1), "text")
    for rule in ("±2.5 points", "family of 4 tests", "Level of the family: 0.1", "0.05 points at least", "0.1/2"):
        assert rule in text
    assert text.count("1 reproduced, 0 differs, 1 undecided, of 2 variants") == 1


def test_csv_holds_every_digit() -> None:
    frame = verdict(cell([0.93, 0.95, 0.94, 0.96], 0.95, 0.007), cell([0.9], 0.95, 0.007))
    read = list(csv.DictReader(io.StringIO(report(frame, "csv"))))
    assert [float(row["low_points"]) for row in read[:1]] == frame["low_points"][:1].tolist()
    assert [(row["n"], row["margin_points"], row["family"]) for row in read] == [("4", "3.0", "4"), ("1", "3.0", "4")]


REPRODUCES = [0.95, 0.951, 0.949, 0.952, 0.948, 0.95, 0.951, 0.949, 0.952, 0.948]


@pytest.mark.parametrize(
    ("accuracies", "strict", "code"),
    [
        (REPRODUCES, True, 0),
        ([0.7 + i / 1000 for i in range(10)], False, 1),
        ([0.9, 0.99], False, 0),
        ([0.9, 0.99], True, 1),
        ([], False, 0),
    ],
    ids=["reproduced", "differs", "undecided", "undecided strict", "untrained"],
)
def test_exit_code_says_whether_the_paper_holds(
    accuracies: list[float], strict: bool, code: int, tmp_path: Path
) -> None:
    planned = _rows([*accuracies, *[0.5] * (10 - len(accuracies))])
    results = write_study(tmp_path, "s", planned, planned[: len(accuracies)])
    assert esbn("s", "--results", results, *["--strict"] * strict).exit_code == code


@pytest.mark.parametrize("format", ["text", "markdown", "latex", "csv"])
def test_command_prints_every_format(format: str, tmp_path: Path) -> None:
    results = write_study(tmp_path, "s", _rows([*REPRODUCES]))
    output = esbn("s", "--results", results, "--format", format).output
    assert "reproduced" in output
    assert output.startswith({"text": "task", "markdown": "| task", "latex": "% needs", "csv": "task,"}[format])
    assert output.endswith("\n") and not output.endswith("\n\n")


def test_command_takes_margin_and_level(tmp_path: Path) -> None:
    results = write_study(tmp_path, "s", _rows([0.93, 0.96, 0.94, 0.95]))
    wide, narrow = (esbn("s", "--results", results, "--margin", margin).output for margin in ("8", "0.5"))
    assert "1 reproduced" in wide and "1 undecided" in narrow


def esbn(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["verdict", *arguments])
