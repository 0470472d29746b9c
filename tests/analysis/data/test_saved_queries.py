"""The saved questions, answered by hand."""

from pathlib import Path

import pytest
from analysis_store import trial, write_study
from click.testing import CliRunner

from analysis import AnalysisError, query
from analysis.data.query import question, saved
from study.cli.main import main
from study.store.store import Store

ARMS = {"baseline": (0.9, 1.0), "tcn=none": (0.5, 0.7)}
RUNS = [
    trial("rmts", 95, arm, seed, accuracy, model="esbn", device="cpu", updates=100, wall_seconds=6.0, pack_size=2)
    for arm, accuracies in ARMS.items()
    for seed, accuracy in enumerate(accuracies)
]
FAILED = trial("rmts", 95, "encoder=mlp", 0)
MISSING = trial("rmts", 95, "encoder=mlp", 1)
REHEARSED = trial("rmts", 95, "rehearsal=True", 0, 0.1, rehearsal=True)
REHEARSAL_TO_COME = trial("rmts", 95, "rehearsal=True", 1, rehearsal=True)


@pytest.fixture
def results(tmp_path: Path) -> str:
    folder = write_study(
        tmp_path, "s", [*RUNS, FAILED, MISSING, REHEARSED, REHEARSAL_TO_COME], [*RUNS, FAILED, REHEARSED]
    )
    store = Store(folder)
    leaky = {"leak_rms": 0.25, "leak_key_spread": 0.5, "closed_accuracy": 0.4, "swapped_accuracy": 0.3}
    row = trial("rmts", 95, "leak=0.1", 0, 0.6, **leaky)
    store.write("trials", row["trial_id"], [row])
    other = {"trial_id": "one", "origin": "authors", "task": "rmts", "withheld": 95, "arm": "baseline"}
    store.write("external", "one", [other])
    return folder


def ask(results: str, name: str) -> list[dict[str, object]]:
    return query(results, question(name)).to_pylist()


@pytest.mark.parametrize("name", saved())
def test_saved_question_says_what_it_answers_and_is_understood(results: str, name: str) -> None:
    assert saved()[name].startswith("-- ")
    ask(results, name)


def test_accuracy_leaves_out_failures_and_rehearsals(results: str) -> None:
    rows = {row["arm"]: row for row in ask(results, "accuracy")}
    assert rows.keys() == {"baseline", "tcn=none", "leak=0.1"}
    assert rows["tcn=none"]["mean"] == pytest.approx(0.6)
    assert rows["tcn=none"]["sem"] == pytest.approx(0.1)


def test_pairs_are_of_one_seed(results: str) -> None:
    rows = {row["arm"]: row for row in ask(results, "pairs")}
    assert (rows["tcn=none"]["pairs"], rows["leak=0.1"]["pairs"]) == (2, 1)
    assert rows["tcn=none"]["difference_points"] == pytest.approx(-35.0)


def test_missing_tells_failed_from_missing(results: str) -> None:
    (row,) = ask(results, "missing")
    assert (row["arm"], row["planned"], row["completed"], row["failed"], row["missing"]) == ("encoder=mlp", 2, 0, 1, 1)


def test_cost_shares_out_the_seconds_of_a_pack(results: str) -> None:
    (row,) = (row for row in ask(results, "cost") if row["model"] == "esbn")
    assert (row["networks"], row["seconds"], row["ms_per_update"]) == (4, 12.0, 30.0)


def test_leak_stands_beside_accuracy(results: str) -> None:
    (row,) = ask(results, "leak")
    assert (row["accuracy"], row["leak_rms"], row["closed"], row["swapped"]) == (0.6, 0.25, 0.4, 0.3)


def test_question_refuses_a_word_that_is_no_saved_question() -> None:
    with pytest.raises(AnalysisError, match="'acuracy' is neither SQL nor a saved question; .*accuracy"):
        question("acuracy")


def test_question_passes_sql_on() -> None:
    assert question("from trials") == "from trials"


def test_query_reads_a_file(results: str, tmp_path: Path) -> None:
    (tmp_path / "ask.sql").write_text("select count(*) as n from trials")
    printed = CliRunner().invoke(main, ["query", "--file", str(tmp_path / "ask.sql"), "--results", results])
    assert printed.output.split()[-1] == "7"


def test_query_lists_what_is_saved() -> None:
    printed = CliRunner().invoke(main, ["query", "--list"]).output
    assert all(name in printed for name in saved())
