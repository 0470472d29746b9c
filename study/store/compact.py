"""Compaction of a store: its many small files become few, while readers and runs of other trials go on.

A merged file is written whole before the files it stands for are deleted, and readers know which of the two counts
(study/store/layout.py). So a compaction can be stopped at any point; the next one deletes what it left.
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

LARGE = 64 * 2**20  # bytes; files of this size stay as they are
INPUT = 128 * 2**20  # bytes of files that are merged into one: they shrink, since many small ones repeat their footers


class _Input(NamedTuple):
    """A file that another replaces, and the names whose rows that takes over."""

    info: pafs.FileInfo
    names: frozenset[str]


def compact(store: Store, tell: Callable[[str], None]) -> None:
    """Merges the files of all trials that have ended and that no run is about to train again.

    Raises:
        LeaseError: a run began to train some of them just now, or another compaction is at work.
        StoreError: the store cannot be written, or a later version of this project wrote into it.
    """
    ended = {name for table in ONE_ROW for name in store.read(table, [KEY])[KEY].to_pylist()}
    if not ended:
        raise StoreError(f"{store.uri} has no trials; name the place that a study was run into with --results")
    kept = held(store)
    with lease(store, ended - kept):
        for table in MERGEABLE:
            before = _count(store, table)
            merge(store, table, ended - kept, kept)
            if before:
                tell(f"{table}: {before:,} files, now {_count(store, table):,}")


def merge_ended(store: Store, trials: Collection[str]) -> None:
    """Merges rows and curves of trials that have ended under a lease of the caller, and no others.

    Keys stay as they are: their files are few and large.

    Raises:
        StoreError: the store cannot be written, or a later version of this project wrote into it.
    """
    for table in ("trials", "curves"):
        there = store.names(table)
        merge(store, table, there.intersection(trials), there.difference(trials))


def merge(store: Store, table: str, ended: set[str], kept: Collection[str]) -> None:
    """Merges the files of ended trials, on which the caller has a lease.

    Args:
        kept: trials that others have leases on, whose files stay as they are.
    Raises:
        StoreError: a later version of this project has written columns that would be lost.
    """
    while groups := _groups(store.files(table), ended, kept):
        for group in groups:
            _merge(store, table, ended, group)


def _count(store: Store, table: str) -> int:
    return sum(map(len, store.listing(table)))


def _groups(files: Files, ended: set[str], kept: Collection[str]) -> list[list[_Input]]:
    """Returns groups of files to replace by one each: small ones, and merged ones with rows that count no more."""
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
        store.write_merged(table, names & store.names(table), rows)  # some files may just have been set aside
    store.drop_files(table, [file.info for file in group])


def refuse_later(store: Store, table: str) -> None:
    """Raises `StoreError` if the store has something in this table that would be lost if it were written again."""
    if later := store.later.get(table):
        raise StoreError(
            f"table {table} of {store.uri} has what a later version of esbn-study wrote ({', '.join(sorted(later))}); "
            "use that version for this"
        )
