"""Compaction of a store: its many small files become few, while readers and runs of other trials go on.

A merged file is written whole before the files it stands for are deleted, and readers know which of the two counts
(study/store/layout.py). So a compaction can be stopped at any point; the next one deletes what it left.
"""

from collections.abc import Callable
from typing import NamedTuple

import pyarrow.fs as pafs

from study.store.errors import StoreError
from study.store.layout import Files
from study.store.lease import held, lease
from study.store.store import Store

MERGEABLE = ("trials", "curves", "keys", "external")  # the tables with a file for every trial
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
        StoreError: a file is not whole, or the store cannot be written.
    """
    ended = store.names("trials") | store.names("external")
    if not ended:
        raise StoreError(f"{store.uri} has no trials; name the place that a study was run into with --results")
    ended -= held(store)
    with lease(store, ended):
        for table in MERGEABLE:
            before = _count(store, table)
            while groups := _groups(store.files(table), ended):
                for group in groups:
                    _merge(store, table, group)
            if before:
                tell(f"{table}: {before:,} files, now {_count(store, table):,}")


def _count(store: Store, table: str) -> int:
    return sum(map(len, store.listing(table)))


def _groups(files: Files, ended: set[str]) -> list[list[_Input]]:
    """Returns groups of files to replace by one each: small ones, and merged ones with rows that count no more."""
    stale = {file.info.path for file in files.merged if file.stale}
    inputs = [
        *(_Input(info, frozenset({name})) for name, info in files.single.items()),
        *(_Input(file.info, file.names) for file in files.merged),
    ]
    groups: list[list[_Input]] = [[]]
    size = 0
    for file in inputs:
        if file.names <= ended and (file.info.size < LARGE or file.info.path in stale):
            if groups[-1] and size + file.info.size > INPUT:
                groups.append([])
                size = 0
            groups[-1].append(file)
            size += file.info.size
    return [group for group in groups if len(group) > 1 or any(file.info.path in stale for file in group)]


def _merge(store: Store, table: str, group: list[_Input]) -> None:
    names = frozenset[str]().union(*(file.names for file in group))
    if names:
        rows = store.read(table, names=names)
        others = set(rows["trial_id"].unique().to_pylist()) - names
        if others:
            raise StoreError(
                f"table {table} of {store.uri} has rows of {min(map(str, others))} in a file of another name; "
                "delete that file"
            )
        store.write_merged(table, names, rows)
    store.drop_files(table, [file.info for file in group])
