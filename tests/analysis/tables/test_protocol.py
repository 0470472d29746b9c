"""Tables 1 to 8: every number of ours and the paper's against closed forms, or against what was read off the paper."""

import math
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from analysis.data.protocol import printed_protocol
from analysis.findings.protocol import protocol_cells
from analysis.tables.protocol import report
from esbn_core.vocabulary import CONDITIONS
from study.cli.main import main
from study.planning.paper_protocol import default_protocol

TASKS = ("same_different", "rmts", "distribution_of_three", "identity_rules")

EPOCHS = {  # Table 6
    "same_different": {0: 50, 50: 50, 85: 50, 95: 100, 98: 100},
    "rmts": {0: 50, 50: 50, 85: 50, 95: 200},
    "distribution_of_three": {0: 50, 50: 50, 85: 50, 95: 150},
    "identity_rules": {0: 50, 50: 50, 85: 50, 95: 50},
}
LONGER = {  # Tables 7 and 8, by m = 0, 50, 85, 95
    ("Table 7", "predinet"): (100, 100, 100, 150),
    ("Table 7", "rn"): (150, 150, 150, 800),
    ("Table 8", "predinet"): (100, 100, 100, 150),
    ("Table 8", "rn"): (100, 100, 100, 150),
    ("Table 8", "transformer"): (100, 100, 100, 150),
}
SLOWER = {  # Table 5
    *(("esbn", task) for task in TASKS),
    ("predinet", "distribution_of_three"),
    ("predinet", "identity_rules"),
    ("rn", "rmts"),
}


def count(task: str, k: int) -> int:
    """Problems of k objects, the kinds equally often: two letters, pairs of pairs, two rows of three, rules."""
    if task == "same_different":
        return 2 * (k * k - k)
    if task == "rmts":
        return 2 * max(2 * math.perm(k, 4), 2 * math.perm(k, 5))
    if task == "distribution_of_three":
        return 36 * math.comb(k, 3)
    return 3 * 24 * math.perm(k, 4)


def problems(task: str, m: int) -> tuple[int, int]:
    """Training and test problems: at m = 0 of same/different 95 and 5 % of the pairs, elsewhere at most 10,000."""
    if task == "same_different" and m == 0:
        pairs = 100 * 99
        return 2 * pairs * 95 // 100, 2 * pairs * 5 // 100
    train, test = (100, 100) if m == 0 else (100 - m, m)
    return min(10_000, count(task, train)), min(10_000, count(task, test))


def expected() -> dict[tuple[str, str, int | None, str, str], float]:
    """By table, task, m, model and quantity."""
    numbers: dict[tuple[str, str, int | None, str, str], float] = {}
    for i, task in enumerate(TASKS):
        for m in CONDITIONS[task]:
            train, test = problems(task, m)
            numbers[f"Table {i + 1}", task, m, "", "n_train"] = train
            numbers[f"Table {i + 1}", task, m, "", "n_test"] = test
            numbers["Table 6", task, m, "", "epochs"] = EPOCHS[task][m]
        numbers["Table 5", task, None, "", "learning_rate"] = 5e-4
    numbers |= {("Table 5", task, None, model, "learning_rate"): 5e-5 for model, task in SLOWER}
    for (source, model), epochs in LONGER.items():
        task = {"Table 7": "distribution_of_three", "Table 8": "identity_rules"}[source]
        numbers |= {(source, task, m, model, "epochs"): n for m, n in zip((0, 50, 85, 95), epochs, strict=True)}
    return numbers


@pytest.fixture(scope="module")
def ours() -> pd.DataFrame:
    return pd.DataFrame(default_protocol()).astype({"n_train": float, "n_test": float})


def changed(ours: pd.DataFrame, quantity: str, value: float, **at: object) -> pd.DataFrame:
    """Our protocol with another number at the rows that have these values."""
    here = [all(row[name] == wanted for name, wanted in at.items()) for row in ours.to_dict("records")]
    assert any(here)
    return ours.assign(**{quantity: ours[quantity].mask(here, value)})


def differing(ours: pd.DataFrame) -> list[tuple[str, str, int | None, str]]:
    return [cell.printed[:4] for cell in protocol_cells(ours) if cell.differs]


def test_printed_numbers_are_the_papers() -> None:
    printed = {tuple(number[:5]): number.paper for number in printed_protocol()}
    assert printed == expected()
    assert len(printed) == len(printed_protocol()) == 34 + 11 + 17 + 8 + 12


def test_numbers_of_ours_are_the_papers(ours: pd.DataFrame) -> None:
    assert {tuple(cell.printed[:5]): cell.ours for cell in protocol_cells(ours)} == {
        at: (number,) for at, number in expected().items()
    }


def test_every_default_trial_is_in_each_kind_of_table(ours: pd.DataFrame) -> None:
    """17 conditions of 7 models, each with TCN and without, and 8 of the TRN: a change in any of them is seen."""
    assert len(ours) == 17 * 7 * 2 + 8
    for quantity in ("n_train", "n_test", "learning_rate", "epochs"):
        for i in range(0, len(ours), 5):
            assert len(differing(ours.assign(**{quantity: ours[quantity].mask(ours.index == i, 0.25)}))) == 1


def test_difference_is_marked_and_counted(ours: pd.DataFrame) -> None:
    text = report(protocol_cells(changed(ours, "epochs", 60, task="rmts", withheld=95, model="lstm")), "text")
    assert "≠ 60/200" in text
    assert text.count("≠") == 2  # and in the note
    assert "in 1 of 82 numbers" in text
    assert "numbers are the paper's" not in text


def test_rate_without_tcn_counts_for_models_of_table_5_only(ours: pd.DataFrame) -> None:
    assert differing(changed(ours, "learning_rate", 1e-3, model="rn", task="rmts", tcn="none")) == [
        ("Table 5", "rmts", None, "rn")
    ]
    assert differing(changed(ours, "learning_rate", 1e-3, model="rn", task="rmts", tcn="segmented")) == [
        ("Table 5", "rmts", None, "")
    ]


def test_number_that_no_trial_is_about_is_marked(ours: pd.DataFrame) -> None:
    cells = protocol_cells(ours.loc[ours["model"] != "predinet"])
    assert sum(cell.differs for cell in cells) == 2 + 4 + 4
    assert "≠ —" in report(cells, "text")


@pytest.mark.parametrize("format", ["text", "markdown", "latex", "html", "csv"])
def test_command_prints_every_format_without_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["table", "--protocol", "--format", format])
    assert result.exit_code == 0
    assert "18,810" in result.output or (format == "csv" and "18810" in result.output)
    assert ("≠" in result.output) is False and "True" not in result.output
    assert list(tmp_path.iterdir()) == []


def test_command_prints_eight_tables_with_ours_above_the_papers() -> None:
    output = CliRunner().invoke(main, ["table", "--protocol"]).output
    lines = [" ".join(line.split()) for line in output.splitlines()]
    assert [line.split(":")[0] for line in lines if line.startswith("Table ")] == [f"Table {i}" for i in range(1, 9)]
    i = lines.index("training ours 18,810 4,900 420 40 4")
    assert lines[i + 1] == "paper 18,810 4,900 420 40 4"
    assert "rn ours 150 150 150 800" in lines
    assert "esbn ours 5e-5 5e-5 5e-5 5e-5" in lines
    assert "All 82 numbers agree with the paper's." in lines


@pytest.mark.parametrize("more", [["encoders"], ["encoders", "--tuned"]])
def test_command_refuses_a_study_beside_protocol(more: list[str]) -> None:
    result = CliRunner().invoke(main, ["table", *more, "--protocol"])
    assert result.exit_code == 2
    assert "--protocol needs no study" in result.output
