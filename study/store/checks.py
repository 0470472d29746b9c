"""Checks of files and rows of the store, the same wherever they are read, merged or imported."""

import json
from typing import Any

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
REQUIRED = {
    **UNIQUE,
    "objects": ["images_hash", "object"],
    "plans": ["study", "planned_at", KEY, "task", "withheld", "arm", "seed"],
    "searches": ["search"],
    "suggestions": ["search", "suggestion", "status"],
    "rungs": ["search", "suggestion", "update"],
}
"""Columns that every row of a table has."""
ONE_ROW = ("trials", "external")
STATUS = ("completed", "failed")
JUDGED = ("status", "failure", "test_accuracy")
"""Columns of trials that `judged` needs."""
INVALID = "not a valid row: "  # begins the failure of such a trial
PROSE = ("failure", "question", "definition", "distributions", "parameters")
"""Columns of text that may have line breaks."""


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
    extremes = {}
    for column in REQUIRED[table]:
        if column not in there.names:
            return f"has no column {column}"
        extremes[column] = _extremes(metadata, column)
        if None in extremes[column]:
            return f"has rows without {column}"
    if table not in MERGEABLE or name is None:
        return None
    if strange := {str(value) for value in extremes[KEY]} - {name}:
        return f"has rows of {min(strange)!r}, not of its name"
    if table in ONE_ROW and metadata.num_rows != 1:
        return f"has {metadata.num_rows} rows, not one"
    updates = extremes.get("update")
    if updates and metadata.num_rows > (max(updates) - min(updates)) // CURVE_STEP + 1:
        return "has rows twice"
    return None


def _extremes(metadata: pq.FileMetaData, column: str) -> list[Any]:
    """Returns the least and the greatest value of a column in each row group; None where some are null or unknown."""
    names = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
    values: list[Any] = []
    for group in range(metadata.num_row_groups):
        if metadata.row_group(group).num_rows:
            statistics = metadata.row_group(group).column(names.index(column)).statistics
            known = statistics is not None and statistics.has_min_max and not statistics.null_count
            values += [statistics.min, statistics.max] if known else [None]
    return values


def later_columns(table: str, metadata: pq.FileMetaData) -> set[str]:
    """Returns what a later version of this project wrote into a file: columns, or the number of its schema."""
    version = (metadata.metadata or {}).get(b"schema_version", b"0").decode(errors="replace")
    later = {f"schema_version={version}"} if not version.isdecimal() or int(version) > SCHEMA_VERSION else set()
    return later | (set(metadata.schema.to_arrow_schema().names) - set(TABLES[table].names))


def once(table: str, rows: pa.Table) -> pa.Table:
    """Returns the rows without repeats: of those that agree in the columns of `UNIQUE`, the first."""
    unique = UNIQUE[table]
    numbered = rows.select(unique).append_column("row", pa.array(range(len(rows))))
    first = numbered.group_by(unique, use_threads=False).aggregate([("row", "min")])["row_min"]
    return rows if len(first) == len(rows) else rows.take(first.sort())


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
    of_accuracy = pc.binary_join_element_wise(
        f"{INVALID}test_accuracy=", _text(accuracy), " is not between 0 and 1", ""
    )
    of_status = pc.binary_join_element_wise(f"{INVALID}status=", _text(status), " is neither completed nor failed", "")
    failure = pc.if_else(wrong, pc.if_else(wrong_accuracy, of_accuracy, of_status), rows["failure"])
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


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(column.cast(pa.string()), "null")


def entry_fault(table: str, rows: pa.Table) -> str | None:
    """Says why rows may not enter a table; None if they may. The same for rows of our own and imported ones."""
    for field in rows.schema:
        column = rows[field.name].combine_chunks()
        if pa.types.is_list(field.type):
            column = pc.list_flatten(column)
        if wrong := _wrong(field.name, column):
            return f"{field.name}={wrong[0].as_py()!r} {wrong[1]}"
    if table == "trials":
        found = judged(rows)["failure"]
        changed = pc.fill_null(pc.starts_with(found, INVALID), False)
        if pc.any(changed).as_py():
            return found.filter(changed)[0].as_py().removeprefix(INVALID)
    if table in UNIQUE and len(once(table, rows)) < len(rows):
        return f"two rows agree in {', '.join(UNIQUE[table])}"
    return None


def _wrong(name: str, column: pa.Array) -> tuple[pa.Scalar, str] | None:
    """Returns a value that a column of this name may not have, and why."""
    if pa.types.is_string(column.type):
        pattern = r"[\x00-\x08\x0b-\x1f\x7f]" if name in PROSE else r"[\x00-\x1f\x7f]"
        bad, why = pc.match_substring_regex(column, pattern), "has control characters"
    elif name.endswith(("accuracy", "accuracies")):
        bad, why = pc.invert(pc.and_(pc.greater_equal(column, 0), pc.less_equal(column, 1))), "is not between 0 and 1"
    elif pa.types.is_integer(column.type) or name.endswith("seconds"):
        bad, why = pc.less(column, 0), "is negative"
    else:
        return None
    wrong = column.filter(pc.fill_null(bad, False))
    return (wrong[0], why) if len(wrong) else None
