"""From a study to its trials, and from the trials that are missing to the packs that train them. No side effects.

What `esbn plan` prints and `esbn run` trains is the same list.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ablations import Study
from esbn_core.config import PAPER, TrialConfig, arm_label
from esbn_core.errors import ConfigError
from study.store.names import suggestion_name


@dataclass(frozen=True)
class Looks:
    """At how many numbers of seeds a variant may be tested: after `seeds` of them, after 2 `seeds`, and so on."""

    number: int
    seeds: int


@dataclass(frozen=True)
class PlannedTrial:
    """One network a study asks for.

    Attributes:
        config: resolved.
        arm: its name in this study.
        keys: whether its memory is to be recorded.
        looks: of its variant; None if it is to be tested once.
        search: the search that found its settings; None if the study declares them.
    """

    config: TrialConfig
    arm: str
    keys: bool = False
    looks: Looks | None = None
    search: str | None = None

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


@dataclass
class Variant:
    """A network of a study without its seed, which runs from 0 on; `changes` are what its arm declares."""

    config: TrialConfig
    arm: str
    changes: Mapping[str, Any]
    seeds: int = 0
    seeds_with_keys: int = 0
    looks: Looks | None = None
    search: str | None = None

    @property
    def cell(self) -> tuple[str, int, str]:
        """Task, m and arm, which name it in its study."""
        return self.config.task.name, self.config.task.withheld, self.arm

    def trials(self) -> list[PlannedTrial]:
        """A trial per seed."""
        return [
            PlannedTrial(
                replace(self.config, seed=seed), self.arm, seed < self.seeds_with_keys, self.looks, self.search
            )
            for seed in range(self.seeds)
        ]


def plan(
    study: Study, *, seeds: int | None = None, images: OwnImages | None = None, limit_updates: int | None = None
) -> list[PlannedTrial]:
    """Every trial of a study in declared order, each once; arguments and errors are those of `variants`."""
    found = variants(study, seeds=seeds, images=images, limit_updates=limit_updates)
    return [trial for variant in found for trial in variant.trials()]


def variants(
    study: Study, *, seeds: int | None = None, images: OwnImages | None = None, limit_updates: int | None = None
) -> list[Variant]:
    """Every variant of a study in declared order, each once, with resolved settings.

    Args:
        seeds: networks per variant in place of the study's own number.
        images: the user's own objects in place of the paper's; they become part of every arm.
        limit_updates: makes every trial a rehearsal of at most so many updates, which becomes part of every arm.
    Raises:
        ConfigError: a condition cannot be had with these objects, or two arms are the same there.
    """
    own = {"images": images.digest[:16], "n_objects": images.n_objects} if images else {}
    label = ({"images": images.digest[:8]} if images else {}) | ({"rehearsal": True} if limit_updates else {})
    found: dict[TrialConfig, Variant] = {}
    for grid in study.grids:
        labels = [arm_label({**arm, **label}) for arm in grid.arms]
        for task, withheld in grid.each_condition():
            plain = PAPER.with_(task=task, withheld=withheld, **own)
            for arm, name in zip(grid.arms, labels, strict=True):
                config = plain.with_(**arm).resolve()
                if arm and config == plain.resolve():
                    raise ConfigError(f"arm {arm_label(arm)} changes nothing at {task} m={withheld}; leave it out")
                if limit_updates:
                    config = _rehearsal(config, limit_updates)
                known = found.setdefault(config, Variant(config, name, arm))
                if known.arm != name:
                    raise ConfigError(f"arms {known.arm} and {name} are the same at {task} m={withheld}")
                known.seeds = max(known.seeds, seeds or grid.seeds)
                if grid.keys:
                    known.seeds_with_keys = max(known.seeds_with_keys, seeds or grid.seeds)
    return list(found.values())


def _rehearsal(config: TrialConfig, limit_updates: int) -> TrialConfig:
    assert config.train.updates is not None
    train = replace(config.train, updates=min(config.train.updates, limit_updates))
    return replace(config, train=train, rehearsal=True)


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


@dataclass(frozen=True)
class Suggestion:
    """Values that a search tries, and the pack of networks it tries them on."""

    search: str
    number: int
    values: Mapping[str, Any]
    pack: Pack
    rungs: Sequence[int]

    @property
    def name(self) -> str:
        """Names its files in the store."""
        return suggestion_name(self.search, self.number)
