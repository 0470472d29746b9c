"""Declaration of a study: a question, and grids of arms x conditions x seeds that answer it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablations.checks import (
    require_from_1_to,
    require_list,
    require_mapping,
    require_name,
    require_settings,
    require_text,
    require_values,
)
from esbn_core.config import PAPER
from esbn_core.counts import SPECS
from esbn_core.errors import ConfigError, require_at_least, require_choice, require_flag, shown, within
from esbn_core.vocabulary import MOST_SEEDS

MOST_VARIANTS = 5_000
"""Of a study; 14 times those of the paper."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Every arm at every condition, on the same seeds, so that arms are paired.

    Attributes:
        arms: what each arm changes in the paper's ESBN, by setting; ``{}`` is the baseline. Settings an arm does not
            name follow the paper's protocol for the condition (epochs, learning rate, problem sets).
        conditions: task -> numbers of withheld objects m.
        seeds: networks per variant; the seeds are 0 .. seeds - 1.
        keys: whether to record what the trained networks write to and read from memory.
    """

    arms: Sequence[Mapping[str, Any]]
    conditions: Mapping[str, Sequence[int]]
    seeds: int = 10
    keys: bool = False

    def __post_init__(self) -> None:
        require_from_1_to(MOST_SEEDS, "seeds", self.seeds, "networks per variant, whose seeds are 0, 1, 2 and so on")
        require_flag("keys", self.keys)
        require_list("arms", self.arms, "changes, such as [{}, {encoder: mlp}]; {} is the baseline")
        for i, arm in enumerate(self.arms):
            require_mapping(f"arms[{i}]", arm, "settings to values, such as {encoder: mlp}; {} is the baseline")
            with within(f"arms[{i}]"):
                require_settings(arm)
        require_mapping("conditions", self.conditions, "tasks to lists of numbers of withheld objects")
        if not self.conditions:
            raise ConfigError("conditions={} must give at least one task a list of numbers of withheld objects")
        for task, numbers in self.conditions.items():
            with within("conditions"):
                require_choice("task", task, tuple(SPECS))
                require_list(task, numbers, "numbers of withheld objects, such as [95]")
                for i, withheld in enumerate(numbers):
                    require_at_least(f"{task}[{i}]", withheld, 0)

    def check_arms(self) -> None:
        """Raises `ConfigError` for a setting that a model does not have, or a value that it refuses."""
        for i, arm in enumerate(self.arms):
            with within(f"arms[{i}]"):
                for task, withheld in self.each_condition():
                    variant = PAPER.with_(task=task, withheld=withheld, **arm)
                    if self.keys and variant.model.name != "esbn":
                        raise ConfigError(
                            f"model={variant.model.name!r} has no keys to record; leave keys out of this grid"
                        )
                require_values(arm)

    def each_condition(self) -> list[tuple[str, int]]:
        """Returns (task, withheld) pairs in declared order."""
        return [(task, m) for task, numbers in self.conditions.items() for m in numbers]


@dataclass(frozen=True, kw_only=True)
class Study:
    """A question and the trials that answer it."""

    name: str
    question: str
    grids: Sequence[Grid]
    source: str = ""
    """Table or figure of the paper."""

    def __post_init__(self) -> None:
        require_name(self.name)
        require_text("question", self.question)
        require_text("source", self.source)
        require_list("grids", self.grids, "grids")
        n_variants = 0
        for i, grid in enumerate(self.grids):
            if not isinstance(grid, Grid):
                raise ConfigError(f"grids[{i}]={shown(grid)} must be a Grid")
            n_variants += len(grid.arms) * sum(map(len, grid.conditions.values()))
        if n_variants > MOST_VARIANTS:
            raise ConfigError(
                f"grids: arms times conditions make {n_variants:,} variants; a study has at most {MOST_VARIANTS:,}, "
                "so split it"
            )
        for i, grid in enumerate(self.grids):
            with within(f"grids[{i}]"):
                grid.check_arms()
