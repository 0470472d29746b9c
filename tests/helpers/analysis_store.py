"""A synthetic result store for the tests of `analysis`, written with the real `study.store.store.Store`."""

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from study.store.schema import TABLES
from study.store.store import Store

Row = dict[str, Any]


def trial(task: str, withheld: int, arm: str, seed: int, accuracy: float | None = None, **more: Any) -> Row:
    """A row of trials; failed if it has no accuracy."""
    failed = {"status": "failed", "failure": "loss is NaN at update 30"}
    outcome = failed if accuracy is None else {"status": "completed", "test_accuracy": accuracy}
    name = f"{task}-{withheld}-{arm}-{seed}".replace("=", "_")
    return {"trial_id": name, "task": task, "withheld": withheld, "arm": arm, "seed": seed, **outcome, **more}


def proven(task: str, withheld: int, arm: str, seed: int, accuracy: float | None = None, **more: Any) -> Row:
    """A row of trials that says all an audit asks for; of 20 objects, the last ``withheld`` are held back."""
    kept, held = list(range(20 - withheld)), list(range(20 - withheld, 20))
    settings = {"n_objects": 20, "images": "glyphs", "n_train": 100, "n_test": 50, "sampling": "balanced"}
    stored = {
        "config": json.dumps({**settings, "task": task, "arm": arm, "withheld": withheld, "seed": seed}),
        "withheld_objects": held,
        "train_objects": kept,
        "test_objects": held or kept,
        "problems_hash": f"{task} {withheld} {seed}",
        "repeated_problems": 0,
        "images_hash": "glyphs",
        "updates": 25,
        "tested_after": 25,
        "started_at": datetime(2024, 1, 2, tzinfo=UTC),
        "finished_at": datetime(2024, 1, 2, 1, tzinfo=UTC),
        "wall_seconds": 12.0,
        "pack_size": 3,
        "threads": 2,
        "device": "cpu",
        "host": "here",
        "commit": "0123abcd",
        "dirty": False,
    }
    return trial(task, withheld, arm, seed, accuracy, **{**stored, **more})


def plan_row(study: str, row: Mapping[str, Any], keys: bool = False, day: int = 1) -> Row:
    """The plan of a trial, for a study."""
    variant = {name: row[name] for name in ("trial_id", "task", "withheld", "arm", "seed")}
    more = {name: row.get(name) for name in ("rehearsal", "updates", "looks", "seeds_per_look")} | {"keys": keys}
    return {"study": study, "planned_at": datetime(2024, 1, day, tzinfo=UTC), **more, **variant}


def write_study(
    folder: Path, study: str, planned: Sequence[Row], trained: Iterable[Row] | None = None, keys: bool = False
) -> str:
    """Writes a plan and its trials, all of them unless ``trained`` says which; returns the folder as text."""
    store = Store(str(folder))
    store.prepare()
    store.write("plans", study, [plan_row(study, row, keys) for row in planned])
    for row in planned if trained is None else trained:
        store.write("trials", row["trial_id"], [row])
    return str(folder)


def spoil(results: str, trial_id: str, wrong: Row) -> None:
    """Gives a stored row of trials values that the store itself would not write."""
    path = Path(results) / "trials" / f"{trial_id}.parquet"
    (row,) = pq.read_table(path).to_pylist()
    pq.write_table(pa.Table.from_pylist([row | wrong], schema=TABLES["trials"]), path)


def curve(trial_id: str, accuracies: Sequence[float]) -> list[Row]:
    """Rows of curves, one every 10 updates."""
    return [{"trial_id": trial_id, "update": 10 * i, "accuracy": a} for i, a in enumerate(accuracies)]


def whole_curve(trial_id: str, accuracies: Sequence[float]) -> list[Row]:
    """Rows of curves at the points that training stores: every update of the first 200, then every 10th."""
    points = (u for u in itertools.count() if u < 200 or u % 10 == 0)
    return [{"trial_id": trial_id, "update": u, "accuracy": a} for u, a in zip(points, accuracies, strict=False)]


def key_rows(trial_id: str, n_train: int = 6, n_test: int = 20, size: int = 8, default: bool = False) -> list[Row]:
    """Rows of keys of distribution-of-three problems: keys around a centre per step, reads of the first appearance."""
    rng = np.random.default_rng(0)
    centres_TK = 10 * rng.standard_normal((9, size))
    rows = []
    for split, count in (("train", n_train), ("test", n_test)):
        for problem in range(count):
            a, b, c, d = (int(o) for o in rng.permutation(5)[:4])
            second = [b, c, a] if problem % 2 else [c, a, b]
            objects = [a, b, c, *second[:2], *(int(o) for o in rng.permutation([a, b, c, d]))]
            keys_TK = centres_TK + 0.1 * rng.standard_normal((9, size))
            rows += _problem(trial_id, split, problem, objects, keys_TK, default)
    return rows


def key_rows_of(
    trial_id: str, train: Iterable[Sequence[int]], test: Iterable[Sequence[int]], size: int = 8
) -> list[Row]:
    """Rows of keys of these problems, each the objects it shows; keys and reads are as in `key_rows`."""
    rng = np.random.default_rng(0)
    centres_TK = 10 * rng.standard_normal((9, size))
    return [
        row
        for split, problems in (("train", train), ("test", test))
        for number, objects in enumerate(problems)
        for row in _problem(
            trial_id, split, number, [int(o) for o in objects], centres_TK + 0.1 * rng.standard_normal((9, size)), False
        )
    ]


def _problem(
    trial_id: str, split: str, problem: int, objects: list[int], keys_TK: np.ndarray, default: bool
) -> list[Row]:
    rows = []
    for t, shown in enumerate(objects):
        row: Row = {"trial_id": trial_id, "split": split, "problem": problem, "step": t + 1, "object": shown}
        row["key"] = keys_TK[t].tolist()
        if t:
            entry = objects[:t].index(shown) if shown in objects[:t] else t - 1
            weights = np.full(t, 0.1 / t)
            weights[entry] += 0.9
            row |= {
                "read": (0.99 * keys_TK[entry]).tolist(),
                "gate": 0.99,
                "weights": [0.0] * default + weights.tolist(),
            }
        rows.append(row)
    return rows


def object_rows(images_hash: str, count: int = 12) -> list[Row]:
    """Rows of objects: image number i is a uniform grey of 20 i."""
    return [{"images_hash": images_hash, "object": i, "name": str(i), "pixels": [20 * i] * 1024} for i in range(count)]
