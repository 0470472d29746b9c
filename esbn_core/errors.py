"""User errors, and the checks shared by configs and declarations."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any, TypeGuard

_SHOWN = 100  # characters of a value in a message


class UserError(Exception):
    """An error that the user can fix; one sentence says what is wrong and what to do."""


class ConfigError(UserError, ValueError):
    """An invalid setting; the message names the field, its value and what is valid."""


def shown(value: object) -> str:
    """Returns the representation of a value for a message, cut if long."""
    return cut(value.isoformat() if isinstance(value, date) else repr(value))


def cut(text: str) -> str:
    """Cuts a long text for a message and appends its length."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text):,} characters)"


@contextmanager
def within(place: str) -> Iterator[None]:
    """Prefixes the field in a `ConfigError` with the path of its part, such as ``grids[0]``."""
    try:
        yield
    except ConfigError as error:
        message = str(error)
        raise ConfigError(f"{place}{'.' if re.match(r'[^ =:]+[=:]', message) else ': '}{message}") from None


def require_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raises `ConfigError` unless the value is one of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise ConfigError(f"{name}={shown(value)} is unknown; choose one of {', '.join(choices)}")


def require_flag(name: str, value: object) -> None:
    """Raises `ConfigError` unless the value is a truth value."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name}={shown(value)} must be true or false")


def is_number(value: object) -> TypeGuard[float]:
    """Returns whether the value is a finite number; booleans do not count as numbers."""
    largest = sys.float_info.max
    return isinstance(value, int | float) and not isinstance(value, bool) and -largest <= value <= largest


def require_number(name: str, value: object) -> float:
    """Returns the value; raises `ConfigError` unless it is a finite number."""
    if not is_number(value):
        raise ConfigError(f"{name}={shown(value)} must be a number")
    return value


def require_at_least(name: str, value: Any, least: int, *, optional: bool = False) -> None:
    """Raises `ConfigError` unless the value is a whole number from `least` to what an int32 column holds."""
    if optional and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**31:
        raise ConfigError(f"{name}={shown(value)} must be a whole number of at least {least} (and below 2^31)")
