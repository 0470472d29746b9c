"""Imports: protection of this project's modules from a user's files, and imports from a study's folder."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

OWN_PACKAGES = ("esbn_core", "ablations", "study", "analysis")
"""Package names that other projects may use, too."""
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
    """Runs `esbn`. Starts here, because a user's module named `study` could shadow ours."""
    protect()
    import_module("study.cli.main").main()


def protect() -> None:
    """Imports this project's packages from its own folder, and moves the PYTHONPATH entries behind all libraries.

    Every process of a run does this before it imports anything else of ours. Child processes get PYTHONPATH under
    another name, because Ray's own processes would import from it first.
    """
    if not any(isinstance(finder, _Finder) and finder.only for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder(ROOT, OWN_PACKAGES))
    if "PYTHONPATH" in os.environ:
        os.environ[LATER] = os.environ.pop("PYTHONPATH")
    later = [os.path.abspath(folder) for folder in os.environ.get(LATER, "").split(os.pathsep) if folder]
    sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) not in later] + later


@contextmanager
def importable(folder: str | Path) -> Iterator[None]:
    """Allows imports from the folder of a study, for names that no other module has.

    So a random.py or analysis.py beside a study does not replace Python's or ours.
    """
    finder = _Finder(str(folder))
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
