"""Result files of the paper's released code and its forks: location, settings in folder names, content.

    test/<task>/m<withheld>/<model>_<norm>_lr<learning rate>/run<run>.txt

A file has two lines, names and values. `loss` and `acc` are read; columns that a fork has added are ignored.
Source: train_and_eval.py of taylorwwebb/emergent_symbols, where acc is a percentage, the mean over batches.
"""

import math
import os
import re
from collections import deque
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from esbn_core.config import PAPER, arm_label
from esbn_core.errors import ConfigError, shown
from esbn_core.files import read_text

TASKS = {"same_diff": "same_different", "RMTS": "rmts", "dist3": "distribution_of_three",
         "identity_rules": "identity_rules"}  # fmt: skip
_ESBN = {"model": "esbn", "confidence": "on"}
MODELS: dict[str, dict[str, str]] = {
    "ESBN": _ESBN,
    "ESBN_confidence_ablation": {**_ESBN, "confidence": "off"},
    "ESBN_default_memory": {**_ESBN, "confidence": "default_memory"},
    **{name: {"model": name.lower()} for name in ("LSTM", "MNM", "NTM", "PrediNet", "RN", "TRN", "Transformer")},
}
NORMS = {"nonorm": "none", "contextnorm": "sequence", "tasksegmented_contextnorm": "segmented"}
MOST_BYTES = 2**16  # limit for a result file; forks write lists into its second line
MOST_ENTRIES = 200_000  # limit for files and folders visited
_FOLDER = re.compile(rf"(?P<model>.+?)(?:_(?P<norm>{'|'.join(NORMS)})_lr(?P<rate>.+))?")
_NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|inf|infinity)", re.ASCII | re.IGNORECASE)


class Places(NamedTuple):
    """Settings in the folder names of a file; None or empty if they do not give them."""

    task: str | None
    withheld: int | None
    settings: tuple[tuple[str, Any], ...]
    unread: str
    """Why the settings could not be read."""


def find_files(folder: Path) -> tuple[list[str], list[str]]:
    """Finds files named like results in a folder and all its subfolders; reads each folder once, links last.

    Returns:
        Paths within the folder, shortest first; and unreadable folders, each with the reason.
    Raises:
        ConfigError: there are too many files.
    """
    files, unread, seen, n_entries = list[str](), list[str](), set[str](), 0
    waiting = deque([""])
    while waiting:
        here = waiting.popleft()
        real = os.path.realpath(folder / here)
        if real in seen:
            continue
        seen.add(real)
        try:
            with os.scandir(real) as listed:
                entries = sorted(islice(listed, MOST_ENTRIES), key=lambda entry: entry.name)
            n_entries += len(entries)
            for entry in entries:
                name = entry.name.lower()
                if os.path.isdir(entry.path):
                    if not name.startswith("."):
                        (waiting.append if entry.is_symlink() else waiting.appendleft)(os.path.join(here, entry.name))
                elif name.startswith("run") and name.endswith(".txt"):
                    files.append(os.path.join(here, entry.name))
        except OSError as error:
            unread.append(f"{here or folder}: {error.strerror}")
        if n_entries >= MOST_ENTRIES:
            raise ConfigError(f"source={str(folder)!r} has more than {MOST_ENTRIES:,} files; name the folder `test`")
    return sorted(files, key=lambda file: (len(file), file)), unread


def run_of(file: str) -> int:
    """Returns the number of a run; raises `ConfigError` if the name has none."""
    named = re.fullmatch(r"run([0-9]{1,9})\.txt", os.path.basename(file))
    if not named:
        raise ConfigError("its name must be run<r>.txt with a whole number r; rename it, or leave it out")
    return int(named[1])


def places_of(file: str) -> Places:
    """Reads the settings in the folder names of a file.

    Args:
        file: its path, starting with the imported folder.
    Raises:
        ConfigError: two folders contradict each other.
    """
    *above, own = file.split("/")[:-1]
    task = _one("tasks", {TASKS[name] for name in above if name in TASKS})
    withheld = _one("numbers m", {int(name[1:]) for name in above if re.fullmatch("m[0-9]{1,9}", name)})
    try:
        return Places(task, withheld, _settings(own), "")
    except ConfigError as error:
        return Places(task, withheld, (), str(error))


def _one(what: str, stated: set[Any]) -> Any:
    if len(stated) > 1:
        raise ConfigError(f"its folders give two {what}, {' and '.join(sorted(map(str, stated)))}")
    return next(iter(stated), None)


def _settings(folder: str) -> tuple[tuple[str, Any], ...]:
    """Returns the settings in the name of a file's own folder."""
    named = _FOLDER.fullmatch(folder)
    if not named or named["model"] not in MODELS:
        raise ConfigError(f"its folder {shown(folder)} names no model ({', '.join(MODELS)}); give --arm")
    settings: dict[str, Any] = dict(MODELS[named["model"]])
    if named["norm"]:
        if not _NUMBER.fullmatch(named["rate"]):
            raise ConfigError(f"its folder has learning rate {shown(named['rate'])}, which is not a number; give --arm")
        settings |= {"tcn": NORMS[named["norm"]], "learning_rate": float(named["rate"])}
    return tuple(settings.items())


@cache
def label_of(task: str, withheld: int, encoder: str, settings: tuple[tuple[str, Any], ...]) -> str:
    """Returns our label for a network with these settings; it names all differences from the paper's.

    Raises:
        ConfigError: there is no such network.
    """
    config, arm = PAPER.with_(task=task, withheld=withheld), dict[str, Any]()
    stated = {**dict(settings), "encoder": encoder}
    for name in ("model", "confidence", "encoder", "tcn", "learning_rate"):  # each determines the default of the next
        if name in stated and config.with_(**arm).resolve().flat()[name] != stated[name]:
            arm[name] = stated[name]
    config.with_(**arm).resolve()
    return arm_label(arm)


def values_of(path: Path) -> dict[str, Any]:
    """Reads the columns of a result file; a loss that is nan or infinite is None, with the reason in ``failure``.

    Raises:
        ConfigError: the file cannot be read or is not as described above.
    """
    try:
        lines = [line.split() for line in read_text(path, "source", MOST_BYTES).strip().split("\n")]
    except ConfigError as error:
        raise ConfigError(str(error).removeprefix(f"source={os.fspath(path)!r} ")) from None
    if len(lines) != 2 or len(lines[0]) != len(lines[1]) or any(lines[0].count(name) != 1 for name in ("loss", "acc")):
        raise ConfigError("must have two lines: column names such as `loss acc`, and a value for each")
    written = dict(zip(*lines, strict=True))
    for name in ("loss", "acc"):
        if not _NUMBER.fullmatch(written[name]):
            raise ConfigError(f"{name}={shown(written[name])} is not a number")
    loss, accuracy = float(written["loss"]), float(written["acc"])
    if not 0 <= accuracy <= 100:
        raise ConfigError(f"acc={written['acc']} is not between 0 and 100")
    lost = None if math.isfinite(loss) else f"loss={written['loss']} in the file: the network has diverged"
    return {"test_accuracy": accuracy / 100, "test_loss": None if lost else loss, "failure": lost}
