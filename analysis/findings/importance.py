"""Importance of each parameter of a search for accuracy, with intervals from resampled suggestions."""

import json
import warnings
from collections.abc import Callable

import numpy as np
import optuna
import pandas as pd
from optuna.importance import BaseImportanceEvaluator, FanovaImportanceEvaluator, PedAnovaImportanceEvaluator

from analysis.data.searches import Search, as_optuna, measured
from analysis.errors import AnalysisError

RESAMPLES = 50
EVALUATORS: dict[str, Callable[[], BaseImportanceEvaluator]] = {
    "fanova": lambda: FanovaImportanceEvaluator(n_trees=32, seed=0),
    "ped_anova": PedAnovaImportanceEvaluator,
}


def importances(search: Search, evaluator: str = "fanova", update: int | None = None) -> pd.DataFrame:
    """Returns the importance of each parameter, normalised to a sum of 1.

    Args:
        search: a search with at least 2 validated suggestions.
        evaluator: one of `EVALUATORS`.
        update: compare accuracies at this rung; None: the last one of each suggestion.
    Returns:
        A row per parameter, most important first: parameter, importance, low and high (95 % percentile interval over
        `RESAMPLES` bootstrap samples of the suggestions), n (suggestions that have it). The numbers are NaN for a
        parameter that is active in only some suggestions.
    Raises:
        AnalysisError: all accuracies are the same, no parameter varies in all suggestions, or the evaluator is unknown.
    """
    if evaluator not in EVALUATORS:
        raise AnalysisError(f"evaluator={evaluator!r} is unknown; choose one of {', '.join(EVALUATORS)}")
    frame = measured(search, update)
    if len(set(frame["score"])) == 1:
        raise AnalysisError(
            f"all {len(frame)} suggestions have accuracy {frame['score'].iloc[0]:.3f}, so no parameter mattered; "
            "compare them at an earlier rung with --update"
        )
    everywhere = [name for name in search.distributions if all(name in values for values in frame["values"])]
    if not _tells(frame, everywhere):
        raise AnalysisError("no parameter is active and varies in all suggestions, so importances cannot be measured")
    draws = np.random.default_rng(0)
    samples = [frame.iloc[draws.integers(len(frame), size=len(frame))] for _ in range(RESAMPLES)]
    shares = _importances(search, frame, evaluator, everywhere)
    resampled = pd.DataFrame(
        [_importances(search, sample, evaluator, everywhere) for sample in samples if _tells(sample, everywhere)],
        columns=everywhere,
    )
    rows = [
        {
            "parameter": name,
            "importance": shares.get(name, np.nan),
            "low": resampled[name].quantile(0.025) if name in shares else np.nan,
            "high": resampled[name].quantile(0.975) if name in shares else np.nan,
            "n": sum(name in values for values in frame["values"]),
        }
        for name in search.distributions
    ]
    return pd.DataFrame(rows).sort_values("importance", ascending=False, kind="stable", ignore_index=True)


def _tells(frame: pd.DataFrame, parameters: list[str]) -> bool:
    """Returns whether suggestions differ both in accuracy and in the parameters they all have."""
    settings = {json.dumps([values[name] for name in parameters]) for values in frame["values"]}
    return len(set(frame["score"])) > 1 and len(settings) > 1


def _importances(search: Search, frame: pd.DataFrame, evaluator: str, parameters: list[str]) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = as_optuna(search, frame)
        return optuna.importance.get_param_importances(study, evaluator=EVALUATORS[evaluator](), params=parameters)
