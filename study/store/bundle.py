"""Bundle: one archive with everything that tables and figures need, to be imported into another store.

It is a zip file, in which nothing is compressed twice:

    <table>/<number>.parquet      rows of many trials, whose names are in the footer as in a merged file of the store
    plans/, objects/, searches/, suggestions/, rungs/
                                  files of the store, unchanged
    environment.txt               versions of the packages used, as pip constraints
    figures/                      pictures for people; an import ignores them
    manifest.json                 schema version, provenance, and size and SHA-256 of every file above

An import trusts nothing: before it writes, it checks the whole archive and compares it with the store. Names in the
archive never become paths outside the store, and nothing is unpickled.
"""

import hashlib
import importlib.metadata
import json
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from esbn_core.files import new_file
from study.store.archive import ENVIRONMENT, FORMAT, MANIFEST, SINGLE, Parts, is_member, open_archive, rows_of, verified
from study.store.checks import MERGEABLE
from study.store.compact import INPUT, refuse_later
from study.store.errors import BundleError
from study.store.lease import lease
from study.store.names import KEY, lease_of_search, search_of, suggestion_name
from study.store.provenance import provenance
from study.store.schema import SCHEMA_VERSION, TABLES
from study.store.store import Store, parquet

ORDER = ("curves", "keys", *SINGLE, "external", "trials")  # of an import: a trial is done once its row exists
SAME = {
    "trials": ("status", "test_accuracy", "test_loss", "n_train", "n_test", "withheld_objects", "config"),
    "external": ("test_accuracy", "test_loss"),
    "searches": ("definition",),
    "suggestions": ("status", "parameters", "accuracies"),
}
"""Columns that must agree if store and bundle both have a row; place and time of training may differ."""
PLACE = ("task", "withheld", "arm", "seed")
"""Columns that give a trial's place in its study."""


def export_bundle(
    store: Store, path: str | Path, studies: Collection[str], figures: str | Path | None
) -> dict[str, int]:
    """Writes an archive atomically.

    Args:
        studies: studies whose plans and trials to export; empty: everything.
        figures: folder with files to add.
    Returns:
        Number of names by table.
    Raises:
        BundleError: there is no such study or no trial, or the archive cannot be written.
        StoreError: a later version of this project has written columns that would be lost.
    """
    wanted = _wanted(store, studies)
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "provenance": provenance(),
        "files": {},
    }
    try:
        with new_file(path) as file, zipfile.ZipFile(file, "w") as archive:
            for member, content in _members(store, wanted, figures):
                manifest["files"][member] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
                archive.writestr(member, content)
            archive.writestr(MANIFEST, json.dumps(manifest, indent=1))
    except OSError as error:
        raise BundleError(f"bundle={str(path)!r} cannot be written: {error.strerror}") from None
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
                raise BundleError(f"study={study!r} is not in {store.uri}; `esbn status` lists its studies")
        wanted["trials"] &= asked
        wanted["searches"] &= searches
        for table in ("suggestions", "rungs"):
            wanted[table] = {name for name in wanted[table] if search_of(name) in searches}
    if not wanted["trials"] | wanted["external"] | wanted["suggestions"]:
        raise BundleError(f"{store.uri} has no trials to export; run a study first")
    for table in ("curves", "keys"):
        wanted[table] &= wanted["trials"]
    return wanted


def _members(store: Store, wanted: dict[str, set[str]], figures: str | Path | None) -> Iterator[tuple[str, bytes]]:
    for table in reversed(SINGLE):
        for name in sorted(wanted[table]):
            yield f"{table}/{name}.parquet", parquet(_known_rows(store, table, [name])).to_pybytes()
    for table in MERGEABLE:
        for number, names in enumerate(_groups(store, table, wanted[table])):
            yield f"{table}/{number:06d}.parquet", parquet(_known_rows(store, table, names), names).to_pybytes()
    packages = {f"{package.name}=={package.version}" for package in importlib.metadata.distributions()}
    yield ENVIRONMENT, "".join(f"{package}\n" for package in sorted(packages, key=str.lower)).encode()
    for file in sorted(Path(figures).iterdir()) if figures else ():
        if file.is_file() and not file.name.startswith("."):
            if not is_member(f"figures/{file.name}"):
                raise BundleError(
                    f"figures: {file.name!r} has characters that are not allowed in a bundle; rename the file"
                )
            yield f"figures/{file.name}", file.read_bytes()


def _known_rows(store: Store, table: str, names: Collection[str]) -> pa.Table:
    rows = store.read(table, names=names)
    refuse_later(store, table)
    return rows


def _groups(store: Store, table: str, wanted: set[str]) -> Iterator[set[str]]:
    """Yields the names of a table in groups whose files fit into memory together."""
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


def import_bundle(
    store: Store, path: str | Path, declared: Callable[[str], Mapping[str, str]] = lambda study: {}
) -> dict[str, tuple[int, int]]:
    """Adds the results of an archive that the store lacks; if interrupted at any point, it can be repeated.

    Args:
        declared: returns trial id -> arm for a study that is declared here; empty for other studies.
    Returns:
        By table: how many names are new, and how many were already stored.
    Raises:
        BundleError: the archive is damaged or not from `export_bundle`, or it has a different result for a trial of the
            store or a different plan for a study of the store; nothing has been written.
        LeaseError: a run is training some of its trials.
    """
    with open_archive(path) as archive:
        parts = verified(archive)
        _refuse_other_plans(store, archive, parts, declared)
        _refuse_disagreement(store, archive, parts)
        store.prepare()
        names = {table: set().union(*parts[table].values()) for table in ORDER}
        new_trials, searches = names["trials"] - store.names("trials"), map(lease_of_search, names["searches"])
        with lease(store, [*new_trials, *searches]):
            counts = {}
            begun = _begun(store)
            for table in ORDER:
                new = names[table] - (store.names(table) - (begun if table in ("rungs", "suggestions") else set()))
                for member, here in parts[table].items():
                    if here & new:
                        _add(store, table, here & new, rows_of(archive, member))
                if names[table]:
                    counts[table] = (len(new), len(names[table] - new))
            return counts


def _refuse_other_plans(
    store: Store, archive: zipfile.ZipFile, parts: Parts, declared: Callable[[str], Mapping[str, str]]
) -> None:
    """Raises `BundleError` if a plan gives a trial another place than here, or a study other looks than here."""
    ours = store.read("plans", ["study", *PLACE, "looks", KEY]).to_pylist()
    planned = {(row["study"], row[KEY]): row for row in ours}
    looks = {study: {row["looks"] for row in ours if row["study"] == study} for study in {row["study"] for row in ours}}
    trials = {row[KEY]: row for member in parts["trials"] for row in rows_of(archive, member).to_pylist()}
    for member in parts["plans"]:
        for row in rows_of(archive, member).to_pylist():
            study, name = row["study"], row[KEY]
            known = {
                **trials.get(name, {}),
                "arm": declared(study).get(name, row["arm"]),
                **planned.get((study, name), {}),
            }
            if wrong := [column for column in PLACE if row[column] != known.get(column, row[column])]:
                raise BundleError(
                    f"{member} of the bundle plans trial {name} of study {study} with {wrong[0]}={row[wrong[0]]!r}, "
                    f"but here it has {known[wrong[0]]!r}; import it into a separate store with --results"
                )
            if row["looks"] and row["looks"] not in looks.get(study, {row["looks"]}):
                raise BundleError(
                    f"{member} of the bundle has {row['looks']} looks for study {study}, unlike the plan here, so its "
                    "verdicts would be corrected differently; import it into a separate store with --results"
                )


def _begun(store: Store) -> set[str]:
    """Returns the names of unfinished suggestions in the store; a bundle may have more progress on these."""
    columns = ["search", "suggestion", "status"]
    rows = store.read("suggestions", columns).to_pylist()
    return {suggestion_name(row["search"], row["suggestion"]) for row in rows if row["status"] == "running"}


def _add(store: Store, table: str, names: Collection[str], rows: pa.Table) -> None:
    if table in SINGLE:
        (name,) = names
        store.write(table, name, rows)
    else:
        store.write_merged(table, names, rows.filter(pc.field(KEY).isin(sorted(names))))


def _refuse_disagreement(store: Store, archive: zipfile.ZipFile, parts: Parts) -> None:
    differences = []
    for table, columns in SAME.items():
        there, named = store.names(table), [KEY] if KEY in TABLES[table].names else []
        for member, names in parts[table].items():
            if both := names & there:
                ours, theirs = (
                    {row.get(KEY, min(both)): row for row in rows.select([*named, *columns]).to_pylist()}
                    for rows in (store.read(table, [*named, *columns], names=both), rows_of(archive, member))
                )  # a file without a trial has one row, of its name
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
            "imported; import it into a separate store with --results"
        )


def _settled(columns: tuple[str, ...], *rows: dict[str, Any]) -> tuple[str, ...]:
    """Returns the result columns; for a suggestion that is still running somewhere, only the parameters."""
    return ("parameters",) if any(row.get("status") == "running" for row in rows) else columns
