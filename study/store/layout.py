"""Parquet files of a table that count: those of one name, and merged ones, which hold the rows of many.

    <table>/<name>.parquet                      the rows of one name: of a trial, an image set or a plan
    <table>/merged/<generation>-<id>.parquet    the rows of many trials, listed in its footer

For every name one file counts: its own, or else the merged one of the latest generation. So a trial that is run again
replaces its merged row, and a file that another has replaced counts for nothing from the moment the other is there,
deleted or not. A file is deleted only once another that stands for it is on the disk, and files of one name are listed
before merged ones: whatever the first list lacks for having been merged is in the second. (The second is short enough
to come from a folder or a bucket in one answer.) A reader that meets a file which was deleted since it looked must look
again, as study/store/reader.py does.
"""

from collections.abc import Callable
from typing import NamedTuple

import pyarrow.fs as pafs

MERGED = "merged"
NAMES = b"names"  # in the footer of a merged file

Version = tuple[str, int, int]
"""Path, size and time of change of a file."""


class Merged(NamedTuple):
    """A merged file.

    Attributes:
        info: where it is.
        names: whose rows count.
        stale: whose rows do not: another file has them, or the footer does not list them.
    """

    info: pafs.FileInfo
    names: frozenset[str]
    stale: frozenset[str]

    @property
    def generation(self) -> int:
        number = self.info.base_name.partition("-")[0]
        return int(number) if number.isdecimal() else 0


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
    def versions(self) -> set[Version]:
        return {version(info) for info in (*self.single, *self.merged)}

    def files(self, contents: Callable[[pafs.FileInfo], tuple[frozenset[str], frozenset[str]]]) -> Files:
        """Finds out which files count.

        Args:
            contents: returns the names that a merged file lists, and those it has rows of all the same.
        """
        single = {info.base_name.removesuffix(".parquet"): info for info in self.single}
        taken, merged = set(single), []
        for info in reversed(self.merged):
            names, others = contents(info)
            merged.insert(0, Merged(info, names - taken, names & taken | others))
            taken |= names
        return Files(single, merged)


def list_table(fs: pafs.FileSystem, folder: str) -> Listing:
    """Lists the files of the table in a folder, which need not be there; raises `OSError` if it cannot."""
    return Listing(list_folder(fs, folder, ".parquet"), list_folder(fs, f"{folder}/{MERGED}", ".parquet"))


def list_folder(fs: pafs.FileSystem, folder: str, suffix: str) -> list[pafs.FileInfo]:
    """Lists a folder's files of this ending, by name; files that are not whole yet have a dot in front."""
    infos = fs.get_file_info(pafs.FileSelector(folder, allow_not_found=True))
    whole = (i for i in infos if i.path.endswith(suffix) and not i.base_name.startswith("."))
    return sorted((i for i in whole if i.type == pafs.FileType.File), key=lambda info: info.path)


def version(info: pafs.FileInfo) -> Version:
    """Returns what tells a file from one that is written under its path later."""
    return info.path, info.size, info.mtime_ns
