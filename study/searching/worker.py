"""Training and validation of one suggestion in a worker process; independent of Ray."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from esbn_core.tasks.build import build
from esbn_core.train import PackResult, Position
from study.planning.packs import Suggestion
from study.planning.plan import PlannedTrial
from study.running.run_context import RunContext
from study.running.worker_process import circumstances, free_memory, open_run_store, train_in_store
from study.store.store import Store

Report = Callable[[dict[str, Any]], None]


class _DivergedError(Exception):
    """A network has failed at a rung, so the mean accuracy is meaningless; the message says why."""


def run_suggestion(context: RunContext, suggestion: Suggestion, report: Report) -> None:
    """Trains the pack of a suggestion, from its checkpoint if it has one, and validates it at each rung and at the end.

    The results of each rung, and the final status, are stored before they are reported.

    Args:
        report: receives progress as in `run_pack`; after each rung, `rungs`, the (update, accuracies) of all so far;
            and at the end `status`. It does not return from a rung at which the suggestion is stopped.
    """
    store = open_run_store(context)
    (row,) = store.read("suggestions", names={suggestion.name}).to_pylist()
    if row["status"] == "running":  # otherwise the last worker died after writing the row
        _train(context, store, suggestion, row, report)
    store.drop_checkpoint(suggestion.pack.pack_id)
    report({"status": row["status"]})
    free_memory(context)


def _train(context: RunContext, store: Store, suggestion: Suggestion, row: dict[str, Any], report: Report) -> None:
    """Trains a suggestion to its end, or until a network fails, and keeps its row up to date."""
    shown = [_shown(trial) for trial in suggestion.pack.trials]

    def write(at: Position | PackResult | None, **columns: Any) -> None:
        if at is not None:
            store.write("rungs", suggestion.name, _rung_rows(suggestion, at, shown))
            row.update(_measured(context, at))
        row.update(columns)
        store.write("suggestions", suggestion.name, [row])

    def on_rung(position: Position) -> None:
        if position.failures:  # `train` would continue with the other networks; only an exception stops it
            raise _DivergedError(next(iter(position.failures.values())))
        write(position)
        report({"update": position.update, "rungs": [(u, accuracies) for u, _, accuracies in position.rungs]})

    try:
        result = train_in_store(context, store, suggestion.pack, report, rungs=suggestion.rungs, on_rung=on_rung)
        failure = next((trial.failure for trial in result.trials if trial.failure), None)
    except _DivergedError as error:
        result, failure = None, str(error)
    if failure:
        write(None, status="failed", failure=failure, finished_at=datetime.now(UTC))
    else:
        write(result, status="completed", finished_at=datetime.now(UTC))


def _measured(context: RunContext, at: Position | PackResult) -> dict[str, Any]:
    """Returns the columns with a suggestion's accuracy at its last rung, and its training time."""
    update, _, accuracies = at.rungs[-1]
    return {
        "update": update,
        "accuracies": accuracies,
        "accuracy": float(np.mean(accuracies)),
        "spread": float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None,
        **circumstances(context, at.wall_seconds, at.resumed),
    }


def _shown(trial: PlannedTrial) -> dict[str, Any]:
    """Returns the columns on the objects and problems that a network is trained and validated on."""
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
