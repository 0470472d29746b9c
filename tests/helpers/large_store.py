"""A synthetic store of many trials: one study over 4 tasks, 5 m and 10 arms, a curve of 100 points a trial.

python tests/large_store.py RESULTS 100000
"""

import hashlib
import json
import sys
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from study.store.store import Store

TASKS = ("same_different", "rmts", "distribution_of_three", "identity_rules")
WITHHELD = (0, 50, 85, 90, 95)
ARMS = ("baseline", "encoder=mlp", "encoder=random", "tcn=none", "confidence=off", "confidence=default_memory",
        "model=lstm", "model=transformer", "model=ntm", "model=rn")  # fmt: skip
POINTS = 100  # of a curve
BATCH = 5_000  # trials a file


def write_large(results: str, trials: int) -> Store:
    """Writes trials of a study called large, as many files as batches; accuracies are random, the rest is as it is."""
    store, rng = Store(results), np.random.default_rng(0)
    store.prepare()
    cells = [(task, m, arm) for task in TASKS for m in WITHHELD for arm in ARMS]
    seeds = -(-trials // len(cells))
    places = [(*cell, seed) for cell in cells for seed in range(seeds)][:trials]
    planned = [_plan(*place) for place in places]
    now = datetime.now(UTC)
    store.write("plans", "large", [{**row, "study": "large", "planned_at": now, "updates": 1000} for row in planned])
    for start in range(0, trials, BATCH):
        batch = planned[start : start + BATCH]
        names = [row["trial_id"] for row in batch]
        accuracy = rng.random(len(batch))
        done = [_trial(row, float(a), now) for row, a in zip(batch, accuracy, strict=True)]
        store.write_merged("trials", names, done)
        points = len(batch) * POINTS
        store.write_merged(
            "curves",
            names,
            pa.table(
                {
                    "trial_id": pa.array(names).take(pa.array(np.repeat(np.arange(len(batch)), POINTS))),
                    "update": pa.array(np.tile(10 * np.arange(POINTS), len(batch)), pa.int32()),
                    "loss": rng.exponential(size=points),
                    "accuracy": rng.integers(0, 33, points) / 32,
                }
            ),
        )
    return store


def _plan(task: str, withheld: int, arm: str, seed: int) -> dict[str, Any]:
    name = hashlib.sha256(f"{task} {withheld} {arm} {seed}".encode()).hexdigest()[:16]
    return {"trial_id": name, "task": task, "withheld": withheld, "arm": arm, "seed": seed, "keys": False}


def _trial(row: dict[str, Any], accuracy: float, now: datetime) -> dict[str, Any]:
    settings = {name: value for name, value in row.items() if name != "trial_id"}
    config = {**settings, **{f"setting_{i}": i / 7 for i in range(40)}}  # as long as a real one
    more = {"status": "completed", "test_accuracy": accuracy, "test_loss": 1 - accuracy, "config": json.dumps(config),
            "withheld_objects": list(range(10)), "started_at": now, "finished_at": now, "host": "here"}  # fmt: skip
    return {**{name: value for name, value in row.items() if name != "keys"}, **more}


if __name__ == "__main__":
    write_large(sys.argv[1], int(sys.argv[2]))
