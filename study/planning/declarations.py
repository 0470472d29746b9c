"""Declared studies and searches, found by name or in a user's Python or YAML file."""

import dataclasses
import difflib
import os
import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ablations import REGISTRY, SPACES, Grid, Parameter, SearchSpace, Study
from ablations.checks import require_list, require_mapping
from esbn_core.errors import ConfigError, cut, shown, within
from esbn_core.files import read_text
from esbn_core.imports import importable
from esbn_core.printable import printable
from esbn_core.vocabulary import TUNED
from esbn_core.yaml_files import read_yaml

FILES = (".py", ".yaml", ".yml")


def find_study(name: str | os.PathLike[str]) -> Study:
    """Returns the declared study of that name, or the one in that file (.py, .yaml or .yml).

    Raises:
        ConfigError: there is no such study, or the file does not declare one.
    """
    return _find("study", os.fspath(name), REGISTRY, Study, _study)


def find_space(name: str | os.PathLike[str]) -> SearchSpace:
    """Returns the declared search of that name, or the one in that file (.py, .yaml or .yml).

    Raises:
        ConfigError: there is no such search, or the file does not declare one.
    """
    return _find("search", os.fspath(name), SPACES, SearchSpace, _space)


Declared = TypeVar("Declared", Study, SearchSpace)
Part = TypeVar("Part", Study, Grid, SearchSpace, Parameter)


def is_file(name: str) -> bool:
    """Returns whether this is the path of a declaration's file, not the name of a declaration."""
    return Path(name).suffix.lower() in FILES


def _find(
    what: str, name: str, known: Mapping[str, Declared], kind: type[Declared], parse: Callable[[Any], Declared]
) -> Declared:
    if name in known:
        return known[name]
    if not is_file(name):
        close = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"choose one of {', '.join(known)}."
        raise ConfigError(f"{what}={name!r} is unknown; {hint} You can also give your own .py or .yaml file")
    path = Path(name)
    try:
        with importable(path.parent.resolve()):  # modules of the user's models are there
            python = path.suffix.lower() == ".py"
            declared = _from_python(what, path, kind) if python else _from_yaml(what, path, parse)
        _refuse_control_characters(declared)
        if TUNED in declared.name:
            raise ConfigError(
                f"name={declared.name!r} must not contain -tuned, which marks the studies of `esbn run --tuned`"
            )
        if declared.name in known:
            raise ConfigError(f"name={declared.name!r} is the name of a built-in {what}; choose another")
    except ConfigError as error:
        message = str(error)
        raise ConfigError(message if repr(str(path)) in message else f"{path}: {message}") from error.__cause__
    return declared


def _from_python(what: str, path: Path, kind: type[Declared]) -> Declared:
    read_text(path, what)  # rejects files that should not be run
    try:
        declared = [value for value in runpy.run_path(str(path)).values() if isinstance(value, kind)]
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:  # user code can raise anything; the location helps most
        raise ConfigError(f"stopped with {type(error).__name__}: {' '.join(str(error).split())}") from error
    if len(declared) != 1:
        names = {Study: "studies", SearchSpace: "searches"}
        raise ConfigError(f"declares {len(declared)} {names[kind]}; a file declares one ablations.{kind.__name__}")
    return declared[0]


def _from_yaml(what: str, path: Path, parse: Callable[[Any], Declared]) -> Declared:
    content = read_yaml(path, what)
    _refuse_control_characters(content)
    return parse(content)


def _refuse_control_characters(about: Any, place: str = "") -> None:
    """Rejects control characters, which no result may hold, in the names and values that a file declares."""
    if dataclasses.is_dataclass(about):
        about = vars(about)
    if isinstance(about, Mapping):
        for name, value in about.items():
            _refuse_control_characters(name, place)
            _refuse_control_characters(value, f"{place}.{name}" if place else str(name))
    elif isinstance(about, list | tuple):
        for i, value in enumerate(about):
            _refuse_control_characters(value, f"{place}[{i}]")
    elif isinstance(about, str) and printable(about, "\n\t" if place == "question" else "") != about:
        raise ConfigError(f"{place or 'file'}={shown(about)} has control characters; remove them")


def _study(content: Any) -> Study:
    fields = _fields("study", content, Study)
    require_list("grids", fields["grids"], "grids, each with arms and conditions")
    grids = [_part(f"grids[{i}]", "grid", grid, Grid) for i, grid in enumerate(fields["grids"])]
    return Study(**{**fields, "grids": grids})


def _space(content: Any) -> SearchSpace:
    fields = _fields("search", content, SearchSpace)
    require_mapping("parameters", fields["parameters"], "settings to search ranges")
    parameters = {
        name: _part(f"parameters.{name}", "parameter", about, Parameter) for name, about in fields["parameters"].items()
    }
    return SearchSpace(**{**fields, "parameters": parameters})


def _part(place: str, what: str, content: Any, kind: type[Part]) -> Part:
    fields = _fields(what, content, kind, place)
    with within(place):
        return kind(**fields)


def _fields(what: str, content: Any, kind: type[Part], place: str = "") -> dict[str, Any]:
    """Returns the fields of a declaration in a file; raises `ConfigError` for unknown and missing ones.

    Args:
        what: kind of declaration, for messages.
        place: path of the declaration in the file; empty: the whole file.
    """
    required, optional = _names(kind)
    verbs = (("has", required), ("may have", optional))
    has = f"a {what} " + " and ".join(f"{verb} {', '.join(names)}" for verb, names in verbs if names)
    prefix = f"{place}." if place else ""
    if not isinstance(content, Mapping):
        raise ConfigError(f"{place or 'file'}={shown(content)} must map fields to values; {has}")
    for name, value in content.items():
        if name not in (*required, *optional):
            close = difflib.get_close_matches(name, (*required, *optional), 1) if isinstance(name, str) else []
            hint = f"did you mean {close[0]}?" if close else has
            field = cut(name) if isinstance(name, str) else shown(name)
            raise ConfigError(f"{prefix}{field}={shown(value)} is not a field of a {what}; {hint}")
    for name in required:
        if name not in content:
            raise ConfigError(f"{prefix}{name} is missing; {has}")
    return dict(content)


def _names(kind: type) -> tuple[list[str], list[str]]:
    """Returns the required and the optional fields of a declaration."""
    fields = dataclasses.fields(kind)
    missing = dataclasses.MISSING
    required = [f.name for f in fields if f.default is missing and f.default_factory is missing]
    return required, [f.name for f in fields if f.name not in required]
