"""Source of a user's module and of the neighbouring modules it imports: part of a trial's identity, sent to workers."""

import ast
import hashlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import NamedTuple

from esbn_core.errors import ConfigError
from esbn_core.files import read_file
from esbn_core.imports import OWN_PACKAGES

MOST_FILES = 1_000


class File(NamedTuple):
    """A Python file, or a folder that is a package without an `__init__.py`."""

    path: str
    source: bytes

    @property
    def is_package(self) -> bool:
        """Whether modules may lie below it."""
        return Path(self.path).stem == "__init__" or not self.path.endswith(".py")


Sources = dict[str, File]
"""File by module; the importing module comes first."""


def sources_of(module: str) -> Sources:
    """Reads the file of a module and the neighbouring files that it imports, directly or indirectly, even in functions.

    For a module of an installed package, the neighbouring files are those of that package.

    Raises:
        ConfigError: a file cannot be read, there are too many, or a library hides one of the same name.
        ModuleNotFoundError: there is no such module.
    """
    folder = _folder(module)
    only = {_top(module)} if str(folder) in sysconfig.get_paths().values() else None
    found: Sources = {}
    waiting = list(_with_parents([module]))[::-1]
    while waiting:
        name = waiting.pop(0)
        path = _file(folder, name)
        if name in found or path is None or (only and _top(name) not in only):
            continue
        if _folder(name) != folder:
            if path.is_dir():
                continue  # perhaps a folder of data
            raise ConfigError(f"{str(path)!r} is hidden by another module named {_top(name)!r}; rename it")
        if _top(name) in OWN_PACKAGES:
            continue
        if len(found) == MOST_FILES:
            raise ConfigError(f"it imports more than {MOST_FILES} files of {str(folder)!r}")
        found[name] = File(str(path), b"" if path.is_dir() else read_file(path, "model"))
        waiting += _with_parents(_imports(name, found[name]))
    return found


def digest(sources: Sources) -> str:
    """Returns a hash of the files' contents. Their location, and empty files, make no difference."""
    (_, first), *others = sources.items()
    parts = sorted((name.encode(), file.source) for name, file in others if file.source.strip())
    whole = first.source + b"".join(b"\0%b\0%b" % part for part in parts)
    return hashlib.sha256(whole).hexdigest()[:16]


def install(sources: Sources) -> None:
    """Makes this process import these modules from their sources, in preference to others of the same name."""
    sys.meta_path.insert(0, _Sent(sources))


class _Sent(MetaPathFinder, InspectLoader):
    """Imports modules from their sources."""

    def __init__(self, sources: Sources):
        self.sources = sources

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self.sources:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin=self.sources[fullname].path)

    def is_package(self, fullname: str) -> bool:
        return self.sources[fullname].is_package

    def get_source(self, fullname: str) -> str:
        return importlib.util.decode_source(self.sources[fullname].source)

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.sources[fullname].source, self.sources[fullname].path)


def _folder(module: str) -> Path:
    """Returns the folder from which a module or its top package is imported."""
    top = _top(module)
    spec = importlib.util.find_spec(top)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {top!r}", name=top)
    inside = [*(spec.submodule_search_locations or ()), spec.origin or ""][0]
    return Path(inside).parent


def _top(module: str) -> str:
    return module.partition(".")[0]


def _file(folder: Path, module: str) -> Path | None:
    """Returns the file or folder of a module within a folder; None if there is none."""
    inside = folder.joinpath(*module.split("."))
    files = [inside / "__init__.py", inside.with_name(f"{inside.name}.py")]
    return next((file for file in files if file.is_file()), inside if inside.is_dir() else None)


def _imports(module: str, file: File) -> Iterator[str]:
    """Yields the names of all modules that a file may import; some may be attributes of modules."""
    package = module if file.is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.source, file.path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(start, package) if node.level else start
            yield from (base, *(f"{base}.{alias.name}" for alias in node.names))


def _with_parents(modules: Sequence[str] | Iterator[str]) -> Iterator[str]:
    """Yields modules and, before each, the packages that contain it."""
    for module in modules:
        parts = module.split(".")
        yield from (".".join(parts[:n]) for n in range(1, len(parts) + 1))
