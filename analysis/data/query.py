"""SQL over the result store, and its answers as text or Parquet."""

import csv
import datetime as dt
import decimal
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from analysis.data.trials import TABLES, open_table, outdated, tables_with_rows, torn_file
from analysis.errors import AnalysisError, choices
from analysis.tables.printed import MISSING, aligned

FORMATS = ("table", "csv", "json", "parquet")

# The store is read and nothing else: no other files, no downloads, no variables of this program.
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
}
_LONGEST_LIST = 6  # numbers of a vector that the text format shows


def query(results: str, sql: str) -> pa.Table:
    """The answer to one DuckDB SELECT over the tables of the store.

    Args:
        results: folder or URI the studies were run into.
        sql: the statement; accuracies in the store are fractions, times UTC.
    Returns:
        The rows and columns asked for.
    Raises:
        AnalysisError: the SQL is wrong (with DuckDB's hint), the store has no rows of a table yet, or a file is torn.
    """
    while True:
        tables = {table: open_table(results, table) for table in tables_with_rows(results)}
        if not tables:
            raise AnalysisError(f"results={results!r} has no tables yet; name the folder that a study was run into")
        try:
            return _answer(tables, sql)
        except duckdb.Error as error:
            parts = [part for parts in tables.values() for part in parts]
            if isinstance(error, duckdb.InvalidInputException):  # DuckDB's word for an error of Arrow
                if outdated(parts):
                    continue
                if torn := torn_file(parts):
                    raise torn from None
            raise AnalysisError(_sentence(str(error), list(tables))) from None


def _answer(tables: dict[str, list[ds.FileSystemDataset]], sql: str) -> pa.Table:
    with duckdb.connect(config=_CONFIG) as connection:
        for table, parts in tables.items():
            for i, part in enumerate(parts):
                connection.register(f"{table} {i}" if len(parts) > 1 else table, part)
            if len(parts) > 1:
                selects = (f'FROM "{table} {i}"' for i in range(len(parts)))
                connection.execute(f"CREATE VIEW {table} AS {' UNION ALL '.join(selects)}")
        answer = connection.sql(sql)
        if answer is None:
            raise AnalysisError(f"sql={sql!r} asks for no rows; write a SELECT over {', '.join(tables)}")
        rows = answer.to_arrow_table()
    doubled = {name for name in rows.column_names if rows.column_names.count(name) > 1}
    if doubled:
        raise AnalysisError(f"sql: several columns are named {', '.join(sorted(doubled))}; tell them apart by AS")
    return rows


def saved() -> dict[str, str]:
    """The saved questions: name -> SQL, whose first line is a comment that says what it answers."""
    folder = Path(__file__).with_name("queries")
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.sql"))}


def question(sql: str) -> str:
    """The SQL itself, or that of the saved question whose name it is; one word is a name.

    Raises:
        AnalysisError: no saved question has this name.
    """
    if len(sql.split()) != 1:
        return sql
    known = saved()
    if sql not in known:
        raise AnalysisError(f"query={sql!r} is neither SQL nor a saved question; {choices(sql, known)}")
    return known[sql]


def render(table: pa.Table, format: str) -> str | bytes:
    """A table as text, or as the bytes of a Parquet file.

    Args:
        table: any table.
        format: table (aligned text with every row; long vectors shortened), csv, json (a list of records) or parquet.
    Raises:
        AnalysisError: the format is none of these.
    """
    if format not in FORMATS:
        raise AnalysisError(f"format={format!r} is unknown; {choices(format, FORMATS)}")
    if format == "parquet":
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        return sink.getvalue().to_pybytes()
    rows = [[_plain(value) for value in row] for row in zip(*(c.to_pylist() for c in table.columns), strict=True)]
    if format == "json":
        return json.dumps([dict(zip(table.column_names, row, strict=True)) for row in rows], indent=1) + "\n"
    if format == "csv":
        return _csv(table.column_names, rows)
    numeric = [pa.types.is_primitive(kind) and not pa.types.is_temporal(kind) for kind in table.schema.types]
    return aligned(table.column_names, [[_short(value) for value in row] for row in rows], numeric)


def _sentence(error: str, there: list[str]) -> str:
    unknown = re.search(r"Table with name (\S+) does not exist", error)
    if unknown and unknown[1] in TABLES:
        return f"the store has no rows of table {unknown[1]} yet; {choices(unknown[1], there)}"
    if unknown:
        return f"sql names the unknown table {unknown[1]}; {choices(unknown[1], there)}"
    message = error.partition("\n\nLINE")[0]
    return "sql: " + " ".join(message.split()).replace("! ", "; ")


def _plain(value: Any) -> Any:
    """A value of a table as JSON has it: times as ISO text, NaN and infinity as null."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, decimal.Decimal):  # DuckDB's type for sums of integers
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | None) else str(value)


def _csv(header: list[str], rows: list[list[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([json.dumps(v) if isinstance(v, list | dict) else v for v in row] for row in rows)
    return text.getvalue()


def _short(value: Any) -> str:
    if value is None:
        return MISSING
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list) and len(value) > _LONGEST_LIST:
        return f"[{', '.join(map(_short, value[:_LONGEST_LIST]))}, … {len(value)} values]"
    if isinstance(value, list):
        return f"[{', '.join(map(_short, value))}]"
    return " ".join(str(value).split())  # one line per row
