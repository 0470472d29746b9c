"""Commands that plan, train and watch studies."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
from rich.text import Text

from esbn_core.vocabulary import MOST_SUGGESTIONS, Cell, plain_arm
from study.cli.consent import YES, consent
from study.cli.console import console
from study.cli.options import (
    ALPHA,
    ARM_COMPARED_WITH,
    MARGIN,
    PLACE,
    RESOURCES_AND_PACK,
    RESULTS,
    RETRY_FAILED,
    SELECTION,
    STUDY,
    gathered,
    path_option,
)
from study.cli.output import answer
from study.cli.working import working
from study.running.resources import Resources

if TYPE_CHECKING:
    from ablations import SearchSpace
    from analysis.findings.topup import Questions
    from study.planning.completion import Completion
    from study.planning.plan import PlannedTrial, Selection, Variant
    from study.planning.study_plan import StudyPlan


@click.command("list")
def list_studies() -> None:
    """List the studies, each with its question, source in the paper, trials, updates and duration."""
    from ablations import REGISTRY
    from study.planning.plan import variants
    from study.planning.speeds import reference_machine, reference_seconds, rough

    for study in REGISTRY.values():
        of_study = variants(study)
        trials, updates = sum(v.seeds for v in of_study), sum(v.seeds * v.config.train.updates for v in of_study)
        seconds = sum(v.seeds * reference_seconds(v.config) for v in of_study) / 2
        console.print(Text.assemble((study.name, "bold"), "  ", study.question))
        console.print(f"    {study.source}; {trials:,} trials, {updates:,} updates; {rough(seconds)} †", style="dim")
    console.print(f"\n† on 2 cores of {reference_machine()}; `esbn plan STUDY --cost` measures yours", style="dim")


@click.command("plan")
@STUDY
@RESULTS
@SELECTION
@click.option("--cost", is_flag=True, help="Estimate time and price of the missing trials, from measured speed.")
@path_option("--cluster", default="cluster.yaml", help="Cluster file with the machines to price, for --cost.")
def plan(study: str, results: str, selection: "Selection", cost: bool, cluster: Path) -> None:
    """Show what `esbn run STUDY` would train: variants, stored and missing trials, updates. Stores nothing.

    --cost times about 30 updates of each model and task on this machine, unless it has done so before.
    """
    from study.monitoring.plan_table import plan_table
    from study.planning.completion import completion
    from study.planning.declarations import find_study
    from study.planning.study_plan import plan_study
    from study.store.store import Store

    planned = plan_study(find_study(study), selection)
    now = completion(planned.trials, Store(results))
    console.print(plan_table(planned, now))
    if cost and now.missing:
        from study.monitoring.cost import estimate, summary

        working.begin("measuring")
        console.print(summary(estimate(now.missing, planned.objects, working.tell), cluster))


@click.command()
@STUDY
@RESULTS
@SELECTION
@click.option("--limit", type=click.IntRange(1), help="Train at most this many trials now, in declared order.")
@click.option(
    "--tuned",
    "space",
    metavar="[SEARCH]",
    type=PLACE,
    is_flag=False,
    flag_value="learning_rate",
    help="First search the best settings of each arm at each condition, then train with those, too. SEARCH is a name "
    "from `esbn search --list` or a file. Default: learning_rate. Write it after STUDY.",
)
@click.option(
    "--suggestions", type=click.IntRange(1, MOST_SUGGESTIONS), help="With --tuned: suggestions to try for each arm."
)
@RETRY_FAILED
@RESOURCES_AND_PACK
@click.option("--dry-run", is_flag=True, help="Show the plan, as `esbn plan` does; store and train nothing.")
@YES
def run(
    study: str,
    results: str,
    selection: "Selection",
    limit: int | None,
    space: str | None,
    suggestions: int | None,
    retry_failed: bool,
    resources: Resources,
    dry_run: bool,
    yes: bool,
) -> None:
    """Train the trials of STUDY that are not in the store yet.

    After Ctrl-C or a kill, run the same command again: it continues from the last checkpoints. More seeds or conditions
    add to the stored results; trials that another study has trained are not trained again. Two runs can share a store,
    but not a trial: the second run is rejected while the first is alive.

    An arm may do badly only because its settings suit another arm. With --tuned, each arm first gets its own search on
    validation problems, all with the same parameters, suggestions and seeds, and without pruning. After all searches,
    each arm is trained as declared and with its best settings, on the study's seeds, and tested once. The tuned arms
    form the study STUDY-tuned; `esbn table STUDY --tuned` shows both.

    \b
    esbn run encoders --task rmts --withheld 95 --seeds 3
    esbn run tcn --task same_different --withheld 95 --tuned
    """
    from study.monitoring.plan_table import plan_table
    from study.planning.completion import completion
    from study.planning.declarations import find_space, find_study
    from study.planning.study_plan import plan_study
    from study.store.store import Store

    if suggestions and space is None:
        raise click.UsageError("--suggestions needs --tuned")
    if space and (limit or selection.limit_updates or selection.images):
        raise click.UsageError("--tuned cannot be combined with --limit, --limit-updates or --images")
    planned, store = plan_study(find_study(study), selection), Store(results)
    now = completion(planned.trials, store)
    if dry_run:
        console.print(plan_table(planned, now))
        return
    if space:
        varied = find_space(space)
        varied = replace(varied, suggestions=suggestions or varied.suggestions)
        _run_tuned(planned, selection.seeds, varied, results, resources, retry_failed, yes)
        return
    from study.running.run_study import run_study

    todo = [trial.config for trial in now.todo(retry_failed)[:limit]]
    consent(f"{len(todo):,} networks of {planned.study.name} to train", todo, yes, resources.address)
    _refuse_failed(run_study(planned, store, resources, limit=limit, retry_failed=retry_failed, console=console))


def _run_tuned(
    planned: "StudyPlan",
    seeds: int | None,
    space: "SearchSpace",
    results: str,
    resources: Resources,
    retry_failed: bool,
    yes: bool,
) -> None:
    from analysis.findings.tuned import tuned_arms
    from analysis.tables.tuned import report
    from study.planning.completion import completion
    from study.searching.suggestions import trials_left
    from study.searching.tuned import planned_variants, run_tuned, spaces, tuned_trials
    from study.store.store import Store

    study, store = planned.study.name, Store(results)
    own_spaces = spaces(planned_variants(planned, seeds), study, space)
    searched = [config for own in own_spaces for config in trials_left(own, store)]
    missing = completion(planned.trials, store).todo(retry_failed)
    if searched:  # which settings the tuned arms will have is not known yet
        todo = [*searched, *(trial.config for trial in (*missing, *planned.trials))]
    else:
        missing = [*missing, *completion(tuned_trials(planned, seeds, space, store), store).todo(retry_failed)]
        todo = list({trial.trial_id: trial.config for trial in missing}.values())  # an untuned arm can be the best
    consent(f"at most {len(todo):,} networks of {study} to train, with its searches", todo, yes, resources.address)
    both = run_tuned(planned, seeds, space, store, resources, retry_failed=retry_failed, console=console)
    answer(report(tuned_arms(results, study), "text"))
    for now in both:
        _refuse_failed(now)


class _Asked(NamedTuple):
    """What a top-up is to decide."""

    command: str
    margin: float
    alpha: float
    baseline: str | None

    def questions(self, study: str, cells: Collection[Cell]) -> "Questions":
        """Makes the questions about these variants; raises `UsageError` for options that do not belong together."""
        from analysis.findings.topup import of_cells, of_comparisons, of_verdicts

        if self.command == "verdict":
            if self.baseline is not None:
                raise click.UsageError("--baseline is for comparisons; add --for compare")
            return of_cells(of_verdicts(self.margin, self.alpha), cells)
        if (self.margin, self.alpha) != (3.0, 0.05):
            raise click.UsageError("--margin and --alpha are for verdicts; leave them out with --for compare")
        baseline = self.baseline or plain_arm({cell.arm for cell in cells})
        return of_cells(of_comparisons(study, baseline), cells)


@click.command()
@STUDY
@RESULTS
@click.option(
    "--budget",
    type=click.IntRange(0),
    required=True,
    help="Largest number of extra trials after the first look, over all calls for this study.",
)
@click.option(
    "--looks", type=click.IntRange(2, 100), help="Planned looks at each variant, fixed for the study. Default: 3."
)
@gathered(
    "asked",
    _Asked,
    _Asked._fields,
    click.option(
        "--for",
        "command",
        type=click.Choice(["verdict", "compare"]),
        default="verdict",
        show_default=True,
        help="What to decide: which published values agree with ours, or which arms differ from --baseline.",
    ),
    MARGIN,
    ALPHA,
    ARM_COMPARED_WITH,
)
@click.option("--dry-run", is_flag=True, help="Show what would be bought next; store and train nothing.")
@RETRY_FAILED
@RESOURCES_AND_PACK
@YES
def topup(
    study: str,
    results: str,
    budget: int,
    looks: int | None,
    asked: _Asked,
    dry_run: bool,
    retry_failed: bool,
    resources: Resources,
    yes: bool,
) -> None:
    """Train STUDY, then add seeds where a verdict or comparison is undecided, and report the decisions.

    The first look is at the planned seeds. Each later look adds as many to a variant, or to an arm and its baseline.
    An undecided question gets its next look if, by its means and SDs so far, some look would decide it; questions that
    need the fewest seeds come first.

    Repeated tests inflate the error rate, so each p is multiplied by the number of planned looks (Bonferroni). The
    error rate of all looks together is then at most alpha, wherever you stop ("differs": where the t test holds, see
    docs/verdicts.md). The looks are stored with the plan; verdict, compare and report correct for them. Plan them with
    --budget 0 before you read a verdict: otherwise your error rate can double. After a stop, the same command continues
    and trains nothing twice.

    \b
    esbn topup encoders --budget 0                     plan 3 looks and train the first
    esbn topup encoders --budget 60 --dry-run          what would be bought next
    esbn topup tcn --for compare --budget 40 --looks 4
    """
    import pandas as pd

    from analysis.data.trials import load_study
    from analysis.findings.topup import bought, purchase
    from analysis.tables.topup import report
    from study.planning.completion import completion
    from study.planning.declarations import find_study
    from study.planning.interim_looks import planned_rows, with_looks
    from study.planning.plan import variants
    from study.running.top_up import top_up
    from study.store.store import Store

    declared, store = find_study(study), Store(results)
    planned = with_looks(variants(declared), declared.name, store, looks)
    questions = asked.questions(declared.name, {variant.cell for variant in planned})
    trials = [trial for variant in planned for trial in variant.trials()]
    frame = pd.DataFrame(planned_rows(trials, store))
    now_asked = questions(frame)  # refuses what cannot be asked before anything is stored
    if dry_run:
        answer(report(frame, questions, budget))
        return

    first = completion(trials, store).todo(retry_failed)
    more = max(0, budget - bought(frame)) if first or purchase(frame, now_asked, budget)[0] else 0
    _consent_to_looks(declared.name, planned, first, more, yes, resources)

    def buy() -> dict[Cell, int]:
        return purchase(seen := load_study(results, declared.name), questions(seen), budget)[0]

    now = top_up(declared, planned, store, buy, resources, retry_failed=retry_failed, console=console)
    answer(report(load_study(results, declared.name), questions, budget))
    _refuse_failed(now)


@click.command()
@RESULTS
@click.option("--timing", is_flag=True, help="Show the share of worker time spent on training and evaluation.")
def status(results: str, timing: bool) -> None:
    """Show the progress of all studies in the store. Reads only the store, so it works from any machine."""
    from study.monitoring.status import summary
    from study.monitoring.status import timing as timing_table
    from study.store.store import Store

    console.print((timing_table if timing else summary)(Store(results)))


def _consent_to_looks(
    study: str, planned: "Sequence[Variant]", first: "Sequence[PlannedTrial]", more: int, yes: bool, on: Resources
) -> None:
    more = min(more, sum(v.looks.number * v.looks.seeds - v.seeds for v in planned if v.looks))
    longest = max((v.trials()[0] for v in planned), key=lambda trial: trial.cost).config  # it may get the extra seeds
    work = f"{len(first):,} networks of {study} to train, then at most {more:,} for later looks"
    consent(work, [*(trial.config for trial in first), *more * [longest]], yes, on.address)


def _refuse_failed(now: "Completion") -> None:
    if now.failed:
        raise click.ClickException(
            f'failed trials: {len(now.failed)}; `esbn query "select trial_id, failure from trials where status = '
            "'failed'\"` shows why, --retry-failed trains them again"
        )
