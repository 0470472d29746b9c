"""Files that a user names: read within bounds, and written whole or not at all."""

import contextlib
import errno
import os
import stat
import uuid

from esbn_core.errors import UserError

Path = str | os.PathLike[str]


def write_file(path: Path, data: bytes | memoryview) -> None:
    """Writes a file whole or not at all, and to the disk; what was there before stays until the new file is complete.

    Args:
        path: a new file, a regular file, or a link to one. A file that is replaced keeps its permissions.
        data: its new content.
    Raises:
        UserError: something is there that is not a regular file.
        OSError: the system refuses, for example because the disk is full.
    """
    target = os.path.realpath(path)  # what a link points to is replaced, not the link
    folder = os.path.dirname(target)
    mode = _mode(path, target)
    aside = os.path.join(folder, f".{uuid.uuid4().hex}.tmp")
    try:
        with open(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666), "wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)
        raise
    sync_folder(folder)


def _mode(path: Path, target: str) -> int | None:
    """Permissions of the file that is there, None if there is none."""
    try:
        status = os.stat(target)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{os.fspath(path)!r} is {kind(status.st_mode)}, which is not replaced; name another file")
    return stat.S_IMODE(status.st_mode)


def sync_folder(path: Path) -> None:
    """Writes the names in a folder to the disk, so that a new or renamed file is still there after a power cut."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot sync folders
            raise
    finally:
        os.close(folder)


def kind(mode: int) -> str:
    """Says in a word what something is that is not a regular file; mode: its `st_mode`."""
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")
