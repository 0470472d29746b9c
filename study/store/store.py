"""Result store: Parquet files that are written once, checkpoints and leases, under one folder or bucket.

    RESULTS/<table>/<name>.parquet       one immutable file per trial (or plan) and table
    RESULTS/<table>/merged/              many of those in one, after a compaction: study/store/layout.py
    RESULTS/checkpoints/<pack>.safetensors
    RESULTS/leases/<run>.json            who trains what at the moment: study/store/lease.py
    RESULTS/set_aside/                   files that were not whole or not of their name: study/store/reader.py

A trial counts as done once its row in ``trials`` exists, which is written last. Names are deterministic, so a trial
that is run twice overwrites itself. Files of a folder are written aside, synced to the disk and renamed, objects of a
bucket appear whole, so a reader never meets half a file and a power cut takes back nothing that a command has reported.
Any number of processes may write different trials at the same time.
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
    """A result store, to read and to write."""

    lease: str | None = None
    """Name of the lease under which this process writes; once that is gone, every write is refused."""

    def prepare(self) -> None:
        """Creates the folders and proves that they can be written; raises `StoreError` if not."""
        try:
            for folder in (*TABLES, "checkpoints", "leases"):
                self._make_folder(f"{self.root}/{folder}")
            probe = f".probe-{uuid.uuid4().hex}"
            self._put(probe, b"")
            self.fs.delete_file(f"{self.root}/{probe}")
        except (StoreError, OSError, pa.ArrowInvalid) as error:
            raise StoreError(
                f"results={self.uri!r} cannot be written ({first_line(error)}); name another place with --results"
            ) from None

    def write(self, table: str, name: str, rows: Sequence[Mapping[str, Any]] | pa.Table) -> None:
        """Writes one file of a table whole or not at all; columns left out are null.

        Raises:
            StoreError: the place cannot be written, or a value is one that no row may have.
        """
        made = _table(table, rows)
        if fault := entry_fault(table, made):
            raise StoreError(f"table {table} takes no such row: {fault}")
        self._put(f"{table}/{name}.parquet", parquet(made))

    def write_merged(self, table: str, names: Collection[str], rows: Sequence[Mapping[str, Any]] | pa.Table) -> None:
        """Writes the rows of many names as one file, which stands for all merged files of these names there are.

        Args:
            names: in ``rows.trial_id``, or without any row.
        """
        generation = 1 + max((file.generation for file in self.files(table).merged), default=0)
        content = parquet(_table(table, rows).sort_by(KEY), names)
        self._put(f"{table}/{MERGED}/{generation:08d}-{uuid.uuid4().hex[:8]}.parquet", content)

    def drop_files(self, table: str, infos: Collection[pafs.FileInfo]) -> None:
        """Deletes files of a table unless they have been written again since they were listed."""
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
        """Reads how far a checkpoint is, without its tensors; None if it is gone or is none."""
        path = f"checkpoints/{pack_id}.safetensors"
        try:
            if not self._is_file(path):
                return None
            with self.fs.open_input_file(f"{self.root}/{path}") as file:
                return read_position(file)
        except (OSError, ValueError):
            return None

    def drop_checkpoint(self, pack_id: str) -> None:
        """Deletes the checkpoint of a pack that has ended, if there is one."""
        if pack_id in self.checkpoints():
            self._remove(f"{self.root}/checkpoints/{pack_id}.safetensors")

    def checkpoints(self) -> set[str]:
        """Returns the packs that have a checkpoint."""
        return {info.base_name.removesuffix(".safetensors") for info in self._infos("checkpoints", ".safetensors")}

    def write_lease(self, name: str, text: str) -> None:
        """Writes or renews a lease."""
        self._put(f"leases/{name}.json", text.encode())

    def leases(self) -> dict[str, datetime]:
        """Returns when each lease was last written, by the clock of the store."""
        return {info.base_name.removesuffix(".json"): info.mtime for info in self._infos("leases", ".json")}

    def read_lease(self, name: str) -> str | None:
        """Reads the text of a lease; None if it is gone."""
        text = self._get(f"leases/{name}.json")
        return None if text is None else text.decode(errors="replace")

    def has_lease(self, name: str) -> bool:
        """Returns whether a lease is there."""
        return self._is_file(f"leases/{name}.json")

    def require_lease(self) -> None:
        """Raises `LeaseError` if the lease under which this process writes is gone."""
        if self.lease is not None and not self.has_lease(self.lease):
            raise LeaseError(
                f"leases/{self.lease}.json of {self.uri}, the lease of this run, is gone: another run has taken over "
                "its trials while this one stood still, or somebody has deleted the file; this run writes nothing "
                "more, and the same command goes on with what is left once the other run has ended"
            )

    def drop_lease(self, name: str) -> None:
        """Deletes a lease, if it is there."""
        if name in self.leases():
            self._remove(f"{self.root}/leases/{name}.json")

    def _is_file(self, path: str) -> bool:
        """Returns whether a file is there, and not a folder or a pipe, which must not be opened."""
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
        except OSError as error:  # S3 has none of its own for a file that goes while it is read
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
                if os.path.isdir(self.root):  # a store that has been deleted is not made again
                    self._make_folder(target.rpartition("/")[0])
                write_file(target, memoryview(data))
            else:
                with self.fs.open_output_stream(target) as stream:
                    stream.write(data)
        except (OSError, UserError) as error:
            raise StoreError(f"{target} cannot be written: {first_line(error)}") from None

    def _make_folder(self, folder: str) -> None:
        """Makes a folder that is still there after a power cut; it may be missing because it was empty when copied."""
        if not self.local:
            self.fs.create_dir(folder, recursive=True)
        elif not os.path.isdir(folder):
            self._make_folder(os.path.dirname(folder))
            with suppress(FileExistsError):
                os.mkdir(folder)
            sync_folder(os.path.dirname(folder))


def parquet(rows: pa.Table, names: Collection[str] | None = None) -> pa.Buffer:
    """Returns a Parquet file of the store; ``names``, of the rows of a merged one, go into its footer."""
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
