"""Which Parquet files of a table count: those of one name, and merged ones, which hold the rows of many.

    <table>/<name>.parquet                      the rows of one name: of a trial, an image set or a plan
    <table>/merged/<generation>-<id>.parquet    the rows of many trials, listed in its footer

For every name one file counts: its own, or else the merged one of the latest generation. So a trial that is run again
replaces its merged row, and a file that another has replaced counts for nothing from the moment the other is there,
deleted or not. A file is deleted only once another stands for it, and files of one name are listed before merged ones:
whatever the first list lacks for having been merged is in the second. (The second is short enough to come from a
folder or a bucket in one answer.) A reader that meets a file which was deleted since it looked must look again.
"""

import json
from collections.abc import Sequence
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
    """The files of a table: those of one name, by name, and the merged ones, the oldest first."""

    single: dict[str, pafs.FileInfo]
    merged: list[Merged]

    @property
    def names(self) -> set[str]:
        """Every name the table has rows of."""
        return set(self.single).union(*(file.names for file in self.merged))


def find(fs: pafs.FileSystem, folder: str) -> Files:
    """The files of the table in a folder, which need not be there.

    Raises:
        OSError: the folder cannot be listed.
        pa.ArrowInvalid: a merged file is not whole; the message names it.
    """
    single = {info.base_name.removesuffix(".parquet"): info for info in listed(fs, folder, ".parquet")}
    while True:
        there = listed(fs, f"{folder}/{MERGED}", ".parquet")
        taken, merged = set(single), []
        try:
            for info in reversed(there):
                names = _names(fs, info.path)
                merged.insert(0, Merged(info, names - taken, names & taken))
                taken |= names
            return Files(single, merged)
        except OSError:  # S3 has no error of its own for a file that goes while it is read
            if not gone(fs, [info.path for info in there]):
                raise


def listed(fs: pafs.FileSystem, folder: str, suffix: str) -> list[pafs.FileInfo]:
    """What is in a folder under names of this ending, by name; files that are not whole yet have a dot in front."""
    infos = fs.get_file_info(pafs.FileSelector(folder, allow_not_found=True))
    return sorted(
        (i for i in infos if i.path.endswith(suffix) and not i.base_name.startswith(".")), key=lambda info: info.path
    )


def gone(fs: pafs.FileSystem, paths: Sequence[str]) -> bool:
    """Whether one of these files is not there any more, which is why reading them failed."""
    return any(info.type == pafs.FileType.NotFound for info in fs.get_file_info(paths))


def _names(fs: pafs.FileSystem, path: str) -> frozenset[str]:
    try:
        metadata = pq.read_metadata(path, filesystem=fs).metadata
        return frozenset(json.loads(metadata[NAMES]))
    except (pa.ArrowInvalid, KeyError, TypeError, ValueError):
        raise pa.ArrowInvalid(
            f"{path} is not a whole merged file; restore it, or delete it to lose its trials"
        ) from None
