"""Tuned form of a study: the same search for each arm, then a plan with each arm's best settings.

Searches and plan are ordinary rows of the store, so a stopped tuned study continues from them. It is a separate study,
STUDY-tuned, with the same conditions and seeds, and each arm at the best settings of its search.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console

from ablations import SearchSpace, Study
from esbn_core.config import PAPER
from esbn_core.errors import ConfigError
from esbn_core.vocabulary import TUNED
from study.planning.completion import Completion
from study.planning.plan import PlannedTrial, Variant, variants
from study.planning.study_plan import StudyPlan
from study.running.resources import Resources
from study.running.run_study import run_study
from study.searching.driver import search
from study.searching.suggestions import best_stored
from study.store.store import Store

_BUDGET = ("parameters", "seeds", "suggestions")  # the same for all arms


def tuned_study(study: Study) -> Study:
    """Returns the study that holds the tuned arms."""
    return replace(study, name=f"{study.name}{TUNED}", question=f"{study.question} Every arm at its best setting.")


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
    """Searches the planned variants of a study, and trains them once all searches have ended.

    Args:
        seeds: networks per variant; None: the study's number.
        space: the settings to vary for each variant.
    Returns:
        Completion of the arms as declared and as tuned; errors as for `tune` and `run_study`.
    """
    tuned = tune(store, plan.study, planned_variants(plan, seeds), space, resources, console)
    best = [trial for variant in tuned for trial in variant.trials()]
    plans = (plan, StudyPlan(tuned_study(plan.study), best, plan.objects))
    return [run_study(each, store, resources, retry_failed=retry_failed, console=console) for each in plans]


def tuned_trials(plan: StudyPlan, seeds: int | None, space: SearchSpace, store: Store) -> list[PlannedTrial]:
    """Returns the trials of the tuned arms, once all searches have ended; errors are those of `tune`."""
    of_study = planned_variants(plan, seeds)
    own_spaces = spaces(of_study, plan.study.name, space)
    return [
        trial
        for variant, own in zip(of_study, own_spaces, strict=True)
        for trial in tuned_variant(variant, own, best_stored(own, store)).trials()
    ]


def planned_variants(plan: StudyPlan, seeds: int | None) -> list[Variant]:
    """Returns the variants whose trials a plan has, with `seeds` networks each in place of the study's number."""
    cells = {trial.cell for trial in plan.trials}
    return [variant for variant in variants(plan.study, seeds=seeds) if variant.cell in cells]


def tune(
    store: Store, study: Study, variants: Sequence[Variant], space: SearchSpace, resources: Resources, console: Console
) -> list[Variant]:
    """Searches the best settings of each variant, and returns the tuned variants once all searches have ended.

    Raises:
        ConfigError: an arm does not fit the search, was searched with another budget, or has no best setting.
        LeaseError: another driver runs one of the searches.
        StoreError: the store cannot be read or written; repeating the call continues once it can.
    """
    own_spaces = spaces(variants, study.name, space)
    refuse_another_budget(store, study.name, own_spaces)
    tuned = []
    for i, (variant, own) in enumerate(zip(variants, own_spaces, strict=True), start=1):
        console.print(f"search {i} of {len(own_spaces)}: {own.name}")
        # A pruner would stop arms that learn slowly; without one, all arms get the same budget.
        best = search(own, store, resources, console, pruner="none").best()
        tuned.append(tuned_variant(variant, own, best))
    return tuned


def spaces(variants: Sequence[Variant], study: str, space: SearchSpace) -> list[SearchSpace]:
    """Returns the search of each variant: parameters and budget of `space`, at the variant's arm and condition.

    Raises:
        ConfigError: an arm lacks one of the settings or fixes it; either all arms get the same search, or none.
    """
    own_spaces = []
    for variant in variants:
        task, withheld, arm = variant.cell
        try:
            own_spaces.append(
                replace(
                    space,
                    name=f"{study}{TUNED}-{task}-{withheld}-{re.sub(r'[^a-zA-Z0-9_]+', '-', arm)}",
                    question=f"Which settings are best for {arm} at {task}, m = {withheld}?",
                    task=task,
                    withheld=withheld,
                    arm=variant.changes,
                )
            )
        except ConfigError as error:
            raise ConfigError(
                f"search={space.name!r} cannot tune the arm {arm} at {task}, m = {withheld}: {error}; select others "
                "with --arm, --task or --withheld, or name a search that fits all"
            ) from None
    return own_spaces


def refuse_another_budget(store: Store, study: str, wanted: Sequence[SearchSpace]) -> None:
    """Raises `ConfigError` if arms of this study were searched with other parameters, seeds or suggestions, or with
    other validation at the same condition."""
    now = _spent({**wanted[0].definition(), "suggestions": wanted[0].suggestions})
    apart = {(space.task, space.withheld): space.n_apart for space in wanted}
    for row in store.read("searches", ["search", "definition", "suggestions"]).to_pylist():
        if not row["search"].startswith(f"{study}{TUNED}-"):
            continue
        definition = json.loads(row["definition"])
        before = _spent({**definition, "suggestions": row["suggestions"]})
        changed = [name for name in _BUDGET if before[name] != now[name]]
        condition, validation = (definition["task"], definition["withheld"]), definition["validation"]
        if apart.get(condition, validation) != validation:
            changed.append("validation")
        if changed:
            raise ConfigError(
                f"{study} has been tuned with other {', '.join(changed)} in {store.uri} ({row['search']}); all arms "
                "need the same budget, so repeat it, or use another --results"
            )


def _spent(definition: Mapping[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps({name: definition[name] for name in _BUDGET}))


def tuned_variant(variant: Variant, space: SearchSpace, best: Mapping[str, Any] | None) -> Variant:
    """Returns the variant with the best settings of its search; if these are its own, it is trained already.

    Args:
        best: row of the best suggestion; None if no suggestion was completed.
    Raises:
        ConfigError: no suggestion was completed.
    """
    if best is None:
        raise ConfigError(
            f"search {space.name} has no completed suggestion, so {variant.arm} has no best setting and nothing is "
            "tested; `esbn query` on the table suggestions shows why; use --arm to leave this arm out"
        )
    changes = {**variant.changes, **json.loads(best["parameters"])}
    config = PAPER.with_(task=space.task, withheld=space.withheld, **changes).resolve()
    arm = variant.arm if config == variant.config else best["arm"]
    return replace(variant, config=config, arm=arm, seeds_with_keys=0, search=space.name)
