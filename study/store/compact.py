"""Compaction of a store: merges many small files into few, while readers and runs of other trials continue.

A merged file is complete before the files it replaces are deleted, and readers know which of them counts
(study/store/layout.py). So a compaction can be stopped at any point; the next one deletes the leftovers.
"""

from collections.abc import Callable, Collection
from typing import NamedTuple

import pyarrow.fs as pafs

from study.store.checks import MERGEABLE, ONE_ROW, once
from study.store.errors import StoreError
from study.store.layout import Files
from study.store.lease import held, lease
from study.store.names import KEY
from study.store.store import Store

LARGE = 64 * 2**20  # bytes; files of this size are not merged
INPUT = 128 * 2**20  # bytes of files merged into one; the result is smaller, since small files repeat their footers


class _Input(NamedTuple):
    """A file to be replaced, and the names whose rows its replacement takes over."""

    info: pafs.FileInfo
    names: frozenset[str]


def compact(store: Store, tell: Callable[[str], None]) -> None:
    """Merges the files of all finished trials that no run is about to retrain.

    Raises:
        LeaseError: a run has just begun to train some of them, or another compaction is running.
        StoreError: the store cannot be written, or a later version of this project wrote into it.
    """
    ended = {name for table in ONE_ROW for name in store.read(table, [KEY])[KEY].to_pylist()}
    if not ended:
        raise StoreError(f"{store.uri} has no trials; name the store of a study with --results")
    kept = held(store)
    with lease(store, ended - kept):
        for table in MERGEABLE:
            before = _count(store, table)
            merge(store, table, ended - kept, kept)
            if before:
                tell(f"{table}: {before:,} files, now {_count(store, table):,}")


def merge_ended(store: Store, trials: Collection[str]) -> None:
    """Merges rows and curves of these finished trials, on which the caller has a lease.

    Keys are not merged: their files are few and large.

    Raises:
        StoreError: the store cannot be written, or a later version of this project wrote into it.
    """
    for table in ("trials", "curves"):
        there = store.names(table)
        merge(store, table, there.intersection(trials), there.difference(trials))


def merge(store: Store, table: str, ended: set[str], kept: Collection[str]) -> None:
    """Merges the files of finished trials, on which the caller has a lease.

    Args:
        kept: trials on which others have leases; their files are not merged.
    Raises:
        StoreError: a later version of this project has written columns that would be lost.
    """
    while groups := _groups(store.files(table), ended, kept):
        for group in groups:
            _merge(store, table, ended, group)


def _count(store: Store, table: str) -> int:
    return sum(map(len, store.listing(table)))


def _groups(files: Files, ended: set[str], kept: Collection[str]) -> list[list[_Input]]:
    """Returns groups of files, each to be replaced by one: small files, and merged files with stale rows."""
    stale = {file.info.path for file in files.merged if file.stale or not file.names <= ended}
    inputs = [
        *(_Input(info, frozenset({name})) for name, info in files.single.items() if name in ended),
        *(_Input(file.info, file.names) for file in files.merged if file.names.isdisjoint(kept)),
    ]
    groups: list[list[_Input]] = [[]]
    size = 0
    for file in inputs:
        if file.info.size < LARGE or file.info.path in stale:
            if groups[-1] and size + file.info.size > INPUT:
                groups.append([])
                size = 0
            groups[-1].append(file)
            size += file.info.size
    return [group for group in groups if len(group) > 1 or any(file.info.path in stale for file in group)]


def _merge(store: Store, table: str, ended: set[str], group: list[_Input]) -> None:
    names = ended & frozenset[str]().union(*(file.names for file in group))
    if names:
        rows = once(table, store.read(table, names=names))
        refuse_later(store, table)
        store.write_merged(table, names & store.names(table), rows)  # some files may have just been set aside
    store.drop_files(table, [file.info for file in group])


def refuse_later(store: Store, table: str) -> None:
    """Raises `StoreError` if rewriting this table would lose data of a later version."""
    if later := store.later.get(table):
        raise StoreError(
            f"table {table} of {store.uri} has data of a later version of esbn-study ({', '.join(sorted(later))}); "
            "use that version for this"
        )
