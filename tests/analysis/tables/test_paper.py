"""Tables 9 to 20: which of our trials enter which cell, and how the tables are laid out."""

import statistics
from pathlib import Path

import pytest
from analysis_store import spoil, trial, write_study
from click.testing import CliRunner

from analysis import AnalysisError
from analysis.findings.paper import PaperCell, other_code, paper_cells
from analysis.tables import paper
from study.cli.main import main
from study.store.store import Store

ACCURACIES = [0.91, 0.95, 0.99]
RUNS = [trial("rmts", 95, "baseline", seed, accuracy) for seed, accuracy in enumerate(ACCURACIES)]


def trained(results: str) -> list[PaperCell]:
    return [cell for cell in paper_cells(results) if cell.ours.n]


def report(results: str, format: str) -> str:
    return paper.report(paper_cells(results), other_code(results), results, format)


def lines(text: str, source: str) -> list[str]:
    """The lines of one table under its heading, spaces closed up."""
    block = text.split(f"{source}: ")[1].split("Table ")[0].splitlines()
    return [" ".join(line.split()) for line in block[2:]]


def test_cells_hold_every_published_cell_and_no_trial_when_there_is_no_folder(tmp_path: Path) -> None:
    cells = paper_cells(str(tmp_path / "nowhere"))
    assert len(cells) == 376
    assert list(dict.fromkeys(cell.paper.source for cell in cells)) == list(paper.TITLES)
    assert {cell.ours.n for cell in cells} == {0}


def test_cells_average_a_trial_in_every_table_that_prints_its_cell(tmp_path: Path) -> None:
    cells = trained(write_study(tmp_path, "s", RUNS))
    assert [(cell.paper.source, *cell.cell) for cell in cells] == [
        (source, "rmts", 95, "baseline") for source in ("Table 10", "Table 16")
    ]
    for cell in cells:
        assert cell.ours == pytest.approx((3, statistics.mean(ACCURACIES), statistics.stdev(ACCURACIES) / 3**0.5))
        assert cell.paper[:2] == (0.95, 0.007)


def test_cells_take_the_trials_of_every_study(tmp_path: Path) -> None:
    write_study(tmp_path, "one", RUNS[:2])
    assert [cell.ours.n for cell in trained(write_study(tmp_path, "two", RUNS[2:]))] == [3, 3]


def test_cells_leave_out_what_failed_and_what_the_paper_does_not_have(tmp_path: Path) -> None:
    others = [trial("rmts", 95, "baseline", 3), trial("rmts", 95, "images=0123", 0, 0.5), trial("rmts", 7, "x", 0, 0.5)]
    assert [cell.ours.n for cell in trained(write_study(tmp_path, "s", [*RUNS, *others]))] == [3, 3]


def test_cells_leave_out_rehearsals(tmp_path: Path) -> None:
    rehearsed = trial("rmts", 95, "baseline", 3, 0.5, rehearsal=True)
    assert [cell.ours.n for cell in trained(write_study(tmp_path, "s", [*RUNS, rehearsed]))] == [3, 3]


def test_cells_with_two_trials_of_one_seed_are_not_averaged(tmp_path: Path) -> None:
    results = write_study(tmp_path, "s", RUNS)
    Store(results).write("trials", "stale", [RUNS[0] | {"trial_id": "stale"}])
    assert not trained(results)
    assert "rmts, m = 95, baseline (seed 0 occurs twice; delete the outdated file" in report(results, "text")


def test_cells_of_mixed_protocols_are_not_averaged(tmp_path: Path) -> None:
    rates = (0.0005, 0.0005, 0.001)
    rows = [
        row | {"config": f'{{"learning_rate": {rate}, "seed": {row["seed"]}}}'}
        for row, rate in zip(RUNS, rates, strict=True)
    ]
    results = write_study(tmp_path, "s", rows)
    assert not trained(results)
    text = report(results, "text")
    assert lines(text, "Table 10")[2] == "baseline ours — — — doubtful"
    assert "rmts, m = 95, baseline (2 protocols mixed: learning_rate 0.0005 and 0.001)" in text


@pytest.mark.parametrize("accuracy", [None, float("nan"), float("inf"), -0.1, 7.0])
def test_cells_count_a_trial_that_cannot_be_as_failed(tmp_path: Path, accuracy: float | None) -> None:
    failed, completed = (trial("rmts", 95, "baseline", 3, accuracy) for accuracy in (None, 0.5))
    expected = paper_cells(write_study(tmp_path / "failed", "s", [*RUNS, failed]))
    results = write_study(tmp_path / "wrong", "s", [*RUNS, completed])
    spoil(results, completed["trial_id"], {"test_accuracy": accuracy})
    assert paper_cells(results) == expected


def test_cells_pass_over_a_torn_file(tmp_path: Path) -> None:
    results = write_study(tmp_path, "s", RUNS)
    expected = paper_cells(results)
    (tmp_path / "trials" / "torn.parquet").write_bytes(b"PAR1")
    assert paper_cells(results) == expected


def test_cells_refuse_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(AnalysisError, match="is not a folder"):
        paper_cells(str(tmp_path / "results"))


def test_report_puts_ours_above_the_paper_s(tmp_path: Path) -> None:
    text = report(write_study(tmp_path, "s", RUNS), "text")
    ours, theirs = lines(text, "Table 10")[2:4]
    assert ours == "baseline ours — — — 95.0 ± 2.3 (3)"
    assert theirs == "paper 100.0 ± 0.0 (10) 100.0 ± 0.0 (10) 100.0 ± 0.0 (10) 95.0 ± 0.7 (10)"


def test_report_sets_ours_and_the_paper_s_flush_whatever_n_is(tmp_path: Path) -> None:
    text = report(write_study(tmp_path, "s", [trial("rmts", 0, "baseline", 0, 0.5), *RUNS]), "text")
    ours, theirs = text.split("Table 10: ")[1].splitlines()[4:6]
    signs = [{i for i, character in enumerate(line) if character == "±"} for line in (ours, theirs)]
    assert len(signs[0]) == 2 and signs[0] < signs[1]


def test_report_lists_arms_and_m_as_the_paper_does(tmp_path: Path) -> None:
    block = lines(report(str(tmp_path), "text"), "Table 15")
    assert block[0] == "arm m = 0 m = 50 m = 85 m = 95 m = 98"
    assert [line.split()[0] for line in block[2::2] if line][:3] == ["baseline", "encoder=mlp", "encoder=random"]


def test_report_lists_tasks_where_a_table_has_one_arm(tmp_path: Path) -> None:
    results = write_study(tmp_path, "s", [trial("identity_rules", 50, "model=rn,n_train=100000", 0, 0.5)])
    block = lines(report(results, "text"), "Table 13")
    assert (block[0], block[4]) == ("task m = 0 m = 50 m = 85", "identity_rules ours — 50.0 ± — (1) —")


def test_report_leaves_blank_what_the_paper_does_not_have(tmp_path: Path) -> None:
    block = lines(report(str(tmp_path), "text"), "Table 19")
    assert block[2] == "same_different ours — — — — —" and block[4] == "rmts ours — — — —"


def test_report_states_n_and_the_error(tmp_path: Path) -> None:
    text = report(write_study(tmp_path, "s", RUNS), "text")
    assert "standard error of the mean over seeds" in text and "ddof 1" in text and "Paper: n = 10" in text
    assert "has no trials" not in text


@pytest.mark.parametrize("folder", ["nowhere", "."])
def test_report_says_that_there_are_no_trials_yet(tmp_path: Path, folder: str) -> None:
    results = str(tmp_path / folder)
    assert f"results={results!r} has no trials of these tables yet" in report(results, "text")


def test_report_as_markdown_has_the_same_number_of_cells_in_every_row(tmp_path: Path) -> None:
    blocks = report(write_study(tmp_path, "s", RUNS), "markdown").split("### ")[1:]
    assert len(blocks) == 12
    for block in blocks:
        assert len({line.count("|") for line in block.splitlines() if line.startswith("|")}) == 1


@pytest.mark.parametrize(("options", "heading"), [([], "Table 9: "), (["--format", "markdown"], "### Table 9: ")])
def test_table_command_prints_the_paper_s_tables_without_a_study(
    tmp_path: Path, options: list[str], heading: str
) -> None:
    answer = CliRunner().invoke(main, ["table", "--results", write_study(tmp_path, "s", RUNS), *options])
    assert answer.exit_code == 0
    assert answer.output.startswith(heading) and "95.0 ± 2.3 (3)" in answer.output
