"""User models, named `module:Class` in a study. No torch."""

import dataclasses
import importlib
import sys
from collections.abc import Collection
from typing import Any, Protocol, runtime_checkable

from esbn_core.errors import ConfigError
from esbn_core.own_source import Sources, digest, install, sources_of


@runtime_checkable
class OwnModel(Protocol):
    """The config of a user model: a frozen dataclass of settings, all with defaults.

    Attributes:
        core: its `esbn_core.models.core.Core`; the only one of the three that the user's class declares.
        name: `module:Class`.
        source: a hash of the module's file and of those beside it that it imports: a changed file is a new trial.
    """

    core: Any
    name: str
    source: str


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
            raise ConfigError(f"model={name!r} has a setting {field.name!r}, which every trial has; rename it")
        if field.default is field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"model={name!r} has a setting {field.name!r} without a default; give it one")
    return config()


def _class(name: str) -> Any:
    module_name, _, class_name = name.partition(":")
    try:
        config = getattr(importlib.import_module(module_name), class_name)
        if vars(config).get("name") != name:  # not yet loaded in this process
            _mark(config, name, sources_of(module_name))
    except ModuleNotFoundError as error:
        hint = "put its file beside the study's" if error.name == module_name else f"it needs {error.name}"
        raise ConfigError(f"model={name!r} is in a module that cannot be imported; {hint}") from None
    except (Exception, SystemExit) as error:  # user code can raise anything
        raise ConfigError(f"model={name!r} cannot be loaded: {type(error).__name__}: {error}") from error
    return config


def _mark(config: Any, name: str, sources: Sources) -> None:
    """Sets the identity of a class, and makes its instances carry their modules when they are pickled."""
    config.name, config.source = name, digest(sources)
    config.__reduce__ = lambda self: (_sent, (sources, name, _settings(self)))


def _settings(config: Any) -> dict[str, Any]:
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}


def _sent(sources: Sources, name: str, settings: dict[str, Any]) -> OwnModel:
    """Rebuilds a config in the process it was sent to."""
    module_name, _, class_name = name.partition(":")
    if module_name not in sys.modules:
        install(sources)
    config = getattr(importlib.import_module(module_name), class_name)
    _mark(config, name, sources)
    return config(**settings)
