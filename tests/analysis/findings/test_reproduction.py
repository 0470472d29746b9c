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
from analysis.findings.reproduction import judge, verdicts
from analysis.statistics.simulation import Networks, verdict_rates
from analysis.tables.reproduction import report
from study.cli.main import main


def cell(accuracies: Sequence[float], mean: float, sem: float, margin: float = 3.0) -> dict[str, float]:
    """A row of `judge` from accuracies of ours, and the paper's mean and standard error; all are fractions."""
    x = 100 * np.array(accuracies)
    row = {"n": len(x), "mean": math.nan, "sem": math.nan, "published_mean": mean, "published_sem": sem}
    if len(x):
        row["mean"] = x.mean() / 100
    if len(x) > 1:
        row["sem"] = x.std(ddof=1) / math.sqrt(len(x)) / 100
    agreeing = int(np.sum(np.abs(x - 100 * mean) <= margin + 1e-9))
    return {**row, "difference_points": 100 * (row["mean"] - mean), "agreeing": agreeing}


def spread(n: int, mean: float, sd: float) -> list[float]:
    """n accuracies that have this mean and sample standard deviation exactly."""
    x_N = np.arange(n) - (n - 1) / 2
    return (mean + sd * x_N / x_N.std(ddof=1)).tolist()


def verdict(*cells: dict[str, float], margin: float = 3.0, alpha: float = 0.05) -> pd.DataFrame:
    return judge(pd.DataFrame(cells), margin, alpha)


def test_p_values_are_corrected_over_the_cells_for_each_verdict() -> None:
    near, far = spread(10, 0.951, 0.01), spread(10, 0.85, 0.01)
    rows = verdict(cell(near, 0.95, 0.003), cell(far, 0.95, 0.003), cell([], 0.95, 0.003))
    assert rows["p_agrees"].tolist()[0] == pytest.approx(3 * 2.0**-10)
    t = (10 - 3) / math.hypot(1 / math.sqrt(10), 0.3)
    far_tail = stats.t.sf((10 + 3) / math.hypot(1 / math.sqrt(10), 0.3), 9)
    ways = 2 / math.comb(20, 10)
    assert rows["p_differs"].tolist()[1] == pytest.approx(3 * max(stats.t.sf(t, 9) + far_tail, ways), rel=1e-6)
    assert rows["verdict"].tolist() == ["agrees", "differs", "undecided"]


def test_difference_that_is_small_and_real_agrees() -> None:
    (row,) = verdict(cell(spread(10, 0.96, 0.005), 0.95, 0.002)).to_dict("records")
    assert row["low_points"] > 0
    assert row["verdict"] == "agrees"


def test_difference_beyond_the_margin_differs() -> None:
    assert verdict(cell(spread(10, 0.80, 0.02), 0.95, 0.007))["verdict"].tolist() == ["differs"]


def test_means_that_are_far_apart_differ_even_if_most_networks_lie_within_the_margin() -> None:
    (row,) = verdict(cell([1.0] * 60 + [0.5] * 40, 1.0, 0.0)).to_dict("records")
    assert row["p_agrees"] < 0.05
    assert row["verdict"] == "differs"


@pytest.mark.parametrize("at", [1.0, 0.5])
def test_ties_at_the_ceiling_agree_and_say_how_many_may_fail(at: float) -> None:
    """Ten of ten do not show that the mean is reproduced: a network in four may be stuck."""
    (row,) = verdict(cell([at] * 10, at, 0.0)).to_dict("records")
    assert row["verdict"] == "agrees"
    assert row["agreeing_at_least"] == pytest.approx(0.05**0.1)
    assert (1 - row["agreeing_at_least"]) == pytest.approx(0.26, abs=0.005)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_few_networks_at_the_ceiling_are_undecided(n: int) -> None:
    (row,) = verdict(cell([1.0] * n, 1.0, 0.0)).to_dict("records")
    assert (row["verdict"], row["more_seeds"]) == ("undecided", 5 - n)  # 2^-5 is the first p below 0.05


def test_few_networks_do_not_differ_however_far_away() -> None:
    (row,) = verdict(cell([0.5] * 4, 1.0, 0.0)).to_dict("records")
    assert (row["verdict"], row["more_seeds"]) == ("undecided", 1)
    assert verdict(cell([0.5] * 5, 1.0, 0.0))["verdict"].tolist() == ["differs"]


def test_one_network_that_falls_out_does_not_hide_nine_that_agree() -> None:
    assert verdict(cell([1.0] * 9 + [0.92], 1.0, 0.0))["verdict"].tolist() == ["agrees"]


def test_wide_interval_is_undecided() -> None:
    (row,) = verdict(cell(spread(3, 0.94, 0.05), 0.95, 0.007)).to_dict("records")
    assert row["low_points"] < -3 < 0 < row["high_points"]
    assert row["verdict"] == "undecided"


@pytest.mark.parametrize("accuracies", [[], [0.95]], ids=["n=0", "n=1"])
def test_fewer_than_two_networks_are_undecided(accuracies: list[float]) -> None:
    (row,) = verdict(cell(accuracies, 0.95, 0.007)).to_dict("records")
    assert (row["verdict"], row["obstacle"], row["n"]) == ("undecided", "n < 2", len(accuracies))
    assert math.isnan(row["p_differs"]) and pd.isna(row["more_seeds"])


def test_tie_differs_from_another_printed_tie() -> None:
    assert verdict(cell([1.0] * 10, 0.5, 0.0))["verdict"].tolist() == ["differs"]


def test_printed_zero_does_not_make_a_rounded_mean_differ() -> None:
    (row,) = verdict(cell([1.0] * 10, 0.999, 0.0)).to_dict("records")
    assert row["p_differs"] > 0.05
    assert row["verdict"] == "agrees"


def test_simulated_studies_are_judged_like_stored_ones() -> None:
    """`simulation.verdict_rates`, which the error rates in the docs come from, against `judge`."""
    ours, paper, runs, family = Networks(100, 0, 0.3), Networks(100, 0, 0.1), 40, 3
    for n in (4, 6, 10):
        said = []
        draws = np.random.default_rng(n)
        x_RCN, y_RCN = ours.draw(draws, runs, family, n) / 100, paper.draw(draws, runs, family, 10) / 100
        for x_CN, y_CN in zip(x_RCN, y_RCN, strict=True):
            sem_C = np.round(100 * y_CN.std(axis=1, ddof=1) / math.sqrt(10), 1) / 100
            means_C = np.round(100 * y_CN.mean(axis=1), 1) / 100
            said += verdict(*map(cell, x_CN.tolist(), means_C.tolist(), sem_C.tolist()))["verdict"].tolist()
        rates = verdict_rates(ours, paper, n, family, runs, np.random.default_rng(n))
        assert (rates.agrees, rates.differs) == pytest.approx(
            [said.count(x) / len(said) for x in ("agrees", "differs")]
        )


def test_planned_seeds_are_the_fewest_that_decide() -> None:
    few, far = spread(3, 0.945, 0.01), spread(3, 0.89, 0.02)
    rows = verdict(cell(few, 0.95, 0.003), cell(far, 0.95, 0.003))
    assert rows["verdict"].tolist() == ["undecided", "undecided"]
    enough = (3 + rows["more_seeds"]).tolist()
    assert 2.0 ** -enough[0] <= 0.05 / 2 < 2.0 ** -(enough[0] - 1)
    for n, passes in ((enough[1], True), (enough[1] - 1, False)):
        (p,) = verdict(cell(spread(n, 0.89, 0.02), 0.95, 0.003))["p_differs"]
        assert (p <= 0.05 / 2) == passes


def test_decided_cell_needs_no_seeds() -> None:
    (row,) = verdict(cell([1.0] * 10, 1.0, 0.0)).to_dict("records")
    assert (row["more_seeds"], row["obstacle"]) == (0, "")


def test_planning_says_when_no_number_of_seeds_would_decide() -> None:
    (row,) = verdict(cell(spread(10, 0.725, 0.04), 0.71, 0.10)).to_dict("records")
    assert row["agreeing"] == 4
    assert pd.isna(row["more_seeds"])
    assert row["obstacle"] == "too close to call"


@pytest.mark.parametrize(
    ("margin", "alpha", "message"),
    [(0.0, 0.05, "margin=0.0"), (math.nan, 0.05, "margin=nan"), (3.0, 1.0, "alpha=1.0"), (3.0, math.nan, "alpha=nan")],
)
def test_verdicts_refuse_what_is_no_margin_and_no_level(margin: float, alpha: float, message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        verdicts(pd.DataFrame(), margin, alpha)


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


def test_report_states_its_rules(tmp_path: Path) -> None:
    frame = verdicts(load_study(write_study(tmp_path, "s", _rows([*REPRODUCES, 0.7])), "s"), 2.5, 0.1)
    text = report(frame, "text")
    for rule in (
        "within 2.5 points",
        "10/11 (≥ 64 %)",
        "over the 1 variants",
        "at most 0.1",
        "at least 0.05 points",
        "0.1/1",
    ):
        assert rule in text
    assert text.count("1 agrees, 0 differs, 0 undecided, of 1 variants") == 1


def test_csv_holds_every_digit(tmp_path: Path) -> None:
    frame = verdicts(load_study(write_study(tmp_path, "s", _rows([0.93, 0.95, 0.94, 0.96])), "s"))
    (read,) = csv.DictReader(io.StringIO(report(frame, "csv")))
    assert float(read["low_points"]) == frame["low_points"][0]
    assert (read["n"], read["margin_points"], read["agreeing"]) == ("4", "3.0", "4")


def test_network_at_the_margin_is_within(tmp_path: Path) -> None:
    frame = verdicts(load_study(write_study(tmp_path, "s", _rows([0.92, 0.98, 0.9199, 0.9801])), "s"))
    assert frame["agreeing"].tolist() == [2]


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
    ids=["agrees", "differs", "undecided", "undecided strict", "untrained"],
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
    assert "agrees" in output
    assert output.startswith({"text": "task", "markdown": "| task", "latex": "% needs", "csv": "task,"}[format])
    assert output.endswith("\n") and not output.endswith("\n\n")


def test_command_takes_margin_and_level(tmp_path: Path) -> None:
    results = write_study(tmp_path, "s", _rows([0.93, 0.96, 0.94, 0.95, 0.97]))
    wide, narrow = (esbn("s", "--results", results, "--margin", margin).output for margin in ("8", "0.5"))
    assert "1 agrees" in wide and "1 undecided" in narrow


def esbn(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["verdict", *arguments])
