"""Commands that plan, train and watch studies."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.text import Text

from esbn_core.vocabulary import MOST_SUGGESTIONS, Cell, plain_arm
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
    path_option,
)
from study.cli.output import answer
from study.running.resources import Resources

if TYPE_CHECKING:
    from study.planning.completion import Completion
    from study.planning.plan import Selection


@click.command("list")
def list_studies() -> None:
    """List the studies: what each asks, its source in the paper, its trials and updates."""
    from ablations import REGISTRY
    from study.planning.plan import variants

    for study in REGISTRY.values():
        of_study = variants(study)
        trials, updates = sum(v.seeds for v in of_study), sum(v.seeds * v.config.train.updates for v in of_study)
        console.print(Text.assemble((study.name, "bold"), "  ", study.question))
        console.print(f"    {study.source}; {trials:,} trials, {updates:,} updates", style="dim")


@click.command("plan")
@STUDY
@RESULTS
@SELECTION
@click.option("--cost", is_flag=True, help="Estimate time and price of what is missing, from measured speed.")
@path_option("--cluster", default="cluster.yaml", help="Whose machines to price, with --cost.")
def plan(study: str, results: str, selection: "Selection", cost: bool, cluster: Path) -> None:
    """Show what `esbn run STUDY` would train: variants, trials there and missing, updates. Stores nothing.

    --cost measures some 30 updates of each model and task on this machine, unless it has done so before.
    """
    from study.monitoring.plan_table import plan_table
    from study.planning.completion import completion
    from study.planning.declarations import find_study
    from study.planning.study_plan import plan_study
    from study.store.store import Store

    planned = plan_study(find_study(study), selection)
    now = completion(planned.selected, Store(results))
    console.print(plan_table(planned, now))
    if cost and now.missing:
        from study.monitoring.cost import estimate, summary

        with console.status("measuring") as line:
            estimated = estimate(now.missing, planned.objects, line.update)
        console.print(summary(estimated, cluster))


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
    help="First search each arm at each condition for its best settings, then train those, too. SEARCH says what "
    "to vary, a name from `esbn search --list` or a file; default: learning_rate. Write it after STUDY.",
)
@click.option(
    "--suggestions", type=click.IntRange(1, MOST_SUGGESTIONS), help="With --tuned: how many to try, for every arm."
)
@RETRY_FAILED
@RESOURCES_AND_PACK
def run(
    study: str,
    results: str,
    selection: "Selection",
    limit: int | None,
    space: str | None,
    suggestions: int | None,
    retry_failed: bool,
    resources: Resources,
) -> None:
    """Train the trials of STUDY that are not in the store yet.

    Stop it with Ctrl-C, or have it killed: run it again and it goes on from the last checkpoints. More seeds or
    conditions extend what is there; trials that another study has trained are not trained twice. Two runs can share a
    store, but not a trial: the second is refused while the first lives.

    An arm may do badly only because its settings suit another. With --tuned, every arm gets a search of its own, with
    the same parameters, suggestions and seeds and without pruning, on validation problems. Once all searches have
    ended, the arms are trained as declared and with their best settings, on the seeds of the study, and tested once.
    The latter are the study STUDY-tuned; `esbn table STUDY --tuned` shows both.

    \b
    esbn run encoders --task rmts --withheld 95 --seeds 3
    esbn run tcn --task same_different --withheld 95 --tuned
    """
    from study.planning.declarations import find_space, find_study
    from study.planning.study_plan import plan_study
    from study.store.store import Store

    if suggestions and space is None:
        raise click.UsageError("--suggestions belongs to --tuned")
    planned, store = plan_study(find_study(study), selection), Store(results)
    if space is None:
        from study.running.run_study import run_study

        now = run_study(planned, store, resources, limit=limit, retry_failed=retry_failed, console=console)
        _refuse_failed(now)
        return
    if limit or selection.limit_updates or selection.images:
        raise click.UsageError("--tuned is for whole runs: leave out --limit, --limit-updates and --images")
    from analysis.findings.tuned import tuned_arms
    from analysis.tables.tuned import report
    from study.searching.tuned import run_tuned

    varied = find_space(space)
    varied = replace(varied, suggestions=suggestions or varied.suggestions)
    both = run_tuned(planned, selection.seeds, varied, store, resources, retry_failed=retry_failed, console=console)
    answer(report(tuned_arms(results, planned.study.name), "text"))
    for now in both:
        _refuse_failed(now)


@click.command()
@STUDY
@RESULTS
@click.option(
    "--budget",
    type=click.IntRange(0),
    required=True,
    help="Trials of the study beyond the first look, of all calls together.",
)
@click.option("--looks", type=click.IntRange(2, 100), help="Looks at each variant, set once for the study. Default: 3.")
@click.option(
    "--for",
    "command",
    type=click.Choice(["verdict", "compare"]),
    default="verdict",
    show_default=True,
    help="What to decide: which published values agree with ours, or which arms differ from --baseline.",
)
@MARGIN
@ALPHA
@ARM_COMPARED_WITH
@click.option("--dry-run", is_flag=True, help="Show what would be bought next; store and train nothing.")
@RETRY_FAILED
@RESOURCES_AND_PACK
def topup(
    study: str,
    results: str,
    budget: int,
    looks: int | None,
    command: str,
    margin: float,
    alpha: float,
    baseline: str | None,
    dry_run: bool,
    retry_failed: bool,
    resources: Resources,
) -> None:
    """Train STUDY, then extra seeds where a verdict or a comparison is undecided, and say what they decided.

    The first look is at the planned seeds. Each later look adds as many to a variant, or to an arm and its baseline.
    An undecided question gets its next look if, by its means and SDs so far, some look would decide it; questions that
    need the fewest seeds come first.

    Repeated tests inflate the error rate, so each p is multiplied by the number of planned looks (Bonferroni) before
    the correction for other variants. The error rate of all looks together is then at most alpha, wherever you stop
    ("differs": where the t test holds, see docs/verdicts.md). The looks are stored with the plan; verdict, compare and
    report correct for them. Plan them with --budget 0 before you read a verdict: otherwise your error rate can double.
    After a stop, the same command continues and buys nothing twice.

    \b
    esbn topup encoders --budget 0                     plan 3 looks and train the first
    esbn topup encoders --budget 60 --dry-run          what would be bought next
    esbn topup tcn --for compare --budget 40 --looks 4
    """
    _refuse_options_of_another(command, margin, alpha, baseline)
    import pandas as pd

    from analysis.data.trials import load_study
    from analysis.findings.topup import of_cells, of_comparisons, of_verdicts, purchase
    from analysis.tables.topup import report
    from study.planning.declarations import find_study
    from study.planning.interim_looks import planned_rows, with_looks
    from study.planning.plan import variants
    from study.running.top_up import top_up
    from study.store.store import Store

    declared, store = find_study(study), Store(results)
    planned = with_looks(variants(declared), declared.name, store, looks)
    baseline = baseline or plain_arm({variant.arm for variant in planned})
    asked = of_verdicts(margin, alpha) if command == "verdict" else of_comparisons(declared.name, baseline)
    questions = of_cells(asked, {variant.cell for variant in planned})
    frame = pd.DataFrame(planned_rows([trial for variant in planned for trial in variant.trials()], store))
    questions(frame)  # refuses what cannot be asked before anything is stored
    if dry_run:
        answer(report(frame, questions, budget))
        return

    def buy() -> dict[Cell, int]:
        return purchase(seen := load_study(results, declared.name), questions(seen), budget)[0]

    now = top_up(declared, planned, store, buy, resources, retry_failed=retry_failed, console=console)
    answer(report(load_study(results, declared.name), questions, budget))
    _refuse_failed(now)


@click.command()
@RESULTS
@click.option("--timing", is_flag=True, help="Show instead how much of the workers' time was training and evaluation.")
def status(results: str, timing: bool) -> None:
    """Show how far every study in the store is; reads the store alone, so it works from any machine."""
    from study.monitoring.status import summary
    from study.monitoring.status import timing as timing_table
    from study.store.store import Store

    console.print((timing_table if timing else summary)(Store(results)))


def _refuse_options_of_another(command: str, margin: float, alpha: float, baseline: str | None) -> None:
    if command == "compare" and (margin, alpha) != (3.0, 0.05):
        raise click.UsageError("--margin and --alpha belong to verdicts; leave them out with --for compare")
    if command == "verdict" and baseline is not None:
        raise click.UsageError("--baseline belongs to comparisons; add --for compare")


def _refuse_failed(now: "Completion") -> None:
    if now.failed:
        raise click.ClickException(
            f'failed trials: {len(now.failed)}; `esbn query "select trial_id, failure from trials where status = '
            "'failed'\"` tells why, --retry-failed trains them again"
        )
