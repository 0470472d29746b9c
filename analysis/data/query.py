"""SQL queries over the tables of the store, and saved questions."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from analysis.data.own_sources import with_sources
from analysis.data.results import Results
from analysis.errors import AnalysisError, choices
from study.store.checks import ONE_ROW
from study.store.layout import Files
from study.store.location import Place
from study.store.schema import TABLES

# SQL reads only the store: no other files, no downloads, no variables of this program.
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
}


def query(results: Place, sql: str) -> pa.Table:
    """Answers one DuckDB SELECT over the tables of the store.

    Args:
        results: folder or URI of the result store.
        sql: the statement; accuracies in the store are fractions, times are UTC.
    Returns:
        The result table.
    Raises:
        AnalysisError: the SQL is invalid (with DuckDB's hint), or a table has no rows yet.
        StoreError: the store cannot be read.
    """
    store = Results(results)
    tables = [table for table in TABLES if store.has_rows(table)]
    if not tables:
        raise AnalysisError(f"results={str(results)!r} has no tables yet; name the result store of a study")
    try:
        failures = (duckdb.InvalidInputException,)  # how DuckDB reports Arrow errors
        return store.read_files(tables, lambda files: _answer(store, files, sql), failures)
    except duckdb.Error as error:
        raise AnalysisError(_sentence(str(error), tables)) from None


def _answer(store: Results, files: Mapping[str, Files], sql: str) -> pa.Table:
    with duckdb.connect(config=_CONFIG) as connection:
        for table in files:
            parts = _parts(store, table, files[table]) if table in sql.lower() else [TABLES[table].empty_table()]
            for i, part in enumerate(parts):
                connection.register(f"{table} {i}" if len(parts) > 1 else table, part)
            if len(parts) > 1:
                selects = (f'FROM "{table} {i}"' for i in range(len(parts)))
                connection.execute(f"CREATE VIEW {table} AS {' UNION ALL '.join(selects)}")
        answer = connection.sql(sql)
        if answer is None:
            raise AnalysisError(f"sql={sql!r} returns no rows; write a SELECT over {', '.join(files)}")
        rows = answer.to_arrow_table()
    doubled = {name for name in rows.column_names if rows.column_names.count(name) > 1}
    if doubled:
        raise AnalysisError(f"sql: several columns are named {', '.join(sorted(doubled))}; rename them with AS")
    return rows


def _parts(store: Results, table: str, files: Files) -> Sequence[pa.Table | ds.Dataset]:
    """Returns a table as what DuckDB can read: checked rows of small tables, files of large ones."""
    if table == "trials":
        return [with_sources(store.rows(table, files))]
    return [store.rows(table, files)] if table in (*ONE_ROW, "plans") else list(store.datasets(table, files))


def saved() -> dict[str, str]:
    """Reads the saved questions: name -> SQL, whose first line is a comment with the question."""
    folder = Path(__file__).with_name("queries")
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.sql"))}


def question(sql: str) -> str:
    """Returns the SQL itself; if it is a single word, the SQL of the saved question with that name.

    Raises:
        AnalysisError: no saved question has this name.
    """
    if len(sql.split()) != 1:
        return sql
    known = saved()
    if sql not in known:
        raise AnalysisError(f"query={sql!r} is neither SQL nor a saved question; {choices(sql, known)}")
    return known[sql]


def _sentence(error: str, there: list[str]) -> str:
    unknown = re.search(r"Table with name (\S+) does not exist", error)
    if unknown and unknown[1] in TABLES:
        return f"the store has no rows of table {unknown[1]} yet; {choices(unknown[1], there)}"
    if unknown:
        return f"sql names the unknown table {unknown[1]}; {choices(unknown[1], there)}"
    message = error.partition("\n\nLINE")[0]
    return "sql: " + " ".join(message.split()).replace("! ", "; ")
