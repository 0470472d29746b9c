"""Extra seeds: a study trained look by look, with seeds added by a purchase rule."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from rich.console import Console

from ablations import Study
from esbn_core.objects import glyphs
from esbn_core.vocabulary import Cell
from study.planning.completion import Completion
from study.planning.plan import Variant
from study.planning.study_plan import StudyPlan
from study.running.resources import Resources
from study.running.run_study import run_study
from study.store.store import Store


def top_up(
    study: Study,
    variants: Sequence[Variant],
    store: Store,
    purchase: Callable[[], Mapping[Cell, int]],
    resources: Resources,
    *,
    retry_failed: bool = False,
    console: Console | None = None,
) -> Completion:
    """Trains the planned seeds of a study, then the seeds that `purchase` adds, until it adds none.

    Args:
        variants: variants of the study, with looks (`interim_looks.with_looks`).
        purchase: looks at the store and returns the new number of seeds of each variant that gets more.
    Returns:
        Completion of all trials afterwards; errors as for `run_study`.
    """
    while True:
        trials = [trial for variant in variants for trial in variant.trials()]
        plan = StudyPlan(study, trials, glyphs())
        now = run_study(plan, store, resources, retry_failed=retry_failed, console=console)
        seeds = purchase()
        if not seeds:
            return now
        variants = [replace(variant, seeds=seeds.get(variant.cell, variant.seeds)) for variant in variants]
