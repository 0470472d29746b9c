"""Statistics and tables: means by `statistics`, published values against cells read off the paper."""

import math
import statistics
from pathlib import Path

import pytest
from analysis_store import trial, write_study
from repository import ROOT

from analysis import table
from analysis.data.published import published
from analysis.statistics.summary import summarise
from analysis.tables.accuracy import report

ACCURACIES = [0.91, 0.95, 0.99, 0.88]


def _study(folder: Path) -> str:
    """rmts m=95: baseline 4 of 5 completed, 1 failed; tcn=none 1 of 2, 1 missing; own_arm 0 of 1."""
    planned = [trial("rmts", 95, "baseline", seed, accuracy) for seed, accuracy in enumerate(ACCURACIES)]
    planned += [trial("rmts", 95, "baseline", 4), trial("rmts", 95, "own_arm", 0, 0.7)]
    planned += [trial("rmts", 95, "tcn=none", seed, 0.5) for seed in (0, 1)]
    return write_study(folder, "s", planned, [*planned[:5], planned[6]])


def test_summarise_agrees_with_the_statistics_module() -> None:
    n, mean, sem = summarise(ACCURACIES)
    assert n == 4
    assert mean == pytest.approx(statistics.mean(ACCURACIES))
    assert sem == pytest.approx(statistics.stdev(ACCURACIES) / 2)


def test_summarise_has_no_error_when_there_is_one_value() -> None:
    n, mean, sem = summarise([0.25])
    assert (n, mean) == (1, 0.25)
    assert math.isnan(sem)


def test_summarise_has_no_mean_when_there_is_no_value() -> None:
    n, mean, sem = summarise([])
    assert n == 0
    assert math.isnan(mean) and math.isnan(sem)


def test_summarise_refuses_nan() -> None:
    with pytest.raises(ValueError, match="1 NaN"):
        summarise([0.5, math.nan])


def test_table_averages_completed_trials_only(tmp_path: Path) -> None:
    row = table(_study(tmp_path), "s").set_index("arm").loc["baseline"]
    assert row[["n", "planned", "failed", "missing"]].tolist() == [4, 5, 1, 0]
    assert row["mean"] == pytest.approx(statistics.mean(ACCURACIES))
    assert row["sem"] == pytest.approx(statistics.stdev(ACCURACIES) / 2)


def test_table_keeps_a_variant_without_completed_trials(tmp_path: Path) -> None:
    row = table(_study(tmp_path), "s").set_index("arm").loc["own_arm"]
    assert row[["n", "planned", "failed", "missing"]].tolist() == [0, 1, 0, 1]
    assert math.isnan(row["mean"]) and math.isnan(row["difference_points"])


def test_table_joins_the_published_value(tmp_path: Path) -> None:
    results = write_study(tmp_path, "s", [trial("distribution_of_three", 95, "confidence=off", 0, 0.978)])
    (row,) = table(results, "s").to_dict("records")
    assert (row["published_mean"], row["published_sem"], row["source"]) == (0.998, 0.001, "Table 19")
    assert row["difference_points"] == pytest.approx(-2.0)


def test_table_leaves_unpublished_variants_empty(tmp_path: Path) -> None:
    row = table(_study(tmp_path), "s").set_index("arm").loc["own_arm"]
    assert math.isnan(row["published_mean"]) and not isinstance(row["source"], str)


def test_table_orders_tasks_and_arms_as_planned_and_m_by_size(tmp_path: Path) -> None:
    planned = [
        trial(task, withheld, arm, 0, 0.5)
        for task in ("rmts", "identity_rules")
        for withheld in (95, 0)
        for arm in ("tcn=none", "baseline")
    ]
    rows = table(write_study(tmp_path, "s", planned), "s")
    assert list(zip(rows["task"], rows["withheld"], rows["arm"], strict=True)) == [
        (task, withheld, arm)
        for task in ("rmts", "identity_rules")
        for withheld in (0, 95)
        for arm in ("tcn=none", "baseline")
    ]


def test_published_names_both_tables_of_a_cell_printed_twice() -> None:
    assert published()["rmts", 95, "baseline"] == (0.95, 0.007, "Table 10, Table 16")


def test_published_prints_the_same_value_wherever_a_cell_occurs() -> None:
    lines = (ROOT / "analysis/data/published.csv").read_text().splitlines()[1:]
    cells = {}
    for line in lines:
        _, cell = line.split(",", 1)
        place, mean, sem = cell.rsplit(",", 2)
        assert cells.setdefault(place, (mean, sem)) == (mean, sem)
    assert len(published()) == len(cells)


def test_report_shows_percent_counts_and_holes(tmp_path: Path) -> None:
    lines = report(table(_study(tmp_path), "s"), "text").splitlines()
    cells = [" ".join(line.split()) for line in lines]
    assert "rmts 95 baseline 4/5 1 93.2 ± 2.4 95.0 ± 0.7 -1.8 Table 10, Table 16" in cells
    assert "rmts 95 own_arm 0/1 0 — — — —" in cells
    assert "rmts 95 tcn=none 1/2 0 50.0 ± — 51.0 ± 0.5 -1.0 Table 10" in cells


def test_report_states_the_error_and_lists_what_is_incomplete(tmp_path: Path) -> None:
    text = report(table(_study(tmp_path), "s"), "text")
    assert "standard error of the mean over seeds" in text and "ddof 1" in text and "Paper: n = 10" in text
    assert "Incomplete: rmts, m = 95, baseline: 4 of 5 trained, 1 failed." in text
    assert "Not trained yet: 1 of" in text


def test_report_aligns_its_columns(tmp_path: Path) -> None:
    header, rule, *rows = report(table(_study(tmp_path), "s"), "text").splitlines()[:5]
    assert len(rule) >= max(map(len, [header, *rows]))
    assert {line.index("±") for line in rows if line.count("±")} == {rows[0].index("±")}


def test_report_as_markdown_has_the_same_number_of_cells_in_every_row(tmp_path: Path) -> None:
    rows = [line for line in report(table(_study(tmp_path), "s"), "markdown").splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 3
    assert {row.count("|") for row in rows} == {10}
