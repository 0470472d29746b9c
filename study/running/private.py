"""Private files of Ray on this machine: its temporary folder and the cluster's token.

Ray makes both readable for everyone, and it runs what it finds in the folder. So anyone who can write there can run
code as the owner.
"""

import os
import secrets
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from esbn_core.errors import ConfigError

SOCKET_BYTES = 103  # limit for the path of a Unix socket; 107 on Linux
IN_FOLDER_BYTES = 68  # reserved for Ray's /ray/session_2026-11-27_23-16-47_565084_1234567/sockets/plasma_store
FOLDER_BYTES = SOCKET_BYTES - IN_FOLDER_BYTES
FREE_BYTES = 50 * 2**20  # for the logs of a long run

_kept = False  # whether Ray in this process has read its token from a file; it keeps using that token


def private_folder() -> str:
    """Makes an empty folder that only its owner may enter, with a path short enough for Ray's sockets.

    Raises:
        ConfigError: no temporary folder is suitable.
    """
    chosen = os.environ.get("TMPDIR", "")
    for parent in filter(None, dict.fromkeys((chosen, "/tmp", "/var/tmp"))):
        with suppress(OSError):
            if shutil.disk_usage(parent).free < FREE_BYTES:
                continue
            folder = tempfile.mkdtemp(prefix="esbn-", dir=os.path.abspath(parent))  # of mode 0700
            if len(os.fsencode(folder)) <= FOLDER_BYTES:
                return folder
            os.rmdir(folder)
    raise ConfigError(
        f"TMPDIR={chosen!r}: Ray needs a temporary folder, and neither this one nor /tmp or /var/tmp is suitable; "
        f"set TMPDIR to a writable folder with {FREE_BYTES // 2**20} MB free and a path of at most "
        f"{FOLDER_BYTES - len('/esbn-12345678')} bytes"
    )


def protect_token(create: bool) -> None:
    """Makes Ray's token unreadable for other users.

    Args:
        create: make a token if there is none; without a home folder, it goes into the environment. Otherwise Ray would
            make one that everyone can read.
    Raises:
        ConfigError: the token cannot be written, or stays readable.
    """
    global _kept
    if "RAY_AUTH_TOKEN" in os.environ:
        return  # there is no file
    if named := os.environ.get("RAY_AUTH_TOKEN_PATH"):
        os.environ["RAY_AUTH_TOKEN_PATH"] = os.path.abspath(named)  # Ray is started from another folder
    try:
        path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
        if create and not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _create(path)
        if path.exists() and path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
        if create and not _kept and not os.environ.get("RAY_AUTH_TOKEN_PATH"):
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
            return
        raise ConfigError(
            f"Ray's token cannot be protected from other users ({error}); set RAY_AUTH_TOKEN_PATH to a file in a "
            "folder that you own"
        ) from None
    _kept = True


def _create(path: Path) -> None:
    """Writes a new token atomically; keeps a token that another run has just written."""
    descriptor, unnamed = tempfile.mkstemp(dir=path.parent)  # of mode 0600
    try:
        with open(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
        with suppress(FileExistsError):
            os.link(unnamed, path)
    finally:
        os.unlink(unnamed)
