"""Imports that a user's files cannot replace, and those from a study's folder."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

OWN_PACKAGES = ("esbn_core", "ablations", "study", "analysis")
"""Names that others may have, too."""
LATER = "ESBN_PYTHONPATH"
ROOT = str(Path(__file__).parents[1])


class _Finder:
    """Finds some modules in one folder."""

    def __init__(self, folder: str, only: Sequence[str] = ()):
        self.folder, self.only = folder, only

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is not None or (self.only and fullname not in self.only):
            return None
        return PathFinder.find_spec(fullname, [self.folder])


def command() -> None:
    """Runs `esbn`. It starts here, since a user's `study` could come before ours."""
    protect()
    import_module("study.cli.main").main()


def protect() -> None:
    """Takes this project's packages from its own folder, and lets what PYTHONPATH names come after all libraries.

    Every process of a run does so before it imports anything else of ours. Those that it starts find PYTHONPATH under
    another name: Ray's own processes could not be told to import from there last.
    """
    if not any(isinstance(finder, _Finder) and finder.only for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder(ROOT, OWN_PACKAGES))
    if "PYTHONPATH" in os.environ:
        os.environ[LATER] = os.environ.pop("PYTHONPATH")
    later = [os.path.abspath(folder) for folder in os.environ.get(LATER, "").split(os.pathsep) if folder]
    sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) not in later] + later


@contextmanager
def importable(folder: str | Path) -> Iterator[None]:
    """Lets modules be imported from the folder of a study, if there is no other of that name.

    So a random.py or an analysis.py beside a study does not stand in for Python's or ours.
    """
    finder = _Finder(str(folder))
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
