"""From a study to its trials, and from the trials that are missing to the packs that train them. No side effects.

What `esbn plan` prints and `esbn run` trains is the same list.
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ablations import Study
from esbn_core.config import PAPER, TrialConfig, arm_label
from esbn_core.errors import ConfigError


@dataclass(frozen=True)
class PlannedTrial:
    """One network a study asks for; `config` is resolved, `keys` says whether its memory is to be recorded."""

    config: TrialConfig
    arm: str
    keys: bool = False

    @cached_property
    def trial_id(self) -> str:
        """Identity of the trial, the same in every study."""
        return self.config.trial_id()

    @property
    def cost(self) -> int:
        """Training time in arbitrary units, good enough to order packs and to guess the time left."""
        assert self.config.train.updates is not None
        return self.config.train.updates * self.config.task.spec.n_steps

    def condition(self) -> str:
        """The variant in words."""
        return f"{self.config.task.name} m={self.config.task.withheld} {self.arm}"


@dataclass(frozen=True)
class OwnImages:
    """The user's own objects, as far as the plan needs to know them."""

    digest: str
    n_objects: int


def plan(study: Study, *, seeds: int | None = None, images: OwnImages | None = None) -> list[PlannedTrial]:
    """Every trial of a study in declared order, each once.

    Args:
        seeds: networks per variant in place of the study's own number.
        images: the user's own objects in place of the paper's; they become part of every arm.
    Raises:
        ConfigError: a condition cannot be had with these objects, or two arms are the same there.
    """
    own = {"images": images.digest[:16], "n_objects": images.n_objects} if images else {}
    label = {"images": images.digest[:8]} if images else {}
    trials: dict[str, PlannedTrial] = {}
    for grid in study.grids:
        for task, withheld in grid.each_condition():
            for arm in grid.arms:
                plain = PAPER.with_(task=task, withheld=withheld, **own)
                variant = plain.with_(**arm).resolve()
                if arm and variant == plain.resolve():
                    raise ConfigError(f"arm {arm_label(arm)} changes nothing at {task} m={withheld}; leave it out")
                for seed in range(seeds or grid.seeds):
                    trial = PlannedTrial(replace(variant, seed=seed), arm_label({**arm, **label}), grid.keys)
                    known = trials.setdefault(trial.trial_id, trial)
                    if known.arm != trial.arm:
                        raise ConfigError(f"arms {known.arm} and {trial.arm} are the same at {task} m={withheld}")
                    if grid.keys and not known.keys:
                        trials[trial.trial_id] = replace(known, keys=True)
    return list(trials.values())


def select(
    trials: Sequence[PlannedTrial],
    *,
    tasks: Collection[str] = (),
    withheld: Collection[int] = (),
    arms: Collection[str] = (),
) -> list[PlannedTrial]:
    """Keeps the trials that match every filter given; raises `ConfigError` for a value no trial of the study has."""
    for name, wanted, have in (
        ("task", tasks, {t.config.task.name: None for t in trials}),
        ("withheld", withheld, {t.config.task.withheld: None for t in trials}),
        ("arm", arms, {t.arm: None for t in trials}),
    ):
        for value in wanted:
            if value not in have:
                raise ConfigError(f"{name}={value} is not in this study; it has {', '.join(map(str, have))}")
    return [
        t
        for t in trials
        if (not tasks or t.config.task.name in tasks)
        and (not withheld or t.config.task.withheld in withheld)
        and (not arms or t.arm in arms)
    ]


@dataclass(frozen=True)
class Pack:
    """Trials of one variant that are trained together in one process."""

    trials: tuple[PlannedTrial, ...]

    @cached_property
    def pack_id(self) -> str:
        """Names the pack's checkpoint: a hash of its trials in order."""
        return hashlib.sha256(" ".join(t.trial_id for t in self.trials).encode()).hexdigest()[:16]

    @property
    def cost(self) -> int:
        """Training time in the units of `PlannedTrial.cost`."""
        return sum(t.cost for t in self.trials)

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
    """Groups the trials to train into packs, longest first so that the tail of a run is short.

    Which trials go together does not depend on `todo`, so a run that is repeated forms the same packs.

    Args:
        wanted: all trials of the run, trained or not.
        todo: ids of those to train.
        n_slots: packs that can run at once; trials are spread so that no slot stays empty.
        largest: most networks in a pack.
        begun: packs that have a checkpoint; they go on as they were.
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
