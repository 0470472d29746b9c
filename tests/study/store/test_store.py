"""The result store, on a disk and on S3: whole files or none, one schema per table, checkpoints."""

import base64
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
import torch
from s3 import SECRET, bucket_uri
from safetensors.torch import save

from esbn_core.position import Position
from esbn_core.vocabulary import curve_points
from study.store.errors import StoreError
from study.store.location import open_location
from study.store.schema import SCHEMA_VERSION, TABLES
from study.store.store import Store


def files(store: Store) -> set[str]:
    infos = store.fs.get_file_info(pafs.FileSelector(store.root, recursive=True))
    return {info.path.removeprefix(f"{store.root}/") for info in infos if info.type == pafs.FileType.File}


def put(store: Store, path: str, content: bytes) -> None:
    with store.fs.open_output_stream(f"{store.root}/{path}") as stream:
        stream.write(content)


def get(store: Store, path: str) -> bytes:
    with store.fs.open_input_stream(f"{store.root}/{path}") as stream:
        return stream.read()


@pytest.mark.parametrize("table", TABLES)
def test_every_column_is_nullable_and_documented(table: str) -> None:
    for field in TABLES[table]:
        assert field.nullable
        assert field.metadata[b"doc"]


def test_write_stores_schema_and_version_in_the_file(store: Store) -> None:
    store.write("trials", "one", [{"trial_id": "one", "status": "failed", "withheld_objects": [3, 1]}])
    schema = pq.read_schema(f"{store.root}/trials/one.parquet", filesystem=store.fs)
    assert schema.equals(TABLES["trials"])
    assert schema.metadata[b"schema_version"] == str(SCHEMA_VERSION).encode()


@pytest.mark.parametrize(
    ("table", "row", "why"),
    [
        ("trials", {"status": "completed", "test_accuracy": 1.5}, "test_accuracy=1.5 is not between 0 and 1"),
        ("trials", {"status": "lost"}, "status=lost is neither completed nor failed"),
        ("external", {"origin": "a\x1b[2J"}, r"origin='a\\x1b\[2J' has control characters"),
        ("plans", {"question": "a\x07?"}, "question=.* has control characters"),
        ("curves", {"update": -10}, "update=-10 is negative"),
    ],
)
def test_write_refuses_a_value_that_no_row_may_have_in_a_sentence(
    disk: Store, table: str, row: dict[str, Any], why: str
) -> None:
    with pytest.raises(StoreError, match=f"invalid row for table {table}: {why}"):
        disk.write(table, "one", [{"trial_id": "one", **row}])
    assert files(disk) == set()


def test_text_for_people_may_have_lines_and_tabs(disk: Store) -> None:
    disk.write("trials", "one", [{"trial_id": "one", "status": "failed", "failure": "a\n\tb"}])
    assert disk.read("trials", ["failure"]).to_pylist() == [{"failure": "a\n\tb"}]


def test_write_replaces_a_file_of_the_same_name(store: Store) -> None:
    for status in ("failed", "completed"):
        store.write("trials", "one", [{"trial_id": "one", "status": status, "test_accuracy": 0.5}])
    assert store.read("trials", ["status"]).to_pylist() == [{"status": "completed"}]
    assert files(store) == {"trials/one.parquet"}


def test_reader_passes_over_what_a_killed_writer_left(store: Store) -> None:
    store.write("trials", "one", [{"trial_id": "one", "status": "failed"}])
    put(store, "trials/.two.parquet.0123", b"PAR1 half a file")
    assert store.names("trials") == {"one"}
    assert store.read("trials").num_rows == 1


def test_write_leaves_nothing_behind_when_it_fails(disk: Store) -> None:
    Path(disk.root, "trials", "one.parquet").mkdir()
    with pytest.raises(StoreError, match="one.parquet cannot be written"):
        disk.write("trials", "one", [{"trial_id": "one", "status": "failed"}])
    assert files(disk) == set()


WRITER = """
import sys
from study.store.store import Store
store, writer = Store(sys.argv[1]), sys.argv[2]
for i in range(20):
    store.write("trials", f"{writer}-{i}", [{"trial_id": f"{writer}-{i}", "status": "failed"}])
    store.write("trials", "contested", [{"trial_id": "contested", "status": "failed", "seed": int(writer)}])
"""


def test_writers_in_several_processes_leave_every_file_whole_at_any_time(store: Store) -> None:
    store.write("trials", "contested", [{"trial_id": "contested", "status": "failed"}])
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, store.uri, writer]) for writer in "01"]
    while any(writer.poll() is None for writer in writers):
        assert "contested" in store.read("trials", ["trial_id"])["trial_id"].to_pylist()
    assert [writer.returncode for writer in writers] == [0, 0]
    expected = {"contested", *(f"{writer}-{i}" for writer in range(2) for i in range(20))}
    assert set(store.read("trials")["trial_id"].to_pylist()) == store.names("trials") == expected


def test_write_refuses_columns_the_schema_lacks(store: Store) -> None:
    with pytest.raises(AssertionError, match="accuracy"):
        store.write("trials", "one", [{"trial_id": "one", "accuracy": 1.0}])
    assert files(store) == set()


@pytest.mark.parametrize(
    "fault", ["empty", "half", "zeros", "random", "damaged", "another name", "twice", "foreign", "another type"]
)
@pytest.mark.parametrize("table", ["trials", "curves"])
def test_file_that_is_not_whole_or_not_of_its_name_is_set_aside_and_named(
    disk: Store, table: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("one", "two"):
        disk.write("trials", name, [{"trial_id": name, "status": "failed", "config": random_text(4000)}])
        disk.write(
            "curves",
            name,
            [{"trial_id": name, "update": 10 * i, "loss": i / 7} for i in range(2000)],
        )
    expected = disk.read(table, names={"one"})
    path = Path(disk.root, table, "two.parquet")
    path.write_bytes(FAULTS[fault](path.read_bytes()))
    caplog.clear()
    assert disk.read(table).equals(expected)
    assert [record.getMessage().partition(" ")[0] for record in caplog.records] == [str(path)]
    assert disk.names(table) == {"one"}
    assert files(disk) >= {f"set_aside/{table}/two.parquet"}
    caplog.clear()
    assert Store(disk.uri).read(table).equals(expected)
    assert not caplog.records  # it is reported once


def random_text(length: int) -> str:
    return base64.b64encode(np.random.default_rng(0).bytes(length)).decode()


def changed(data: bytes, change: Callable[[pa.Table], pa.Table]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(change(pq.read_table(pa.BufferReader(data))), sink)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("updates", [5, 95, 200, 231, 1_234])
@pytest.mark.parametrize("points", [curve_points, lambda updates: range(0, updates, 10)], ids=["now", "earlier"])
def test_curve_is_read_once_and_refused_twice(
    disk: Store, updates: int, points: Callable[[int], Iterable[int]]
) -> None:
    rows = [{"trial_id": "one", "update": u, "loss": 0.5, "accuracy": 0.5} for u in points(updates)]
    disk.write("curves", "one", rows)
    assert disk.read("curves").num_rows == len(rows)
    path = Path(disk.root, "curves", "one.parquet")
    path.write_bytes(changed(path.read_bytes(), lambda table: pa.concat_tables([table, table])))
    assert disk.read("curves").num_rows == 0


def renamed(rows: pa.Table) -> pa.Table:
    return rows.set_column(0, "trial_id", pa.array(["one"] * len(rows)))


FAULTS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "half": lambda data: data[: len(data) // 2],
    "zeros": lambda data: bytes(len(data)),
    "random": lambda data: np.random.default_rng(0).bytes(len(data)),
    "damaged": lambda data: data[:100] + np.random.default_rng(0).bytes(1000) + data[1100:],
    "another name": lambda data: changed(data, renamed),
    "twice": lambda data: changed(data, lambda rows: pa.concat_tables([rows, rows])),
    "foreign": lambda data: changed(data, lambda rows: pa.table({"x": [1, 2]})),
    "another type": lambda data: changed(data, lambda rows: rows.set_column(0, "trial_id", pa.array([1] * len(rows)))),
}


def test_read_of_named_files_opens_no_other(store: Store) -> None:
    store.write("trials", "one", [{"trial_id": "one", "status": "failed"}])
    put(store, "trials/two.parquet", b"torn")
    assert store.read("trials", ["trial_id"], names={"one", "absent"}).to_pylist() == [{"trial_id": "one"}]


def test_read_of_a_store_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    assert Store(str(tmp_path / "nowhere")).read("trials").num_rows == 0


def test_checkpoint_is_replaced_read_and_dropped(store: Store) -> None:
    position = Position(["a", "b"], 1, [(0, [0.7, 0.8], [0.5, 0.25])])
    data = save({"w": torch.ones(2)}, metadata={"position": position.text()})
    store.save_checkpoint("pack", b"older")
    store.save_checkpoint("pack", data)
    assert store.checkpoints() == {"pack"}
    assert store.load_checkpoint("pack") == data
    found = store.checkpoint_position("pack")
    assert found is not None and found.text() == position.text()
    store.drop_checkpoint("pack")
    store.drop_checkpoint("pack")
    assert store.load_checkpoint("pack") is None
    assert files(store) == set()


def test_checkpoint_that_is_torn_or_foreign_counts_as_none(store: Store) -> None:
    store.save_checkpoint("empty", b"")
    store.save_checkpoint("torn", b"half a checkpoint")
    put(store, "checkpoints/notes.txt", b"mine")
    assert store.checkpoints() == {"empty", "torn"}
    assert store.checkpoint_position("empty") is None
    assert store.checkpoint_position("torn") is None
    assert store.checkpoint_position("gone") is None


@pytest.mark.parametrize("results", ["", "s3://"])
def test_store_refuses_a_place_without_a_name(results: str) -> None:
    with pytest.raises(StoreError, match="results="):
        Store(results).prepare()


def test_prepare_refuses_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written .* name another place with --results"):
        Store(str(tmp_path / "file" / "results")).prepare()


def test_store_refuses_a_uri_it_cannot_open() -> None:
    with pytest.raises(StoreError, match="nosuch://place"):
        Store("nosuch://place")


@pytest.mark.parametrize(
    "results", ["s3://id:{}@bucket/x", "s3://bucket/x?access_key={}", "s3://bucket/x?region=&x={}"]
)
def test_place_refuses_credentials_in_a_uri_and_does_not_repeat_them(results: str) -> None:
    with pytest.raises(StoreError, match="results has .*credentials") as refused:
        open_location(results.format(SECRET))
    assert SECRET not in str(refused.value)


def test_place_takes_the_endpoint_from_the_environment(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{s3}")
    store = Store("s3://bucket/by-environment")
    store.prepare()
    store.write("trials", "one", [{"trial_id": "one", "status": "failed"}])
    assert Store(bucket_uri(s3, "by-environment")).names("trials") == {"one"}


def test_prepare_names_the_bucket_that_is_not_there(s3: str) -> None:
    with pytest.raises(StoreError, match="'nowhere' not found") as refused:
        Store(bucket_uri(s3, "x").replace("bucket/", "nowhere/")).prepare()
    assert SECRET not in str(refused.value)
