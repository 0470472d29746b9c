"""Verification of a bundle's archive, before anything from it is written.

Nothing in it is trusted: neither names, sizes and checksums, nor relations between its rows.
"""

import hashlib
import json
import os
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from esbn_core.config import IDENTITY_VERSION
from esbn_core.files import kind
from study.store.checks import (
    MERGEABLE,
    ONE_ROW,
    entry_fault,
    file_fault,
    later_columns,
    names_in_footer,
)
from study.store.errors import BundleError
from study.store.layout import NAMES
from study.store.names import KEY
from study.store.schema import SCHEMA_VERSION, TABLES

FORMAT = "esbn-study bundle"
SINGLE = ("objects", "plans", "searches", "rungs", "suggestions")
"""Tables whose files are kept unchanged, one per name."""
MANIFEST, ENVIRONMENT = "manifest.json", "environment.txt"
LARGEST = 2**30  # bytes of a file in an archive
MOST_FILES = 100_000
EXPANSION = 300
"""Largest ratio of row bytes to file bytes, if the rows exceed `LARGE_ROWS` bytes; our files have at most 20."""
LARGE_ROWS = 2**26
_ODD = r"/\\\x00-\x1f\x7f\ud800-\udfff"  # characters that no name in an archive may have
_NAME = rf"[^.{_ODD}][^{_ODD}]*"
_MEMBER = re.compile(rf"(?:{'|'.join(TABLES)})/{_NAME}\.parquet|figures/{_NAME}|{ENVIRONMENT}|{MANIFEST}")

SETTINGS = (
    *("task", "withheld", "seed", "model", "encoder", "tcn", "learning_rate", "batch_size", "updates", "precision"),
    *("n_objects", "images", "rehearsal"),
)
"""Columns of trials that repeat a setting."""

Parts = dict[str, dict[str, frozenset[str]]]
"""Table -> file -> names whose rows the file holds."""


@contextmanager
def open_archive(path: str | Path) -> Iterator[zipfile.ZipFile]:
    """Opens an archive for reading; raises `BundleError` if it is not one."""
    try:
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode):
            raise BundleError(f"bundle={str(path)!r} is {kind(mode)}; name a file from esbn export")
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (OSError, zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise BundleError(f"bundle={str(path)!r} cannot be read: {error}") from None


def is_member(name: str) -> bool:
    """Returns whether an archive may contain a file of this name."""
    return _MEMBER.fullmatch(name) is not None


def rows_of(archive: zipfile.ZipFile, member: str) -> pa.Table:
    """Reads the rows of a file that has been verified."""
    return pq.read_table(pa.BufferReader(archive.read(member)))


def verified(archive: zipfile.ZipFile) -> Parts:
    """Checks every byte and every row of an archive; raises `BundleError` at the first fault."""
    members = archive.infolist()
    _refuse_members(archive, members)
    listed = _manifest(archive)
    if sorted(info.filename for info in members) != sorted([*listed, MANIFEST]):
        raise BundleError("the files of the bundle differ from those in its manifest; export it again")
    parts: Parts = {table: {} for table in TABLES}
    for info in members:
        if info.filename == MANIFEST:
            continue
        content = archive.read(info)
        if {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} != listed[info.filename]:
            raise BundleError(f"{info.filename} of the bundle is damaged: its checksum is wrong")
        table = info.filename.partition("/")[0]
        if table in parts:
            names = _verified_rows(table, info.filename, content)
            twice = names & frozenset[str]().union(*parts[table].values())
            if twice:
                raise BundleError(f"the bundle has {min(twice)} twice in table {table}; export it again")
            parts[table][info.filename] = names
    return parts


def _refuse_members(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> None:
    for info in members:
        if not is_member(info.filename) or info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise BundleError(f"{info.filename!r} does not belong in a bundle; this one was not made by esbn export")
        if info.file_size > LARGEST:
            raise BundleError(f"{info.filename} has {info.file_size:,} bytes, more than any file of a bundle may have")
    size = os.fstat(archive.fp.fileno()).st_size if archive.fp else 0
    if len(members) > MOST_FILES or sum(info.file_size for info in members) > size:
        raise BundleError("the bundle has overlapping files, or too many; it was not made by esbn export")


def _manifest(archive: zipfile.ZipFile) -> dict[str, Any]:
    try:
        manifest = json.loads(archive.read(MANIFEST))
        form, version, files = (manifest[key] for key in ("format", "schema_version", "files"))
    except (KeyError, TypeError, ValueError, RecursionError):
        raise BundleError("the archive has no bundle manifest; give a file from esbn export") from None
    if form != FORMAT or not isinstance(files, dict):
        raise BundleError(f"the archive is of format {form!r}, not a bundle; give a file from esbn export")
    if version != SCHEMA_VERSION:
        raise BundleError(
            f"the bundle has schema_version={version!r}, this project {SCHEMA_VERSION}; use the same version"
        )
    return files


def _verified_rows(table: str, member: str, content: bytes) -> frozenset[str]:
    """Checks the rows of a Parquet file of an archive and returns the names they belong to."""
    try:
        with pq.ParquetFile(pa.BufferReader(content)) as file:
            _refuse_footer(table, member, file.metadata, len(content))
            rows = file.read()
            if table in SINGLE:
                names = frozenset({member.partition("/")[2].removesuffix(".parquet")})
            else:
                names = names_in_footer(file.metadata.metadata[NAMES])
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        raise BundleError(f"{member} of the bundle is not a file of the store: {error}") from None
    if table in MERGEABLE:
        _refuse_names(table, member, names, set(rows[KEY].unique().to_pylist()))
    if fault := entry_fault(table, rows):
        raise BundleError(f"{member} of the bundle: {fault}; esbn export writes no such row")
    for row in rows.to_pylist() if table == "trials" else ():
        if fault := _identity_fault(row):
            raise BundleError(f"{member} of the bundle, trial {row[KEY]}: {fault}")
    return names


def _refuse_names(table: str, member: str, names: frozenset[str], ids: set[str]) -> None:
    """Raises `BundleError` if the rows of a file do not match the names that it lists."""
    if not all(re.fullmatch(_NAME, name) for name in names):
        raise BundleError(f"{member} of the bundle has names that are not trial ids")
    if not ids <= names or (table in ONE_ROW and ids != names):
        raise BundleError(f"the rows of {member} in the bundle do not match the names in its footer")


def _identity_fault(row: Mapping[str, Any]) -> str | None:
    """Says why a row of trials does not belong to the trial that its id names; None if it does.

    The id is a hash of the settings, so a change to a setting, or to a column that repeats one, is detected.
    """
    try:
        settings = json.loads(row["config"])
        names = [_identity(settings, number) for number in range(1, IDENTITY_VERSION + 1)]
    except (TypeError, ValueError, RecursionError):
        return "config is not the settings of a trial"
    if row[KEY] not in names:
        return f"its config belongs to trial {names[-1]}"
    for name in SETTINGS:
        if row[name] != settings.get(name):
            return f"{name}={row[name]!r}, but {settings.get(name)!r} in its config"
    return None


def _identity(settings: Mapping[str, Any], number: int) -> str:
    text = json.dumps({"identity_version": number, **settings}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _refuse_footer(table: str, member: str, metadata: pq.FileMetaData, size: int) -> None:
    """Raises `BundleError` for a file with a faulty footer, before its rows take memory."""
    there = metadata.schema.to_arrow_schema()
    if missing := [name for name in TABLES[table].names if name not in there.names]:
        raise BundleError(f"{member} of the bundle has no column {missing[0]}")
    if fault := file_fault(table, None, metadata, there):
        raise BundleError(f"{member} of the bundle {fault}")
    if later := later_columns(table, metadata, there):
        raise BundleError(f"{member} of the bundle has {', '.join(sorted(later))}, which table {table} does not have")
    if metadata.num_rows * metadata.num_columns * 8 > max(LARGE_ROWS, EXPANSION * size):
        raise BundleError(
            f"{member} of the bundle has {metadata.num_rows:,} rows in {size:,} bytes, more than any file of ours"
        )
