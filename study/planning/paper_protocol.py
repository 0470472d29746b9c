"""Default settings of the paper's networks, taken from their resolved trials."""

import math
from typing import Any

from ablations import REGISTRY
from study.planning.plan import variants


def default_protocol() -> list[dict[str, Any]]:
    """Returns the training settings of those trials of the study `paper` that change only model and TCN.

    Returns:
        A row per task, m, model and TCN: ``task``, ``withheld``, ``model``, ``tcn``, ``n_train`` and ``n_test``
        (problems), ``learning_rate`` and ``epochs`` (passes over the training problems).
    """
    rows = []
    for variant in variants(REGISTRY["paper"]):
        if not set(variant.changes) <= {"model", "tcn"}:
            continue
        config, task, train = variant.config, variant.config.task, variant.config.train
        rows.append(
            {
                "task": task.name,
                "withheld": task.withheld,
                "model": config.model.name,
                "tcn": config.tcn,
                "n_train": task.n_train,
                "n_test": task.n_test,
                "learning_rate": train.learning_rate,
                "epochs": train.updates / math.ceil(task.n_train / train.batch_size),
            }
        )
    return rows
