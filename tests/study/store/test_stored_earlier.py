"""A store that earlier code wrote, kept as files: today's code reads it, and says of it what was said then.

Its trials, curves and keys are merged for one arm and single for the other; a plan lacks the columns that came later.
"""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from repository import ROOT

from study.cli.main import main
from study.planning.completion import completion
from study.planning.declarations import find_study
from study.planning.plan import plan
from study.store.schema import TABLES
from study.store.store import Store

EARLIER = ROOT / "tests" / "data" / "stored_earlier"
BASELINE = "n_train=12,n_test=18,encoder=random,key_size=3,hidden_size=8,learning_rate=0.01,updates=61"
TOLD = {
    "table": ["table", "earlier"],
    "table_of_older_plan": ["table", "older"],
    "audit": ["audit", "earlier"],
    "compare": ["compare", "earlier", "--baseline", BASELINE],
    "keys": ["keys", "earlier"],
    "status": ["status"],
    "accuracy": ["query", "accuracy", "--format", "csv"],
    "curves": [
        "query",
        "from curves select trial_id, update, round(loss, 6) as loss, accuracy order by all",
        "--format",
        "csv",
    ],
    "suggestions": [
        "query",
        "from suggestions select suggestion, status, parameters, round(accuracy, 6) as accuracy order by 1",
        "--format",
        "csv",
    ],
    "rungs": [
        "query",
        "from rungs select suggestion, seed, update, round(loss, 6) as loss, accuracy order by all",
        "--format",
        "csv",
    ],
}
"""Commands whose output was recorded when the store was written, by the name of the file that has it."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    shutil.copytree(EARLIER / "results", tmp_path / "results")
    store = Store(str(tmp_path / "results"))
    store.prepare()  # its empty folders, which git does not keep
    return store


def esbn(store: Store, *arguments: str) -> Result:
    result = CliRunner().invoke(main, [*arguments, "--results", store.uri])
    assert result.exit_code == 0, result.output
    return result


def told(name: str) -> str:
    return (EARLIER / "told" / f"{name}.txt").read_text(encoding="utf-8")


def rows_of_tables(store: Store) -> dict[str, list[str]]:
    return {table: sorted(map(str, store.read(table).to_pylist())) for table in TABLES}


def test_every_recorded_answer_is_asked_for() -> None:
    assert {path.stem for path in (EARLIER / "told").iterdir()} == set(TOLD)


@pytest.mark.parametrize("name", TOLD)
def test_command_says_what_it_said_when_the_store_was_written(name: str, store: Store) -> None:
    assert esbn(store, *TOLD[name]).output == told(name)


def test_store_has_files_of_every_kind_of_table(store: Store) -> None:
    for table in ("trials", "curves", "keys"):
        assert store.files(table).single and store.files(table).merged
    for table in ("plans", "objects", "searches", "suggestions", "rungs"):
        assert store.read(table).num_rows
    older = store.read("plans", names={"older-0000000000000000"})
    assert older["rehearsal"].null_count == older.num_rows == 4


def test_planned_trials_are_found_completed(store: Store) -> None:
    trials = plan(find_study(str(EARLIER / "study.yaml")))
    now = completion(trials, store)
    assert [trial.trial_id for trial in now.completed] == [trial.trial_id for trial in trials]
    assert (len(trials), now.failed, now.missing) == (4, [], [])


def test_run_and_search_of_the_same_declarations_train_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rows_of_tables(store)
    monkeypatch.setattr("ray.init", None)
    output = esbn(store, "run", str(EARLIER / "study.yaml")).output
    assert output == f"4 trials: 4 completed, 0 failed, 0 missing; nothing to train. Results are in {store.uri}\n"
    output = esbn(store, "search", str(EARLIER / "search.yaml")).output
    assert output.startswith("2 suggestions: 2 completed, 0 pruned, 0 failed. ")
    assert rows_of_tables(store) == before


def test_compaction_keeps_what_the_store_says(store: Store) -> None:
    before = rows_of_tables(store)
    esbn(store, "compact")
    assert rows_of_tables(store) == before
    assert not any(store.files(table).single for table in ("trials", "curves", "keys"))
    assert esbn(store, "table", "earlier").output == told("table")
