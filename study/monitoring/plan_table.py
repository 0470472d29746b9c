"""The table of a plan: its variants, their state in the store, and the updates to make."""

from rich.console import Group
from rich.table import Table
from rich.text import Text

from esbn_core.vocabulary import Cell
from study.planning.completion import Completion
from study.planning.plan import PlannedTrial
from study.planning.study_plan import StudyPlan


def plan_table(plan: StudyPlan, now: Completion) -> Group:
    """Lays out a plan by variant, to be printed by rich."""
    table = Table("task", "withheld", "arm", "seeds", "completed", "failed", "missing", "updates each", box=None)
    for column in table.columns[3:]:
        column.justify = "right"
    of_variant: dict[Cell, list[PlannedTrial]] = {}
    for trial in plan.trials:
        of_variant.setdefault(trial.cell, []).append(trial)
    groups = [{t.trial_id for t in group} for group in (now.completed, now.failed, now.missing)]
    for (task, withheld, arm), trials in of_variant.items():
        counts = [sum(t.trial_id in group for t in trials) for group in groups]
        updates = f"{trials[0].config.train.updates:,}"
        table.add_row(task, str(withheld), arm, str(len(trials)), *map(str, counts), updates)
    to_make = sum(trial.config.train.updates for trial in now.missing)
    title = Text.assemble((plan.study.name, "bold"), "  ", plan.study.question, "\n")
    return Group(title, table, f"\n{now}; {to_make:,} updates to make")
