"""Reader of the tables of a store, whose files other processes write, replace and merge meanwhile."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from study.store.errors import StoreError
from study.store.layout import Files, Listing, list_table
from study.store.location import first_line, open_location
from study.store.names import KEY
from study.store.schema import TABLES

Answer = TypeVar("Answer")


class Reader:
    """The tables of a store at a local path or a ``pyarrow.fs`` URI such as ``s3://bucket/folder``.

    Every table has the columns of `TABLES`; those that came after a file was written are null in it.
    """

    UNLISTED = "table {table} of {uri} cannot be listed: {why}"
    UNREAD = "table {table} of {uri} cannot be read: {why}"
    TORN = "{path} is not a whole Parquet file; delete it and run the study again to make its trial anew"

    def __init__(self, results: str):
        """Opens the place; raises `StoreError` if the text names none."""
        self.fs, self.root, self.uri = location = open_location(results)
        self.local = location.local

    def listing(self, table: str) -> Listing:
        """Lists the files of a table, whether or not they count."""
        try:
            return list_table(self.fs, f"{self.root}/{table}")
        except (OSError, pa.ArrowInvalid) as error:
            raise self._error(self.UNLISTED, table, error) from None

    def files(self, table: str) -> Files:
        """Returns the files of a table that count."""
        return self.read_files([table], lambda files: files[table])

    def names(self, table: str) -> set[str]:
        """Returns the names that a table has rows of; opens the footers of merged files and nothing else."""
        return self.files(table).names

    def read(
        self,
        table: str,
        columns: Sequence[str] | None = None,
        names: Collection[str] | None = None,
        rows: pc.Expression | None = None,
    ) -> pa.Table:
        """Reads a table, or only the rows of some names or that meet a condition; holds nothing else in memory.

        Raises:
            StoreError: the table cannot be read; the message names the file that is not whole.
        """
        wanted = list(columns) if columns else None

        def concatenated(files: Mapping[str, Files]) -> pa.Table:
            parts = self.datasets(table, files[table], names)
            return pa.concat_tables([part.to_table(columns=wanted, filter=rows) for part in parts])

        return self.read_files([table], concatenated)

    def datasets(self, table: str, files: Files, names: Collection[str] | None = None) -> list[ds.FileSystemDataset]:
        """Returns a table, or its rows of some names, as lazy datasets, one after the other.

        There are several only while rows wait to be merged, or where a merged file has rows of other names.
        """
        wanted = None if names is None else frozenset(names)
        whole = [info.path for name, info in files.single.items() if wanted is None or name in wanted]
        parts = []
        for file in files.merged:
            here = file.names if wanted is None else file.names & wanted
            if here == file.names and not file.stale:
                whole.append(file.info.path)
            elif here:
                stale = ~pc.field(KEY).isin(sorted(file.stale))
                kept = stale if here == file.names else pc.field(KEY).isin(sorted(here))
                parts.append(self._dataset(table, [file.info.path]).filter(kept))
        return [self._dataset(table, sorted(whole)), *parts]

    def read_files(
        self,
        tables: Sequence[str],
        use: Callable[[Mapping[str, Files]], Answer],
        failures: tuple[type[Exception], ...] = (),
    ) -> Answer:
        """Calls a function with the files that count, by table; again if it failed since one of them was replaced.

        Args:
            failures: what the function raises, besides errors of Arrow, if a file is torn or gone.
        Raises:
            StoreError: a table cannot be listed or read; the message names the file that is not whole.
            Exception: one of `failures`, for another reason.
        """
        while True:
            listings = {table: self.listing(table) for table in tables}
            try:
                return use({table: self._that_count(table, listing) for table, listing in listings.items()})
            except (pa.ArrowInvalid, OSError, *failures) as error:  # of a file that is gone S3 has none of its own
                if any(not listing.versions <= self.listing(table).versions for table, listing in listings.items()):
                    continue
                paths = [info.path for listing in listings.values() for info in listing.single]
                if torn := next(filter(self._is_torn, paths), None):
                    raise StoreError(self.TORN.format(path=torn)) from None
                if isinstance(error, failures):
                    raise
                raise self._error(self.UNREAD, ", ".join(tables), error) from None

    def _that_count(self, table: str, listing: Listing) -> Files:
        try:
            return listing.files(self.fs)
        except pa.ArrowInvalid as error:
            raise self._error(self.UNLISTED, table, error) from None

    def _dataset(self, table: str, paths: list[str]) -> ds.FileSystemDataset:
        format = ds.ParquetFileFormat()
        return ds.FileSystemDataset.from_paths(paths, schema=TABLES[table], format=format, filesystem=self.fs)

    def _is_torn(self, path: str) -> bool:
        try:
            pq.read_metadata(path, filesystem=self.fs)
            return False
        except (pa.ArrowInvalid, OSError):
            return True

    def _error(self, message: str, table: str, error: Exception) -> StoreError:
        return StoreError(message.format(table=table, uri=self.uri, why=first_line(error)))
