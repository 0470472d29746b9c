"""Arms of a study as declared and as tuned, with the cost of tuning."""

from typing import Any, NamedTuple

import pandas as pd

from analysis.data.results import read
from analysis.data.searches import Search, load_searches
from analysis.data.trials import VARIANT, load_study, refuse_repeats
from analysis.errors import AnalysisError
from analysis.findings.accuracy import VariantAccuracy, variant_accuracies
from esbn_core.vocabulary import TUNED, Cell
from study.store.location import Place


class TunedArm(NamedTuple):
    """An arm at a condition, before and after its search. Accuracies are fractions."""

    task: str
    withheld: int
    arm: str
    default_n: int  # completed trials
    default_planned: int
    default_mean: float  # test accuracy; NaN if n = 0
    default_sem: float  # NaN if n < 2
    n: int
    planned: int
    mean: float
    sem: float
    setting: str  # the best one found by the search
    validation_accuracy: float  # of that setting, mean over the search's seeds
    suggestions: int  # number that have ended
    updates: int  # total of all their networks; up to the last rung for failed ones
    search: str

    @property
    def cell(self) -> Cell:
        """Name of the variant."""
        return Cell(self.task, self.withheld, self.arm)

    @property
    def whole(self) -> bool:
        """Whether all planned trials are completed, default and tuned."""
        return self.n == self.planned and self.default_n == self.default_planned


def tuned_arms(results: Place, study: str) -> pd.DataFrame:
    """Returns test accuracies of the tuned arms of a study, beside those of the same arms as declared.

    Args:
        results: folder or URI of the result store.
        study: name of the study.
    Returns:
        A row per tuned arm and condition, with the columns of `TunedArm`.
    Raises:
        AnalysisError: the study is unknown or was not tuned, or its searches are missing.
    """
    declared = {row.cell: row for row in variant_accuracies(load_study(results, study))}
    if f"{study}{TUNED}" not in read(results, "plans", ["study"])["study"].unique().to_pylist():
        raise AnalysisError(
            f"study={study!r} has not been tuned in results={str(results)!r}; run `esbn run {study} --tuned`"
        )
    rows = [_beside(declared[row.cell], row, spent) for row, spent in _searched(results, study)]
    return pd.DataFrame(rows)


def _searched(results: Place, study: str) -> list[tuple[VariantAccuracy, dict[str, Any]]]:
    """Returns the tuned variants under the names of their original arms, and the results of their searches."""
    frame = load_study(results, f"{study}{TUNED}")
    searches = load_searches(results, frame["search"].unique().tolist())
    frame["arm"] = frame["search"].map(lambda name: searches[name].about["arm"])
    stale = f"{study}{TUNED} plans two settings of one arm for one seed"
    refuse_repeats(frame, [*VARIANT, "seed"], stale, "delete the outdated plan file")
    search_of = dict(zip(zip(*(frame[column] for column in VARIANT), strict=True), frame["search"], strict=True))
    return [(row, _spent(searches[search_of[row.cell]])) for row in variant_accuracies(frame)]


def _spent(search: Search) -> dict[str, Any]:
    """Returns the last columns of `TunedArm`: the result and the cost of a search."""
    ended = search.suggestions.loc[search.suggestions["status"] != "running"]
    trained = ended.loc[ended["same_as"].isna()]
    completed = ended.loc[ended["status"] == "completed"]
    best = completed.loc[completed["accuracy"].idxmax()]  # the first of equals
    values = best["values"].items()
    return {
        "setting": ", ".join(f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in values),
        "validation_accuracy": float(best["accuracy"]),
        "suggestions": len(ended),
        "updates": int((trained["update"].fillna(0) * trained["seeds"].map(len)).sum()),
        "search": search.about["search"],
    }


def _beside(declared: VariantAccuracy, row: VariantAccuracy, spent: dict[str, Any]) -> TunedArm:
    before = (declared.n, declared.planned, declared.mean, declared.sem)
    return TunedArm(*row.cell, *before, row.n, row.planned, row.mean, row.sem, **spent)
