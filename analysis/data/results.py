"""Tables of a results folder for analysis, where what is absent is an error and not an empty table."""

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
    """The results that commands of analysis read; their errors name no table, since the user asked for none."""

    UNLISTED = UNREAD = "the results cannot be read: {why}"

    def __init__(self, results: Place, *, optional: bool = False):
        """Opens a folder or URI.

        Args:
            optional: whether the folder need not be there yet.
        Raises:
            StoreError: the text names no place, or the place cannot be read.
            AnalysisError: there is no such folder.
        """
        super().__init__(results)
        try:
            kind = self.fs.get_file_info(self.root).type
        except (pa.ArrowInvalid, OSError) as error:
            raise StoreError(f"results={str(results)!r} cannot be read: {first_line(error)}") from None
        self.exists = kind != pafs.FileType.NotFound
        if kind != pafs.FileType.Directory and (self.exists or not optional):
            raise AnalysisError(
                f"results={str(results)!r} is not a folder that is there; name one that a study was run into"
            )

    def has_rows(self, table: str) -> bool:
        """Returns whether the table has a file."""
        return self.exists and any(self.listing(table))


def has_rows(results: Place, table: str) -> bool:
    """Returns whether the store has a file of this table; False where there is no folder yet."""
    return Results(results, optional=True).has_rows(table)


def read(
    results: Place, table: str, columns: Sequence[str] | None = None, rows: pc.Expression | None = None
) -> pa.Table:
    """Reads the rows of a table that meet a condition, all by default; only they are held in memory.

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
        raise AnalysisError(
            f"results={str(results)!r} has no rows of table {table} yet; run a study into it that makes some"
        )
    return answer


def load(results: Place = "results", table: str = "trials", columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Reads all rows of one table of the store, whatever the study.

    Args:
        results: folder or URI the studies were run into.
        table: a table of study/store/schema.py; keys takes 0.2 GB a trial, so prefer `load_keys`.
        columns: which columns; None: all.
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

    Column by column: Parquet needs three times a column's size to decode it, and two columns hold 0.1 GB each.

    Raises:
        AnalysisError: there is no such folder, or the store has no keys at all.
        StoreError: the place cannot be read.
    """
    here = pc.field(KEY) == trial_id
    return pa.table({column: read(results, "keys", [column], here)[column] for column in TABLES["keys"].names})
