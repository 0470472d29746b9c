"""Parquet files of a table that count: those of one name, and merged ones, which hold the rows of many.

    <table>/<name>.parquet                      the rows of one name: of a trial, an image set or a plan
    <table>/merged/<generation>-<id>.parquet    the rows of many trials, listed in its footer

For every name one file counts: its own, or else the merged one of the latest generation. So a trial that is run again
replaces its merged row, and a file that another has replaced counts for nothing from the moment the other is there,
deleted or not. A file is deleted only once another stands for it, and files of one name are listed before merged ones:
whatever the first list lacks for having been merged is in the second. (The second is short enough to come from a
folder or a bucket in one answer.) A reader that meets a file which was deleted since it looked must look again, as
study/store/reader.py does.
"""

import json
from typing import NamedTuple

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

MERGED = "merged"
NAMES = b"names"  # in the footer of a merged file


class Merged(NamedTuple):
    """A merged file, its names whose rows count, and those that another file has."""

    info: pafs.FileInfo
    names: frozenset[str]
    stale: frozenset[str]

    @property
    def generation(self) -> int:
        return int(self.info.base_name.partition("-")[0])


class Files(NamedTuple):
    """The files of a table that count: those of one name, by name, and the merged ones, the oldest first."""

    single: dict[str, pafs.FileInfo]
    merged: list[Merged]

    @property
    def names(self) -> set[str]:
        """Every name the table has rows of."""
        return set(self.single).union(*(file.names for file in self.merged))


class Listing(NamedTuple):
    """The files of a table that were in its folders at one moment, each sorted by path."""

    single: list[pafs.FileInfo]
    merged: list[pafs.FileInfo]

    @property
    def versions(self) -> set[tuple[str, int, int]]:
        return {version(info) for info in (*self.single, *self.merged)}

    def files(self, fs: pafs.FileSystem) -> Files:
        """Finds out which files count; opens the footers of merged ones and nothing else.

        Raises:
            OSError: a merged file cannot be read, perhaps because it has been replaced.
            pa.ArrowInvalid: a merged file is not whole; the message names it.
        """
        single = {info.base_name.removesuffix(".parquet"): info for info in self.single}
        taken, merged = set(single), []
        for info in reversed(self.merged):
            names = _names(fs, info.path)
            merged.insert(0, Merged(info, names - taken, names & taken))
            taken |= names
        return Files(single, merged)


def list_table(fs: pafs.FileSystem, folder: str) -> Listing:
    """Lists the files of the table in a folder, which need not be there; raises `OSError` if it cannot."""
    return Listing(list_folder(fs, folder, ".parquet"), list_folder(fs, f"{folder}/{MERGED}", ".parquet"))


def list_folder(fs: pafs.FileSystem, folder: str, suffix: str) -> list[pafs.FileInfo]:
    """Lists a folder's files of this ending, by name; files that are not whole yet have a dot in front."""
    infos = fs.get_file_info(pafs.FileSelector(folder, allow_not_found=True))
    return sorted(
        (i for i in infos if i.path.endswith(suffix) and not i.base_name.startswith(".")), key=lambda info: info.path
    )


def version(info: pafs.FileInfo) -> tuple[str, int, int]:
    """Returns what tells a file from one that is written under its path later."""
    return info.path, info.size, info.mtime_ns


def _names(fs: pafs.FileSystem, path: str) -> frozenset[str]:
    try:
        metadata = pq.read_metadata(path, filesystem=fs).metadata
        return frozenset(json.loads(metadata[NAMES]))
    except (pa.ArrowInvalid, KeyError, TypeError, ValueError):
        raise pa.ArrowInvalid(
            f"{path} is not a whole merged file; restore it, or delete it to lose its trials"
        ) from None
