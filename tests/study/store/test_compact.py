"""Compaction on a disk and on S3: every row once, at any moment and wherever it is killed; the latest result counts."""

import shlex
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from s3 import bucket_uri

import analysis
from study.store import compact as compaction
from study.store import reader
from study.store.compact import compact, merge_ended
from study.store.errors import LeaseError, StoreError
from study.store.lease import lease
from study.store.names import KEY
from study.store.schema import TABLES
from study.store.store import Store

IDS = ["a", "b", "c"]


def silent(_: str) -> None: ...


def write(store: Store, trial_id: str, accuracy: float | None = 0.5) -> None:
    """A trial of three points; failed, and without any, if it has no accuracy."""
    points = [{"trial_id": trial_id, "update": 10 * i, "loss": accuracy} for i in range(3)] if accuracy else []
    store.write("curves", trial_id, points)
    status = "failed" if accuracy is None else "completed"
    store.write("trials", trial_id, [{"trial_id": trial_id, "status": status, "test_accuracy": accuracy}])


def accuracies(store: Store) -> dict[str, float | None]:
    """Test accuracy by trial, the same by every way to read it, with whole curves to each."""
    rows = store.read("trials").to_pylist()
    found = {row["trial_id"]: row["test_accuracy"] for row in rows}
    assert len(rows) == len(found)
    assert store.names("trials") == store.names("curves") == set(found)
    sql = "SELECT trial_id, test_accuracy FROM trials ORDER BY 1"
    assert analysis.query(store.uri, sql).to_pylist() == [
        {"trial_id": name, "test_accuracy": found[name]} for name in sorted(found)
    ]
    assert sorted(analysis.load(store.uri)["trial_id"].tolist()) == sorted(found)
    for name, accuracy in found.items():
        curve = store.read("curves", ["update", "loss"], names=[name]).to_pylist()
        assert curve == ([{"update": 10 * i, "loss": accuracy} for i in range(3)] if accuracy else [])
    return found


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Names a new place at every call."""
    if request.param == "disk":
        return lambda: str(tmp_path / uuid.uuid4().hex)
    s3 = request.getfixturevalue("s3")
    return lambda: bucket_uri(s3, uuid.uuid4().hex)


@pytest.fixture
def store(place: Callable[[], str]) -> Store:
    store = Store(place())
    store.prepare()
    for name in IDS:
        write(store, name)
    return store


def merged(store: Store, table: str) -> list[str]:
    return [file.info.path for file in store.files(table).merged]


def test_compaction_leaves_one_file_a_table_with_the_same_rows(store: Store) -> None:
    before = accuracies(store)
    told: list[str] = []
    compact(store, told.append)
    assert accuracies(store) == before
    assert store.files("trials").single == store.files("curves").single == {}
    assert told == ["trials: 3 files, now 1", "curves: 3 files, now 1"]
    (path,) = merged(store, "trials")
    assert pq.read_schema(path, filesystem=store.fs).equals(TABLES["trials"])
    files = [merged(store, table) for table in ("trials", "curves")]
    compact(store, silent)
    assert [merged(store, table) for table in ("trials", "curves")] == files  # nothing left to do


def test_compaction_merges_what_came_since_into_the_same_file(store: Store) -> None:
    compact(store, silent)
    write(store, "later", 0.7)
    compact(store, silent)
    assert accuracies(store) == {**dict.fromkeys(IDS, 0.5), "later": 0.7}
    assert len(merged(store, "trials")) == 1


def test_trial_that_is_run_again_counts_in_place_of_its_merged_row(store: Store) -> None:
    write(store, "b", None)
    compact(store, silent)
    assert accuracies(store)["b"] is None
    write(store, "b", 0.9)
    expected = {"a": 0.5, "b": 0.9, "c": 0.5}
    assert accuracies(store) == expected
    compact(store, silent)
    assert accuracies(store) == expected
    assert store.files("trials").single == {}


def test_compaction_leaves_trials_alone_that_a_run_has_or_that_have_not_ended(store: Store) -> None:
    store.write("curves", "unfinished", [{"trial_id": "unfinished", "update": 0}])
    with lease(store, ["b"]):
        compact(store, silent)
        assert set(store.files("trials").single) == {"b"}
        assert set(store.files("curves").single) == {"b", "unfinished"}
    assert set(store.read("curves", [KEY])[KEY].to_pylist()) == {*IDS, "unfinished"}


def test_run_merges_its_own_ended_trials_and_no_others(store: Store) -> None:
    merge_ended(store, {"a", "b"})
    first = merged(store, "trials")
    assert len(first) == len(merged(store, "curves")) == 1
    assert set(store.files("trials").single) == set(store.files("curves").single) == {"c"}
    write(store, "d")
    merge_ended(store, {"c", "d"})
    assert store.files("trials").single == {}
    assert merged(store, "trials")[:1] == first  # what it merged before stays
    assert accuracies(store) == dict.fromkeys([*IDS, "d"], 0.5)


def test_reader_of_many_small_files_suggests_to_compact_them_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reader, "MANY", 2)
    for _ in range(2):
        Store(store.uri).read("trials")
    assert [f"`esbn compact --results {shlex.quote(store.uri)}`" in text for text in caplog.messages] == [True]
    compact(store, silent)
    caplog.clear()
    Store(store.uri).read("trials")
    assert not caplog.messages


def test_compaction_is_refused_while_another_is_at_work(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "held", lambda store: set())  # as if both had looked at the same moment
    with lease(store, IDS), pytest.raises(LeaseError, match="the run with pid"):
        compact(store, silent)
    assert merged(store, "trials") == []


def test_compaction_keeps_large_files_and_cuts_the_rest_into_groups(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = store.files("trials").single["a"].size
    monkeypatch.setattr(compaction, "INPUT", int(2.5 * size))
    monkeypatch.setattr(compaction, "LARGE", int(0.5 * size))
    compact(store, silent)
    assert len(store.files("trials").single) == 3
    monkeypatch.setattr(compaction, "LARGE", int(1.02 * size))
    compact(store, silent)
    assert accuracies(store) == dict.fromkeys(IDS, 0.5)


def test_compaction_sets_rows_of_another_trial_aside(store: Store) -> None:
    store.write("trials", "b", [{"trial_id": "x", "status": "failed"}])
    store.write("curves", "c", [{"trial_id": "x", "update": 0}])
    compact(store, silent)
    assert store.names("trials") == {"a", "c"}
    assert store.names("curves") == {"a", "b"}  # that of b belongs to no trial that has ended
    again = Store(store.uri)
    compact(again, silent)
    assert again.names("trials") == {"a", "c"}
    assert set(store.read("curves", [KEY], names=IDS)[KEY].to_pylist()) == {"a", "b"}


@pytest.mark.parametrize("copied", ["trials", "curves"])
def test_copied_file_is_counted_once_before_and_after_a_compaction(store: Store, copied: str) -> None:
    content = store.read(copied, names=["b"])
    store.write(copied, "b (copy)", content)
    store.write(copied, "b.sync-conflict-1", content)
    before = Store(store.uri).read(copied).num_rows
    compact(store, silent)
    assert accuracies(store) == dict.fromkeys(IDS, 0.5)
    assert store.read(copied).num_rows == before


def test_store_that_was_merged_with_a_copied_file_reads_well_and_is_mended_by_compact(store: Store) -> None:
    for table in ("trials", "curves"):
        rows = store.read(table)
        doubled = pa.concat_tables([rows, store.read(table, names=["b"])])
        infos = store.listing(table).single
        store.write_merged(table, [*IDS, "b (copy)"], doubled)
        store.drop_files(table, infos)
    store = Store(store.uri)
    assert store.names("trials") == set(IDS)
    assert sorted(store.read("trials")[KEY].to_pylist()) == IDS
    compact(store, silent)
    assert accuracies(Store(store.uri)) == dict.fromkeys(IDS, 0.5)


def test_compaction_refuses_to_drop_what_a_later_version_wrote(store: Store) -> None:
    path = f"{store.root}/trials/b.parquet"
    rows = pq.read_table(path, filesystem=store.fs)
    pq.write_table(rows.append_column("mood", pa.array(["good"])), path, filesystem=store.fs)
    with pytest.raises(StoreError, match="table trials .* has data of a later version of esbn-study .mood."):
        compact(store, silent)
    assert "mood" in pq.read_schema(path, filesystem=store.fs).names
    assert accuracies(store) == dict.fromkeys(IDS, 0.5)


def test_compaction_of_a_place_without_trials_is_refused_and_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="has no trials; name the store"):
        compact(Store(str(tmp_path / "nowhere")), silent)
    assert not (tmp_path / "nowhere").exists()


def test_merged_file_that_is_torn_is_set_aside_and_its_trials_are_missing(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    compact(store, silent)
    (path,) = merged(store, "trials")
    write(store, "later")
    with store.fs.open_output_stream(path) as stream:
        stream.write(b"PAR1 half")
    assert store.names("trials") == {"later"}
    assert [record.getMessage().partition(" ")[0] for record in caplog.records] == [path]
    assert analysis.load(store.uri)["trial_id"].tolist() == ["later"]


KILLED = """
import os, signal, sys
from study.store.compact import compact
from study.store.store import Store

left = int(sys.argv[2])

def killed_before(change):
    def counted(store, path, *arguments):
        global left
        left -= path.endswith(".parquet")
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        change(store, path, *arguments)
    return counted

Store._put, Store._remove = killed_before(Store._put), killed_before(Store._remove)
compact(Store(sys.argv[1]), print)
"""


@pytest.mark.slow
def test_compaction_killed_before_each_change_it_makes_loses_and_doubles_nothing(place: Callable[[], str]) -> None:
    expected = {"a": 0.5, "b": 0.9, "c": None, "d": 0.7}
    changes = 0
    while True:
        store = Store(place())
        store.prepare()
        for name, accuracy in {"a": 0.5, "b": None, "c": None}.items():
            write(store, name, accuracy)
        compact(store, silent)
        write(store, "b", 0.9)
        write(store, "d", 0.7)
        killed = subprocess.run([sys.executable, "-c", KILLED, store.uri, str(changes)], capture_output=True)
        assert accuracies(store) == expected
        compact(store, silent)
        assert accuracies(store) == expected
        assert store.files("trials").single == store.files("curves").single == {}
        assert len(merged(store, "trials")) == len(merged(store, "curves")) == 1
        if killed.returncode == 0:
            break
        assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
        changes += 1
    assert changes == 2 * (1 + 3)  # of both tables a merged file is written, and three are deleted


WRITER = """
import sys
from study.store.compact import compact
from study.store.store import Store

store = Store(sys.argv[1])
for i in range(40):
    for name in (f"t{i}", "again"):
        store.write("trials", name, [{"trial_id": name, "status": "failed", "seed": i}])
    if i % 3 == 0:
        compact(store, lambda _: None)
"""


def readings(store: Store) -> list[dict[str, Any]]:
    """The trials by each way to read them."""
    columns = ["trial_id", "seed"]
    return [
        dict(zip(*rows.select(columns).to_pydict().values(), strict=True))
        for rows in (
            store.read("trials", columns),
            analysis.query(store.uri, "SELECT trial_id, seed FROM trials"),
        )
        if rows.num_rows == len(set(rows["trial_id"].to_pylist())) or pytest.fail("a trial is there twice")
    ]


@pytest.mark.slow
def test_readers_see_every_row_once_while_trials_are_written_and_merged(store: Store) -> None:
    seen: dict[str, Any] = {}
    with subprocess.Popen([sys.executable, "-c", WRITER, store.uri]) as writer:
        while writer.poll() is None:
            for now in readings(store):
                assert seen.keys() <= now.keys()
                assert (now.get("again") or 0) >= (seen.get("again") or 0)
                seen = now
    assert writer.returncode == 0
    assert [set(now) for now in readings(store)] == [{*IDS, "again", *(f"t{i}" for i in range(40))}] * 2
