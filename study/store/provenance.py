"""Provenance of a result: the commit and the package versions that made it."""

import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any


def provenance() -> dict[str, Any]:
    """Returns the columns of `trials` that name code and packages; commit and dirty are None outside a checkout."""
    versions = {f"{name}_version": importlib.metadata.version(name) for name in ("torch", "numpy", "ray")}
    status = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "commit": _git("rev-parse", "HEAD"),
        "dirty": None if status is None else bool(status),
        "python_version": platform.python_version(),
        **versions,
    }


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
