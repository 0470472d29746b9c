"""Declaration of a search: a network, the settings to vary, and what to spend on it."""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ablations.declare import RESERVED
from esbn_core import counts, protocol
from esbn_core.config import PAPER, ResolvedTrial, TrialConfig
from esbn_core.errors import ConfigError, require_at_least, require_flag, require_number

FIRST_SEED = 1_000
"""Seeds of a search start here, so that those of a study are fresh when it trains what the search has found."""

REDUCTION = 3
"""Each rung of a search has this many times the updates of the one before it, the last one all of them."""

RUNGS = 2
"""Rungs before the last update of a suggestion that is trained as long as the paper's setting."""


def _is_list(value: Any) -> bool:
    """Recognises a list of one value at least."""
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 0


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One setting to vary: a number between two bounds, or one of several values.

    Attributes:
        low, high: bounds, both included; whole numbers give whole numbers.
        log: whether to search on a logarithmic scale.
        choices: the values, in place of bounds.
        when: searched only where an earlier parameter has one of these values, e.g. ``{"tcn": ["none"]}``.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: Sequence[Any] = ()
    when: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def check(self, name: str) -> None:
        """Raises `ConfigError` unless the declaration makes sense; `name` is that of the setting."""
        if self.choices != () and not _is_list(self.choices):
            raise ConfigError(f"{name}: choices={self.choices!r} must be a list of values")
        if bool(self.choices) == (self.low is not None or self.high is not None):
            raise ConfigError(f"{name} must have either low and high, or choices")
        require_flag(f"{name}: log", self.log)
        if not isinstance(self.when, Mapping) or not all(map(_is_list, self.when.values())):
            raise ConfigError(f"{name}: when={self.when!r} must map earlier parameters to lists of their values")
        if self.choices:
            if self.log or len(set(map(repr, self.choices))) < len(self.choices):
                raise ConfigError(f"{name}: choices={list(self.choices)!r} must differ, and have no log scale")
            return
        low, high = require_number(f"{name}: low", self.low), require_number(f"{name}: high", self.high)
        if not low < high:
            raise ConfigError(f"{name}: low={low} must be below high={high}")
        if self.log and low <= 0:
            raise ConfigError(f"{name}: low={low} must be above 0 for a log scale")

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The lowest and the highest value; None if there are choices instead."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    @property
    def whole(self) -> bool:
        """Whether it varies over whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def has(self, value: Any) -> bool:
        """Returns whether the value is one of those to search."""
        if self.bounds is None:
            return value in self.choices
        return isinstance(value, int | float) and self.bounds[0] <= value <= self.bounds[1]

    def __str__(self) -> str:
        if self.choices:
            return "one of " + ", ".join(map(str, self.choices))
        return f"{self.low} to {self.high}" + (" (log)" if self.log else "")


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """A search: which settings of which network to vary, at which condition, for how long.

    The objective is the validation accuracy after the last update, as a mean over seeds. Validation problems show
    training objects only (`esbn_core.tasks.build`); a search never meets a test problem.

    Attributes:
        arm: what else differs from the paper's ESBN, for all suggestions.
        parameters: what to vary, by setting as in an arm of a study.
        validation: training objects kept apart for validation; None: as many as `counts.default_validation` says.
        seeds: networks per suggestion, trained as one pack.
        suggestions: how many to try, the paper's setting first.
    """

    name: str
    question: str = ""
    task: str
    withheld: int
    arm: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Parameter]
    validation: int | None = None
    seeds: int = 2
    suggestions: int = 20

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(r"[\w-]+", self.name):
            raise ConfigError(f"name={self.name!r} must be letters, digits, _ and - only; it names files")
        for name in ("seeds", "suggestions"):
            require_at_least(name, getattr(self, name), 1)
        for name in ("arm", "parameters"):
            if not isinstance(getattr(self, name), Mapping):
                raise ConfigError(f"{name}={getattr(self, name)!r} must map settings to values")
        if not self.parameters:
            raise ConfigError("parameters is empty; a search varies at least one setting")
        if not isinstance(self.question, str):
            raise ConfigError(f"question={self.question!r} must be text")
        for name in (*self.arm, *self.parameters):
            if not isinstance(name, str):
                raise ConfigError(f"{name!r} must be the name of a setting")
            if name in RESERVED:
                raise ConfigError(f"{name} cannot be set or searched here; it belongs to the search itself")
        self.config({})  # raises for an invalid task or arm, whatever is searched
        for name, parameter in self.parameters.items():
            if name in self.arm:
                raise ConfigError(f"{name} is fixed by the arm and searched at the same time")
            parameter.check(name)
            self._check_values(name, parameter)

    def _check_values(self, name: str, parameter: Parameter) -> None:
        known = list(self.parameters)[: list(self.parameters).index(name)]
        for parent, values in parameter.when.items():
            if parent not in known:
                raise ConfigError(f"{name}: when={parent} must be a parameter declared before it")
            for value in values:
                if not self.parameters[parent].has(value):
                    raise ConfigError(f"{name}: when {parent}={value!r} never holds; it is {self.parameters[parent]}")
        parents = self._parents(name)
        for value in parameter.bounds or parameter.choices:
            try:
                self.config({**parents, name: value})
            except ConfigError as error:
                raise ConfigError(f"{name}: {value!r} cannot be searched: {error}") from None
        if not parameter.has(self._default(name, parents)):
            raise ConfigError(
                f"{name}: the paper's {self._default(name, parents)!r} is not in {parameter}; it is the first "
                "suggestion, so let it be in"
            )

    def _parents(self, name: str) -> dict[str, Any]:
        """Returns values under which this parameter is searched, of those it needs and of those that they need."""
        parents: dict[str, Any] = {}
        for parent, values in self.parameters[name].when.items():
            parents |= {**self._parents(parent), parent: values[0]}
        return parents

    def config(self, values: Mapping[str, Any], seed: int = FIRST_SEED) -> ResolvedTrial:
        """Returns the trial of a suggestion at one seed; raises `ConfigError` for values it cannot have."""
        return self._with({"validation": self.n_apart, "seed": seed, **values}).resolve()

    def _with(self, changes: Mapping[str, Any]) -> TrialConfig:
        return PAPER.with_(task=self.task, withheld=self.withheld, **{**self.arm, **changes})

    @cached_property
    def n_apart(self) -> int:
        """Training objects kept apart for validation."""
        if self.validation is not None:
            return self.validation
        return counts.default_validation(self.task, self._with({}).task.n_objects, self.withheld)

    def _default(self, name: str, parents: Mapping[str, Any]) -> Any:
        config = self.config(parents)
        if name == "epochs":
            return protocol.epochs(config.model.name, self.task, self.withheld)
        return config.flat()[name]

    def active(self, values: Mapping[str, Any], name: str) -> bool:
        """Returns whether a parameter is searched, given the values of those before it."""
        conditions = self.parameters[name].when.items()
        return all(parent in values and values[parent] in wanted for parent, wanted in conditions)

    def defaults(self) -> dict[str, Any]:
        """Returns the paper's setting, which is the first suggestion."""
        values: dict[str, Any] = {}
        for name in self.parameters:
            if self.active(values, name):
                values[name] = self._default(name, values)
        return values

    def all_seeds(self) -> range:
        """Returns the seeds of every suggestion."""
        return range(FIRST_SEED, FIRST_SEED + self.seeds)

    @cached_property
    def first_rung(self) -> int:
        """Updates after which suggestions are compared for the first time."""
        return -(-self.config(self.defaults()).train.updates // REDUCTION**RUNGS)

    def rungs(self, updates: int) -> Iterator[int]:
        """Yields numbers of updates, before the last, after which a suggestion of so many updates is validated."""
        rung = self.first_rung
        while rung < updates:
            yield rung
            rung *= REDUCTION

    def definition(self) -> dict[str, Any]:
        """Returns all that decides what a suggestion's accuracy means; JSON types only."""
        parameters = {name: dataclasses.asdict(parameter) for name, parameter in self.parameters.items()}
        return {
            "task": self.task,
            "withheld": self.withheld,
            "arm": dict(self.arm),
            "parameters": parameters,
            "validation": self.n_apart,
            "seeds": self.seeds,
        }
