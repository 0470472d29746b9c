"""Bundle: one archive with all that tables and figures are made of, to be read into a store elsewhere.

A zip file, nothing of it compressed twice:

    <table>/<number>.parquet      rows of many trials, whose names are in the footer as in a merged file of the store
    plans/, objects/, searches/, suggestions/, rungs/
                                  files of the store as they are
    environment.txt               the packages it was made with, as pip takes constraints
    figures/                      pictures to look at; an import passes over them
    manifest.json                 schema version, provenance, and size and SHA-256 of every file above

An import trusts nothing: it reads the whole archive and what it disagrees with before it writes. Names of the archive
never become paths outside the store, and nothing is unpickled.
"""

import hashlib
import importlib.metadata
import json
import os
import re
import uuid
import zipfile
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from study.store.compact import INPUT, MERGEABLE
from study.store.errors import BundleError
from study.store.layout import NAMES
from study.store.lease import lease
from study.store.names import KEY, lease_of_search, search_of, suggestion_name
from study.store.provenance import provenance
from study.store.schema import SCHEMA_VERSION, TABLES
from study.store.store import Store, parquet

FORMAT = "esbn-study bundle"
SINGLE = ("objects", "plans", "searches", "rungs", "suggestions")  # tables that keep their files
ORDER = ("curves", "keys", *SINGLE, "external", "trials")  # of an import: a trial is done once its row is there
SAME = {
    "trials": ("status", "test_accuracy", "test_loss", "n_train", "n_test", "withheld_objects", "config"),
    "external": ("test_accuracy", "test_loss"),
    "searches": ("definition",),
    "suggestions": ("status", "parameters", "accuracies"),
}
"""Columns that must agree where both have a row; where and when it was trained may differ."""
MANIFEST, ENVIRONMENT = "manifest.json", "environment.txt"
LARGEST = 2**30  # bytes of a file in an archive
_NAME = r"[^/\\.][^/\\]*"
_MEMBER = re.compile(rf"(?:{'|'.join(TABLES)})/{_NAME}\.parquet|figures/{_NAME}|{ENVIRONMENT}|{MANIFEST}")


def export_bundle(store: Store, path: Path, studies: Collection[str], figures: Path | None) -> dict[str, int]:
    """Writes an archive, whole or not at all.

    Args:
        studies: whose plans and trials go into it; none: everything there is.
        figures: folder whose files to add.
    Returns:
        Names by table.
    Raises:
        BundleError: there is no such study or no trial, or the archive cannot be written.
    """
    wanted = _wanted(store, studies)
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "provenance": provenance(),
        "files": {},
    }
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with zipfile.ZipFile(aside, "w") as archive:
            for member, content in _members(store, wanted, figures):
                manifest["files"][member] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
                archive.writestr(member, content)
            archive.writestr(MANIFEST, json.dumps(manifest, indent=1))
        os.replace(aside, path)
    except OSError as error:
        raise BundleError(f"bundle={str(path)!r} cannot be written: {error.strerror}") from None
    finally:
        aside.unlink(missing_ok=True)
    return {table: len(names) for table, names in wanted.items() if names}


def _wanted(store: Store, studies: Collection[str]) -> dict[str, set[str]]:
    """Returns the names to export, by table."""
    wanted = {table: store.names(table) for table in reversed(ORDER)}  # what is written first is listed last
    if studies:
        asked: set[str] = set()
        searches: set[str] = set()
        for name in list(wanted["plans"]):
            plan = store.read("plans", ["study", "search", KEY], names=[name])
            if set(plan["study"].to_pylist()) & set(studies):
                asked |= set(plan[KEY].to_pylist())
                searches |= set(plan["search"].to_pylist())
            else:
                wanted["plans"].discard(name)
        there = set(store.read("plans", ["study"], names=wanted["plans"])["study"].to_pylist())
        for study in studies:
            if study not in there:
                raise BundleError(f"study={study!r} is not in {store.uri}; `esbn status` lists those that are")
        wanted["trials"] &= asked
        wanted["searches"] &= searches
        for table in ("suggestions", "rungs"):
            wanted[table] = {name for name in wanted[table] if search_of(name) in searches}
    if not wanted["trials"] | wanted["external"] | wanted["suggestions"]:
        raise BundleError(f"{store.uri} has no trials to export; run a study into it first")
    for table in ("curves", "keys"):
        wanted[table] &= wanted["trials"]
    return wanted


def _members(store: Store, wanted: dict[str, set[str]], figures: Path | None) -> Iterator[tuple[str, bytes]]:
    for table in reversed(SINGLE):
        for name in sorted(wanted[table]):
            yield f"{table}/{name}.parquet", parquet(store.read(table, names=[name])).to_pybytes()
    for table in MERGEABLE:
        for number, names in enumerate(_groups(store, table, wanted[table])):
            yield f"{table}/{number:06d}.parquet", parquet(store.read(table, names=names), names).to_pybytes()
    packages = {f"{package.name}=={package.version}" for package in importlib.metadata.distributions()}
    yield ENVIRONMENT, "".join(f"{package}\n" for package in sorted(packages, key=str.lower)).encode()
    for file in sorted(figures.iterdir()) if figures else ():
        if file.is_file() and not file.name.startswith("."):
            yield f"figures/{file.name}", file.read_bytes()


def _groups(store: Store, table: str, wanted: set[str]) -> Iterator[set[str]]:
    """Yields the names of a table in groups whose files are small enough to be held in memory together."""
    files = store.files(table)
    group: set[str] = set()
    size = 0
    for name in sorted(files.single.keys() & wanted):
        group.add(name)
        size += files.single[name].size
        if size > INPUT:
            yield group
            group, size = set(), 0
    yield from (names for names in (group, *(wanted & file.names for file in files.merged)) if names)


def import_bundle(store: Store, path: Path) -> dict[str, tuple[int, int]]:
    """Adds what an archive has and the store has not; stopped at any point, it can be done again.

    Returns:
        By table: how many names are new, and how many were there already.
    Raises:
        BundleError: the archive is not whole, not of `export_bundle`, or has another result for a trial of the store;
            nothing is written then.
        LeaseError: a run is training some of its trials.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            parts = _verified(archive)
            names = {table: set().union(*parts[table].values()) for table in ORDER}
            _refuse_disagreement(store, archive, parts)
            store.prepare()
            new_trials, searches = names["trials"] - store.names("trials"), map(lease_of_search, names["searches"])
            with lease(store, [*new_trials, *searches]):
                counts = {}
                begun = _begun(store)
                for table in ORDER:
                    new = names[table] - (store.names(table) - (begun if table in ("rungs", "suggestions") else set()))
                    for member, here in parts[table].items():
                        if here & new:
                            _add(store, table, here & new, _rows(archive, member))
                    if names[table]:
                        counts[table] = (len(new), len(names[table] - new))
                return counts
    except (OSError, zipfile.BadZipFile) as error:
        raise BundleError(f"bundle={str(path)!r} cannot be read: {error}") from None


def _begun(store: Store) -> set[str]:
    """Returns the names of the suggestions of the store that have not ended; those of a bundle may be further."""
    columns = ["search", "suggestion", "status"]
    rows = store.read("suggestions", columns).to_pylist()
    return {suggestion_name(row["search"], row["suggestion"]) for row in rows if row["status"] == "running"}


def _add(store: Store, table: str, names: Collection[str], rows: pa.Table) -> None:
    if table in SINGLE:
        (name,) = names
        store.write(table, name, rows)
    else:
        store.write_merged(table, names, rows.filter(pc.field(KEY).isin(sorted(names))))


def _verified(archive: zipfile.ZipFile) -> dict[str, dict[str, frozenset[str]]]:
    """Checks every byte of an archive; returns its files by table, each with the names it has rows of."""
    members = archive.infolist()
    for info in members:
        if not _MEMBER.fullmatch(info.filename) or info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise BundleError(f"{info.filename!r} does not belong into a bundle; it is not one that esbn export made")
        if info.file_size > LARGEST:
            raise BundleError(f"{info.filename} has {info.file_size:,} bytes, more than a file of a bundle has")
    listed = _manifest(archive)
    if sorted(info.filename for info in members) != sorted([*listed, MANIFEST]):
        raise BundleError("the files of the bundle are not those that its manifest lists; export it again")
    parts: dict[str, dict[str, frozenset[str]]] = {table: {} for table in TABLES}
    for info in members:
        table, _, file = info.filename.partition("/")
        if info.filename != MANIFEST:
            content = archive.read(info)
            expected = listed[info.filename]
            if {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} != expected:
                raise BundleError(f"{info.filename} of the bundle is damaged: it is not what its checksum says")
        if table in parts:
            names = _names(archive, table, info.filename, file)
            twice = names & frozenset[str]().union(*parts[table].values())
            if twice:
                raise BundleError(f"the bundle has {min(twice)} twice in table {table}; export it again")
            parts[table][info.filename] = names
    return parts


def _manifest(archive: zipfile.ZipFile) -> dict[str, Any]:
    try:
        manifest = json.loads(archive.read(MANIFEST))
        form, version, files = (manifest[key] for key in ("format", "schema_version", "files"))
    except (KeyError, TypeError, ValueError):
        raise BundleError("the archive has no manifest of a bundle; give one that esbn export made") from None
    if form != FORMAT or not isinstance(files, dict):
        raise BundleError(f"the archive is of format {form!r}, not a bundle; give one that esbn export made")
    if version != SCHEMA_VERSION:
        raise BundleError(
            f"the bundle has schema_version={version}, this project {SCHEMA_VERSION}; use the same version"
        )
    return files


def _names(archive: zipfile.ZipFile, table: str, member: str, file: str) -> frozenset[str]:
    """Returns the names a Parquet file of an archive has rows of, once its columns and names have been checked."""
    try:
        with pq.ParquetFile(pa.BufferReader(archive.read(member))) as parquet_file:
            schema, metadata = parquet_file.schema_arrow, parquet_file.metadata.metadata or {}
            for field in TABLES[table]:
                if field.name not in schema.names or schema.field(field.name).type != field.type:
                    raise BundleError(f"{member} of the bundle has no column {field.name} of type {field.type}")
            if not schema.equals(TABLES[table]):
                raise BundleError(f"{member} of the bundle has columns that table {table} does not have")
            if table in SINGLE:
                return frozenset({file.removesuffix(".parquet")})
            names = list(json.loads(metadata[NAMES]))
            ids = parquet_file.read([KEY])[KEY].to_pylist()
    except (pa.ArrowInvalid, OSError, KeyError, ValueError, TypeError) as error:
        raise BundleError(f"{member} of the bundle is not a file of the store: {error}") from None
    if not all(isinstance(name, str) and re.fullmatch(_NAME, name) for name in names):
        raise BundleError(f"{member} of the bundle has names that are none of trials")
    if not set(ids) <= set(names) or (table in ("trials", "external") and sorted(ids) != sorted(set(names))):
        raise BundleError(f"the rows of {member} in the bundle are not those that its footer lists")
    return frozenset(names)


def _rows(archive: zipfile.ZipFile, member: str) -> pa.Table:
    return pq.read_table(pa.BufferReader(archive.read(member)))


def _refuse_disagreement(store: Store, archive: zipfile.ZipFile, parts: dict[str, dict[str, frozenset[str]]]) -> None:
    differences = []
    for table, columns in SAME.items():
        there, named = store.names(table), [KEY] if KEY in TABLES[table].names else []
        for member, names in parts[table].items():
            if both := names & there:
                ours, theirs = (
                    {row.get(KEY, min(both)): row for row in rows.select([*named, *columns]).to_pylist()}
                    for rows in (store.read(table, [*named, *columns], names=both), _rows(archive, member))
                )  # a file without a trial has one row, and its name
                differences += [
                    f"{name} ({column}: {ours[name][column]} here, {theirs[name][column]} in the bundle)"
                    for name in sorted(both)
                    for column in _settled(columns, ours[name], theirs[name])
                    if ours[name][column] != theirs[name][column]
                ]
    if differences:
        more = f" and {len(differences) - 5} more" if len(differences) > 5 else ""
        raise BundleError(
            f"the bundle has other results than {store.uri}: {'; '.join(differences[:5])}{more}; nothing was "
            "imported: import it into a place of its own with --results"
        )


def _settled(columns: tuple[str, ...], *rows: dict[str, Any]) -> tuple[str, ...]:
    """Returns the columns that are results; of a suggestion that is still running somewhere only the parameters."""
    return ("parameters",) if any(row.get("status") == "running" for row in rows) else columns
