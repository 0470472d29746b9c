"""Tuned form of a study: every arm searched alike, then planned again with the settings that did best.

The searches and the plan are rows of the store like any other, so a tuned study that was stopped goes on from them. It
is a study of its own, STUDY-tuned: the same conditions and seeds, and of each arm the best settings of its search.
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
from study.planning.plan import Variant, variants
from study.planning.study_plan import StudyPlan
from study.running.resources import Resources
from study.running.run_study import run_study
from study.searching.driver import search
from study.store.store import Store

_BUDGET = ("parameters", "seeds", "suggestions")  # what is the same for all arms


def tuned_study(study: Study) -> Study:
    """Returns the study that the tuned arms are planned in."""
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
        seeds: networks per variant in place of the study's number.
        space: what to vary of every variant.
    Returns:
        What the store holds of the arms as declared, and as tuned; errors are those of `tune` and `run_study`.
    """
    tuned = tune(store, plan.study, planned_variants(plan, seeds), space, resources, console)
    best = [trial for variant in tuned for trial in variant.trials()]
    plans = (plan, StudyPlan(tuned_study(plan.study), best, plan.objects))
    return [run_study(each, store, resources, retry_failed=retry_failed, console=console) for each in plans]


def planned_variants(plan: StudyPlan, seeds: int | None) -> list[Variant]:
    """Returns the variants whose trials a plan has, with `seeds` networks each in place of the study's number."""
    cells = {trial.cell for trial in plan.trials}
    return [variant for variant in variants(plan.study, seeds=seeds) if variant.cell in cells]


def tune(
    store: Store, study: Study, variants: Sequence[Variant], space: SearchSpace, resources: Resources, console: Console
) -> list[Variant]:
    """Searches each variant for its best setting, and returns the tuned variants once all searches have ended.

    Raises:
        ConfigError: an arm does not suit the search, was searched with another budget, or has no best setting.
        LeaseError: another driver runs one of the searches.
        StoreError: the store cannot be read or written; the same call goes on once it can.
    """
    own_spaces = spaces(variants, study.name, space)
    refuse_another_budget(store, study.name, own_spaces)
    tuned = []
    for i, (variant, own) in enumerate(zip(variants, own_spaces, strict=True), start=1):
        console.print(f"search {i} of {len(own_spaces)}: {own.name}")
        # A pruner would stop the arms that learn slowly; without one, all spend the same.
        best = search(own, store, resources, console, pruner="none").best()
        tuned.append(tuned_variant(variant, own, best))
    return tuned


def spaces(variants: Sequence[Variant], study: str, space: SearchSpace) -> list[SearchSpace]:
    """Returns the search of each variant: what `space` varies and spends, at the arm and condition of the variant.

    Raises:
        ConfigError: an arm has no such setting, or fixes it; all arms are searched alike or none is.
    """
    own_spaces = []
    for variant in variants:
        task, withheld, arm = variant.cell
        try:
            own_spaces.append(
                replace(
                    space,
                    name=f"{study}{TUNED}-{task}-{withheld}-{re.sub(r'[^a-zA-Z0-9_]+', '-', arm)}",
                    question=f"Which settings does {arm} do best with at {task}, m = {withheld}?",
                    task=task,
                    withheld=withheld,
                    arm=variant.changes,
                )
            )
        except ConfigError as error:
            raise ConfigError(
                f"search={space.name!r} cannot tune the arm {arm} at {task}, m = {withheld}: {error}; choose others "
                "with --arm, --task or --withheld, or name a search that suits all"
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
                "need the same budget, so use the same again, or another --results"
            )


def _spent(definition: Mapping[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps({name: definition[name] for name in _BUDGET}))


def tuned_variant(variant: Variant, space: SearchSpace, best: Mapping[str, Any] | None) -> Variant:
    """Returns the variant with the best settings of its search; trained already if those are its own.

    Args:
        best: row of the best suggestion; None if none was completed.
    Raises:
        ConfigError: none was.
    """
    if best is None:
        raise ConfigError(
            f"search {space.name} has no completed suggestion, so {variant.arm} has no best setting and nothing is "
            "tested; `esbn query` on the table suggestions tells why, and --arm leaves the arm out"
        )
    changes = {**variant.changes, **json.loads(best["parameters"])}
    config = PAPER.with_(task=space.task, withheld=space.withheld, **changes).resolve()
    arm = variant.arm if config == variant.config else best["arm"]
    return replace(variant, config=config, arm=arm, seeds_with_keys=0, search=space.name)
