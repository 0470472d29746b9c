"""Import of test results from the authors' released code or a fork of it, as rows of `external`.

They are kept separate from `trials`: they have other problems and splits, and settings that the files do not record
(encoder, epochs) are taken on trust.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pyarrow as pa

from esbn_core.config import PAPER, Encoder, arm_label
from esbn_core.errors import ConfigError, require_at_least, require_choice, shown
from esbn_core.printable import printable
from esbn_core.vocabulary import BASELINE, N_CHOICES, arm_words
from study.store.checks import entry_fault
from study.store.names import KEY
from study.store.released_files import TASKS, find_files, label_of, places_of, run_of, values_of
from study.store.schema import TABLES
from study.store.store import Store

_ORIGIN = 200  # characters


class ContradictionError(ConfigError):
    """An option contradicts a folder name."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """Options that apply to all files of a folder, with our names of tasks and arms.

    Attributes:
        origin: source of the results.
        encoder: encoder of all networks, unless `arm` gives it.
        task, withheld, arm: used if no folder name gives them.
    """

    origin: str = "authors"
    encoder: str = "conv"
    task: str | None = None
    withheld: int | None = None
    arm: str | None = None

    def __post_init__(self) -> None:
        if not self.origin or printable(self.origin) != self.origin or len(self.origin) > _ORIGIN:
            raise ConfigError(f"origin={shown(self.origin)} must be 1 to {_ORIGIN} printable characters")
        require_choice("encoder", self.encoder, get_args(Encoder))
        if self.task is not None:
            require_choice("task", TASKS.get(self.task, self.task), tuple(N_CHOICES))
        require_at_least("withheld", self.withheld, 0, optional=True)
        if self.arm is not None:
            self.changes()
            if self.encoder != PAPER.encoder:
                raise ConfigError(
                    f"encoder={self.encoder!r} and arm={shown(self.arm)} both set the encoder; give it only in --arm"
                )

    def changes(self) -> dict[str, Any]:
        """Returns the settings that the arm changes."""
        words = [word.partition("=") for word in arm_words(BASELINE if self.arm is None else self.arm)]
        if not all(name and equals and value for name, equals, value in words):
            raise ConfigError(f"arm={shown(self.arm)} must be baseline, or settings such as encoder=mlp,tcn=none")
        return {name: _value(value) for name, _, value in words}


class Imported(NamedTuple):
    """Numbers of new and already known results, and the files left out, with reasons."""

    new: int
    known: int
    left_out: list[str]


def import_external(store: Store, folder: Path, given: Given) -> Imported:
    """Adds the readable result files of a folder; all are read before any is written.

    Args:
        folder: the folder ``test``, or one within it; files may be at any depth.
    Raises:
        ConfigError: there is no result file, an option contradicts a folder name, or the store has a different result
            for the same run.
    """
    files, left_out = find_files(folder)
    if not files:
        raise ConfigError(f"source={str(folder)!r} has no file run<r>.txt at any depth; name the folder `test`")
    read: dict[str, list[dict[str, Any]]] = {}
    for file in files:
        try:
            row = _row(folder, file, given)
            read.setdefault(row[KEY], []).append(row)
        except ContradictionError:
            raise
        except ConfigError as error:
            left_out.append(f"{file}: {error}")
    rows = {}
    for name, claims in read.items():
        left_out += _rivals(claims)
        if len(claims) == 1 or _same(claims):
            rows[name] = claims[0]
    known = {row[KEY]: row for row in store.read("external", names=rows.keys()).to_pylist()}
    for name, row in known.items():
        _refuse_another_result(row, rows[name])
    if rows:
        store.prepare()
    for name in sorted(rows.keys() - known.keys()):
        store.write("external", name, [rows[name]])
    return Imported(len(rows) - len(known), len(known), [printable(line) for line in left_out])


def _row(folder: Path, file: str, given: Given) -> dict[str, Any]:
    run, stated = run_of(file), places_of(f"{folder.resolve().name}/{file}")
    task = _given("task", given.task and TASKS.get(given.task, given.task), stated.task, file)
    withheld = _given("withheld", given.withheld, stated.withheld, file)
    if given.arm is not None:
        arm = _given_arm(task, withheld, given.changes(), dict(stated.settings), file)
    elif stated.settings:
        arm = label_of(task, withheld, given.encoder, stated.settings)
    else:
        raise ConfigError(stated.unread)
    place = {"origin": given.origin, "task": task, "withheld": withheld, "arm": arm, "run": run}
    identity = hashlib.sha256(repr(sorted(place.items())).encode()).hexdigest()[:16]
    row = {KEY: identity, **place, **values_of(folder / file), "file": _text(file)}
    if fault := entry_fault("external", pa.Table.from_pylist([row], schema=TABLES["external"])):
        raise ConfigError(fault)
    return row


def _given(option: str, given: Any, stated: Any, file: str) -> Any:
    if given is None and stated is None:
        raise ConfigError(f"no folder says {option}; give --{option}")
    if None not in (given, stated) and given != stated:
        raise ContradictionError(
            f"{option}={given} contradicts the folders of {file}, which say {stated}; leave --{option} out"
        )
    return stated if given is None else given


def _given_arm(task: str, withheld: int, changes: Mapping[str, Any], settings: Mapping[str, Any], file: str) -> str:
    plain = PAPER.with_(task=task, withheld=withheld)
    config = plain.with_(**changes).resolve()
    arm = arm_label(changes)
    if changes and config == plain.resolve():
        raise ConfigError(f"arm={arm} changes nothing at {task} m={withheld}; give --arm {BASELINE}")
    of_arm = config.flat()
    for name, value in settings.items():
        if of_arm.get(name) != value:
            raise ContradictionError(
                f"arm={arm} has {name}={of_arm.get(name)}, but the folder of {file} says {value}; give all "
                "settings that differ from the paper's, and the folder of a single arm"
            )
    return arm


def _value(text: str) -> Any:
    """Parses a value as written in labels: a truth value, a number or a word."""
    if text in ("True", "true", "False", "false"):
        return text.title() == "True"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _text(file: str) -> str:
    try:
        return os.fsencode(file).decode()
    except UnicodeDecodeError:
        raise ConfigError("its path is not UTF-8; rename the folder") from None


def _same(claims: list[dict[str, Any]]) -> bool:
    """Returns whether files are copies: the same result in the same folder."""
    return len({(os.path.dirname(row["file"]), row["test_accuracy"], row["test_loss"]) for row in claims}) == 1


def _rivals(claims: list[dict[str, Any]]) -> list[str]:
    """Says which of the files that claim to be the same run are left out, and why."""
    if _same(claims):
        return [f"{row['file']}: a copy of {claims[0]['file']}; counted once" for row in claims[1:]]
    return [
        f"{row['file']}: the same run as {(claims[1] if row is claims[0] else claims[0])['file']}; rename or remove one"
        for row in claims
    ]


def _refuse_another_result(known: Mapping[str, Any], row: Mapping[str, Any]) -> None:
    for column in ("test_accuracy", "test_loss"):
        if known[column] != row[column]:
            raise ConfigError(
                f"{row['file']} has {column}={row[column]}, but {known[column]} was imported from "
                f"origin={row['origin']!r} before; give another --origin"
            )
