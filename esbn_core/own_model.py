"""Models of the user's own, named `module:Class` in a study. No torch."""

import dataclasses
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from esbn_core.errors import ConfigError
from esbn_core.files import read_file


@runtime_checkable
class OwnModel(Protocol):
    """The config of a model of the user's own: a frozen dataclass of settings, all with defaults.

    Attributes:
        core: its `esbn_core.models.core.Core`; the one of the three that the user's class declares.
        name: `module:Class`.
        source: a hash of the module's file, which makes a changed file a new trial.
    """

    core: Any
    name: str
    source: str


@contextmanager
def importable(folder: str | Path) -> Iterator[None]:
    """Lets modules be imported from the folder of a study, if there is no other of that name.

    So a random.py or an analysis.py beside a study does not stand in for Python's or ours.
    """
    finder = _LastFolder(str(folder))
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _LastFolder:
    def __init__(self, folder: str):
        self._folder = folder

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, [self._folder]) if path is None else None


def folder_of(model: OwnModel) -> Path:
    """Returns the folder from which the module of a model was imported."""
    module = sys.modules[model.name.partition(":")[0].partition(".")[0]]
    return Path(next(iter(getattr(module, "__path__", [module.__file__])))).parent


def own_model(name: str, reserved: Collection[str]) -> OwnModel:
    """Returns the default config of the class that `module:Class` names, with `name` and `source` set on the class.

    Raises:
        ConfigError: there is no such module or class, it is not such a dataclass, or a setting has a reserved name.
    """
    config = _class(name)
    declared = getattr(config, "__dataclass_params__", None)
    if not isinstance(config, type) or declared is None or not declared.frozen or not hasattr(config, "core"):
        raise ConfigError(f"model={name!r} must be a frozen dataclass of settings with a class attribute core")
    for field in dataclasses.fields(config):
        if field.name in {*reserved, "source"}:
            raise ConfigError(f"model={name!r} has a setting {field.name!r}, which every trial has; call it otherwise")
        if field.default is field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"model={name!r} has a setting {field.name!r} without a default; give it one")
    return config()


def _class(name: str) -> Any:
    module_name, _, class_name = name.partition(":")
    try:
        found = importlib.util.find_spec(module_name)
        source = read_file(str(found.origin), "model") if found else b""
        config = getattr(importlib.import_module(module_name), class_name)
        config.name = name
        config.source = hashlib.sha256(source).hexdigest()[:16]
    except ModuleNotFoundError as error:
        hint = "put its file beside the study's" if error.name == module_name else f"it needs {error.name}"
        raise ConfigError(f"model={name!r} is in a module that cannot be imported; {hint}") from None
    except (Exception, SystemExit) as error:  # the user's own code, so anything can happen
        raise ConfigError(f"model={name!r} cannot be loaded: {type(error).__name__}: {error}") from error
    return config
