"""The base of all errors that a user can mend, and the checks that configs share."""

from typing import Any, TypeGuard


class UserError(Exception):
    """Something a user can mend; one sentence that says what is wrong and what would do."""


class ConfigError(UserError, ValueError):
    """An invalid setting; the message names the field, its value and what would do."""


def require_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raises `ConfigError` unless the value is one of the choices."""
    if value not in choices:
        raise ConfigError(f"{name}={value!r} is unknown; choose one of {', '.join(choices)}")


def require_flag(name: str, value: object) -> None:
    """Raises `ConfigError` unless the value is a truth value."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name}={value!r} must be true or false")


def is_number(value: object) -> TypeGuard[float]:
    """Tells a number from a truth value, which Python counts as one."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def require_number(name: str, value: object) -> float:
    """Returns the value; raises `ConfigError` unless it is a number."""
    if not is_number(value):
        raise ConfigError(f"{name}={value!r} must be a number")
    return value


def require_at_least(name: str, value: Any, least: int, *, optional: bool = False) -> None:
    """Raises `ConfigError` unless the value is a whole number that is large enough and fits a column."""
    if optional and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**31:
        raise ConfigError(f"{name}={value!r} must be a whole number of at least {least} (and below 2^31)")
