"""Bounded reading of YAML files: a small file can expand to a huge or endless document."""

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, ScalarEvent

from esbn_core.errors import ConfigError
from esbn_core.files import Path, read_text

MOST_BYTES = 2**18
MOST_VALUES = 20_000  # an alias counts all values it stands for
DEEPEST = 30
LONGEST = 3_000  # characters of a value; Python prints no number of more than 4,300 digits


def read_yaml(path: Path, what: str, reader: YAML | None = None) -> Any:
    """Reads a file of YAML 1.2, where off is a word and 5e-5 a number.

    Args:
        what: the setting that names the file, for messages.
        reader: builds the values; default: plain Python values.
    Raises:
        ConfigError: the file cannot be read, is not YAML, or exceeds the bounds above.
    """
    text = read_text(path, what, MOST_BYTES)
    try:
        _refuse_endless(text)
        return (reader or _plain()).load(text)
    except Exception as error:  # an invalid file can raise any exception
        why = " ".join(_problem(error).split())
        raise ConfigError(f"{what}={str(path)!r} cannot be read as YAML: {why}") from None


def _problem(error: Exception) -> str:
    """Says what is wrong in which line, without ruamel's hints for programmers."""
    if isinstance(error, MarkedYAMLError) and error.problem and error.problem_mark:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return str(error)


def _plain() -> YAML:
    return YAML(typ="safe", pure=True)


def _refuse_endless(text: str) -> None:
    """Counts values by the marks of the text, before any value is made."""
    values, of_anchor = 0, dict[str | None, int]()
    opened: list[tuple[str | None, int]] = []  # collections: anchor, and how many values came before
    for event in _plain().parse(text):
        if isinstance(event, AliasEvent):
            if event.anchor not in of_anchor:
                raise ConfigError(f"*{event.anchor} is undefined, or refers to a value that contains it")
            values += of_anchor[event.anchor]
        elif isinstance(event, ScalarEvent):
            if len(event.value) > LONGEST:
                raise ConfigError(f"a value has {len(event.value):,} characters; at most {LONGEST:,} are read")
            values += 1
            of_anchor[event.anchor] = 1
        elif isinstance(event, CollectionStartEvent):
            opened.append((event.anchor, values))
            of_anchor.pop(event.anchor, None)
        elif isinstance(event, CollectionEndEvent):
            anchor, before = opened.pop()
            values += 1
            of_anchor[anchor] = values - before
        if len(opened) > DEEPEST or values > MOST_VALUES:
            raise ConfigError(f"a file has at most {MOST_VALUES:,} values, nested at most {DEEPEST} deep")
