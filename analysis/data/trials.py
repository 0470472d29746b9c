"""Trials of a study as a frame; identifies missing, failed and duplicate trials before anything is averaged."""

import pandas as pd
import pyarrow.compute as pc

from analysis.data.results import FILE, has_rows, read
from analysis.errors import AnalysisError, choices
from esbn_core.vocabulary import Cell
from study.store.location import Place
from study.store.schema import TABLES

VARIANT = list(Cell._fields)
"""Columns that identify a variant."""


def load_study(results: Place, study: str) -> pd.DataFrame:
    """Reads one row per planned trial of a study, trained or not; rehearsals are left out.

    Args:
        results: folder or URI of the result store.
        study: name of the study; its plan is the union of all its plan files.
    Returns:
        The columns of plans (``arm`` as in this study; ``looks`` is the same for the whole study and ``seeds_per_look``
        for a variant, null if no looks are planned), then those of trials. ``status`` is completed, failed or missing.
        Rows keep the order of the plan, and so the declared order of tasks and arms.
    Raises:
        AnalysisError: the study is unknown or only rehearsed; a plan has duplicates or contradicts another.
        StoreError: the place cannot be read.
    """
    plan = _plan(results, study)
    frame = plan.merge(_trials(results, plan), on="trial_id", how="left", validate="one_to_one")
    frame["status"] = frame["status"].fillna("missing")
    return frame


def without_rehearsals(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows that are not from rehearsals."""
    return frame.loc[~frame["rehearsal"].eq(True)]  # null is False


def _plan(results: Place, study: str) -> pd.DataFrame:
    plan = read(results, "plans", [*TABLES["plans"].names, FILE], pc.field("study") == study).to_pandas()
    if plan.empty:
        there = read(results, "plans", ["study"])["study"].unique().to_pylist()
        raise AnalysisError(f"study={study!r} is not in results={str(results)!r}; {choices(study, there)}")
    plan = without_rehearsals(plan)
    if plan.empty:
        raise AnalysisError(f"study={study!r} has only been rehearsed; run it without --limit-updates for results")
    refuse_repeats(plan, [FILE, "trial_id"], "a plan has a trial twice", "delete that file and plan again")
    plan = plan.sort_values("planned_at", kind="stable").drop(columns=FILE)
    plan["keys"] = plan.groupby("trial_id")["keys"].transform("any")
    looks = sorted(int(number) for number in plan["looks"].dropna().unique())
    if len(looks) > 1:
        several = ", ".join(map(str, looks))
        raise AnalysisError(
            f"the plans of {study} have different numbers of looks: {several}; delete the outdated file"
        )
    plan["looks"] = looks[0] if looks else None
    plan["seeds_per_look"] = plan.groupby(VARIANT)["seeds_per_look"].transform("max")
    plan = plan.drop_duplicates(["trial_id", *VARIANT, "seed"], ignore_index=True)
    refuse_repeats(plan, ["trial_id"], f"the plans of {study} give one trial two arms", "delete the outdated file")
    refuse_repeats(plan, [*VARIANT, "seed"], f"{study} plans two trials for one seed", "delete the outdated plan file")
    return plan


def _trials(results: Place, plan: pd.DataFrame) -> pd.DataFrame:
    if not has_rows(results, "trials"):  # planned, but nothing has ended yet
        return pd.DataFrame({"trial_id": [], "status": [], "test_accuracy": []}, dtype=object)
    wanted = pc.field("trial_id").isin(plan["trial_id"].tolist())
    trials = read(results, "trials", rows=wanted).to_pandas()
    return trials[["trial_id", *(column for column in trials if column not in plan)]]


def refuse_repeats(frame: pd.DataFrame, columns: list[str], what: str, remedy: str) -> None:
    """Raises `AnalysisError`, with place and remedy, if two rows agree in these columns."""
    for _, row in frame.loc[frame.duplicated(columns), columns].iterrows():
        names = ", ".join(f"{column}={value}" for column, value in row.items())
        raise AnalysisError(f"{what} ({names}); {remedy}")
