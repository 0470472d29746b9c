"""Declared studies and searches, found by name or in a Python or YAML file of the user's own."""

import dataclasses
import difflib
import os
import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ablations import REGISTRY, SPACES, Grid, Parameter, SearchSpace, Study
from esbn_core.errors import ConfigError
from esbn_core.files import read_text
from esbn_core.own_model import importable
from esbn_core.printable import printable
from esbn_core.vocabulary import TUNED
from esbn_core.yaml_files import read_yaml

FILES = (".py", ".yaml", ".yml")


def find_study(name: str | os.PathLike[str]) -> Study:
    """Returns the declared study of that name, or the one in the file of that path (.py, .yaml or .yml).

    Raises:
        ConfigError: no such study, or a file that does not declare one.
    """
    return _find("study", os.fspath(name), REGISTRY, Study, _study)


def find_space(name: str | os.PathLike[str]) -> SearchSpace:
    """Returns the declared search of that name, or the one in the file of that path (.py, .yaml or .yml).

    Raises:
        ConfigError: no such search, or a file that does not declare one.
    """
    return _find("search", os.fspath(name), SPACES, SearchSpace, _space)


Declared = TypeVar("Declared", Study, SearchSpace)


def _find(
    what: str, name: str, known: Mapping[str, Declared], kind: type[Declared], parse: Callable[[Path, Any], Declared]
) -> Declared:
    if name in known:
        return known[name]
    path = Path(name)
    if path.suffix not in FILES:
        close = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}."
        raise ConfigError(f"{what}={name!r} is unknown; {hint} A {what} of your own is a .py or .yaml file")
    with importable(path.parent.resolve()):  # where modules of the user's own models are
        declared = _from_python(what, path, kind) if path.suffix == ".py" else _from_yaml(what, path, parse)
    _refuse_odd_text(path, dataclasses.asdict(declared))
    if TUNED in declared.name:
        raise ConfigError(
            f"{path}: name={declared.name!r} has -tuned in it, as what `esbn run --tuned` makes; choose another"
        )
    if declared.name in known:
        raise ConfigError(f"{path}: name={declared.name!r} is taken by a {what} declared here; choose another")
    return declared


def _from_python(what: str, path: Path, kind: type[Declared]) -> Declared:
    read_text(path, what)  # refuses what should not be run
    try:
        declared = [value for value in runpy.run_path(str(path)).values() if isinstance(value, kind)]
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (Exception, SystemExit) as error:  # the user's own code, so anything can happen; the place is what helps
        why = " ".join(str(error).split())
        raise ConfigError(f"{path} stopped with {type(error).__name__}: {why}") from error
    if len(declared) != 1:
        names = {Study: "studies", SearchSpace: "searches"}
        raise ConfigError(
            f"{path} declares {len(declared)} {names[kind]}; a file declares one ablations.{kind.__name__}"
        )
    return declared[0]


def _from_yaml(what: str, path: Path, parse: Callable[[Path, Any], Declared]) -> Declared:
    content = read_yaml(path, what)
    _refuse_odd_text(path, content)
    try:
        return parse(path, content)
    except ConfigError as error:
        text = str(error)
        raise ConfigError(text if text.startswith(f"{path}: ") else f"{path}: {text}") from None


def _refuse_odd_text(path: Path, about: Any, keep: str = "") -> None:
    """Refuses what no setting is called, and text that no result may hold: control characters."""
    if isinstance(about, Mapping):
        for name, value in about.items():
            if not isinstance(name, str):
                raise ConfigError(f"{path}: {name!r} cannot be the name of anything; write a word")
            _refuse_odd_text(path, name)
            _refuse_odd_text(path, value, keep="\n\t" if name == "question" else keep)
    elif isinstance(about, list | tuple):
        for value in about:
            _refuse_odd_text(path, value, keep)
    elif isinstance(about, str) and printable(about, keep) != about:
        raise ConfigError(f"{path}: {about!r} has control characters; write it without them")


def _study(path: Path, content: Any) -> Study:
    content = _fields(path, "study", content, {"name", "question", "grids"}, {"source"})
    grids = content.pop("grids")
    if not isinstance(grids, list):
        raise ConfigError(f"grids={grids!r} must be a list of grids")
    parts = [Grid(**_fields(path, "grid", grid, {"arms", "conditions"}, {"seeds", "keys"})) for grid in grids]
    return Study(**content, grids=parts)


def _space(path: Path, content: Any) -> SearchSpace:
    required, optional = _names(SearchSpace)
    content = _fields(path, "search", content, required, optional)
    parameters = content.pop("parameters")
    if not isinstance(parameters, Mapping):
        raise ConfigError(f"parameters={parameters!r} must map settings to what to search")
    made = {
        name: Parameter(**_fields(path, f"parameter {name}", about, *_names(Parameter)))
        for name, about in parameters.items()
    }
    return SearchSpace(**content, parameters=made)


def _names(kind: type) -> tuple[set[str], set[str]]:
    """Fields that a declaration must have, and those it may have."""
    fields = dataclasses.fields(kind)
    missing = dataclasses.MISSING
    required = {f.name for f in fields if f.default is missing and f.default_factory is missing}
    return required, {f.name for f in fields} - required


def _fields(path: Path, what: str, content: Any, required: set[str], optional: set[str]) -> dict[str, Any]:
    names = set(content) if isinstance(content, Mapping) else set()
    if not required <= names <= required | optional:
        raise ConfigError(
            f"{path}: a {what} has {', '.join(sorted(required))} and may have {', '.join(sorted(optional))}; "
            f"this one has {', '.join(sorted(map(str, names))) or repr(content)}"
        )
    return dict(content)
