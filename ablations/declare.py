"""Declaration of a study: a question, and grids of arms x conditions x seeds that answer it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from esbn_core.config import PAPER
from esbn_core.errors import ConfigError, require_flag

RESERVED = {"task", "withheld", "validation", "seed", "images", "n_objects", "rehearsal"}
"""Settings that no arm can have; a condition, a search or a run sets them."""


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
        if isinstance(self.seeds, bool) or not isinstance(self.seeds, int) or self.seeds < 1:
            raise ConfigError(f"seeds={self.seeds!r} must be a whole number of at least 1")
        if not _is_list(self.arms, Mapping):
            raise ConfigError(f"arms={self.arms!r} must be a list of changes; {{}} is the baseline")
        require_flag("keys", self.keys)
        listed = isinstance(self.conditions, Mapping) and all(_is_list(n, int) for n in self.conditions.values())
        if not self.conditions or not listed:
            raise ConfigError(
                f"conditions={self.conditions!r} must give each task a list of numbers of withheld objects"
            )
        for arm in self.arms:
            reserved = sorted(RESERVED & set(arm))
            if reserved:
                raise ConfigError(f"arm {dict(arm)!r} sets {', '.join(reserved)}; these belong to conditions and seeds")
            for task, withheld in self.each_condition():
                variant = PAPER.with_(task=task, withheld=withheld, **arm)
                if self.keys and variant.model.name != "esbn":
                    raise ConfigError(f"arm {dict(arm)!r} has no keys to record; leave keys out, or make it an esbn")

    def each_condition(self) -> list[tuple[str, int]]:
        """Returns (task, withheld) pairs in declared order."""
        return [(task, m) for task, numbers in self.conditions.items() for m in numbers]


def _is_list(value: object, kind: type) -> bool:
    return isinstance(value, list | tuple | range) and len(value) > 0 and all(isinstance(v, kind) for v in value)


@dataclass(frozen=True, kw_only=True)
class Study:
    """A question and the trials that answer it."""

    name: str
    question: str
    grids: Sequence[Grid]
    source: str = ""
    """Table or figure of the paper."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(r"[\w-]+", self.name):
            raise ConfigError(f"name={self.name!r} must be letters, digits, _ and - only; it names files")
        for name in ("question", "source"):
            if not isinstance(getattr(self, name), str):
                raise ConfigError(f"{name}={getattr(self, name)!r} must be text")
        if not self.grids:
            raise ConfigError("grids is empty; a study needs at least one")
