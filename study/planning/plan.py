"""Plan of a study: its variants and trials. No side effects.

`esbn plan` prints and `esbn run` trains the same list.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ablations import Study
from esbn_core.config import PAPER, ResolvedTrial, TrialConfig, arm_label
from esbn_core.errors import ConfigError
from esbn_core.vocabulary import Cell
from study.planning.speeds import reference_seconds

MOST_TRIALS = 50_000
"""Largest number of trials in a plan, 14 times that of the paper."""


@dataclass(frozen=True)
class Looks:
    """Planned tests of a variant: after `seeds` networks, after 2 `seeds`, and so on."""

    number: int
    seeds: int


@dataclass(frozen=True)
class PlannedTrial:
    """One network a study asks for.

    Attributes:
        config: resolved.
        arm: its name in this study.
        keys: whether to record its keys.
        looks: looks of its variant; None: a single test.
        search: the search that found its settings; None if the study declares them.
    """

    config: ResolvedTrial
    arm: str
    keys: bool = False
    looks: Looks | None = None
    search: str | None = None

    @cached_property
    def trial_id(self) -> str:
        """Identity of the trial, the same in every study."""
        return self.config.trial_id()

    @cached_property
    def cost(self) -> float:
        """Seconds of training and test on the reference machine, to order packs and to estimate the time left."""
        return reference_seconds(self.config)

    @property
    def cell(self) -> Cell:
        """Name of its variant in the study."""
        return Cell(self.config.task.name, self.config.task.withheld, self.arm)

    def condition(self) -> str:
        """The variant in words."""
        return f"{self.config.task.name} m={self.config.task.withheld} {self.arm}"


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Part of a study to train, and how.

    Attributes:
        tasks, withheld, arms: only trials that match every filter; empty: all.
        seeds: networks per variant; None: the study's number.
        images: folder of the user's images; None: the paper's.
        limit_updates: makes every trial a rehearsal of at most this many updates.
    """

    tasks: Collection[str] = ()
    withheld: Collection[int] = ()
    arms: Collection[str] = ()
    seeds: int | None = None
    images: str | os.PathLike[str] | None = None
    limit_updates: int | None = None


@dataclass(frozen=True)
class OwnImages:
    """The properties of the user's images that a plan needs."""

    digest: str
    n_objects: int


@dataclass
class Variant:
    """A network of a study without its seed; seeds start at 0. `changes` are the changes that its arm declares."""

    config: ResolvedTrial
    arm: str
    changes: Mapping[str, Any]
    seeds: int = 0
    seeds_with_keys: int = 0
    looks: Looks | None = None
    search: str | None = None

    @property
    def cell(self) -> Cell:
        """Name in its study."""
        return Cell(self.config.task.name, self.config.task.withheld, self.arm)

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
    """Returns every trial of a study in declared order, each once; arguments and errors as for `variants`."""
    of_study = variants(study, seeds=seeds, images=images, limit_updates=limit_updates)
    return [trial for variant in of_study for trial in variant.trials()]


def variants(
    study: Study, *, seeds: int | None = None, images: OwnImages | None = None, limit_updates: int | None = None
) -> list[Variant]:
    """Returns every variant of a study in declared order, each once, with resolved settings.

    Args:
        seeds: networks per variant; None: the study's number.
        images: the user's objects; None: the paper's. They become part of every arm.
        limit_updates: makes every trial a rehearsal of at most this many updates, which becomes part of every arm.
    Raises:
        ConfigError: there are too few objects for a condition, two arms are identical at a condition, or there are too
            many trials for one plan.
    """
    own = {"images": images.digest[:16], "n_objects": images.n_objects} if images else {}
    label = ({"images": images.digest[:8]} if images else {}) | ({"rehearsal": True} if limit_updates else {})
    by_config: dict[ResolvedTrial, Variant] = {}
    for number, grid in enumerate(study.grids):
        labels = [arm_label({**arm, **label}) for arm in grid.arms]
        for task, withheld in grid.each_condition():
            plain = PAPER.with_(task=task, withheld=withheld, **own)
            for arm, name in zip(grid.arms, labels, strict=True):
                config = _resolved(plain, arm, f"grids[{number}], {name} at {task}")
                if arm and config == plain.resolve():
                    raise ConfigError(f"arm {arm_label(arm)} changes nothing at {task} m={withheld}; leave it out")
                if limit_updates:
                    config = _rehearsal(config, limit_updates)
                known = by_config.setdefault(config, Variant(config, name, arm))
                if known.arm != name:
                    raise ConfigError(f"arms {known.arm} and {name} are the same at {task} m={withheld}; leave one out")
                known.seeds = max(known.seeds, seeds or grid.seeds)
                if grid.keys:
                    known.seeds_with_keys = max(known.seeds_with_keys, seeds or grid.seeds)
    n_trials = sum(variant.seeds for variant in by_config.values())
    if n_trials > MOST_TRIALS:
        raise ConfigError(
            f"name={study.name!r} has {n_trials:,} trials in {len(by_config):,} variants; a plan has at most "
            f"{MOST_TRIALS:,}, so choose fewer seeds, or split the study"
        )
    return list(by_config.values())


def _resolved(plain: TrialConfig, arm: Mapping[str, Any], place: str) -> ResolvedTrial:
    try:
        return plain.with_(**arm).resolve()
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from None


def _rehearsal(config: ResolvedTrial, limit_updates: int) -> ResolvedTrial:
    train = replace(config.train, updates=min(config.train.updates, limit_updates))
    return replace(config, train=train, rehearsal=True)


def select(
    trials: Sequence[PlannedTrial],
    *,
    tasks: Collection[str] = (),
    withheld: Collection[int] = (),
    arms: Collection[str] = (),
) -> list[PlannedTrial]:
    """Keeps the trials that match all filters; raises `ConfigError` for a value that no trial of the study has."""
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
