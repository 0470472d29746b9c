"""Interim looks: a study's variants with the looks and extra seeds from its stored plans."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from esbn_core.errors import ConfigError
from esbn_core.vocabulary import Cell
from study.planning.plan import Looks, PlannedTrial, Variant
from study.planning.rows import planned
from study.store.store import Store

LOOKS = 3  # by default


def with_looks(declared: Sequence[Variant], study: str, store: Store, looks: int | None) -> list[Variant]:
    """Returns the declared variants with all seeds planned so far, and with looks.

    The first look uses the seeds that were planned when the looks were; each later look adds the same number. The plans
    are in the store, so a stopped study continues with the same looks and extra seeds.

    Args:
        declared: variants of the study.
        study: its name.
        store: the store with its plans.
        looks: number of looks to plan; None: the number already planned, or else `LOOKS`.
    Raises:
        ConfigError: another number of looks is planned, or too few seeds for a first look.
        StoreError: the plans cannot be read.
    """
    columns = ["study", "task", "withheld", "arm", "seed", "rehearsal", "looks", "seeds_per_look"]
    rows = [row for row in store.read("plans", columns).to_pylist() if row["study"] == study and not row["rehearsal"]]
    numbers = {row["looks"] for row in rows if row["looks"]}
    if numbers and looks not in (None, *numbers):
        raise ConfigError(
            f"looks={looks} cannot be changed: {study} already has {min(numbers)} planned looks, and their number "
            "must not depend on their results; leave --looks out"
        )
    number = min(numbers, default=looks or LOOKS)
    with_seeds = []
    for variant in declared:
        mine = [row for row in rows if Cell(row["task"], row["withheld"], row["arm"]) == variant.cell]
        seeds = max((row["seed"] + 1 for row in mine), default=variant.seeds)
        first = max((row["seeds_per_look"] or 0 for row in mine), default=0)
        if seeds < 2:
            raise ConfigError(
                f"{variant.cell} has 1 seed planned, and a test needs 2; run {study} with --seeds 2 or more first"
            )
        with_seeds.append(replace(variant, seeds=seeds, looks=Looks(number, first or seeds)))
    return with_seeds


def planned_rows(trials: Sequence[PlannedTrial], store: Store) -> list[dict[str, Any]]:
    """Returns the columns of ``plans`` for trials, already planned or not, with their status and accuracy."""
    table = store.read("trials", ["trial_id", "status", "test_accuracy"], names={trial.trial_id for trial in trials})
    ended = {row["trial_id"]: row for row in table.to_pylist()}
    missing = {"status": "missing", "test_accuracy": None}
    return [{**planned(trial), **ended.get(trial.trial_id, missing)} for trial in trials]
