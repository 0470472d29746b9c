"""The run of a tuned study: every arm searched, then all trained as declared and at their best settings."""

from rich.console import Console

from ablations import SearchSpace
from study.planning.completion import Completion
from study.planning.plan import variants
from study.planning.study_plan import StudyPlan
from study.running.resources import Resources
from study.running.run_study import run_study
from study.searching.tuned import tune, tuned_study
from study.store.store import Store


def run_tuned(
    plan: StudyPlan,
    seeds: int | None,
    space: SearchSpace,
    store: Store,
    resources: Resources,
    *,
    retry_failed: bool,
    console: Console,
) -> list[Completion]:
    """Searches the selected variants of a study, and trains them once all searches have ended.

    Args:
        seeds: networks per variant in place of the study's number.
        space: what to vary of every variant.
    Returns:
        What the store holds of the arms as declared, and as tuned; errors are those of `tune` and `run_study`.
    """
    cells = {trial.cell for trial in plan.selected}
    chosen = [variant for variant in variants(plan.study, seeds=seeds) if variant.cell in cells]
    best = [
        trial for variant in tune(store, plan.study, chosen, space, resources, console) for trial in variant.trials()
    ]
    plans = (plan, StudyPlan(tuned_study(plan.study), best, best, plan.objects))
    return [run_study(each, store, resources, retry_failed=retry_failed, console=console) for each in plans]
