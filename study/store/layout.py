"""Valid Parquet files of a table: files of one name, and merged files with the rows of many.

    <table>/<name>.parquet                      the rows of one name: a trial, an image set or a plan
    <table>/merged/<generation>-<id>.parquet    the rows of many trials, listed in its footer

For each name one file counts: its own, or else the merged file of the latest generation. So a retrained trial replaces
its merged row, and a replaced file stops counting as soon as its replacement exists, even before it is deleted. A file
is deleted only after its replacement is on the disk, and files of one name are listed before merged ones. So a file
that is missing from the first list because it was merged is in the second. (The second list is short enough for a
folder or bucket to return in one answer.) A reader that finds a listed file deleted must list again, as
study/store/reader.py does.
"""

from collections.abc import Callable
from typing import NamedTuple

import pyarrow.fs as pafs

MERGED = "merged"
NAMES = b"names"  # in the footer of a merged file

Version = tuple[str, int, int]
"""Path, size and modification time of a file."""


class Merged(NamedTuple):
    """A merged file.

    Attributes:
        info: the file.
        names: names whose rows in it count.
        stale: names whose rows in it do not count: another file has them, or the footer does not list them.
    """

    info: pafs.FileInfo
    names: frozenset[str]
    stale: frozenset[str]

    @property
    def generation(self) -> int:
        number = self.info.base_name.partition("-")[0]
        return int(number) if number.isdecimal() else 0


class Files(NamedTuple):
    """The files of a table that count: files of one name, by name, and merged files, oldest first."""

    single: dict[str, pafs.FileInfo]
    merged: list[Merged]

    @property
    def names(self) -> set[str]:
        """All names that the table has rows for."""
        return set(self.single).union(*(file.names for file in self.merged))


class Listing(NamedTuple):
    """The files in a table's folders at one moment, sorted by path."""

    single: list[pafs.FileInfo]
    merged: list[pafs.FileInfo]

    @property
    def versions(self) -> set[Version]:
        return {version(info) for info in (*self.single, *self.merged)}

    def files(self, contents: Callable[[pafs.FileInfo], tuple[frozenset[str], frozenset[str]]]) -> Files:
        """Returns the files that count.

        Args:
            contents: returns the names that a merged file lists, and unlisted names that it has rows for.
        """
        single = {info.base_name.removesuffix(".parquet"): info for info in self.single}
        taken, merged = set(single), []
        for info in reversed(self.merged):
            names, others = contents(info)
            merged.insert(0, Merged(info, names - taken, names & taken | others))
            taken |= names
        return Files(single, merged)


def list_table(fs: pafs.FileSystem, folder: str) -> Listing:
    """Lists the files of a table in its folder, which need not exist; raises `OSError` if that fails."""
    return Listing(list_folder(fs, folder, ".parquet"), list_folder(fs, f"{folder}/{MERGED}", ".parquet"))


def list_folder(fs: pafs.FileSystem, folder: str, suffix: str) -> list[pafs.FileInfo]:
    """Lists a folder's files with this suffix, by name; skips incomplete files, which start with a dot."""
    infos = fs.get_file_info(pafs.FileSelector(folder, allow_not_found=True))
    whole = (i for i in infos if i.path.endswith(suffix) and not i.base_name.startswith("."))
    return sorted((i for i in whole if i.type == pafs.FileType.File), key=lambda info: info.path)


def version(info: pafs.FileInfo) -> Version:
    """Returns values that distinguish a file from a later one with the same path."""
    return info.path, info.size, info.mtime_ns
