"""Checks that declarations share; each error names a field by its path, as in ``arms[1].encoder``."""

import re
from collections.abc import Mapping
from typing import Any

from esbn_core.errors import ConfigError, is_number, shown

RESERVED = {"task", "withheld", "validation", "seed", "images", "n_objects", "rehearsal"}
"""Settings that no arm can have; a condition, a search or a run sets them."""

_NAME_BYTES = 200  # file names have 255, and the store adds to a name
_TEXT = 1_000  # characters
_LIST = 10_000  # values
_SETTING = 200  # characters of its name, and of a word that is its value


def require_name(value: object) -> None:
    """Raises `ConfigError` unless the value can name the files of a study or search."""
    if not isinstance(value, str) or not re.fullmatch(r"[\w-]+", value):
        raise ConfigError(f"name={shown(value)} must be letters, digits, _ and - only; it names files")
    if len(value.encode(errors="replace")) > _NAME_BYTES:
        raise ConfigError(f"name={shown(value)} must have at most {_NAME_BYTES} bytes; it names files")


def require_text(name: str, value: object) -> None:
    """Raises `ConfigError` unless the value is text of a bearable length."""
    if not isinstance(value, str):
        raise ConfigError(f"{name}={shown(value)} must be text; put it in quotes")
    if len(value) > _TEXT:
        raise ConfigError(f"{name}={shown(value)} must have at most {_TEXT:,} characters")


def require_from_1_to(most: int, name: str, value: object, meaning: str) -> None:
    """Raises `ConfigError` unless the value is a whole number from 1 to the most allowed."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ConfigError(f"{name}={shown(value)} must be a whole number from 1 to {most:,}: {meaning}")


def require_list(name: str, value: object, what: str) -> None:
    """Raises `ConfigError` unless the value is a list of one value at least and not too many; `what` says of what."""
    if not isinstance(value, list | tuple | range) or not value:
        raise ConfigError(f"{name}={shown(value)} must be a list of {what}")
    if len(value) > _LIST:
        raise ConfigError(f"{name}={shown(value)} has {len(value):,} values; give at most {_LIST:,}")


def require_mapping(name: str, value: object, what: str) -> None:
    """Raises `ConfigError` unless the value is a mapping; `what` says from what to what."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name}={shown(value)} must map {what}")


def require_settings(names: Mapping[Any, Any]) -> None:
    """Raises `ConfigError` for a key that is not the name of a setting, or of one that is set elsewhere."""
    for name in names:
        if not isinstance(name, str) or len(name) > _SETTING:
            raise ConfigError(f"{shown(name)} must be the name of a setting, such as encoder")
        if name in RESERVED:
            raise ConfigError(f"{name}={shown(names[name])} cannot be set here; conditions, seeds and options set it")


def require_values(settings: Mapping[str, Any]) -> None:
    """Raises `ConfigError` for a value that no setting can have, whatever its model allows."""
    for name, value in settings.items():
        require_value(name, value)


def require_value(name: str, value: object) -> None:
    """Raises `ConfigError` unless the value is one word, number or truth value, None, or a tuple of these."""
    if isinstance(value, tuple):
        for i, part in enumerate(value):
            require_value(f"{name}[{i}]", part)
    elif isinstance(value, str):
        if len(value) > _SETTING:
            raise ConfigError(f"{name}={shown(value)} must have at most {_SETTING} characters")
    elif value is not None and not isinstance(value, bool):
        if not is_number(value) or (isinstance(value, int) and not -(2**63) <= value < 2**63):
            raise ConfigError(f"{name}={shown(value)} must be one word, a number of at most 64 bits, true or false")
