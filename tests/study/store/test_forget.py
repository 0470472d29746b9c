"""Forgetting plans and trials, single and merged."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from study.store.compact import compact
from study.store.errors import LeaseError
from study.store.forget import forget_plans, forget_trials, only_of, plan_files, stored
from study.store.lease import lease
from study.store.store import Store

IDS = ["a", "b", "c", "d"]


def write(store: Store, trial_id: str, accuracy: float = 0.5) -> None:
    store.write("curves", trial_id, [{"trial_id": trial_id, "update": 10 * i, "loss": accuracy} for i in range(3)])
    store.write("trials", trial_id, [{"trial_id": trial_id, "status": "completed", "test_accuracy": accuracy}])


def accuracies(store: Store) -> dict[str, float]:
    rows = store.read("trials", ["trial_id", "test_accuracy"]).to_pylist()
    assert store.names("curves") == {row["trial_id"] for row in rows}
    return {row["trial_id"]: row["test_accuracy"] for row in rows}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "results")
    store.prepare()
    for trial_id in IDS:
        write(store, trial_id)
    return store


def ignore(line: str) -> None: ...


def test_forgotten_trial_is_gone_from_every_table(store: Store) -> None:
    forget_trials(store, ["b"])
    assert set(accuracies(store)) == {"a", "c", "d"}
    assert store.leases() == {}


def test_trial_is_forgotten_from_merged_files_and_the_others_stay(store: Store) -> None:
    compact(store, ignore)
    forget_trials(store, ["b", "c"])
    assert set(accuracies(store)) == {"a", "d"}


def test_no_older_result_comes_back(store: Store) -> None:
    """The trial has a merged row, a later merged row and one of its own."""
    compact(store, ignore)
    for accuracy in (0.6, 0.7):
        write(store, "a", accuracy)
        compact(store, ignore) if accuracy == 0.6 else None
    assert accuracies(store)["a"] == 0.7
    forget_trials(store, ["a"])
    assert set(accuracies(store)) == {"b", "c", "d"}


def test_forgotten_trial_can_be_trained_again(store: Store) -> None:
    compact(store, ignore)
    forget_trials(store, ["a"])
    write(store, "a", 0.9)
    assert accuracies(store)["a"] == 0.9
    compact(store, ignore)
    assert accuracies(store) == {"a": 0.9, "b": 0.5, "c": 0.5, "d": 0.5}


def test_trial_that_a_run_trains_is_not_forgotten(store: Store) -> None:
    with lease(store, ["a"]), pytest.raises(LeaseError):
        forget_trials(store, ["a", "b"])
    assert set(accuracies(store)) == set(IDS)


def test_plan_of_one_study_is_forgotten_and_no_other(store: Store) -> None:
    for study, trials in (("s", "abx"), ("s-2", "bc")):
        about = {"study": study, "planned_at": datetime(2024, 1, 1, tzinfo=UTC), "task": "rmts", "withheld": 95}
        rows = [{**about, "arm": "baseline", "trial_id": name, "seed": i} for i, name in enumerate(trials)]
        store.write("plans", f"{study}-0123", rows)
    assert plan_files(store, "s") == {"s-0123"}
    assert only_of(store, "s") == {"a"}, "b is of the other study, too, and x has not been trained"
    forget_plans(store, plan_files(store, "s"))
    assert store.names("plans") == {"s-2-0123"}
    assert set(accuracies(store)) == set(IDS)


def test_trial_is_not_forgotten_while_a_run_trains_another_of_its_file(store: Store) -> None:
    """Forgetting would write that trial's old row again, in a file that is newer than the run's."""
    compact(store, ignore)
    with lease(store, ["a"]), pytest.raises(LeaseError):
        forget_trials(store, ["b"])
    write(store, "c", 0.7)  # in a file of its own, but the old row is in the merged one
    with lease(store, ["c"]), pytest.raises(LeaseError):
        forget_trials(store, ["b"])
    assert accuracies(store) == {"a": 0.5, "b": 0.5, "c": 0.7, "d": 0.5}


def test_forgetting_that_was_stopped_goes_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = {"study": "s", "planned_at": datetime(2024, 1, 1, tzinfo=UTC), "task": "rmts", "withheld": 95, "seed": 0}
    store.write("plans", "s-0123", [{**plan, "arm": "baseline", "trial_id": "b"}])
    drop = Store.drop_files

    def stop(self: Store, table: str, infos: list) -> None:
        if table != "trials":
            raise KeyboardInterrupt
        drop(self, table, infos)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Store, "drop_files", stop)
        forget_trials(store, ["b"])
    assert store.names("trials") == {"a", "c", "d"} and "b" in store.names("curves")
    assert only_of(store, "s") == {"b"} and "b" in stored(store)
    forget_trials(store, ["b"])
    assert set(accuracies(store)) == {"a", "c", "d"}


def test_plan_file_that_cannot_be_read_is_passed_over(store: Store) -> None:
    (Path(store.root) / "plans" / "s-0123.parquet").write_bytes(b"torn")
    assert plan_files(store, "s") == set()
    forget_plans(store, {"s-0123"})
