"""Query results as text, CSV, JSON or Parquet."""

import csv
import datetime as dt
import decimal
import io
import json
import math
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.errors import AnalysisError, choices
from analysis.tables.printed import MISSING, aligned, in_csv

FORMATS = ("table", "csv", "json", "parquet")

_LONGEST_LIST = 6  # numbers of a vector that the text format shows


def render(table: pa.Table, format: str) -> str | bytes:
    """Prints a table as text, or as the bytes of a Parquet file.

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


def _plain(value: Any) -> Any:
    """Returns a value in JSON's form: times as ISO text, NaN and infinity as null."""
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
    writer.writerow(map(in_csv, header))
    writer.writerows([json.dumps(v) if isinstance(v, list | dict) else in_csv(v) for v in row] for row in rows)
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
    return str(value)
