"""Checks of files and rows of the store, shared by reading, merging and importing."""

import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from esbn_core.vocabulary import CURVE_STEP, count_curve_points
from study.store.names import KEY
from study.store.schema import SCHEMA_VERSION, TABLES

MERGEABLE = ("trials", "curves", "keys", "external")
"""Tables with one file per trial, named after it."""
UNIQUE = {
    "trials": [KEY],
    "external": [KEY],
    "curves": [KEY, "update"],
    "keys": [KEY, "split", "problem", "step"],
}
"""Table -> columns that together identify a row."""
REQUIRED = {
    **UNIQUE,
    "objects": ["images_hash", "object"],
    "plans": ["study", "planned_at", KEY, "task", "withheld", "arm", "seed"],
    "searches": ["search"],
    "suggestions": ["search", "suggestion", "status"],
    "rungs": ["search", "suggestion", "update"],
}
"""Table -> columns that must not be null."""
ONE_ROW = ("trials", "external")
STATUS = ("completed", "failed")
JUDGED = ("status", "failure", "test_accuracy")
"""Columns of trials that `judged` needs."""
INVALID = "not a valid row: "  # begins the failure of such a trial
PROSE = ("failure", "question", "definition", "distributions", "parameters")
"""Text columns that may contain line breaks and tabs."""
LINES = {ord("\n"): None, ord("\t"): None}
CONTROL = frozenset(map(chr, (*range(32), 127)))


def file_fault(table: str, name: str | None, metadata: pq.FileMetaData, there: pa.Schema) -> str | None:
    """Says why a file is invalid: rows of another table or name, or repeated rows; None if it is valid.

    Args:
        name: the trial whose file it is; None: a file of many names.
        metadata: the footer; nothing else is read.
        there: the file's schema.
    """
    for field in () if there.equals(TABLES[table]) else TABLES[table]:
        if field.name in there.names and there.field(field.name).type != field.type:
            return f"has {there.field(field.name).type} in column {field.name}, not {field.type}"
    extremes = {}
    for column in REQUIRED[table]:
        if column not in there.names:
            return f"has no column {column}"
        extremes[column] = _extremes(metadata, there.get_field_index(column), column)
        if None in extremes[column]:
            return f"has rows without {column}"
    if table not in MERGEABLE or name is None:
        return None
    if strange := {str(value) for value in extremes[KEY]} - {name}:
        return f"has rows of {min(strange)!r}, not of its name"
    if table in ONE_ROW and metadata.num_rows != 1:
        return f"has {metadata.num_rows} rows, not one"
    updates = extremes.get("update")
    if updates and not _is_curve(metadata.num_rows, min(updates), max(updates)):
        return "has rows twice"
    return None


def _is_curve(n: int, first: int, last: int) -> bool:
    """Returns whether n points can be a curve between two updates: all current points, or at most every 10th.

    Earlier versions stored every 10th. A number in between would be an earlier curve stored twice; only for 1,791 to
    1,800 updates does that number equal the current one.
    """
    return n <= (last - first) // CURVE_STEP + 1 or n == count_curve_points(last + 1) - count_curve_points(first)


def _extremes(metadata: pq.FileMetaData, place: int, column: str) -> list[Any]:
    """Returns the smallest and largest value of a column in each row group; None if any are null or unknown."""
    values: list[Any] = []
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        if group.num_rows:
            chunk = group.column(place)  # each of our columns, even a list, is one Parquet column
            statistics = chunk.statistics if chunk.path_in_schema == column else None
            if statistics is None or statistics.null_count or not statistics.has_min_max:
                values.append(None)
            else:
                values += [statistics.min, statistics.max]
    return values


def later_columns(table: str, metadata: pq.FileMetaData, there: pa.Schema) -> set[str]:
    """Returns what a later version of this project added to a file: columns, or its schema version."""
    version = (metadata.metadata or {}).get(b"schema_version", b"0").decode(errors="replace")
    later = {f"schema_version={version}"} if not version.isdecimal() or int(version) > SCHEMA_VERSION else set()
    return later | (set(there.names) - set(TABLES[table].names))


def once(table: str, rows: pa.Table) -> pa.Table:
    """Returns the rows without repeats: the first of those that agree in the columns of `UNIQUE`."""
    unique = UNIQUE[table]
    numbered = rows.select(unique).append_column("row", pa.array(range(len(rows))))
    first = numbered.group_by(unique, use_threads=False).aggregate([("row", "min")])["row_min"]
    return rows if len(first) == len(rows) else rows.take(first.sort())


def judged(rows: pa.Table) -> pa.Table:
    """Returns rows of trials in which impossible results are marked as failed, with the reason."""
    columns = {name: rows[name].to_pylist() for name in JUDGED}
    faults = [_trial_fault(s, a) for s, a in zip(columns["status"], columns["test_accuracy"], strict=True)]
    if not any(faults):
        return rows
    for place, fault in enumerate(faults):
        if fault:
            for name, value in (("status", "failed"), ("failure", f"{INVALID}{fault}"), ("test_accuracy", None)):
                columns[name][place] = value
    for name, values in columns.items():
        field = rows.schema.field(name)
        rows = rows.set_column(rows.schema.get_field_index(name), field, pa.array(values, field.type))
    return rows


def _trial_fault(status: str | None, accuracy: float | None) -> str | None:
    if status not in STATUS:
        return f"status={status} is neither completed nor failed"
    if status == "completed" and (accuracy is None or not 0 <= accuracy <= 1):
        return f"test_accuracy={accuracy} is not between 0 and 1"
    return None


def entry_fault(table: str, rows: pa.Table) -> str | None:
    """Says why rows may not enter a table; None if they may. Used for our own and for imported rows."""
    for field in rows.schema:
        column = rows[field.name].combine_chunks()
        values = column.flatten() if pa.types.is_list(field.type) else column
        if why := _value_fault(field.name, values):
            return why
    if table == "trials":
        faults = map(_trial_fault, rows["status"].to_pylist(), rows["test_accuracy"].to_pylist())
        if fault := next(filter(None, faults), None):
            return fault
    if table in UNIQUE and len(once(table, rows)) < len(rows):
        return f"two rows agree in {', '.join(UNIQUE[table])}"
    return None


def _value_fault(name: str, values: pa.Array) -> str | None:
    """Names the first invalid value of a column, and why; None if all are valid."""
    text, whole = pa.types.is_string(values.type), pa.types.is_integer(values.type)
    if not (text or whole or name.endswith(("accuracy", "accuracies", "seconds"))):
        return None
    for value in values.unique().to_pylist():
        if value is None:
            continue
        if text and not CONTROL.isdisjoint(value.translate(LINES) if name in PROSE else value):
            return f"{name}={value!r} has control characters"
        if name.endswith(("accuracy", "accuracies")) and not 0 <= value <= 1:
            return f"{name}={value} is not between 0 and 1"
        if (whole or name.endswith("seconds")) and value < 0:
            return f"{name}={value} is negative"
    return None


def names_in_footer(names: bytes) -> frozenset[str]:
    """Reads the names listed by a merged file; raises `ValueError` if they are not names."""
    try:
        read = json.loads(names)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(read, list) or not all(isinstance(name, str) for name in read):
        raise ValueError("not a list of names")
    return frozenset(read)
