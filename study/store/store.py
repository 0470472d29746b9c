"""Result store: write-once Parquet files, checkpoints and leases in one folder or bucket.

    RESULTS/<table>/<name>.parquet       one immutable file per trial (or plan) and table
    RESULTS/<table>/merged/              many of these in one file, after a compaction: study/store/layout.py
    RESULTS/checkpoints/<pack>.safetensors
    RESULTS/leases/<run>.json            trials that runs are training now: study/store/lease.py
    RESULTS/set_aside/                   torn files, and files without the rows of their name: study/store/reader.py

A trial is done once its row in ``trials`` exists, which is written last. Names are deterministic, so a trial that is
run twice overwrites itself. In a folder, files are written under a temporary name, synced to disk and renamed; in a
bucket, objects appear whole. So a reader never sees half a file, and a power cut undoes nothing that a command has
reported. Any number of processes may write different trials at the same time.
"""

import json
import os
import uuid
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from esbn_core.errors import UserError
from esbn_core.files import sync_folder, write_file
from esbn_core.position import Position, read_position
from study.store.checks import entry_fault
from study.store.errors import LeaseError, StoreError
from study.store.layout import MERGED, NAMES, list_folder, version
from study.store.location import first_line
from study.store.names import KEY
from study.store.reader import REQUESTS, Reader
from study.store.schema import TABLES

ROW_GROUP = 16 * 2**20  # bytes; a reader of the large keys table decodes one group at a time


class Store(Reader):
    """A result store, for reading and writing."""

    lease: str | None = None
    """Name of the lease under which this process writes; once it is gone, every write is rejected."""

    def prepare(self) -> None:
        """Creates the folders and checks that files can be written; raises `StoreError` if not."""
        try:
            if self.local:
                for folder in (*TABLES, "checkpoints", "leases"):
                    self._make_folder(f"{self.root}/{folder}")
            else:  # a bucket has no folders, but this names one that does not exist
                self.fs.create_dir(self.root, recursive=True)
            probe = f".probe-{uuid.uuid4().hex}"
            self._put(probe, b"")
            self.fs.delete_file(f"{self.root}/{probe}")
        except (StoreError, OSError, pa.ArrowInvalid) as error:
            raise StoreError(
                f"results={self.uri!r} cannot be written ({first_line(error)}); name another place with --results"
            ) from None

    def write(self, table: str, name: str, rows: Sequence[Mapping[str, Any]] | pa.Table) -> None:
        """Writes one file of a table atomically; missing columns are null.

        Raises:
            StoreError: the place cannot be written, or a value is invalid.
        """
        made = _table(table, rows)
        if fault := entry_fault(table, made):
            raise StoreError(f"invalid row for table {table}: {fault}")
        self._put(f"{table}/{name}.parquet", parquet(made))

    def write_merged(self, table: str, names: Collection[str], rows: Sequence[Mapping[str, Any]] | pa.Table) -> None:
        """Writes the rows of many names as one file, which replaces all existing merged files of these names.

        Args:
            names: names in ``rows.trial_id``, or names without rows.
        """
        generation = 1 + max((file.generation for file in self.files(table).merged), default=0)
        content = parquet(_table(table, rows).sort_by(KEY), names)
        self._put(f"{table}/{MERGED}/{generation:08d}-{uuid.uuid4().hex[:8]}.parquet", content)

    def drop_files(self, table: str, infos: Collection[pafs.FileInfo]) -> None:
        """Deletes files of a table, unless they have been rewritten since they were listed."""
        there = self.listing(table).versions
        paths = [info.path for info in infos if version(info) in there]
        with ThreadPoolExecutor(REQUESTS) as pool:
            list(pool.map(self._remove, paths))

    def save_checkpoint(self, pack_id: str, data: bytes) -> None:
        """Replaces the checkpoint of a pack."""
        self._put(f"checkpoints/{pack_id}.safetensors", data)

    def load_checkpoint(self, pack_id: str) -> bytes | None:
        """Returns the last checkpoint of a pack, or None."""
        path = f"checkpoints/{pack_id}.safetensors"
        return self._get(path) if self._is_file(path) else None

    def checkpoint_position(self, pack_id: str) -> Position | None:
        """Reads the position of a checkpoint without its tensors; None if it is gone or invalid."""
        path = f"checkpoints/{pack_id}.safetensors"
        try:
            if not self._is_file(path):
                return None
            with self.fs.open_input_file(f"{self.root}/{path}") as file:
                return read_position(file)
        except (OSError, ValueError):
            return None

    def drop_checkpoint(self, pack_id: str) -> None:
        """Deletes the checkpoint of a finished pack, if it exists."""
        if pack_id in self.checkpoints():
            self._remove(f"{self.root}/checkpoints/{pack_id}.safetensors")

    def checkpoints(self) -> set[str]:
        """Returns the packs that have a checkpoint."""
        return {info.base_name.removesuffix(".safetensors") for info in self._infos("checkpoints", ".safetensors")}

    def write_lease(self, name: str, text: str) -> None:
        """Writes or renews a lease."""
        self._put(f"leases/{name}.json", text.encode())

    def leases(self) -> dict[str, datetime]:
        """Returns the time of each lease's last write, by the store's clock."""
        return {info.base_name.removesuffix(".json"): info.mtime for info in self._infos("leases", ".json")}

    def read_lease(self, name: str) -> str | None:
        """Reads the text of a lease; None if it is gone."""
        text = self._get(f"leases/{name}.json")
        return None if text is None else text.decode(errors="replace")

    def has_lease(self, name: str) -> bool:
        """Returns whether a lease exists."""
        return self._is_file(f"leases/{name}.json")

    def require_lease(self) -> None:
        """Raises `LeaseError` if the lease under which this process writes is gone."""
        if self.lease is not None and not self.has_lease(self.lease):
            raise LeaseError(
                f"leases/{self.lease}.json of {self.uri}, the lease of this run, is gone: another run has taken over "
                "its trials while this one was suspended, or somebody has deleted the file; this run writes nothing "
                "more; after the other run has ended, run the same command again to train the rest"
            )

    def drop_lease(self, name: str) -> None:
        """Deletes a lease, if it exists."""
        if name in self.leases():
            self._remove(f"{self.root}/leases/{name}.json")

    def _is_file(self, path: str) -> bool:
        """Returns whether the path is a file, not a folder or a pipe, which must not be opened."""
        target = f"{self.root}/{path}"
        try:
            return self.fs.get_file_info(target).type == pafs.FileType.File
        except OSError as error:
            raise StoreError(f"{target} cannot be read: {first_line(error)}") from None

    def _get(self, path: str) -> bytes | None:
        source = f"{self.root}/{path}"
        try:
            with self.fs.open_input_stream(source) as stream:
                return stream.read()
        except OSError as error:  # S3 has no own exception for a file deleted while it is read
            if self.fs.get_file_info(source).type == pafs.FileType.NotFound:
                return None
            raise StoreError(f"{source} cannot be read: {first_line(error)}") from None

    def _remove(self, path: str) -> None:
        self.require_lease()
        try:
            self.fs.delete_file(path)
        except FileNotFoundError:
            pass  # another process was faster
        except OSError as error:
            raise StoreError(f"{path} cannot be deleted: {first_line(error)}") from None

    def _infos(self, folder: str, suffix: str) -> list[pafs.FileInfo]:
        try:
            return list_folder(self.fs, f"{self.root}/{folder}", suffix)
        except (OSError, pa.ArrowInvalid) as error:
            raise StoreError(f"results={self.uri!r} cannot be listed: {first_line(error)}") from None

    def _put(self, path: str, data: bytes | pa.Buffer) -> None:
        self.require_lease()
        target = f"{self.root}/{path}"
        try:
            if self.local:
                if os.path.isdir(self.root):  # does not recreate a deleted store
                    self._make_folder(target.rpartition("/")[0])
                write_file(target, memoryview(data))
            else:
                with self.fs.open_output_stream(target) as stream:
                    stream.write(data)
        except (OSError, UserError) as error:
            raise StoreError(f"{target} cannot be written: {first_line(error)}") from None

    def _make_folder(self, folder: str) -> None:
        """Makes a folder that survives a power cut; it may be missing because copying dropped empty folders."""
        if not os.path.isdir(folder):
            self._make_folder(os.path.dirname(folder))
            with suppress(FileExistsError):
                os.mkdir(folder)
            sync_folder(os.path.dirname(folder))


def parquet(rows: pa.Table, names: Collection[str] | None = None) -> pa.Buffer:
    """Returns a Parquet file of the store; ``names``, for a merged file, go into its footer."""
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, rows.schema, compression="zstd") as writer:
        writer.write_table(rows, row_group_size=max(1, ROW_GROUP * len(rows) // max(1, rows.nbytes)))
        if names is not None:
            writer.add_key_value_metadata({NAMES: json.dumps(sorted(names))})
    return sink.getvalue()


def _table(table: str, rows: Sequence[Mapping[str, Any]] | pa.Table) -> pa.Table:
    schema = TABLES[table]
    if not isinstance(rows, Sequence):
        return rows.cast(schema)
    unknown = {name for row in rows for name in row} - set(schema.names)
    assert not unknown, f"columns {sorted(unknown)} are not in the schema"
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
