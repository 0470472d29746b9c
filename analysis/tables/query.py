"""Query results as text, CSV, JSON or Parquet, the first rows at once."""

import csv
import datetime as dt
import decimal
import io
import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.errors import AnalysisError, choices
from analysis.tables.printed import MISSING, aligned_parts, in_csv

FORMATS = ("table", "csv", "json")

_LONGEST_LIST = 6  # numbers of a vector that the text format shows


_AT_ONCE = 1_000  # rows that are printed together


def parquet(table: pa.Table) -> bytes:
    """Returns a table as a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def render(table: pa.Table, format: str) -> Iterator[str]:
    """Prints a table piece by piece, so that the first rows of a long one come at once.

    Args:
        table: any table.
        format: table (aligned text with every row, by the widths of the first thousand; long vectors shortened), csv or
            json (a list of records).
    Raises:
        AnalysisError: the format is none of these.
    """
    if format not in FORMATS:
        raise AnalysisError(f"format={format!r} is unknown; {choices(format, FORMATS)}")
    header = table.column_names
    parts = (_rows(table.slice(start, _AT_ONCE)) for start in range(0, max(1, len(table)), _AT_ONCE))
    if format == "json":
        yield from _json(header, parts)
    elif format == "csv":
        yield _csv([map(in_csv, header)])
        for rows in parts:
            yield _csv([json.dumps(v) if isinstance(v, list | dict) else in_csv(v) for v in row] for row in rows)
    else:
        numeric = [pa.types.is_primitive(kind) and not pa.types.is_temporal(kind) for kind in table.schema.types]
        short = ([[_short(value) for value in row] for row in rows] for rows in parts)
        yield from aligned_parts(header, short, numeric)


def _rows(table: pa.Table) -> list[list[Any]]:
    return [[_plain(value) for value in row] for row in zip(*(c.to_pylist() for c in table.columns), strict=True)]


def _json(header: list[str], parts: Iterable[list[list[Any]]]) -> Iterator[str]:
    before = "["
    for rows in parts:
        yield before + ",\n ".join(json.dumps(dict(zip(header, row, strict=True))) for row in rows)
        before = ",\n "
    yield "]\n"


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


def _csv(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
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
