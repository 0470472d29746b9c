"""Provenance of a result: the commit and the package versions that made it."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

SECONDS = 20.0  # time limit for one git command; disks can be slow


def provenance() -> dict[str, Any]:
    """Returns the columns of `trials` on code and package versions; commit and dirty are None outside a checkout."""
    versions = {f"{name}_version": importlib.metadata.version(name) for name in ("torch", "numpy", "ray")}
    return {**_checkout(Path(__file__)), "python_version": platform.python_version(), **versions}


def _checkout(file: Path) -> dict[str, Any]:
    """Returns commit and dirty of the checkout that tracks a file; a repository around the file may not track it."""
    try:
        _git(file.parent, "ls-files", "--error-unmatch", "--", file.name)
        commit = _git(file.parent, "rev-parse", "--verify", "HEAD").decode().strip()
        return {"commit": commit, "dirty": bool(_git(file.parent, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):  # no git, no checkout, another user's checkout, or no answer
        return {"commit": None, "dirty": None}


def _git(folder: Path, *arguments: str) -> bytes:
    """Asks git about the repository around a folder, ignoring repositories set by variables, as inside a hook."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(
        ["git", "-C", str(folder), *arguments],
        env={**environment, "GIT_OPTIONAL_LOCKS": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=SECONDS,
    ).stdout
