"""Optuna study of a search, in memory, rebuilt from the rows of its suggestions.

A resumed search tells a new Optuna study everything that has happened, including pruned suggestions with their rungs,
and asks for more. So it does not matter when or how the last driver ended. Tune's experiment restore is not used, and
neither are Optuna's storages, which are ahead of Tune's after a kill (`UpdateFinishedTrialError`). Ray's `OptunaSearch`
accepts finished suggestions, but only their last values, so the pruner would lose the rungs of pruned ones. Hence
Optuna's own ask and tell.
"""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from ablations import Parameter, SearchSpace
from ablations.search_space import REDUCTION

SAMPLERS = {
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True),
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "gp": lambda seed: optuna.samplers.GPSampler(seed=seed),
    "cmaes": lambda seed: optuna.samplers.CmaEsSampler(seed=seed),
}
PRUNERS = {
    "asha": lambda space: optuna.pruners.SuccessiveHalvingPruner(
        min_resource=space.first_rung, reduction_factor=REDUCTION
    ),
    "median": lambda space: optuna.pruners.MedianPruner(n_startup_trials=3),
    "none": lambda space: optuna.pruners.NopPruner(),
}
STATES = {"completed": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
"""Our final status of a suggestion -> Optuna's."""

Rungs = Sequence[tuple[int, Sequence[float]]]
"""Rungs of one suggestion: updates made before, and each network's validation accuracy (a fraction)."""


class OptunaReplay:
    """Sampler and pruner of a search with their history; suggestions are numbered in the order of `ask`."""

    def __init__(self, space: SearchSpace, sampler: str, pruner: str, seed: int):
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.study = optuna.create_study(
            direction="maximize", sampler=SAMPLERS[sampler](seed), pruner=PRUNERS[pruner](space)
        )
        self._space = space
        self._trials: list[optuna.Trial] = []

    def ask(self, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Returns the values of the next suggestion: `known`, or else chosen by the sampler.

        Contains only parameters that are active given the earlier ones.
        """
        if known is not None:
            self.study.enqueue_trial(dict(known))
        trial = self.study.ask()
        self._trials.append(trial)
        values: dict[str, Any] = {}
        for name, parameter in self._space.parameters.items():
            if self._space.active(values, name):
                values[name] = _suggest(trial, name, distribution(parameter))
        return values

    def report(self, number: int, rungs: Rungs) -> bool:
        """Takes all rungs of a suggestion so far; returns whether the pruner stops it at the last, if that is new."""
        trial, stop = self._trials[number], False
        known = self.study.get_trials(deepcopy=False)[number].intermediate_values
        for update, accuracies in rungs:
            if update not in known:
                trial.report(statistics.fmean(accuracies), update)
                stop = trial.should_prune()
        return stop

    def tell(self, row: Mapping[str, Any]) -> None:
        """Takes the row of a suggestion that has ended."""
        value = row["accuracy"] if row["status"] == "completed" else None
        self.study.tell(row["suggestion"], value, state=STATES[row["status"]])


def distribution(parameter: Parameter) -> BaseDistribution:
    """Returns Optuna's distribution for a parameter."""
    if parameter.bounds is None:
        return CategoricalDistribution(parameter.choices)
    low, high = parameter.bounds
    if parameter.whole:
        return IntDistribution(int(low), int(high), log=parameter.log)
    return FloatDistribution(low, high, log=parameter.log)


def _suggest(trial: optuna.Trial, name: str, drawn_from: BaseDistribution) -> Any:
    match drawn_from:
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
        case IntDistribution(low=low, high=high, log=log):
            return trial.suggest_int(name, low, high, log=log)
        case FloatDistribution(low=low, high=high, log=log):
            return trial.suggest_float(name, low, high, log=log)
