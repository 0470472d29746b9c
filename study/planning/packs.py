"""Packs: trials of one variant, trained together in one process. No side effects."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from esbn_core.config import TrialConfig
from study.planning.plan import PlannedTrial
from study.store.names import suggestion_name


@dataclass(frozen=True)
class Pack:
    """Trials of one variant, trained together in one process."""

    trials: tuple[PlannedTrial, ...]

    @cached_property
    def pack_id(self) -> str:
        """Names the pack's checkpoint: a hash of its trials in order."""
        return hashlib.sha256(" ".join(t.trial_id for t in self.trials).encode()).hexdigest()[:16]

    @property
    def cost(self) -> float:
        """Training time in the units of `PlannedTrial.cost`."""
        return sum((t.cost for t in self.trials), 0.0)

    def __str__(self) -> str:
        seeds = ", ".join(str(t.config.seed) for t in self.trials)
        return f"{self.trials[0].condition()} seed{'s' * (len(self.trials) > 1)} {seeds}"


def pack(
    wanted: Sequence[PlannedTrial],
    todo: Collection[str],
    *,
    n_slots: int,
    largest: int,
    begun: Iterable[Sequence[PlannedTrial]] = (),
) -> list[Pack]:
    """Groups the trials to train into packs, longest first, so that the run ends evenly.

    The grouping does not depend on `todo`, so a repeated run forms the same packs.

    Args:
        wanted: all trials of the run, trained or not.
        todo: ids of those to train.
        n_slots: packs that can run at once; trials are spread so that no slot stays empty.
        largest: largest number of networks in a pack.
        begun: packs that have a checkpoint; they continue unchanged.
    """
    packs = [Pack(tuple(trials)) for trials in begun]
    left = set(todo) - {t.trial_id for pack in packs for t in pack.trials}
    size = max(1, min(largest, len(wanted) // n_slots))
    variants: dict[TrialConfig, list[PlannedTrial]] = {}
    for trial in wanted:
        variants.setdefault(replace(trial.config, seed=0), []).append(trial)
    for trials in variants.values():
        for start in range(0, len(trials), size):
            missing = tuple(t for t in trials[start : start + size] if t.trial_id in left)
            packs += [Pack(missing)] if missing else []
    return sorted(packs, key=lambda pack: pack.cost, reverse=True)


@dataclass(frozen=True)
class Suggestion:
    """Values that a search tries, and the pack of networks trained with them."""

    search: str
    number: int
    values: Mapping[str, Any]
    pack: Pack
    rungs: Sequence[int]

    @property
    def name(self) -> str:
        """Names its files in the store."""
        return suggestion_name(self.search, self.number)
