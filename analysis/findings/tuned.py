"""The arms of a study as declared and as tuned, side by side, with what tuning has spent."""

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.data.results import read
from analysis.data.searches import Search, load_searches
from analysis.data.trials import VARIANT, load_study, refuse_repeats
from analysis.errors import AnalysisError
from analysis.findings.accuracy import Variant, variants
from analysis.tables.accuracy import percent
from analysis.tables.grid import Grid, render
from esbn_core.vocabulary import TUNED

_HEADER = (
    "task",
    "m",
    "arm",
    "n",
    "default (%)",
    "n",
    "tuned (%)",
    "best setting",
    "suggestions",
    "updates",
    "valid. (%)",
)
_RIGHT = (False, True, False, True, True, True, True, False, True, True, True)


class Tuned(NamedTuple):
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
    setting: str  # the best one that the search has found
    validation_accuracy: float  # of that, mean over the search's seeds
    suggestions: int  # that have ended
    updates: int  # made for them, by all networks together; up to the last rung of those that failed
    search: str

    @property
    def whole(self) -> bool:
        """Whether all planned trials of both forms are completed."""
        return self.n == self.planned and self.default_n == self.default_planned


def table(results: str, study: str) -> pd.DataFrame:
    """Test accuracies of the tuned arms of a study beside those of the same arms as declared.

    Args:
        results: folder or URI the study was run into with ``--tuned``.
        study: name of the study.
    Returns:
        A row per arm and condition that was tuned, with the columns of `Tuned`.
    Raises:
        AnalysisError: the study is unknown or was not tuned; its searches are not there; a file is torn.
    """
    default = {row[:3]: row for row in variants(load_study(results, study))}
    if f"{study}{TUNED}" not in read(results, "plans", ["study"])["study"].unique().to_pylist():
        raise AnalysisError(f"study={study!r} is not tuned in results={results!r}; `esbn run {study} --tuned` does it")
    return pd.DataFrame([_tuned(default[row[:3]], row, about) for row, about in _searched(results, study)])


def _searched(results: str, study: str) -> list[tuple[Variant, dict[str, Any]]]:
    """The tuned variants under the names of the arms they come from, and what is known of their searches."""
    frame = load_study(results, f"{study}{TUNED}")
    about = {name: _about(search) for name, search in load_searches(results, frame["search"].unique().tolist()).items()}
    frame["arm"] = frame["search"].map(lambda name: about[name]["arm"])
    stale = f"{study}{TUNED} plans two settings of one arm in one place"
    refuse_repeats(frame, [*VARIANT, "seed"], stale, "delete the plan file that is out of date")
    places = zip(*(frame[column].tolist() for column in (*VARIANT, "search")), strict=True)
    search_of = {place[:3]: place[3] for place in places}
    return [(row, about[search_of[row[:3]]]) for row in variants(frame)]


def _about(search: Search) -> dict[str, Any]:
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
        "arm": search.about["arm"],
    }


def _tuned(default: Variant, row: Variant, about: dict[str, Any]) -> Tuned:
    before = (default.n, default.planned, default.mean, default.sem)
    found = {name: value for name, value in about.items() if name != "arm"}
    return Tuned(*row[:3], *before, row.n, row.planned, row.mean, row.sem, **found)


def _rows(frame: pd.DataFrame) -> list[Tuned]:
    return [Tuned(*row) for row in zip(*(frame[column] for column in Tuned._fields), strict=True)]


def orders(frame: pd.DataFrame) -> list[str]:
    """A sentence per condition: its arms by mean, default and tuned, and whether a pair has changed places; by the
    means alone, without a test."""
    said = []
    for _, of_condition in frame.groupby(["task", "withheld"], sort=False):
        rows = _rows(of_condition)
        if len(rows) < 2:
            continue
        # equal means of the same accuracies can differ in their last digit
        default, tuned = ({row.arm: round(getattr(row, name), 9) for row in rows} for name in ("default_mean", "mean"))
        moved = [
            f"{a} and {b}"
            for a, b in itertools.combinations(default, 2)
            if np.sign(default[a] - default[b]) != np.sign(tuned[a] - tuned[b])
        ]
        if not all(row.whole for row in rows):
            verdict = "not known before all trials are completed"
        else:
            verdict = f"changed ({'; '.join(moved)})" if moved else "not changed"
        place = f"{rows[0].task}, m = {rows[0].withheld}"
        said.append(f"Order of arms at {place}: default {_order(default)}; tuned {_order(tuned)}: {verdict}.")
    return said


def _order(means: dict[str, float]) -> str:
    """Arms from the best on, equal ones with = between them."""
    known = {arm: mean for arm, mean in means.items() if not math.isnan(mean)}
    ranked = sorted(known, key=lambda arm: -known[arm])
    words = [(" = " if known[a] == known[b] else " > ") + b for a, b in itertools.pairwise(ranked)]
    return "".join(ranked[:1] + words) or "nothing trained"


def report(results: str, study: str, format: str) -> str:
    """`table` in percent, with what it spent, what is incomplete and whether the order of arms has changed.

    Args:
        results: folder or URI the study was run into with ``--tuned``.
        study: name of the study.
        format: text, markdown, latex, html or csv (the rows of `table`).
    Raises:
        AnalysisError: as `table`; or the format is none of these.
    """
    frame = table(results, study)
    rows = _rows(frame)
    notes = [
        "±: standard error of the mean over seeds (sample standard deviation, ddof 1, over √n); n: completed/planned"
        " trials. Each arm was searched on validation problems with other seeds, and its best setting was tested once,"
        " after all searches of that run. suggestions: tried; updates: made for these, by all"
        " their networks together; valid.: validation accuracy of the best setting, mean over the search's seeds, and"
        " the highest of so many, hence optimistic.",
        *_lacking(rows),
        *orders(frame),
    ]
    return render([Grid(_HEADER, [_cells(row) for row in rows], _RIGHT)], notes, [frame], format)


def _cells(row: Tuned) -> list[str]:
    return [
        row.task,
        str(row.withheld),
        row.arm,
        f"{row.default_n}/{row.default_planned}",
        percent(row.default_mean, row.default_sem),
        f"{row.n}/{row.planned}",
        percent(row.mean, row.sem),
        row.setting,
        str(row.suggestions),
        f"{row.updates:,}",
        f"{100 * row.validation_accuracy:.1f}",
    ]


def _lacking(rows: list[Tuned]) -> list[str]:
    return [f"Incomplete: {row.task}, m = {row.withheld}, {row.arm}." for row in rows if not row.whole]
