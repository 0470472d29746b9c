"""Declaration of a search: a network, the settings to vary, and what to spend on it."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ablations.checks import (
    require_from_1_to,
    require_list,
    require_mapping,
    require_name,
    require_settings,
    require_text,
    require_value,
    require_values,
)
from esbn_core import counts, protocol
from esbn_core.config import PAPER, ResolvedTrial, TrialConfig
from esbn_core.errors import (
    ConfigError,
    cut,
    is_number,
    require_at_least,
    require_choice,
    require_flag,
    require_number,
    shown,
    within,
)
from esbn_core.vocabulary import MOST_SEEDS, MOST_SUGGESTIONS

FIRST_SEED = 1_000
"""Seeds of a search start here, so that those of a study are fresh when it trains what the search has found."""

REDUCTION = 3
"""Each rung of a search has this many times the updates of the one before it, the last one all of them."""

RUNGS = 2
"""Rungs before the last update of a suggestion that is trained as long as the paper's setting."""


MOST_CHOICES, MOST_PARAMETERS = 100, 100


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

    def check(self) -> None:
        """Raises `ConfigError` unless the declaration makes sense."""
        if self.choices != ():
            require_list("choices", self.choices, "values")
        if bool(self.choices) == (self.low is not None or self.high is not None):
            raise ConfigError("give either low and high, or choices")
        require_flag("log", self.log)
        require_mapping("when", self.when, "earlier parameters to lists of their values")
        for parent, wanted in self.when.items():
            require_list(f"when.{parent}", wanted, f"values of {parent}")
        if self.choices:
            if len(self.choices) > MOST_CHOICES:
                raise ConfigError(f"choices has {len(self.choices):,} values; give at most {MOST_CHOICES}, or bounds")
            if len(set(map(repr, self.choices))) < len(self.choices):
                raise ConfigError(f"choices={shown(list(self.choices))} must differ")
            if self.log:
                raise ConfigError("log=True is for low and high; leave it out")
            return
        low, high = require_number("low", self.low), require_number("high", self.high)
        if not low < high:
            raise ConfigError(f"low={low} must be below high={high}")
        if self.log and low <= 0:
            raise ConfigError(f"low={low} must be above 0 for a log scale")
        require_number("high - low", high - low)

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
            return any(
                value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in self.choices
            )
        return is_number(value) and self.bounds[0] <= value <= self.bounds[1]

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
        require_name(self.name)
        require_text("question", self.question)
        require_choice("task", self.task, tuple(counts.SPECS))
        require_at_least("withheld", self.withheld, 0)
        require_at_least("validation", self.validation, 0, optional=True)
        require_from_1_to(MOST_SEEDS, "seeds", self.seeds, "networks per suggestion")
        require_from_1_to(MOST_SUGGESTIONS, "suggestions", self.suggestions, "settings to try")
        require_mapping("arm", self.arm, "settings to values, such as {tcn: none}")
        require_mapping("parameters", self.parameters, "settings to what to search")
        if not 1 <= len(self.parameters) <= MOST_PARAMETERS:
            raise ConfigError(
                f"parameters has {len(self.parameters)} settings; a search varies from 1 to {MOST_PARAMETERS}"
            )
        PAPER.with_(task=self.task, withheld=self.withheld).resolve()
        with within("arm"):
            require_settings(self.arm)
            self._with({}).resolve()
            require_values(self.arm)
        self.config({})  # raises for too many objects kept apart
        with within("parameters"):
            self._check_parameters()

    def _check_parameters(self) -> None:
        require_settings(self.parameters)
        needs: dict[str, dict[str, Any]] = {}  # values under which a parameter is searched, of all that it depends on
        for name, parameter in self.parameters.items():
            if not isinstance(parameter, Parameter):
                raise ConfigError(f"{name}={shown(parameter)} must be a Parameter")
            if name in self.arm:
                raise ConfigError(f"{name} is fixed by the arm and searched at the same time; leave one out")
            with within(name):
                parameter.check()
                needs[name] = self._needs(parameter, needs)
                self._check_values(name, parameter, needs[name])

    def _needs(self, parameter: Parameter, needs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for parent, wanted in parameter.when.items():
            if parent not in needs:
                raise ConfigError(f"when={shown(parameter.when)} must be of parameters declared before this one")
            for i, value in enumerate(wanted):
                if not self.parameters[parent].has(value):
                    ever = cut(str(self.parameters[parent]))
                    raise ConfigError(f"when.{parent}[{i}]={shown(value)} never holds; {parent} is {ever}")
            values |= {**needs[parent], parent: wanted[0]}
        return values

    def _check_values(self, name: str, parameter: Parameter, needs: Mapping[str, Any]) -> None:
        places = [f"choices[{i}]" for i in range(len(parameter.choices))] or ["low", "high"]
        for place, value in zip(places, parameter.bounds or parameter.choices, strict=True):
            try:
                self.config({**needs, name: value})
            except ConfigError as error:
                raise ConfigError(f"{place}={shown(value)} cannot be searched: {error}") from None
            require_value(place, value)
        default = self._default(name, needs)
        if not parameter.has(default):
            raise ConfigError(f"{cut(str(parameter))} must include {shown(default)}, the paper's; it is tried first")

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
