"""Training of one pack in a worker process, and the rows it writes; independent of Ray."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from esbn_core.keys import record_keys
from esbn_core.leaks import measure_leak
from esbn_core.tasks.problems import ProblemSets
from esbn_core.train import TrialResult
from study.planning import rows
from study.planning.completion import completion
from study.planning.packs import Pack
from study.planning.plan import PlannedTrial
from study.running.run_context import RunContext
from study.running.worker_process import circumstances, free_memory, open_run_store, train_in_store
from study.store.schema import TABLES
from study.store.store import Store


def run_pack(context: RunContext, pack: Pack, report: Callable[[dict[str, Any]], None]) -> None:
    """Trains a pack, from its checkpoint if it has one, and writes curves, keys and, last, the rows of its trials.

    Args:
        report: receives progress about once a second: `update`, `accuracy` (training, one per trial), and at the end
            `test_accuracy` and `failed`.
    """
    store, started_at = open_run_store(context), datetime.now(UTC)
    done = {trial.trial_id for trial in completion(pack.trials, store).completed}
    if len(done) == len(pack.trials):  # a worker that seemed lost has completed them
        store.drop_checkpoint(pack.pack_id)
        written = store.read("trials", ["trial_id", "test_accuracy"], done).to_pylist()
        accuracy = {row["trial_id"]: row["test_accuracy"] for row in written}
        report(_last(pack, [accuracy[trial.trial_id] for trial in pack.trials], [None] * len(done)))
        return
    result = train_in_store(context, store, pack, report)
    shared = {
        "pack_size": len(pack.trials),
        "started_at": started_at,
        **circumstances(context, result.wall_seconds, result.resumed),
    }
    for trial, outcome in zip(pack.trials, result.trials, strict=True):
        if trial.trial_id not in done:
            _write(store, trial, outcome, context.objects.scale(), shared)
    store.drop_checkpoint(pack.pack_id)
    report(_last(pack, [t.test_accuracy for t in result.trials], [t.failure for t in result.trials]))
    free_memory(context)


def _last(pack: Pack, accuracies: list[float | None], failures: list[str | None]) -> dict[str, Any]:
    return {"update": pack.trials[0].config.train.updates, "test_accuracy": accuracies, "failed": failures}


def _write(store: Store, trial: PlannedTrial, trained: TrialResult, images: np.ndarray, shared: dict[str, Any]) -> None:
    """Writes all rows of a trial; its row in `trials` comes last, since it marks the trial as done."""
    points = [{"trial_id": trial.trial_id, "update": u, "loss": x, "accuracy": a} for u, x, a in trained.curve]
    store.write("curves", trial.trial_id, points)
    known = {
        "n_train": len(trained.problems.train.targets_P),
        "n_test": len(trained.problems.test.targets_P),
        "parameters": sum(p.numel() for p in trained.network.parameters()),
        "tested_after": trained.tested_after,
        **split_columns(trained.problems),
    }
    if trained.failure is not None:
        rows.write_failure(store, trial, trained.failure, **known, **shared)
        return
    if trial.keys:
        store.write("keys", trial.trial_id, _keys(trial, trained, images))
    leak = measure_leak(trained.network, images, trained.problems.test)
    tested = {"test_accuracy": trained.test_accuracy, "test_loss": trained.test_loss, "status": "completed"}
    row = {**rows.settings(trial), **known, **shared, **tested, **(leak._asdict() if leak else {})}
    row["finished_at"] = datetime.now(UTC)
    store.write("trials", trial.trial_id, [row])


def split_columns(sets: ProblemSets) -> dict[str, Any]:
    """Returns columns that show what a network was trained and tested on, derived from the problems themselves."""
    train_PT, test_PT = sets.train.indices_PT, sets.test.indices_PT
    trained = {*map(tuple, train_PT.tolist())}
    digest = hashlib.sha256()
    for part in (*sets.train, *sets.test):
        digest.update(part.astype("<i8").tobytes())
    return {
        "withheld_objects": sorted(sets.withheld.tolist()),
        "train_objects": np.unique(train_PT).tolist(),
        "test_objects": np.unique(test_PT).tolist(),
        "problems_hash": digest.hexdigest(),
        "repeated_problems": sum(tuple(problem) in trained for problem in test_PT.tolist()),
    }


def _keys(trial: PlannedTrial, trained: TrialResult, images: np.ndarray) -> pa.Table:
    schema = TABLES["keys"]
    parts = []
    for split, problems in (("train", trained.problems.train), ("test", trained.problems.test)):
        for step in record_keys(trained.network, images, problems):
            n = len(step.objects_P)
            columns = {
                "trial_id": pa.array([trial.trial_id] * n),
                "split": pa.array([split] * n),
                "problem": np.arange(n),
                "step": np.full(n, step.step),
                "object": step.objects_P,
                "key": _vectors(step.keys_PK),
                "read": _vectors(step.reads_PK),
                "gate": step.gates_P,
                "weights": _vectors(step.weights_PS),
            }
            arrays = [pa.nulls(n) if columns[name] is None else columns[name] for name in schema.names]
            parts.append(pa.table(arrays, names=schema.names).cast(schema))
    return pa.concat_tables(parts)


def _vectors(rows_PX: np.ndarray | None) -> pa.Array | None:
    """Returns a list column from the rows of a matrix, without building Python lists."""
    if rows_PX is None:
        return None
    offsets = np.arange(len(rows_PX) + 1, dtype=np.int32) * rows_PX.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(rows_PX.reshape(-1)))
