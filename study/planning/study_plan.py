"""Plan of a run: the study, the trials it selects, and the images they use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from ablations import REGISTRY, Study
from esbn_core.objects import Objects, from_folder, glyphs
from study.planning.plan import OwnImages, PlannedTrial, Selection, plan, select


@dataclass(frozen=True)
class StudyPlan:
    """Input of a run.

    Attributes:
        study: as declared.
        trials: those selected; the store keeps them as planned.
        objects: the images that all of them use.
    """

    study: Study
    trials: Sequence[PlannedTrial]
    objects: Objects


def plan_study(study: Study, selection: Selection | None = None) -> StudyPlan:
    """Plans a study; stores nothing.

    Raises:
        ConfigError: there are too few objects for a condition, a filter matches nothing, or the images cannot be read.
    """
    chosen = selection or Selection()
    objects = from_folder(chosen.images) if chosen.images else glyphs()
    own = OwnImages(objects.digest(), len(objects.names)) if chosen.images else None
    trials = plan(study, seeds=chosen.seeds, images=own, limit_updates=chosen.limit_updates)
    selected = select(trials, tasks=chosen.tasks, withheld=chosen.withheld, arms=chosen.arms)
    return StudyPlan(study, selected, objects)


@cache
def declared_arms(study: str) -> Mapping[str, str]:
    """Returns trial id -> arm of a study that is declared in this project; empty for any other study."""
    return {trial.trial_id: trial.arm for trial in plan(REGISTRY[study])} if study in REGISTRY else {}
