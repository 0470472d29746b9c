"""Checks of files and rows of the store, the same wherever they are read, merged or imported."""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from esbn_core.vocabulary import CURVE_STEP
from study.store.names import KEY
from study.store.schema import SCHEMA_VERSION, TABLES

MERGEABLE = ("trials", "curves", "keys", "external")
"""The tables with a file for every trial, which is named after it."""
UNIQUE = {
    "trials": [KEY],
    "external": [KEY],
    "curves": [KEY, "update"],
    "keys": [KEY, "split", "problem", "step"],
}
"""Columns that no two rows of a table share."""
ONE_ROW = ("trials", "external")
STATUS = ("completed", "failed")
JUDGED = ("status", "failure", "test_accuracy")
"""Columns of trials that `judged` needs."""


def file_fault(table: str, name: str | None, metadata: pq.FileMetaData) -> str | None:
    """Says why a file does not hold rows of its table, or not those of its name, once each; None if it does.

    Args:
        name: of the trial whose file it is; None: a file of many names.
        metadata: the footer, which is all this looks at.
    """
    there = metadata.schema.to_arrow_schema()
    for field in TABLES[table]:
        if field.name in there.names and there.field(field.name).type != field.type:
            return f"has {there.field(field.name).type} in column {field.name}, not {field.type}"
    if not set(there.names) & set(TABLES[table].names):
        return f"has no column of table {table}"
    if table not in MERGEABLE or name is None or (table not in ONE_ROW and not metadata.num_rows):
        return None
    if KEY not in there.names:
        return f"has no column {KEY}"
    ids = list(_extremes(metadata, KEY))
    if strange := {str(i) for i in ids} - {name}:
        return f"has rows of {min(strange)!r}, not of its name"
    if table in ONE_ROW and metadata.num_rows != 1:
        return f"has {metadata.num_rows} rows, not one"
    if table == "curves":
        updates = list(_extremes(metadata, "update"))
        if None not in updates and metadata.num_rows > (max(updates) - min(updates)) // CURVE_STEP + 1:
            return "has rows twice"
    return None


def _extremes(metadata: pq.FileMetaData, column: str) -> Iterable[Any]:
    """Yields the least and the greatest value of a column in each row group; None where they are unknown."""
    names = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
    at = names.index(column)
    for group in range(metadata.num_row_groups):
        statistics = metadata.row_group(group).column(at).statistics
        if statistics is None or statistics.null_count or not statistics.has_min_max:
            yield None
        else:
            yield from (statistics.min, statistics.max)


def later_columns(table: str, metadata: pq.FileMetaData) -> set[str]:
    """Returns what a later version of this project wrote into a file: columns, or the number of its schema."""
    version = (metadata.metadata or {}).get(b"schema_version", b"0").decode(errors="replace")
    later = {f"schema_version={version}"} if not version.isdecimal() or int(version) > SCHEMA_VERSION else set()
    return later | (set(metadata.schema.to_arrow_schema().names) - set(TABLES[table].names))


def once(table: str, rows: pa.Table) -> pa.Table:
    """Returns the rows without repeats: of those that agree in the columns of `UNIQUE`, the first."""
    unique = UNIQUE[table]
    numbered = rows.select(unique).append_column("row", pa.array(np.arange(len(rows))))
    first = numbered.group_by(unique, use_threads=False).aggregate([("row", "min")])["row_min"]
    return rows if len(first) == len(rows) else rows.take(np.sort(first.to_numpy()))


def judged(rows: pa.Table) -> pa.Table:
    """Returns rows of trials in which those that cannot be results are failed trials, and say why."""
    accuracy, status = rows["test_accuracy"], rows["status"]
    known = pc.is_in(status, pa.array(STATUS))
    possible = pc.fill_null(pc.and_(pc.greater_equal(accuracy, 0), pc.less_equal(accuracy, 1)), False)
    completed = pc.fill_null(pc.equal(status, "completed"), False)
    wrong_accuracy = pc.and_(completed, pc.invert(possible))
    wrong = pc.or_(pc.invert(known), wrong_accuracy)
    if not pc.any(wrong).as_py():
        return rows
    why = [
        None
        if not bad
        else f"not a valid row: test_accuracy={a} is not between 0 and 1"
        if of_accuracy
        else f"not a valid row: status={s!r} is neither completed nor failed"
        for bad, of_accuracy, a, s in zip(
            *(column.to_pylist() for column in (wrong, wrong_accuracy, accuracy, status)), strict=True
        )
    ]
    failure = pc.coalesce(pa.chunked_array([pa.array(why, pa.string())]), rows["failure"])
    columns = {
        "status": pc.if_else(wrong, "failed", status),
        "failure": failure,
        "test_accuracy": pc.if_else(wrong, None, accuracy),
    }
    for name, column in columns.items():
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), column)
    return rows


def names_in_footer(names: bytes) -> frozenset[str]:
    """Reads the names that a merged file lists; raises `ValueError` if they are none."""
    try:
        read = json.loads(names)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(read, list) or not all(isinstance(name, str) for name in read):
        raise ValueError("not a list of names")
    return frozenset(read)
