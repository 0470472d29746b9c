"""One trial, or two beside each other, as the store has them."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import pyarrow.compute as pc
from rich.console import Group
from rich.table import Table

from esbn_core.config import PAPER, TaskConfig
from esbn_core.errors import ConfigError
from esbn_core.printable import printable
from esbn_core.tasks.build import build
from study.store.forget import stored
from study.store.names import KEY
from study.store.store import Store

BARS = " ▁▂▃▄▅▆▇█"
WIDTH = 50  # of a curve
SHOWN = 3  # problems
_LEAST = 4  # characters of a trial's id that name it

_RESULTS = ("status", "failure", "test_accuracy", "test_loss", "n_train", "n_test", "parameters", "leak_rms")
_MADE = ("wall_seconds", "pack_size", "resumed", "finished_at", "device", "host", "threads", "commit", "dirty")
_VERSIONS = ("python_version", "torch_version", "numpy_version", "ray_version")


def find_trials(store: Store, name: str) -> list[dict[str, Any]]:
    """Returns the rows of ``trials`` that a name means: one trial by its id or the start of it, or all of an arm.

    Raises:
        ConfigError: it means none, or the start of several ids.
    """
    ids = [trial_id for trial_id in store.names("trials") if len(name) >= _LEAST and trial_id.startswith(name)]
    if len(ids) > 1:
        raise ConfigError(f"trial={name!r} begins {len(ids)} ids: {', '.join(sorted(ids)[:5])}; give more of it")
    if ids:
        return store.read("trials", names=ids).to_pylist()
    if rows := _of_arm(store, name):
        return rows
    raise ConfigError(
        f"trial={name!r} is neither an id, nor the first {_LEAST} or more characters of one, nor an arm with results "
        f'in {store.uri}; `esbn query "select trial_id, task, withheld, arm, seed from trials"` lists them'
    )


def _of_arm(store: Store, name: str) -> list[dict[str, Any]]:
    """Returns the trials of an arm; ARM@HASH is one of an own model whose source starts with the hash.

    Raises:
        ConfigError: the model of the arm has changed, and no hash says which source is meant.
    """
    arm, _, source = name.partition("@")
    rows = store.read("trials", rows=pc.field("arm") == arm).to_pylist()
    rows = [row for row in rows if not row["rehearsal"] and _source(row).startswith(source)]
    versions = sorted({f"{arm}@{_source(row)[:6]}" for row in rows})
    if len(versions) > 1:
        raise ConfigError(f"trial={name!r} has trials of {len(versions)} sources; give one: {', '.join(versions)}")
    return rows


def _source(row: dict[str, Any]) -> str:
    return str(_settings(row).get("source", ""))


def find_stored(store: Store, name: str) -> tuple[str, str]:
    """Returns the id of the one trial that a name means, and what it is; errors are those of `find_trials`.

    A trial whose removal was stopped is found, too.
    """
    ids = [trial_id for trial_id in stored(store) if len(name) >= _LEAST and trial_id.startswith(name)]
    if len(ids) == 1 and ids[0] not in store.names("trials"):
        return ids[0], "rows of a trial without a result"
    row = find_trial(store, name)
    return row[KEY], f"{row['task']} m={row['withheld']} {row['arm']} seed {row['seed']}"


def find_trial(store: Store, name: str) -> dict[str, Any]:
    """Returns the row of the one trial that a name means; errors are those of `find_trials`."""
    rows = find_trials(store, name)
    if len(rows) > 1:
        raise ConfigError(
            f"trial={name!r} is an arm of {len(rows)} trials; give the id of one, such as {rows[0][KEY]} "
            f"({rows[0]['task']} m={rows[0]['withheld']} seed {rows[0]['seed']})"
        )
    return rows[0]


def trial_page(store: Store, row: dict[str, Any]) -> Group:
    """Shows a trial: its result, the split, the training curve, problems of its test, and all settings."""
    plans = store.read("plans", ["study", KEY])
    studies = plans.filter(pc.field(KEY) == row[KEY])["study"].unique().to_pylist()
    title = f"{row[KEY]}  {row['task']} m={row['withheld']} {row['arm']} seed {row['seed']}"
    names = {
        one["object"]: one["name"]
        for one in store.read("objects", ["object", "name"], names=[row["images_hash"] or ""]).to_pylist()
    }
    result = _columns({"studies": ", ".join(studies) or "none", **_some(row, (*_RESULTS, *_MADE, *_VERSIONS))})
    split = {"withheld": [names.get(i, str(i)).partition(" ")[0] for i in row["withheld_objects"] or ()]}
    return Group(
        printable(title),
        result,
        *_curve(store, row),
        *_problems(row, names),
        f"withheld objects: {printable(' '.join(split['withheld'])) or 'none'}",
        "",
        _columns(_settings(row)),
    )


def difference(store: Store, one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]) -> Group:
    """Shows what two trials, or two arms at the conditions they share, differ in, and what they reached."""
    pairs = [(a, b) for a in one for b in other if len(one) == len(other) == 1 or _place(a) == _place(b)]
    if not pairs:
        raise ConfigError("these arms have no task, m and seed in common; `esbn status` says what is trained")
    left, right = pairs[0]
    table = Table("", _name(left, one), _name(right, other), box=None)
    settings = {**_settings(left), **_settings(right)}
    rows = [(name, _settings(left).get(name, "-"), _settings(right).get(name, "-")) for name in settings]
    rows += [(name, left[name], right[name]) for name in (*_MADE, *_VERSIONS) if len(one) == len(other) == 1]
    for name, a, b in rows:
        if a != b:
            table.add_row(name, _shown(a), _shown(b))
    table.add_section()
    if _place(left)[:2] != _place(right)[:2]:
        table.add_row("test accuracy", _mean([left]), _mean([right]))
        return Group(table)
    for task, withheld in dict.fromkeys(_place(a)[:2] for a, _ in pairs):
        here = [pair for pair in pairs if _place(pair[0])[:2] == (task, withheld)]
        table.add_row(f"test accuracy, {task} m={withheld}", *(_mean([pair[i] for pair in here]) for i in (0, 1)))
    return Group(table, "", f"{len(pairs)} pairs of trials of the same task, m and seed" if len(pairs) > 1 else "")


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["task"], row["withheld"], row["seed"]


def _name(row: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    return printable(row["arm"] if len(rows) > 1 else f"{row[KEY]} {row['arm']}")


def _mean(rows: Sequence[dict[str, Any]]) -> str:
    values = [row["test_accuracy"] for row in rows if row["status"] == "completed"]
    return f"{100 * sum(values) / len(values):.1f} % (n = {len(values)})" if values else "-"


def _settings(row: dict[str, Any]) -> dict[str, Any]:
    return json.loads(row["config"] or "{}")


def _some(row: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: row[name] for name in names if row[name] is not None}


def _columns(values: dict[str, Any]) -> Table:
    table = Table(box=None, show_header=False)
    for name, value in values.items():
        table.add_row(name, _shown(value))
    return table


def _shown(value: Any) -> str:
    return printable(f"{value:.4g}" if isinstance(value, float) else str(value))


def _curve(store: Store, row: dict[str, Any]) -> list[str]:
    points = store.read("curves", ["update", "accuracy"], names=[row[KEY]]).sort_by("update").to_pylist()
    if not points:
        return ["no training curve"]
    last = points[-1]["update"]
    bins: list[list[float]] = [[] for _ in range(WIDTH)]
    for point in points:
        bins[point["update"] * WIDTH // (last + 1)].append(point["accuracy"])
    means = [sum(values) / len(values) for values in bins if values]
    drawn = "".join(BARS[round(mean * (len(BARS) - 1))] for mean in means)
    return [f"training accuracy {100 * means[0]:.0f} % {drawn} {100 * means[-1]:.0f} % (updates 0 to {last:,})"]


def _problems(row: dict[str, Any], names: dict[int, str]) -> list[str]:
    """Draws problems of the test again, which task and seed decide."""
    settings = _settings(row)
    fields = {field.name for field in dataclasses.fields(TaskConfig)} & settings.keys()
    try:
        task = PAPER.with_(task=row["task"], **{name: settings[name] for name in fields}).task.resolve()
    except ConfigError:  # what a later version has stored
        return []
    test = build(task, row["seed"]).test
    shown = []
    for indices, target in list(zip(test.indices_PT.tolist(), test.targets_P.tolist(), strict=True))[:SHOWN]:
        symbols = " ".join(names.get(i, str(i)).partition(" ")[0] for i in indices)
        shown.append(printable(f"test problem: {symbols}  right choice: {target + 1} of {task.spec.n_choices}"))
    return shown
