"""Tables of a result store for analysis; absent data raise errors instead of giving empty tables."""

from collections.abc import Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs

from analysis.data.own_sources import SOURCE_COLUMNS, with_sources
from analysis.errors import AnalysisError, choices
from study.store.errors import StoreError
from study.store.location import Place, first_line
from study.store.names import KEY
from study.store.reader import Reader
from study.store.schema import TABLES

FILE = "__filename"  # pyarrow's name for the file a row came from


class Results(Reader):
    """Reader for analysis commands; its errors do not name tables, since the user did not ask for one."""

    UNLISTED = UNREAD = "the results cannot be read: {why}"

    def __init__(self, results: Place, *, optional: bool = False):
        """Opens a folder or URI.

        Args:
            optional: whether the folder may be missing.
        Raises:
            StoreError: the text does not name a place, or the place cannot be read.
            AnalysisError: there is no such folder.
        """
        super().__init__(results)
        try:
            kind = self.fs.get_file_info(self.root).type
        except (pa.ArrowInvalid, OSError) as error:
            raise StoreError(f"results={str(results)!r} cannot be read: {first_line(error)}") from None
        self.exists = kind != pafs.FileType.NotFound
        if kind != pafs.FileType.Directory and (self.exists or not optional):
            raise AnalysisError(f"results={str(results)!r} is not a folder; name the result store of a study")

    def has_rows(self, table: str) -> bool:
        """Returns whether the table has a file."""
        return self.exists and any(self.listing(table))


def has_rows(results: Place, table: str) -> bool:
    """Returns whether the store has a file of this table; False if there is no folder yet."""
    return Results(results, optional=True).has_rows(table)


def read(
    results: Place, table: str, columns: Sequence[str] | None = None, rows: pc.Expression | None = None
) -> pa.Table:
    """Reads the rows of a table that meet a condition, by default all; holds only these in memory.

    Raises:
        AnalysisError: there is no such folder, table or column, or the table has no rows.
        StoreError: the place cannot be read.
    """
    if table not in TABLES:
        raise AnalysisError(f"table={table!r} is unknown; {choices(table, TABLES)}")
    store, known = Results(results), TABLES[table].names
    if unknown := sorted(set(columns or ()) - {*known, FILE}):
        raise AnalysisError(f"table {table} has no column {unknown[0]!r}; {choices(unknown[0], known)}")
    answer = store.read(table, columns, rows=rows)
    if not answer.num_rows and not store.has_rows(table):
        raise AnalysisError(f"results={str(results)!r} has no rows in table {table} yet; run a study that writes some")
    return answer


def load(results: Place = "results", table: str = "trials", columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Reads all rows of one table of the store, for all studies.

    Args:
        results: folder or URI of the result store.
        table: a table of study/store/schema.py; keys takes 0.2 GB per trial, so prefer `load_keys`.
        columns: columns to read; None: all.
    Returns:
        A row per row of the store; accuracy is a fraction. Arms of trials are those of `with_sources`.
    Raises:
        AnalysisError: there is no such folder, table or column, or the table has no rows.
        StoreError: the place cannot be read.
    """
    if table != "trials" or (columns and "arm" not in columns):
        return read(results, table, columns).to_pandas()
    wanted = columns or TABLES[table].names
    rows = read(results, table, list(dict.fromkeys([*wanted, *SOURCE_COLUMNS])))
    return with_sources(rows).select(wanted).to_pandas()


def load_keys(results: Place, trial_id: str) -> pa.Table:
    """Reads the keys table of one trial, in the order of the store; no rows if the trial has none.

    Reads column by column: decoding needs three times a column's size, and two columns have 0.1 GB each.

    Raises:
        AnalysisError: there is no such folder, or the store has no keys at all.
        StoreError: the place cannot be read.
    """
    here = pc.field(KEY) == trial_id
    return pa.table({column: read(results, "keys", [column], here)[column] for column in TABLES["keys"].names})
