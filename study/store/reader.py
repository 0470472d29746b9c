"""Reader of a store's tables, while other processes write, replace and merge their files.

A file that is torn, or does not hold the rows of its name, is moved to the folder ``set_aside`` and named in a warning;
reading continues without it. A trial whose row was in it counts as missing, so `esbn run` trains it again.
"""

import logging
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from study.store import plans
from study.store.checks import JUDGED, ONE_ROW, file_fault, judged, later_columns, names_in_footer, once
from study.store.errors import StoreError
from study.store.layout import NAMES, Files, Listing, Version, list_table, version
from study.store.location import Place, first_line, open_location
from study.store.names import KEY
from study.store.schema import TABLES

Answer = TypeVar("Answer")
REQUESTS = 16
"""Files opened or deleted at a time; each takes a while in a bucket."""
CHUNK = 500  # files read together; their footers stay in memory until all are read
MANY = 2000  # small files of a table; with more, reading takes seconds
TORN = "is not a whole Parquet file"

log = logging.getLogger(__name__)


@cache
def _suggest_compacting(uri: str) -> None:
    """Warns once that many small files make reading slow."""
    command = f"esbn compact --results {shlex.quote(uri)}"
    log.warning("%s has thousands of small files, which are slow to read; `%s` merges them", uri, command)


class _SetAsideError(OSError):
    """A file being read has been set aside."""


class Reader:
    """The tables of a store at a local path or a ``pyarrow.fs`` URI such as ``s3://bucket/folder``.

    Every table has the columns of `TABLES`; columns added after a file was written are null in it.

    Attributes:
        later: by table, data of a later version of this project in the files read so far.
    """

    UNLISTED = "table {table} of {uri} cannot be listed: {why}"
    UNREAD = "table {table} of {uri} cannot be read: {why}"

    def __init__(self, results: Place):
        """Opens the place; raises `StoreError` if the text does not name one."""
        self.fs, self.root, self.uri = location = open_location(results)
        self.local = location.local
        self.later: dict[str, set[str]] = {}
        self._sound: set[Version] = set()
        self._ignored: set[Version] = set()
        self._contents: dict[Version, tuple[frozenset[str], frozenset[str]]] = {}

    def listing(self, table: str) -> Listing:
        """Lists the files of a table, whether or not they count."""
        try:
            listing = list_table(self.fs, f"{self.root}/{table}")
        except (OSError, pa.ArrowInvalid) as error:
            raise self._error(self.UNLISTED, table, error) from None
        return Listing(*([info for info in part if version(info) not in self._ignored] for part in listing))

    def files(self, table: str) -> Files:
        """Returns the files of a table that count."""
        return self.read_files([table], lambda files: files[table])

    def names(self, table: str) -> set[str]:
        """Returns the names that a table has rows for; opens only merged files."""
        return self.files(table).names

    def read(
        self,
        table: str,
        columns: Sequence[str] | None = None,
        names: Collection[str] | None = None,
        rows: pc.Expression | None = None,
    ) -> pa.Table:
        """Reads a table, or only rows of some names or that meet a condition; holds nothing else in memory.

        Raises:
            StoreError: the table cannot be read.
        """
        return self.read_files([table], lambda files: self.rows(table, files[table], columns, names, rows))

    def rows(
        self,
        table: str,
        files: Files,
        columns: Sequence[str] | None = None,
        names: Collection[str] | None = None,
        rows: pc.Expression | None = None,
    ) -> pa.Table:
        """Reads rows of these files, as `read` does.

        Of a trial, that is one row, and a failed one if it cannot be a result; of plans, the rows that count.
        """
        wanted = list(columns) if columns else TABLES[table].names
        needed = {"trials": [KEY, *JUDGED], "external": [KEY], "plans": plans.NEEDED}.get(table, [])
        asked = [*wanted, *(name for name in needed if name not in wanted)]
        parts = (part.to_table(columns=asked, filter=rows) for part in self.datasets(table, files, names))
        answer = pa.concat_tables(parts)
        if table in ONE_ROW:
            answer = once(table, answer)
        if table == "trials":
            answer = judged(answer)
        if table == "plans":
            answer = plans.current(answer)
        return answer.select(wanted)

    def datasets(
        self, table: str, files: Files, names: Collection[str] | None = None
    ) -> Iterator[ds.FileSystemDataset]:
        """Yields a table, or its rows of some names, as lazy datasets, one after another.

        Raises:
            OSError: one of the files has been set aside; list again.
        """
        wanted = None if names is None else frozenset(names)
        whole = [info for name, info in files.single.items() if wanted is None or name in wanted]
        if len(whole) > MANY:
            _suggest_compacting(self.uri)
        parts = []
        for file in files.merged:
            here = file.names if wanted is None else file.names & wanted
            if here == file.names and not file.stale:
                whole.append(file.info)
            elif here:
                stale = ~pc.field(KEY).isin(sorted(file.stale))
                kept = stale if here == file.names else pc.field(KEY).isin(sorted(here))
                parts.append(self._dataset(table, [file.info]).filter(kept))
        whole.sort(key=lambda info: info.path)
        for start in range(0, max(1, len(whole)), CHUNK):
            yield self._dataset(table, whole[start : start + CHUNK])
        yield from parts

    def read_files(
        self,
        tables: Sequence[str],
        use: Callable[[Mapping[str, Files]], Answer],
        failures: tuple[type[Exception], ...] = (),
    ) -> Answer:
        """Calls a function with the files that count, by table; repeats the call if one of them was replaced meanwhile.

        Args:
            failures: exceptions, besides Arrow's, that the function raises if a file is torn or gone.
        Raises:
            StoreError: a table cannot be listed or read.
            Exception: one of `failures`, for another reason.
        """
        while True:
            listings = {table: self.listing(table) for table in tables}
            try:
                return use({table: self._that_count(table, listing) for table, listing in listings.items()})
            except (pa.ArrowException, OSError, *failures) as error:  # S3 has no own exception for a missing file
                if any(not listing.versions <= self.listing(table).versions for table, listing in listings.items()):
                    continue
                if not self._set_damaged_aside(listings):
                    if isinstance(error, failures):
                        raise
                    raise self._error(self.UNREAD, ", ".join(tables), error) from None

    def set_aside(self, table: str, info: pafs.FileInfo, fault: str) -> None:
        """Moves a file out of its table, if the store can be written, and no longer reads it.

        A file rewritten since it was listed stays: it is a different file.
        """
        if version(self.fs.get_file_info(info.path)) != version(info):
            return
        self._ignored.add(version(info))
        folder = f"{self.root}/set_aside/{info.path.removeprefix(f'{self.root}/').rpartition('/')[0]}"
        where = f"it is now in {folder}"
        try:
            self.fs.create_dir(folder, recursive=True)
            self.fs.move(info.path, f"{folder}/{info.base_name}")
        except OSError:  # the store is read-only for this user, or another process was faster
            where = "it is ignored"
        log.warning("%s %s; %s, and its rows count as missing", info.path, fault, where)

    def _that_count(self, table: str, listing: Listing) -> Files:
        return listing.files(lambda info: self._merged_contents(table, info))

    def _merged_contents(self, table: str, info: pafs.FileInfo) -> tuple[frozenset[str], frozenset[str]]:
        """Returns the names that a merged file lists, and other names that it has rows for; opens each file once."""
        key = version(info)
        if key not in self._contents:
            try:
                metadata = pq.read_metadata(info.path, filesystem=self.fs)
                names, others = names_in_footer(metadata.metadata[NAMES]), frozenset[str]()
                fault = self._footer_fault(table, None, metadata)
            except (pa.ArrowException, KeyError, TypeError, ValueError):
                names, others, fault = frozenset[str](), frozenset[str](), f"{TORN} of the store"
            if fault:
                self.set_aside(table, info, fault)
                raise _SetAsideError(info.path)
            if table in ONE_ROW:  # others: trials whose file was once copied under another name and merged
                ids = set(pq.read_table(info.path, columns=[KEY], filesystem=self.fs)[KEY].to_pylist()) - {None}
                names, others = names & ids, frozenset((names | ids) - (names & ids))
            self._contents[key] = names, others
            self._sound.add(key)
        return self._contents[key]

    def _dataset(self, table: str, infos: Sequence[pafs.FileInfo]) -> ds.FileSystemDataset:
        """Opens files as one dataset; sets aside invalid ones, and then raises `OSError`."""
        format = ds.ParquetFileFormat()
        fragments = [format.make_fragment(info.path, self.fs) for info in infos]  # each reads its footer once
        new = [pair for pair in zip(infos, fragments, strict=True) if version(pair[0]) not in self._sound]
        with ThreadPoolExecutor(REQUESTS) as pool:
            faults = list(pool.map(lambda pair: self._fault(table, *pair), new))
        for (info, _), fault in zip(new, faults, strict=True):
            if fault:
                self.set_aside(table, info, fault)
            else:
                self._sound.add(version(info))
        if any(faults):
            raise _SetAsideError(table)
        return ds.FileSystemDataset(fragments, TABLES[table], format, self.fs)

    def _fault(self, table: str, info: pafs.FileInfo, fragment: ds.ParquetFileFragment) -> str | None:
        try:
            return self._footer_fault(table, info.base_name.removesuffix(".parquet"), fragment.metadata)
        except pa.ArrowException:
            return TORN

    def _footer_fault(self, table: str, name: str | None, metadata: pq.FileMetaData) -> str | None:
        there = metadata.schema.to_arrow_schema()
        fault = file_fault(table, name, metadata, there)
        if not fault and (new := later_columns(table, metadata, there) - self.later.get(table, set())):
            self.later.setdefault(table, set()).update(new)
            later = ", ".join(sorted(new))
            log.warning(
                "table %s of %s has data of a later version of esbn-study; not shown: %s", table, self.uri, later
            )
        return fault

    def _set_damaged_aside(self, listings: Mapping[str, Listing]) -> bool:
        """Reads every file; returns whether one with an intact footer was damaged and set aside."""
        damaged = [
            (table, info)
            for table, listing in listings.items()
            for info in (*listing.single, *listing.merged)
            if self._is_damaged(info)
        ]
        for table, info in damaged:
            self.set_aside(table, info, "is damaged")
        return bool(damaged)

    def _is_damaged(self, info: pafs.FileInfo) -> bool:
        try:
            with self.fs.open_input_stream(info.path) as stream:
                content = stream.read()
        except OSError:  # a fault of the place, not of the file
            return False
        try:
            for _ in pq.ParquetFile(pa.BufferReader(content)).iter_batches():
                pass
        except (pa.ArrowException, OSError):
            return True
        return False

    def _error(self, message: str, table: str, error: Exception) -> StoreError:
        return StoreError(message.format(table=table, uri=self.uri, why=first_line(error)))
