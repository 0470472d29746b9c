"""Comparisons of arms: against scipy.stats, the t values the paper prints, and by hand."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from analysis_store import Row, trial, write_study
from click.testing import CliRunner, Result
from scipy import stats

from analysis.data.trials import load_study
from analysis.errors import AnalysisError
from analysis.findings.comparison import (
    arms,
    check_arms,
    complete,
    conditions,
    left_out,
    over_conditions,
    pairs,
    published_differences,
    spans,
)
from study.cli.main import main

BASE = [0.91, 0.95, 0.99, 0.88]
WORSE = [0.71, 0.70, 0.83, 0.69]


def rows(arm: str, accuracies: Sequence[float | None], task: str = "rmts", withheld: int = 95) -> list[Row]:
    """A trial per accuracy, with seeds 0, 1, ...; None has failed."""
    return [trial(task, withheld, arm, seed, accuracy) for seed, accuracy in enumerate(accuracies)]


def compared(folder: Path, planned: list[Row], trained: list[Row] | None = None) -> pd.DataFrame:
    return pairs(load_study(write_study(folder, "s", planned, trained), "s"), "baseline")


def of_arms(folder: Path, planned: list[Row], trained: list[Row] | None = None) -> pd.DataFrame:
    frame = load_study(write_study(folder, "s", planned, trained), "s")
    return arms(conditions(frame), pairs(frame, "baseline"), "baseline")


def test_pairs_agree_with_scipy(tmp_path: Path) -> None:
    (row,) = compared(tmp_path, [*rows("baseline", BASE), *rows("a", WORSE)]).to_dict("records")
    expected = stats.ttest_rel([100 * x for x in WORSE], [100 * x for x in BASE])
    assert (row["n"], row["planned"], row["unpaired"]) == (4, 4, "")
    assert row["t"] == pytest.approx(expected.statistic)
    assert row["p"] == 2 / 2**4  # all four differences have one sign
    assert (row["low_points"], row["high_points"]) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert row["difference_points"] == pytest.approx(-20.0)


def test_pairs_match_seeds_whatever_their_order(tmp_path: Path) -> None:
    shuffled = [trial("rmts", 95, "a", seed, BASE[seed] - 0.01) for seed in (2, 0, 3, 1)]
    (row,) = compared(tmp_path, [*rows("baseline", BASE), *shuffled]).to_dict("records")
    assert row["low_points"] == pytest.approx(-1.0) == row["high_points"]
    assert row["p"] == 2 / 2**4


def test_pairs_name_the_seeds_that_one_arm_lacks(tmp_path: Path) -> None:
    base, arm = rows("baseline", [*BASE, 0.9, 0.9, None, None]), rows("a", [None, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, None])
    untrained = trial("rmts", 95, "baseline", 8, 0.9)
    lone = trial("rmts", 95, "a", 9, 0.5)
    other = trial("rmts", 95, "baseline", 10, 0.5)
    planned = [*base, untrained, other, *arm, trial("rmts", 95, "a", 8, 0.5), lone]
    trained = [row for row in planned if row is not untrained and row not in arm[3:6]]
    (row,) = compared(tmp_path, planned, trained).to_dict("records")
    assert (row["n"], row["planned"]) == (2, 11)
    assert row["unpaired"] == (
        "0 (failed in the arm), 3-5 (missing in the arm), 10 (not planned in the arm), 6 (failed in the baseline), "
        "8 (missing in the baseline), 9 (not planned in the baseline)"
    )


def test_pairs_correct_over_all_arms_trained_or_not(tmp_path: Path) -> None:
    planned = [*rows("baseline", BASE), *rows("a", WORSE), *rows("b", BASE), *rows("c", BASE)]
    a, b, c = compared(tmp_path, planned, planned[:12]).to_dict("records")
    assert a["p_corrected"] == pytest.approx(3 * a["p"])
    assert (b["difference_points"], b["p"], b["p_corrected"]) == (0.0, 1.0, 1.0)
    assert math.isnan(c["p_corrected"])
    assert c["unpaired"] == "0-3 (missing in the arm)"


def test_pairs_keep_a_condition_that_the_baseline_is_not_planned_at(tmp_path: Path) -> None:
    differences = compared(tmp_path, [*rows("baseline", BASE), *rows("a", WORSE), *rows("a", WORSE, withheld=50)])
    assert differences["withheld"].tolist() == [50, 95]
    assert differences["n"].tolist() == [0, 4]
    assert differences["unpaired"].tolist() == ["0-3 (not planned in the baseline)", ""]


@pytest.mark.parametrize(
    ("numbers", "text"), [([], ""), ([3], "3"), ([1, 0], "0, 1"), ([9, 0, 1, 5, 4, 6, 7], "0, 1, 4-7, 9")]
)
def test_spans_shorten_runs(numbers: list[int], text: str) -> None:
    assert spans(numbers) == text


@pytest.mark.parametrize(
    ("baseline", "arm", "t", "printed"),
    [
        ("baseline", "encoder=mlp", -1.74, -1.7),
        ("baseline", "encoder=random", 1.61, 1.6),
        ("model=transformer", "model=transformer,encoder=random", -4.00, -4.0),
        ("model=transformer", "model=transformer,encoder=mlp", -1.55, -1.6),
    ],
)
def test_over_conditions_gives_the_t_values_of_the_paper(baseline: str, arm: str, t: float, printed: float) -> None:
    row = over_conditions(published_differences(baseline)).set_index("arm").loc[arm]
    assert row["n"] == 17
    assert round(row["t"], 2) == t
    assert abs(row["t"] - printed) <= 0.051  # from means that the paper has rounded


def test_over_conditions_weighs_conditions_alike_and_counts_those_without_a_pair(tmp_path: Path) -> None:
    two, three = rows("baseline", [0.5, 0.7], "identity_rules"), rows("baseline", [0.8, 0.8, 0.8])
    arm = [*rows("a", [0.5, 0.5], "identity_rules"), *rows("a", [0.7, 0.74, 0.6]), *rows("a", WORSE, withheld=50)]
    (row,) = over_conditions(compared(tmp_path, [*two, *three, *arm])).to_dict("records")
    assert (row["n"], row["planned"]) == (2, 3)
    assert row["difference_points"] == pytest.approx((-10 + -12) / 2)  # by seeds: -11.2
    assert row["t"] == pytest.approx(-11)  # -11 / (sqrt(2) / sqrt(2))


def test_over_conditions_corrects_over_the_arms() -> None:
    tests = over_conditions(published_differences("baseline").query("arm in ('encoder=mlp', 'encoder=random')"))
    # 2 x the smaller p; the larger is raised to it
    assert tests["p"].tolist() == pytest.approx([0.10133, 0.12589], abs=1e-5)
    assert tests["p_corrected"].tolist() == pytest.approx([0.20266, 0.20266], abs=1e-5)


def test_arms_count_where_they_are_worse_and_better(tmp_path: Path) -> None:
    seeds = [0.80 + i / 100 for i in range(6)]
    planned = []
    for withheld, shift in ((0, 0.0), (50, -0.2), (85, -0.4), (95, 0.1)):
        noise = [0.001 * (-1) ** i * (i % 3) for i in range(6)]
        planned += rows("baseline", seeds, withheld=withheld)
        planned += rows("a", [x + shift + e for x, e in zip(seeds, noise, strict=True)], withheld=withheld)
    (row,) = of_arms(tmp_path, planned).to_dict("records")
    assert (row["conditions"], row["compared"], row["worse"], row["better"]) == (4, 4, 2, 1)
    assert (row["largest_task"], row["largest_withheld"]) == ("rmts", 85)
    assert row["largest_points"] == pytest.approx(-40, abs=0.1)


def test_arms_aggregate_complete_conditions_only(tmp_path: Path) -> None:
    """At m = 0 a seed of the arm has failed, at m = 50 one of the baseline is missing."""
    planned = [
        *rows("baseline", BASE), *rows("a", [*WORSE[:3], 0.99]),
        *rows("baseline", BASE, withheld=0), *rows("a", [*WORSE[:3], None], withheld=0),
        *rows("a", WORSE, withheld=50), *rows("baseline", BASE, withheld=50),
    ]  # fmt: skip
    frame = load_study(write_study(tmp_path, "s", planned, planned[:-1]), "s")
    cells = conditions(frame)
    (row,) = arms(cells, pairs(frame, "baseline"), "baseline").to_dict("records")
    assert row["complete"] == 1
    assert row["iqm"] == pytest.approx((0.71 + 0.83) / 2)  # of 0.70, 0.71, 0.83, 0.99
    assert row["baseline_iqm"] == pytest.approx((0.91 + 0.95) / 2)
    assert row["p_improvement"] == pytest.approx(3.5 / 16)  # 0.99 beats 0.88, 0.91, 0.95 and ties with 0.99
    assert row["p_improvement_low"] < 3.5 / 16 < row["p_improvement_high"]
    assert left_out(cells, "a", "baseline") == [("rmts", 0), ("rmts", 50)]
    assert complete(cells["rmts", 95], "a") and not complete(cells["rmts", 95], "b")


def test_arms_have_no_aggregate_when_no_condition_is_complete(tmp_path: Path) -> None:
    planned = [*rows("baseline", BASE), *rows("a", [0.5, None])]
    planned += [*rows("baseline", BASE, withheld=0), *rows("a", [0.5, 0.6, None], withheld=0)]
    (row,) = of_arms(tmp_path, planned).to_dict("records")
    assert (row["conditions"], row["compared"], row["complete"]) == (2, 1, 0)
    assert math.isnan(row["iqm"]) and math.isnan(row["p_improvement"])


def test_check_arms_suggests_a_baseline(tmp_path: Path) -> None:
    results = write_study(tmp_path, "s", [*rows("model=ntm", BASE), *rows("model=lstm", BASE)])
    with pytest.raises(AnalysisError, match=r"baseline='model=nmt' is not an arm of s; did you mean 'model=ntm'"):
        check_arms(load_study(results, "s"), "s", "model=nmt")


def test_check_arms_says_when_there_is_nothing_to_compare(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="has only the arm 'baseline'; a comparison needs two"):
        check_arms(load_study(write_study(tmp_path, "s", rows("baseline", BASE)), "s"), "s", "baseline")


def esbn(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["compare", *arguments])


@pytest.fixture
def results(tmp_path: Path) -> str:
    """encoder=mlp is 20 points worse, without seed 8; confidence=off is as good; tcn=none is planned only."""
    base, worse = [*BASE, *BASE, 0.9], [*WORSE, *WORSE, None]
    planned = [*rows("baseline", base), *rows("encoder=mlp", worse), *rows("tcn=none", base)]
    planned += rows("confidence=off", base)
    return write_study(tmp_path, "s", planned, [row for row in planned if row["arm"] != "tcn=none"])


def test_command_says_which_arms_matter_and_what_it_leaves_out(results: str) -> None:
    result = esbn("s", "--results", results)
    assert result.exit_code == 0
    for words in (
        "Significant difference from the baseline at one or more conditions: encoder=mlp.",
        "No significant difference from the baseline: confidence=off.",
        "Not compared (no condition has two pairs): tcn=none.",
        "Unpaired: rmts, m = 95, encoder=mlp: seeds: 8 (failed in the arm).",
        "Unpaired: rmts, m = 95, tcn=none: seeds: 0-8 (missing in the arm)",
        "over the 3 arms by Bonferroni",
        "10,000 resamples",
        "Incomplete and left out of the IQM: rmts, m = 95 (encoder=mlp; tcn=none).",
    ):
        assert words in result.output


def test_command_takes_another_baseline(results: str) -> None:
    lines = esbn("s", "--results", results, "--baseline", "encoder=mlp").output.splitlines()
    cells = [" ".join(line.split()) for line in lines]
    assert any(line.startswith("rmts 95 baseline 8/9 +20.0 [") for line in cells)


def test_command_compares_over_conditions_beside_the_paper(results: str) -> None:
    cells = [
        " ".join(line.split()) for line in esbn("s", "--results", results, "--over-conditions").output.splitlines()
    ]
    assert "encoder=mlp 1/1 -20.0 — — — — -1.74 17" in cells
    assert any(line.startswith("tcn=none 0/1 — — — — ") for line in cells)


def test_csv_has_the_rows_of_conditions_and_then_of_arms(results: str) -> None:
    output = esbn("s", "--results", results, "--format", "csv").output
    rows = list(csv.DictReader(io.StringIO(output)))
    assert [row["arm"] for row in rows] == 2 * ["encoder=mlp", "tcn=none", "confidence=off"]
    assert [row["n"] for row in rows] == ["8", "0", "9", "", "", ""]
    assert [row["worse"] for row in rows] == ["", "", "", "1", "0", "0"]


@pytest.mark.parametrize("mode", [[], ["--over-conditions"]], ids=["seeds", "conditions"])
@pytest.mark.parametrize(
    ("format", "start"), [("text", ""), ("markdown", "| "), ("latex", "% needs \\usepackage{booktabs}"), ("csv", "")]
)
def test_command_prints_every_format(mode: list[str], format: str, start: str, results: str) -> None:
    result = esbn("s", "--results", results, "--format", format, *mode)
    assert result.exit_code == 0
    assert result.output.startswith(start)
    assert "encoder=mlp" in result.output
    assert result.output.endswith("\n") and not result.output.endswith("\n\n")


def test_command_names_an_unknown_baseline_in_one_sentence(results: str) -> None:
    result = esbn("s", "--results", results, "--baseline", "encoder=mpl")
    assert result.exit_code == 1
    assert result.output.startswith("Error: baseline='encoder=mpl' is not an arm of s")
    assert len(result.output.strip().splitlines()) == 1
