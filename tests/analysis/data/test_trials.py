"""Reading the store: what the store's writer wrote comes back, or a sentence saying why not."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from analysis_store import plan_row, spoil, trial, write_study
from pandas.testing import assert_frame_equal

from analysis import AnalysisError, StoreError, load, load_study
from analysis.data.results import load_keys
from study.store.schema import TABLES
from study.store.store import Store

RUNS = [trial("rmts", 95, arm, seed, 0.9 + seed / 100) for arm in ("tcn=none", "baseline") for seed in (0, 1)]
REHEARSED = [trial("rmts", 95, "rehearsal=True", seed, 0.5, rehearsal=True) for seed in (0, 1)]


def test_load_returns_what_the_store_wrote(tmp_path: Path) -> None:
    row = trial("rmts", 95, "baseline", 3, 0.9375, withheld_objects=[4, 2], started_at=datetime(2024, 1, 2, tzinfo=UTC))
    results = write_study(tmp_path, "s", [row])
    (read,) = load(results).to_dict("records")
    assert read["withheld_objects"].tolist() == [4, 2]
    assert {name: read[name] for name in row if name != "withheld_objects"} == {
        name: value for name, value in row.items() if name != "withheld_objects"
    }


def test_load_knows_the_tables_and_columns_of_the_store(tmp_path: Path) -> None:
    results = write_study(tmp_path, "s", RUNS)
    assert list(load(results, "plans").columns) == TABLES["plans"].names


def test_load_reads_a_folder_given_as_uri(tmp_path: Path) -> None:
    write_study(tmp_path / "with space", "s", RUNS)
    write_study(tmp_path / "plain", "s", RUNS)
    assert len(load(str(tmp_path / "with space"))) == len(load((tmp_path / "plain").as_uri())) == 4


def test_load_reads_only_the_columns_asked_for(tmp_path: Path) -> None:
    assert list(load(write_study(tmp_path, "s", RUNS), columns=["seed", "arm"]).columns) == ["seed", "arm"]


def test_load_passes_over_files_that_are_still_being_written(tmp_path: Path) -> None:
    results = write_study(tmp_path, "s", RUNS)
    (tmp_path / "trials" / ".x.parquet.0123").write_bytes(b"PAR1 half")
    assert len(load(results)) == 4


def test_load_refuses_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match=r"nowhere.*is not a folder"):
        load(str(tmp_path / "nowhere"))


def test_load_refuses_an_unknown_scheme() -> None:
    with pytest.raises(StoreError, match="results='gopher://x' is not a folder or URI"):
        load("gopher://x")


def test_load_names_the_table_without_rows(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="no rows in table curves yet"):
        load(write_study(tmp_path, "s", RUNS), "curves")


def test_load_suggests_a_table(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="table='trails' is unknown; did you mean 'trials'"):
        load(str(tmp_path), "trails")


def test_load_suggests_a_column(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="no column 'test_acuracy'; did you mean 'test_accuracy'"):
        load(write_study(tmp_path, "s", RUNS), columns=["test_acuracy"])


@pytest.mark.parametrize("place", [0, -1], ids=["first", "last"])
def test_load_passes_over_a_torn_file(tmp_path: Path, place: int) -> None:
    results = write_study(tmp_path, "s", RUNS)
    torn = sorted((tmp_path / "trials").iterdir())[place]
    torn.write_bytes(torn.read_bytes()[:-40])
    assert set(load(results)["trial_id"]) == {row["trial_id"] for row in RUNS} - {torn.stem}


def test_load_study_keeps_the_order_of_the_plan(tmp_path: Path) -> None:
    frame = load_study(write_study(tmp_path, "s", RUNS), "s")
    assert frame["arm"].tolist() == ["tcn=none", "tcn=none", "baseline", "baseline"]


def test_load_study_tells_completed_failed_and_missing_apart(tmp_path: Path) -> None:
    failed = trial("rmts", 95, "baseline", 2)
    frame = load_study(write_study(tmp_path, "s", [*RUNS, failed], [RUNS[0], failed]), "s")
    assert frame["status"].tolist() == ["completed", "missing", "missing", "missing", "failed"]


def test_load_study_calls_all_missing_when_nothing_has_ended(tmp_path: Path) -> None:
    frame = load_study(write_study(tmp_path, "s", RUNS, []), "s")
    assert frame["status"].tolist() == ["missing"] * 4
    assert frame["test_accuracy"].isna().tolist() == [True] * 4


def test_load_study_leaves_out_trials_of_other_studies(tmp_path: Path) -> None:
    write_study(tmp_path, "other", RUNS[2:])
    assert len(load_study(write_study(tmp_path, "s", RUNS[:2]), "s")) == 2


def test_load_study_takes_the_arm_from_the_plan(tmp_path: Path) -> None:
    shared = trial("rmts", 95, "baseline", 0, 0.9)
    results = write_study(tmp_path, "s", [shared | {"arm": "confidence=on"}], [shared])
    assert load_study(results, "s")["arm"].tolist() == ["confidence=on"]
    assert load_study(results, "s")["test_accuracy"].tolist() == [0.9]


def test_load_study_joins_the_plans_of_an_extended_study(tmp_path: Path) -> None:
    results = write_study(tmp_path, "s", RUNS)
    more = trial("rmts", 95, "baseline", 2, 0.5)
    Store(results).write("plans", "a-later", [plan_row("s", row, day=2) for row in [*RUNS, more]])
    assert load_study(results, "s")["seed"].tolist() == [0, 1, 0, 1, 2]


def test_load_study_leaves_out_rehearsals(tmp_path: Path) -> None:
    frame = load_study(write_study(tmp_path, "s", [*REHEARSED, *RUNS]), "s")
    assert frame["trial_id"].tolist() == [row["trial_id"] for row in RUNS]


def test_load_study_leaves_out_rehearsals_when_older_files_do_not_know_them(tmp_path: Path) -> None:
    results = write_study(tmp_path, "s", REHEARSED)
    schema = TABLES["plans"].remove(TABLES["plans"].get_field_index("rehearsal"))
    pq.write_table(pa.Table.from_pylist([plan_row("s", row) for row in RUNS], schema), tmp_path / "plans" / "a.parquet")
    assert load_study(results, "s")["trial_id"].tolist() == [row["trial_id"] for row in RUNS]


def test_load_study_says_that_a_study_is_only_rehearsed(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="study='s' has only been rehearsed; run it without --limit-updates"):
        load_study(write_study(tmp_path, "s", REHEARSED), "s")


def test_load_study_refuses_a_trial_planned_twice_in_a_file(tmp_path: Path) -> None:
    results = write_study(tmp_path, "s", [RUNS[0], RUNS[0]])
    with pytest.raises(AnalysisError, match=r"has a trial twice \(.*s.parquet, trial_id=rmts-95-tcn_none-0\)"):
        load_study(results, "s")


def test_load_study_takes_the_newest_arm_of_a_trial(tmp_path: Path) -> None:
    results = write_study(tmp_path, "s", [RUNS[0]])
    Store(results).write("plans", "later", [plan_row("s", RUNS[0] | {"arm": "baseline"}, day=2)])
    assert load_study(results, "s")["arm"].tolist() == ["baseline"]


def test_load_study_takes_the_newest_plan_of_a_variant(tmp_path: Path) -> None:
    results = write_study(tmp_path, "s", RUNS)
    Store(results).write("plans", "later", [plan_row("s", RUNS[0] | {"trial_id": "longer-training"}, day=2)])
    baseline = [row["trial_id"] for row in RUNS if row["arm"] == "baseline"]
    assert load_study(results, "s")["trial_id"].tolist() == [*baseline, "longer-training"]


def test_load_study_refuses_two_trials_in_one_place_of_one_plan(tmp_path: Path) -> None:
    results = write_study(tmp_path, "s", [RUNS[0], RUNS[0] | {"trial_id": "longer-training"}])
    with pytest.raises(AnalysisError, match=r"two trials for one seed.*arm=tcn=none, seed=0"):
        load_study(results, "s")


def test_load_study_counts_a_copied_file_once(tmp_path: Path) -> None:
    results = write_study(tmp_path, "s", RUNS)
    expected = load_study(results, "s")
    Store(results).write("trials", "a-copy", [RUNS[0]])
    assert_frame_equal(load_study(results, "s"), expected)


@pytest.mark.parametrize(
    "wrong", [{"test_accuracy": None}, {"test_accuracy": 7.0}, {"status": "pwned"}, {"status": None}]
)
def test_load_study_shows_a_row_that_cannot_be_as_failed(tmp_path: Path, wrong: dict[str, Any]) -> None:
    row = trial("rmts", 95, "baseline", 7, 0.5)
    results = write_study(tmp_path, "s", [row, *RUNS])
    spoil(results, row["trial_id"], wrong)
    frame = load_study(results, "s")
    assert frame["status"].tolist() == ["failed"] + ["completed"] * len(RUNS)
    (name,) = wrong
    assert str(frame["failure"][0]).startswith(f"not a valid row: {name}=")


def test_load_study_suggests_a_study(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match=r"study='memroy_parts'.*did you mean 'memory_parts'"):
        load_study(write_study(tmp_path, "memory_parts", RUNS), "memroy_parts")


def test_load_keys_gives_the_rows_of_one_trial(tmp_path: Path) -> None:
    store = Store(write_study(tmp_path, "s", RUNS))
    for name in ("a", "b"):
        place = {"trial_id": name, "split": "test", "step": 1}
        store.write("keys", name, [{**place, "problem": i, "key": [0.5, i]} for i in range(3)])
    rows = load_keys(str(tmp_path), "b").to_pylist()
    assert [(row["trial_id"], row["problem"], row["key"]) for row in rows] == [("b", i, [0.5, i]) for i in range(3)]
