"""Programs that some tests need, from Debian's packages, where the tests run as root."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Keeps other processes of the tests from installing at the same time."""
    with open(Path(tempfile.gettempdir(), f"esbn-tests-{os.geteuid()}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install(packages: Collection[str]) -> str:
    """Installs packages; returns why that failed, or an empty string."""
    if os.geteuid() or not shutil.which("apt-get"):
        return "apt installs as root on Debian only"
    command = f"apt-get -qq update && apt-get -qq install -y --no-install-recommends {' '.join(packages)}"
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with one_at_a_time():
        done = subprocess.run(["sh", "-c", command], env=quiet, capture_output=True, text=True)
    return done.stderr.strip() if done.returncode else ""
