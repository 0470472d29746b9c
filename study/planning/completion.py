"""Completion of a plan: its completed, failed and missing trials in the store, and packs that have begun."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from study.planning.packs import Pack
from study.planning.plan import PlannedTrial
from study.store.store import Store


@dataclass(frozen=True)
class Completion:
    """The trials of a plan, sorted by their state in the store."""

    completed: list[PlannedTrial]
    failed: list[PlannedTrial]
    missing: list[PlannedTrial]
    """Trials without a row, or without their curve or the keys that the study wants."""

    def todo(self, retry_failed: bool) -> list[PlannedTrial]:
        """Trials to train, in declared order; includes failed ones if `retry_failed`."""
        return [*self.missing, *(self.failed if retry_failed else [])]

    def __str__(self) -> str:
        counts = (len(self.completed), len(self.failed), len(self.missing))
        return f"{sum(counts)} trials: {counts[0]} completed, {counts[1]} failed, {counts[2]} missing"


def completion(trials: Sequence[PlannedTrial], store: Store) -> Completion:
    """Sorts a plan's trials by their state in the store; raises `StoreError` if one of their files is torn."""
    table = store.read("trials", ["trial_id", "status"], names={t.trial_id for t in trials})
    status = dict(zip(*(table[name].to_pylist() for name in ("trial_id", "status")), strict=True))
    with_curve, with_keys = store.names("curves"), store.names("keys")
    sorted_by: dict[str, list[PlannedTrial]] = {"completed": [], "failed": [], "missing": []}
    for trial in trials:
        whole = trial.trial_id in with_curve and (not trial.keys or trial.trial_id in with_keys)
        known = status.get(trial.trial_id, "missing")
        sorted_by["missing" if known == "completed" and not whole else known].append(trial)
    return Completion(**sorted_by)


def begun_packs(trials: Sequence[PlannedTrial], todo: Collection[str], store: Store) -> list[list[PlannedTrial]]:
    """Returns the packs of this plan that have a checkpoint, most advanced first; packs do not overlap.

    Args:
        trials: all trials of the plan.
        todo: ids of the trials to train. A pack is returned if it holds some of them and all its others are completed,
            as after a kill between writing the rows of its trials.
    """
    planned = {t.trial_id: t for t in trials}
    begun: list[tuple[int, Pack]] = []
    for pack_id in store.checkpoints():
        position = store.checkpoint_position(pack_id)
        if position is not None and planned.keys() >= set(position.trial_ids):
            pack = Pack(tuple(planned[trial_id] for trial_id in position.trial_ids))
            if pack.pack_id == pack_id and position.update <= pack.trials[0].config.train.updates:
                begun.append((position.update, pack))
    done = {t.trial_id for t in completion(trials, store).completed}
    packs, left = [], set(todo)
    for _, pack in sorted(begun, key=lambda one: (-one[0], one[1].pack_id)):
        ids = {t.trial_id for t in pack.trials}
        if ids & left and ids <= left | done:
            packs.append(list(pack.trials))
            left -= ids
    return packs
