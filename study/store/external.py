"""Import of test results of networks that the authors' released code trained, as rows of the table `external`.

    test/<task>/m<withheld>/<model>_<norm>_lr<learning rate>/run<run>.txt      two lines: loss acc, then the values

They are kept apart from `trials`: their problems and splits are their own, and what the files leave out (encoder,
epochs) is taken on trust. Source: train_and_eval.py of taylorwwebb/emergent_symbols, where acc is a percentage, the
mean over batches.
"""

import hashlib
import math
import re
from pathlib import Path
from typing import Any

from esbn_core.config import PAPER, arm_label
from esbn_core.errors import ConfigError
from esbn_core.files import read_text
from study.store.names import KEY
from study.store.store import Store

TASKS = {"same_diff": "same_different", "RMTS": "rmts", "dist3": "distribution_of_three",
         "identity_rules": "identity_rules"}  # fmt: skip
MODELS: dict[str, dict[str, str]] = {
    "ESBN": {},
    "ESBN_confidence_ablation": {"confidence": "off"},
    "ESBN_default_memory": {"confidence": "default_memory"},
    **{name: {"model": name.lower()} for name in ("LSTM", "MNM", "NTM", "PrediNet", "RN", "TRN", "Transformer")},
}
NORMS = {"nonorm": "none", "contextnorm": "sequence", "tasksegmented_contextnorm": "segmented"}
MOST_BYTES = 2**12  # of a result file, which has two short lines
_FOLDER = re.compile(rf"(?P<model>.+?)(?:_(?P<norm>{'|'.join(NORMS)})_lr(?P<rate>[\d.e-]+))?")


def import_external(store: Store, folder: Path, origin: str, encoder: str) -> dict[str, tuple[int, int]]:
    """Adds every result file of a folder; all are read before any is written, and the same ones twice are one.

    Args:
        folder: the one named ``test``.
        origin: whose results they are.
        encoder: that all of them were trained with.
    Returns:
        ``external``: how many results are new, and how many were there already.
    Raises:
        ConfigError: there is no result file, one is not as described above, or the store has another result of it.
    """
    paths = sorted(folder.glob("*/m*/*/run*.txt"))
    if not paths:
        raise ConfigError(f"source={str(folder)!r} has no file <task>/m<m>/<model>/run<r>.txt; name the folder `test`")
    rows = {row[KEY]: row for row in (_row(path, folder, origin, encoder) for path in paths)}
    known = {row[KEY]: row for row in store.read("external", names=rows.keys()).to_pylist()}
    for name, row in known.items():
        for column in ("test_accuracy", "test_loss"):
            if row[column] != rows[name][column]:
                raise ConfigError(
                    f"{rows[name]['file']} has {column}={rows[name][column]}, but {row[column]} was imported from "
                    f"origin={origin!r} before; give another --origin"
                )
    store.prepare()
    for name in sorted(rows.keys() - known.keys()):
        store.write("external", name, [rows[name]])
    return {"external": (len(rows) - len(known), len(known))}


def _row(path: Path, folder: Path, origin: str, encoder: str) -> dict[str, Any]:
    file = path.relative_to(folder).as_posix()
    task, withheld, settings, run = path.relative_to(folder).parts
    named = _FOLDER.fullmatch(settings)
    if task not in TASKS or not named or named["model"] not in MODELS:
        raise ConfigError(f"{file}: the task must be one of {', '.join(TASKS)}, the model of {', '.join(MODELS)}")
    numbers = re.fullmatch(r"m(\d+)/run(\d+)\.txt", f"{withheld}/{run}")
    if not numbers:
        raise ConfigError(f"{file}: m and run must be whole numbers")
    m = int(numbers[1])
    try:
        arm = _arm(TASKS[task], m, encoder, **named.groupdict())
    except ValueError as error:  # `ConfigError` is one; a rate like 5e--5 raises another
        raise ConfigError(f"{file}: {error}") from None
    loss, accuracy = _values(path, file)
    place = {"origin": origin, "task": TASKS[task], "withheld": m, "arm": arm, "run": int(numbers[2])}
    identity = hashlib.sha256(repr(sorted(place.items())).encode()).hexdigest()[:16]
    return {KEY: identity, **place, "test_accuracy": accuracy / 100, "test_loss": loss, "file": file}


def _arm(task: str, withheld: int, encoder: str, model: str, norm: str | None, rate: str | None) -> str:
    """Returns the label of a network of ours with the same settings: what differs from the paper's is named in it."""
    plain = PAPER.with_(task=task, withheld=withheld)
    arm: dict[str, Any] = dict(MODELS[model])
    if encoder != plain.encoder:
        arm["encoder"] = encoder
    if norm and NORMS[norm] != plain.resolve().tcn:
        arm["tcn"] = NORMS[norm]
    usual = plain.with_(**arm).resolve().train.learning_rate
    if rate and float(rate) != usual:
        arm["learning_rate"] = float(rate)
        plain.with_(**arm)  # refuses a rate that is none
    return arm_label(arm)


def _values(path: Path, file: str) -> tuple[float, float]:
    text = read_text(path, "source", MOST_BYTES)
    try:
        header, values = text.strip().split("\n")
        loss, accuracy = map(float, values.split())
    except ValueError:
        header, loss, accuracy = "", math.nan, math.nan
    if header.split() != ["loss", "acc"] or not math.isfinite(loss) or not 0 <= accuracy <= 100:
        raise ConfigError(f"{file} must be two lines, `loss acc` and the values, acc from 0 to 100; delete it if torn")
    return loss, accuracy
