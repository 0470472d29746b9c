"""Finds a study: by the name of a declared one, or in a Python or YAML file of the user's own."""

import difflib
import runpy
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from ablations import REGISTRY, Grid, Study
from esbn_core.errors import ConfigError


def find_study(name: str) -> Study:
    """The declared study of that name, or the one in the file of that path (.py, .yaml or .yml).

    Raises:
        ConfigError: no such study, or a file that does not declare one.
    """
    if name in REGISTRY:
        return REGISTRY[name]
    path = Path(name)
    if path.suffix not in (".py", ".yaml", ".yml"):
        close = difflib.get_close_matches(name, REGISTRY, 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(REGISTRY)}"
        raise ConfigError(f"study={name!r} is unknown; {hint} A study of your own is a .py or .yaml file")
    if not path.is_file():
        raise ConfigError(f"study={name!r} is not a file")
    sys.path.insert(0, str(path.parent.resolve()))  # where modules of the user's own models are
    study = _from_python(path) if path.suffix == ".py" else _from_yaml(path)
    if study.name in REGISTRY:
        raise ConfigError(f"{path}: name={study.name!r} is taken by a study of `esbn list`; choose another")
    return study


def _from_python(path: Path) -> Study:
    try:
        found = [value for value in runpy.run_path(str(path)).values() if isinstance(value, Study)]
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (Exception, SystemExit) as error:  # the user's own code, so anything can happen; the place is what helps
        raise ConfigError(f"{path} stopped with {type(error).__name__}: {error}") from error
    if len(found) != 1:
        raise ConfigError(f"{path} declares {len(found)} studies; a file declares one ablations.Study")
    return found[0]


def _from_yaml(path: Path) -> Study:
    try:
        content = YAML(typ="safe", pure=True).load(path)  # YAML 1.2: off is a word, 5e-5 a number
    except YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    content = _fields(path, "study", content, {"name", "question", "grids"}, {"source"})
    grids = content.pop("grids")
    if not isinstance(grids, list):
        raise ConfigError(f"{path}: grids={grids!r} must be a list of grids")
    try:
        parts = [Grid(**_fields(path, "grid", grid, {"arms", "conditions"}, {"seeds", "keys"})) for grid in grids]
        return Study(**content, grids=parts)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _fields(path: Path, what: str, content: Any, required: set[str], optional: set[str]) -> dict[str, Any]:
    names = set(content) if isinstance(content, Mapping) else set()
    if not required <= names <= required | optional:
        raise ConfigError(
            f"{path}: a {what} has {', '.join(sorted(required))} and may have {', '.join(sorted(optional))}; "
            f"this one has {', '.join(sorted(map(str, names))) or repr(content)}"
        )
    return dict(content)
