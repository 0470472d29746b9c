"""The result store: Parquet files that are written once, and checkpoints, under one folder or bucket.

    RESULTS/<table>/<name>.parquet       one immutable file per trial (or plan) and table
    RESULTS/checkpoints/<pack>.safetensors
    RESULTS/leases/<run>.json            who trains what at the moment: study/lease.py

A trial counts as done once its file in ``trials`` exists, which is written last. Names are deterministic, so a trial
that is run twice overwrites itself. Files of a folder are written aside and renamed, objects of a bucket appear whole,
so a reader never meets half a file. Any number of processes may write different trials at the same time.
"""

import json
import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from study.place import PlaceError, first_line, open_place
from study.schema import TABLES

ROW_GROUP = 10_000  # rows; a reader of the large keys table decodes one group at a time


class StoreError(Exception):
    """The store cannot be read or written; the message names the file and what to do."""


class Store:
    """A result store at a local path or a ``pyarrow.fs`` URI such as ``s3://bucket/folder``."""

    def __init__(self, results: str):
        try:
            self.fs, self.root, self.uri = place = open_place(results)
        except PlaceError as error:
            raise StoreError(str(error)) from None
        self.local = place.local

    def prepare(self) -> None:
        """Creates the folders and proves that they can be written; raises `StoreError` if not."""
        try:
            for folder in (*TABLES, "checkpoints", "leases"):
                self.fs.create_dir(f"{self.root}/{folder}", recursive=True)
            probe = f".probe-{uuid.uuid4().hex}"
            self._put(probe, b"")
            self.fs.delete_file(f"{self.root}/{probe}")
        except (StoreError, OSError, pa.ArrowInvalid) as error:
            raise StoreError(
                f"results={self.uri!r} cannot be written ({first_line(error)}); name another place with --results"
            ) from None

    def write(self, table: str, name: str, rows: Sequence[Mapping[str, Any]] | pa.Table) -> None:
        """Writes one file of a table whole or not at all; columns left out are null, unknown ones are refused."""
        schema = TABLES[table]
        content = _table(rows, schema) if isinstance(rows, Sequence) else rows
        sink = pa.BufferOutputStream()
        pq.write_table(content.cast(schema), sink, compression="zstd", row_group_size=ROW_GROUP)
        self._put(f"{table}/{name}.parquet", sink.getvalue())

    def names(self, table: str) -> set[str]:
        """Names of the files a table has, without opening them."""
        return {path.rsplit("/", 1)[-1].removesuffix(".parquet") for path in self._files(table, ".parquet")}

    def read(self, table: str, columns: Sequence[str] | None = None, names: Collection[str] | None = None) -> pa.Table:
        """Reads a table, or only the named files of it; raises `StoreError` naming a file that is not whole."""
        paths = self._files(table, ".parquet")
        if names is not None:
            wanted = {f"{name}.parquet" for name in names}
            paths = [path for path in paths if path.rsplit("/", 1)[-1] in wanted]
        try:
            dataset = ds.dataset(paths, schema=TABLES[table], format="parquet", filesystem=self.fs)
            return dataset.to_table(columns=list(columns) if columns else None)
        except (pa.ArrowInvalid, OSError) as error:
            raise StoreError(
                self._torn(paths) or f"table {table} of {self.uri} cannot be read: {first_line(error)}"
            ) from None

    def save_checkpoint(self, pack_id: str, data: bytes) -> None:
        """Replaces the checkpoint of a pack."""
        self._put(f"checkpoints/{pack_id}.safetensors", data)

    def load_checkpoint(self, pack_id: str) -> bytes | None:
        """The last checkpoint of a pack, or None."""
        try:
            with self.fs.open_input_stream(f"{self.root}/checkpoints/{pack_id}.safetensors") as stream:
                return stream.read()
        except FileNotFoundError:
            return None

    def checkpoint_position(self, pack_id: str) -> dict[str, Any] | None:
        """How far a checkpoint is, read without its tensors; None if it is gone or not whole."""
        try:
            with self.fs.open_input_file(f"{self.root}/checkpoints/{pack_id}.safetensors") as file:
                n_header = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(min(n_header, file.size())))
            return json.loads(header["__metadata__"]["position"])
        except (OSError, ValueError, KeyError):
            return None

    def drop_checkpoint(self, pack_id: str) -> None:
        """Deletes the checkpoint of a pack that has ended, if there is one."""
        if pack_id in self.checkpoints():
            self._delete(f"checkpoints/{pack_id}.safetensors")

    def checkpoints(self) -> set[str]:
        """Packs that have a checkpoint."""
        return {
            path.rsplit("/", 1)[-1].removesuffix(".safetensors") for path in self._files("checkpoints", ".safetensors")
        }

    def write_lease(self, name: str, text: str) -> None:
        """Writes or renews a lease."""
        self._put(f"leases/{name}.json", text.encode())

    def leases(self) -> dict[str, datetime]:
        """When each lease was last written, by the clock of the store."""
        return {info.base_name.removesuffix(".json"): info.mtime for info in self._infos("leases", ".json")}

    def read_lease(self, name: str) -> str | None:
        """The text of a lease, or None if it is gone."""
        try:
            with self.fs.open_input_stream(f"{self.root}/leases/{name}.json") as stream:
                return stream.read().decode()
        except FileNotFoundError:
            return None

    def drop_lease(self, name: str) -> None:
        """Deletes a lease, if it is there."""
        if name in self.leases():
            self._delete(f"leases/{name}.json")

    def _delete(self, path: str) -> None:
        try:
            self.fs.delete_file(f"{self.root}/{path}")
        except FileNotFoundError:
            pass  # another process was faster
        except OSError as error:
            raise StoreError(f"{self.root}/{path} cannot be deleted: {first_line(error)}") from None

    def _files(self, folder: str, suffix: str) -> list[str]:
        return [info.path for info in self._infos(folder, suffix)]

    def _infos(self, folder: str, suffix: str) -> list[pafs.FileInfo]:
        selector = pafs.FileSelector(f"{self.root}/{folder}", allow_not_found=True)
        try:
            infos = self.fs.get_file_info(selector)
        except (OSError, pa.ArrowInvalid) as error:
            raise StoreError(f"results={self.uri!r} cannot be listed: {first_line(error)}") from None
        whole = (i for i in infos if i.path.endswith(suffix) and not i.base_name.startswith("."))
        return sorted(whole, key=lambda info: info.path)

    def _put(self, path: str, data: bytes | pa.Buffer) -> None:
        target = f"{self.root}/{path}"
        folder, _, name = target.rpartition("/")
        aside = f"{folder}/.{name}.{uuid.uuid4().hex}" if self.local else target
        try:
            with self.fs.open_output_stream(aside) as stream:
                stream.write(data)
            if self.local:
                self.fs.move(aside, target)
        except OSError as error:
            if self.local and self.fs.get_file_info(aside).type != pafs.FileType.NotFound:
                self.fs.delete_file(aside)
            raise StoreError(f"{target} cannot be written: {first_line(error)}") from None

    def _torn(self, paths: Sequence[str]) -> str | None:
        for path in paths:
            try:
                pq.ParquetFile(path, filesystem=self.fs).close()
            except (pa.ArrowInvalid, OSError):
                return f"{path} is not a whole Parquet file; delete it and run the study again to make its trial anew"
        return None


def _table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    unknown = {name for row in rows for name in row} - set(schema.names)
    assert not unknown, f"columns {sorted(unknown)} are not in the schema"
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
