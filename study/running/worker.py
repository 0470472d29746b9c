"""Trains one pack and writes its rows; runs in a worker process and knows nothing of Ray."""

import functools
import hashlib
import multiprocessing
import os
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from esbn_core.checkpoint import CheckpointError
from esbn_core.keys import record_keys
from esbn_core.leaks import measure_leak
from esbn_core.tasks.build import build
from esbn_core.tasks.problems import ProblemSets
from esbn_core.train import PackResult, Position, TrialResult, train
from study.planning import rows
from study.planning.completion import state
from study.planning.plan import Pack, PlannedTrial, Suggestion
from study.running.run_context import MEMORY_SETTINGS, Job, private, shares
from study.store.errors import StoreError
from study.store.schema import TABLES
from study.store.store import Store

REPORT_SECONDS = 1.0


def fresh_process() -> ProcessPoolExecutor:
    """A process like a worker's, to measure in: what is in `MEMORY_SETTINGS` is read when a process starts."""
    os.environ.update(MEMORY_SETTINGS)
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def run_pack(job: Job, pack: Pack, report: Callable[[dict[str, Any]], None]) -> None:
    """Trains a pack, from its checkpoint if it has one, and writes curves, keys and at last the trials themselves.

    Args:
        report: takes progress about once a second: `update`, `accuracy` (training, one per trial), and at the end
            `test_accuracy` and `failed`.
    """
    store, started_at = _begin(job), datetime.now(UTC)
    done = {trial.trial_id for trial in state(pack.trials, store).completed}
    if len(done) == len(pack.trials):  # a worker that was thought to be lost has come to their end after all
        store.drop_checkpoint(pack.pack_id)
        written = store.read("trials", ["trial_id", "test_accuracy"], done).to_pylist()
        accuracy = {row["trial_id"]: row["test_accuracy"] for row in written}
        report(_last(pack, [accuracy[trial.trial_id] for trial in pack.trials], [None] * len(done)))
        return
    result = _train(job, store, pack, report)
    shared = {
        "pack_size": len(pack.trials),
        "started_at": started_at,
        **_circumstances(job, result.wall_seconds, result.resumed),
    }
    for trial, outcome in zip(pack.trials, result.trials, strict=True):
        if trial.trial_id not in done:
            _write(store, trial, outcome, job.objects.scale(), shared)
    store.drop_checkpoint(pack.pack_id)
    report(_last(pack, [t.test_accuracy for t in result.trials], [t.failure for t in result.trials]))
    _free(job)


class _DivergedError(Exception):
    """A network of a suggestion has failed, so its mean accuracy means nothing; the message says why."""


def run_suggestion(job: Job, suggestion: Suggestion, report: Callable[[dict[str, Any]], None]) -> None:
    """Trains the pack of a suggestion, from its checkpoint if it has one, and validates it at each rung and at last.

    What a rung came to is in the store before it is reported, and so is how the suggestion ended.

    Args:
        report: takes progress as in `run_pack`, `rungs` after each rung: (update, accuracies) of all so far, and at
            the end `status`. It does not return from a rung at which the suggestion is to be stopped.
    """
    store = _begin(job)
    (row,) = store.read("suggestions", names={suggestion.name}).to_pylist()
    if row["status"] == "running":  # else the last worker died after it had written the row
        _climb(job, store, suggestion, row, report)
    store.drop_checkpoint(suggestion.pack.pack_id)
    report({"status": row["status"]})
    _free(job)


def _climb(
    job: Job, store: Store, suggestion: Suggestion, row: dict[str, Any], report: Callable[[dict[str, Any]], None]
) -> None:
    """Trains a suggestion to its end, or to a network that fails, and keeps its row up to date."""
    shown = [_shown(trial) for trial in suggestion.pack.trials]

    def put(at: Position | PackResult | None, **columns: Any) -> None:
        if at is not None:
            store.write("rungs", suggestion.name, _rung_rows(suggestion, at, shown))
            row.update(_measured(job, at))
        row.update(columns)
        store.write("suggestions", suggestion.name, [row])

    def on_rung(position: Position) -> None:
        if position.failures:
            raise _DivergedError(next(iter(position.failures.values())))
        put(position)
        report({"update": position.update, "rungs": [(u, accuracies) for u, _, accuracies in position.rungs]})

    try:
        result = _train(job, store, suggestion.pack, report, rungs=suggestion.rungs, on_rung=on_rung)
        failure = next((trial.failure for trial in result.trials if trial.failure), None)
        if failure:
            raise _DivergedError(failure)
        put(result, status="completed", finished_at=datetime.now(UTC))
    except _DivergedError as error:
        put(None, status="failed", failure=str(error), finished_at=datetime.now(UTC))


def _measured(job: Job, at: Position | PackResult) -> dict[str, Any]:
    """Columns of a suggestion that say how good it is at its last rung, and what that took."""
    update, _, accuracies = at.rungs[-1]
    return {
        "update": update,
        "accuracies": accuracies,
        "accuracy": float(np.mean(accuracies)),
        "spread": float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None,
        **_circumstances(job, at.wall_seconds, at.resumed),
    }


def _shown(trial: PlannedTrial) -> dict[str, Any]:
    """Columns that say what a network of a suggestion is trained and validated on."""
    sets = build(trial.config.task, trial.config.seed)
    return {
        "n_train": len(sets.train.targets_P),
        "n_validation": len(sets.test.targets_P),
        "withheld_objects": sorted(sets.withheld.tolist()),
        "train_objects": np.unique(sets.train.indices_PT).tolist(),
        "validation_objects": np.unique(sets.test.indices_PT).tolist(),
    }


def _rung_rows(
    suggestion: Suggestion, at: Position | PackResult, shown: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    return [
        {
            "search": suggestion.search,
            "suggestion": suggestion.number,
            "trial_id": trial.trial_id,
            "seed": trial.config.seed,
            "update": update,
            "loss": losses[k],
            "accuracy": accuracies[k],
            **shown[k],
        }
        for update, losses, accuracies in at.rungs
        for k, trial in enumerate(suggestion.pack.trials)
    ]


def _begin(job: Job) -> Store:
    """Sets the process up for a pack, and opens the store; raises `StoreError` if it is not that of the run."""
    torch.set_num_threads(job.threads)
    torch.backends.cudnn.allow_tf32 = False  # its rounding is 1,000 times coarser, and two-step windows enlarge it
    store = Store(job.results)
    if not shares(store, job.lease):
        raise StoreError(private(job.results, socket.gethostname()))
    return store


def _train(job: Job, store: Store, pack: Pack, report: Callable[[dict[str, Any]], None], **rungs: Any) -> PackResult:
    """Trains a pack with checkpoints in the store, and reports progress."""
    reported = 0.0

    def on_progress(position: Position) -> None:
        nonlocal reported
        if time.monotonic() - reported > REPORT_SECONDS:
            reported = time.monotonic()
            report({"update": position.update, "accuracy": position.curve[-1][2]})

    train_pack = functools.partial(
        train,
        [trial.config for trial in pack.trials],
        job.objects.scale(),
        device=job.device,
        save=lambda data: store.save_checkpoint(pack.pack_id, data),
        save_seconds=job.checkpoint_seconds,
        on_progress=on_progress,
        **rungs,
    )
    try:
        return train_pack(resume=store.load_checkpoint(pack.pack_id))
    except CheckpointError:  # torn, or of other code: its updates are lost, the trials are not
        return train_pack()


def _circumstances(job: Job, wall_seconds: float, resumed: int) -> dict[str, Any]:
    """Columns that say where and how long a pack was trained."""
    return {
        "wall_seconds": wall_seconds,
        "resumed": resumed,
        "device": torch.cuda.get_device_name() if job.device == "cuda" else "cpu",
        "host": socket.gethostname(),
        "worker": f"{socket.gethostname()}:{os.getpid()}",
        **job.shared(),
    }


def _free(job: Job) -> None:
    if job.device == "cuda":
        torch.cuda.empty_cache()  # the process trains other packs after this one


def _last(pack: Pack, accuracies: list[float | None], failures: list[str | None]) -> dict[str, Any]:
    return {"update": pack.trials[0].config.train.updates, "test_accuracy": accuracies, "failed": failures}


def _write(store: Store, trial: PlannedTrial, trained: TrialResult, images: np.ndarray, shared: dict[str, Any]) -> None:
    """Writes all a trial has; its row in `trials` comes last, since it is what says that the trial is done."""
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
    """The columns that prove what a network was trained and tested on, found in the problems themselves."""
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
    """A list column from the rows of a matrix, without a Python list."""
    if rows_PX is None:
        return None
    offsets = np.arange(len(rows_PX) + 1, dtype=np.int32) * rows_PX.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(rows_PX.reshape(-1)))
