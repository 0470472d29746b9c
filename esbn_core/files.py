"""Files that a user names: bounded reads and atomic writes."""

import contextlib
import errno
import io
import os
import stat
import uuid
from collections.abc import Iterator
from typing import BinaryIO

from esbn_core.errors import ConfigError, UserError

Path = str | os.PathLike[str]

MOST_BYTES = 2**20
"""Size limit for a file of settings, code or SQL, or one image; a larger file is a mistake."""


def read_file(path: Path, what: str, most_bytes: int = MOST_BYTES) -> bytes:
    """Reads a file that a user names. Never blocks, and never reads more than `most_bytes`.

    Args:
        what: the setting that names the file, for messages.
        most_bytes: largest size allowed.
    Raises:
        ConfigError: it is not a regular file, is too large or cannot be read.
    """
    name = f"{what}={os.fspath(path)!r}"
    try:
        with open(path, "rb", opener=lambda file, flags: os.open(file, flags | os.O_NONBLOCK | os.O_NOCTTY)) as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise ConfigError(f"{name} is {kind(mode)}; name a regular file")
            data = file.read(most_bytes + 1)
    except OSError as error:
        raise ConfigError(f"{name} cannot be read: {error.strerror}") from None
    if len(data) > most_bytes:
        raise ConfigError(f"{name} has more than {most_bytes:,} bytes; name a smaller file")
    return data


def read_text(path: Path, what: str, most_bytes: int = MOST_BYTES) -> str:
    """Reads a file of UTF-8 text, with or without a byte order mark; all line ends become one.

    Args and Raises: as `read_file`; the `ConfigError` names the first byte that is not text.
    """
    data = read_file(path, what, most_bytes)
    try:
        if 0 in data:
            raise UnicodeDecodeError("utf-8", data, data.index(0), data.index(0) + 1, "NUL is no text")
        return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig").read()
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{what}={os.fspath(path)!r} is not UTF-8 text (byte {error.start:,}: {error.reason}); save it as UTF-8"
        ) from None


def write_file(path: Path, data: bytes | memoryview) -> None:
    """Writes a file atomically and syncs it to disk; an existing file stays until the new one is complete.

    Args:
        path: a new file, a regular file, or a link to one. A file that is replaced keeps its permissions.
        data: its new content.
    Raises:
        UserError: the path exists and is not a regular file.
        OSError: the system cannot write it, e.g. because the disk is full.
    """
    with new_file(path) as file:
        file.write(data)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Opens a file for writing and seeking; like `write_file`, it takes its place only after success."""
    target = os.path.realpath(path)  # replaces the target of a link, not the link
    folder = os.path.dirname(target)
    mode = _mode(path, target)
    aside = os.path.join(folder, f".{uuid.uuid4().hex}.tmp")
    try:
        with open(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666), "w+b") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)
        raise
    sync_folder(folder)


def _mode(path: Path, target: str) -> int | None:
    """Returns the permissions of the existing file; None if there is no file."""
    try:
        status = os.stat(target)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{os.fspath(path)!r} is {kind(status.st_mode)}, which is not replaced; name another file")
    return stat.S_IMODE(status.st_mode)


def sync_folder(path: Path) -> None:
    """Syncs the names in a folder to disk, so that a new or renamed file survives a power cut."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot sync folders
            raise
    finally:
        os.close(folder)


def kind(mode: int) -> str:
    """Returns a word for something that is not a regular file, from its `st_mode`."""
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")
