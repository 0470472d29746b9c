"""The result store: whole files or none, one schema per table, checkpoints."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save

from study.schema import SCHEMA_VERSION, TABLES
from study.store import Store, StoreError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "results"))
    store.prepare()
    return store


def files(store: Store) -> set[str]:
    return {str(path.relative_to(store.root)) for path in Path(store.root).rglob("*") if path.is_file()}


@pytest.mark.parametrize("table", TABLES)
def test_every_column_is_nullable_and_documented(table: str) -> None:
    for field in TABLES[table]:
        assert field.nullable
        assert field.metadata[b"doc"]


def test_write_stores_schema_and_version_in_the_file(store: Store) -> None:
    store.write("trials", "one", [{"trial_id": "one", "withheld_objects": [3, 1]}])
    schema = pq.read_schema(f"{store.root}/trials/one.parquet")
    assert schema.equals(TABLES["trials"])
    assert schema.metadata[b"schema_version"] == str(SCHEMA_VERSION).encode()


def test_write_replaces_a_file_of_the_same_name(store: Store) -> None:
    for status in ("failed", "completed"):
        store.write("trials", "one", [{"trial_id": "one", "status": status}])
    assert store.read("trials", ["status"]).to_pylist() == [{"status": "completed"}]
    assert files(store) == {"trials/one.parquet"}


def test_reader_passes_over_what_a_killed_writer_left(store: Store) -> None:
    store.write("trials", "one", [{"trial_id": "one"}])
    Path(store.root, "trials", ".two.parquet.0123").write_bytes(b"PAR1 half a file")
    assert store.names("trials") == {"one"}
    assert store.read("trials").num_rows == 1


def test_write_leaves_nothing_behind_when_it_fails(store: Store) -> None:
    Path(store.root, "trials", "one.parquet").mkdir()
    with pytest.raises(OSError, match="one.parquet"):
        store.write("trials", "one", [{"trial_id": "one"}])
    assert files(store) == set()


def test_write_refuses_columns_the_schema_lacks(store: Store) -> None:
    with pytest.raises(AssertionError, match="accuracy"):
        store.write("trials", "one", [{"trial_id": "one", "accuracy": 1.0}])
    assert files(store) == set()


def test_read_names_the_file_that_is_torn(store: Store) -> None:
    store.write("trials", "one", [{"trial_id": "one"}])
    whole = Path(store.root, "trials", "one.parquet").read_bytes()
    Path(store.root, "trials", "two.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreError, match=r"two\.parquet is not a whole Parquet file; delete it"):
        store.read("trials")


def test_read_of_named_files_opens_no_other(store: Store) -> None:
    store.write("trials", "one", [{"trial_id": "one"}])
    Path(store.root, "trials", "two.parquet").write_bytes(b"torn")
    assert store.read("trials", ["trial_id"], names={"one", "absent"}).to_pylist() == [{"trial_id": "one"}]


def test_read_of_a_store_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    assert Store(str(tmp_path / "nowhere")).read("trials").num_rows == 0


def test_checkpoint_is_replaced_read_and_dropped(store: Store) -> None:
    data = save({"w": torch.ones(2)}, metadata={"position": "7"})
    store.save_checkpoint("pack", b"older")
    store.save_checkpoint("pack", data)
    assert store.checkpoints() == {"pack"}
    assert store.load_checkpoint("pack") == data
    assert store.checkpoint_position("pack") == 7
    store.drop_checkpoint("pack")
    store.drop_checkpoint("pack")
    assert store.load_checkpoint("pack") is None
    assert files(store) == set()


def test_checkpoint_that_is_torn_or_foreign_counts_as_none(store: Store) -> None:
    store.save_checkpoint("empty", b"")
    store.save_checkpoint("torn", b"half a checkpoint")
    Path(store.root, "checkpoints", "notes.txt").write_text("mine")
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
