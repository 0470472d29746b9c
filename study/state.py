"""What the store says about a plan: which trials are done, which failed, which packs have begun."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from study.plan import PlannedTrial
from study.store import Store


@dataclass(frozen=True)
class State:
    """A plan, sorted by what the store holds of it."""

    completed: list[PlannedTrial]
    failed: list[PlannedTrial]
    missing: list[PlannedTrial]
    """Not there, or there without the keys the study wants."""


def state(trials: Sequence[PlannedTrial], store: Store) -> State:
    """Looks a plan's trials up in the store; raises `StoreError` where a file of theirs is not whole."""
    table = store.read("trials", ["trial_id", "status"], names={t.trial_id for t in trials})
    status = dict(zip(*(table[name].to_pylist() for name in ("trial_id", "status")), strict=True))
    with_keys = store.names("keys")
    sorted_by: dict[str, list[PlannedTrial]] = {"completed": [], "failed": [], "missing": []}
    for trial in trials:
        known = status.get(trial.trial_id, "missing")
        if known == "completed" and trial.keys and trial.trial_id not in with_keys:
            known = "missing"
        sorted_by[known].append(trial)
    return State(**sorted_by)


def begun(trials: Sequence[PlannedTrial], todo: Collection[str], store: Store) -> list[list[PlannedTrial]]:
    """The packs of this plan that have a checkpoint and a trial still to train, each in its own order."""
    planned = {t.trial_id: t for t in trials}
    packs = []
    for pack_id in sorted(store.checkpoints()):
        ids = json.loads(store.checkpoint_metadata(pack_id)["position"])["trial_ids"]
        if set(todo) & set(ids) and set(ids) <= set(planned):
            packs.append([planned[trial_id] for trial_id in ids])
    return packs
