"""The `esbn` command: plan, run and watch studies; query, tabulate and draw their results.

What takes long to import (Ray, torch, pyarrow, DuckDB, seaborn) is imported by the commands that need it, so that help
and lists answer at once.
"""

import itertools
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ablations import REGISTRY, SPACES, SearchSpace, Study
from esbn_core.config import arm_label
from esbn_core.errors import UserError
from esbn_core.vocabulary import BASELINE
from study.cli.cluster import cluster
from study.planning.declarations import FILES, find_space, find_study
from study.planning.plan import OwnImages, PlannedTrial, Variant, plan, select, variants

if TYPE_CHECKING:
    from esbn_core.objects import Objects
    from study.planning.completion import State
    from study.store.store import Store

console = Console(highlight=False, markup=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)

RESULTS = click.option(
    "--results",
    default="results",
    show_default=True,
    help="Folder or URI of the result store: s3://bucket/folder?region=...&endpoint_override=host:port&scheme=http, "
    "the last two for S3 that is not of AWS; credentials come from AWS_ACCESS_KEY_ID, ~/.aws or the machine's role.",
)
STUDY = click.argument("study", metavar="STUDY")
REPORT_FORMAT = click.option(
    "--format",
    "kind",
    type=click.Choice(["text", "markdown", "latex", "html", "csv"]),
    default="text",
    show_default=True,
    help="How to print it; latex is for the package booktabs, html is a part of a page, csv has every digit.",
)
FIGURES = click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("figures"),
    show_default=True,
    help="Folder for the figures.",
)
AGAINST = click.option("--baseline", default=BASELINE, show_default=True, help="The arm to compare the others with.")
RESOURCES = (
    click.option("--address", help="Ray cluster to run on (auto: the one this machine is in); default: this machine."),
    click.option(
        "--gpus-per-trial", type=click.FloatRange(0), help="GPUs per pack, e.g. 0.5; default: 1 if there are."
    ),
    click.option(
        "--threads", type=click.IntRange(1), help="CPU threads per pack; default: 1, more if cores would be idle."
    ),
    click.option(
        "--checkpoint-seconds",
        type=click.FloatRange(0),
        default=60.0,
        show_default=True,
        help="Time between checkpoints of a pack, which is what a killed worker can lose.",
    ),
)
SELECTION = (
    STUDY,
    RESULTS,
    click.option("--task", "tasks", multiple=True, help="Only this task. Can be repeated, as can the next two."),
    click.option("--withheld", type=int, multiple=True, help="Only this number of withheld objects m."),
    click.option("--arm", "arms", multiple=True, help="Only this arm, e.g. baseline or encoder=mlp."),
    click.option("--seeds", type=click.IntRange(1), help="Networks per variant, in place of the study's number."),
    click.option("--images", help="Folder of your own 32 x 32 PNG files, in place of the paper's 100 characters."),
    click.option(
        "--limit-updates",
        type=click.IntRange(1),
        help="Rehearse: at most so many updates a trial. Rehearsals are marked and never enter a table.",
    ),
)


def _options(*options: Callable[..., Any]) -> Callable[..., Any]:
    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


class _PackSize(click.ParamType):
    """A whole number of at least 1, or the word auto."""

    name = "N|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "auto" or (str(value).isdecimal() and int(value) > 0):
            return value if value == "auto" else int(value)
        self.fail(f"{value!r} must be a whole number of at least 1, or auto", param, ctx)


TRAINING = (
    click.option("--retry-failed", is_flag=True, help="Train failed trials again."),
    *RESOURCES,
    click.option(
        "--pack",
        "largest_pack",
        metavar="N|auto",
        type=_PackSize(),
        help="Most networks trained together, or auto: measured first. Default: 4, on a GPU 10.",
    ),
)
MARGIN = click.option(
    "--margin", type=float, default=3.0, show_default=True, help="Points within which a difference counts as none."
)
ALPHA = click.option(
    "--alpha", type=float, default=0.05, show_default=True, help="Level of all tests together, corrected by Holm."
)


class _Group(click.Group):
    """Turns every error a user can mend into one sentence and exit code 1, and Ctrl-C into 130."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command; what is an error of the project itself is raised as it is."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            console.print("Stopped. The same command goes on from what is in the store.")
            raise SystemExit(130) from None
        except UserError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Ablation studies of the Emergent Symbol Binding Network (ESBN).

    \b
    esbn list                        the studies there are
    esbn plan quickstart             what a study would train
    esbn run quickstart              train what is missing; run it again to go on after a stop
    esbn status                      how far the studies are
    esbn table quickstart            our accuracies beside the paper's
    esbn topup quickstart --budget 9 extra seeds where verdicts are undecided; before they are read
    esbn verdict quickstart          which published values are reproduced
    esbn compare quickstart          which arms matter
    esbn figures quickstart          the figures, as PNG, SVG and PDF
    esbn keys quickstart             whether keys behave like symbols, as numbers
    esbn audit quickstart            whether the test was held back and arms were treated alike
    esbn report quickstart           all of it as one web page
    esbn search --list               hyperparameter searches, on validation problems
    esbn query "select * from trials"

    A STUDY is a name from `esbn list`, or a .py or .yaml file of your own. Results are Parquet files in --results;
    they are the only state, so any command can be stopped and repeated.
    """


main.add_command(cluster)


@main.command("list")
def list_studies() -> None:
    """List the studies: what each asks, its source in the paper, its trials and updates."""
    for study in REGISTRY.values():
        found = variants(study)
        trials, updates = sum(v.seeds for v in found), sum(v.seeds * (v.config.train.updates or 0) for v in found)
        console.print(Text.assemble((study.name, "bold"), "  ", study.question))
        console.print(f"    {study.source}; {trials:,} trials, {updates:,} updates", style="dim")


@main.command("plan")
@_options(
    *SELECTION,
    click.option("--cost", is_flag=True, help="Estimate time and price of what is missing, from measured speed."),
    click.option(
        "--cluster",
        type=click.Path(dir_okay=False, path_type=Path),
        default=Path("cluster.yaml"),
        show_default=True,
        help="Whose machines to price, with --cost.",
    ),
)
def plan_command(study: str, results: str, cost: bool, cluster: Path, **selection: Any) -> None:
    """Show what `esbn run STUDY` would train: variants, trials there and missing, updates. Stores nothing.

    --cost measures some 30 updates of each model and task on this machine, unless it has done so before.
    """
    from study.planning.completion import state
    from study.store.store import Store

    declared, _, wanted, objects = _select(study, **selection)
    now = state(wanted, Store(results))
    table = Table("task", "withheld", "arm", "seeds", "completed", "failed", "missing", "updates each", box=None)
    for column in table.columns[3:]:
        column.justify = "right"
    by_variant: dict[tuple[str, int, str], list[PlannedTrial]] = {}
    for trial in wanted:
        by_variant.setdefault((trial.config.task.name, trial.config.task.withheld, trial.arm), []).append(trial)
    groups = [{t.trial_id for t in group} for group in (now.completed, now.failed, now.missing)]
    for (task, withheld, arm), trials in by_variant.items():
        counts = [sum(t.trial_id in group for t in trials) for group in groups]
        updates = f"{trials[0].config.train.updates:,}"
        table.add_row(task, str(withheld), arm, str(len(trials)), *map(str, counts), updates)
    console.print(Text.assemble((declared.name, "bold"), "  ", declared.question, "\n"))
    console.print(table)
    console.print(f"\n{_summary(now)}; {_updates(now.missing):,} updates to make")
    if cost and now.missing:
        from study.monitoring.cost import estimate, summary

        with console.status("measuring") as line:
            found = estimate(now.missing, objects, line.update)
        console.print(summary(found, cluster))


@main.command()
@_options(
    *SELECTION,
    click.option("--limit", type=click.IntRange(1), help="Train at most this many trials now, in declared order."),
    click.option(
        "--tuned",
        "space",
        metavar="[SEARCH]",
        is_flag=False,
        flag_value="learning_rate",
        help="First search each arm at each condition for its best settings, then train those, too. SEARCH says what "
        "to vary, a name from `esbn search --list` or a file; default: learning_rate. Write it after STUDY.",
    ),
    click.option("--suggestions", type=click.IntRange(1), help="With --tuned: how many to try, for every arm."),
    *TRAINING,
)
def run(
    study: str,
    results: str,
    limit: int | None,
    space: str | None,
    suggestions: int | None,
    images: str | None,
    seeds: int | None,
    tasks: Collection[str],
    withheld: Collection[int],
    arms: Collection[str],
    limit_updates: int | None,
    **training: Any,
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
    from study.store.store import Store

    if suggestions and space is None:
        raise click.UsageError("--suggestions belongs to --tuned")
    declared, every, wanted, objects = _select(study, images, seeds, tasks, withheld, arms, limit_updates)
    store = Store(results)
    if space is None:
        _refuse_failed(_train(store, declared, every, wanted, objects, limit, **training))
        return
    if limit or limit_updates or images:
        raise click.UsageError("--tuned is for whole runs: leave out --limit, --limit-updates and --images")
    from analysis.findings.tuned import report
    from study.searching.tuned import tuned_study

    varied = find_space(space)
    cells = {(trial.config.task.name, trial.config.task.withheld, trial.arm) for trial in wanted}
    chosen = [variant for variant in variants(declared, seeds=seeds) if variant.cell in cells]
    varied = replace(varied, suggestions=suggestions or varied.suggestions)
    best = [trial for variant in _tune(store, declared, chosen, varied, training) for trial in variant.trials()]
    as_declared = _train(store, declared, every, wanted, objects, **training)
    as_tuned = _train(store, tuned_study(declared), best, best, objects, **training)
    click.echo(report(results, declared.name, "text"), nl=False)
    _refuse_failed(as_declared)
    _refuse_failed(as_tuned)


@main.command()
@click.argument("space", metavar="[SEARCH]", required=False)
@_options(
    RESULTS,
    click.option("--list", "list_spaces", is_flag=True, help="List the searches there are, and what each varies."),
    click.option("--suggestions", type=click.IntRange(1), help="How many to try, in place of the search's own number."),
    click.option(
        "--sampler",
        type=click.Choice(["tpe", "random", "gp", "cmaes"]),
        default="tpe",
        show_default=True,
        help="What suggests. cmaes takes choices at random, and forgets its course where a search is taken up again.",
    ),
    click.option(
        "--pruner",
        type=click.Choice(["asha", "median", "none"]),
        default="asha",
        show_default=True,
        help="What stops suggestions early: successive halving, or below the median of those before.",
    ),
    *RESOURCES,
    click.option(
        "--export-optuna",
        "export",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Train nothing: write the search as an Optuna storage, SQLite if the name ends in .db, else a journal.",
    ),
)
def search(
    space: str | None,
    results: str,
    list_spaces: bool,
    suggestions: int | None,
    sampler: str,
    pruner: str,
    export: Path | None,
    **resources: Any,
) -> None:
    """Search the settings of a network for the best accuracy on validation problems. Test problems are never met.

    Every suggestion is some networks of different seeds, trained together and validated on objects that training did
    not show; their mean accuracy counts, and the worse suggestions are stopped early. The first is the paper's setting.
    Stop the search with Ctrl-C, or have it killed: run it again and it goes on, with all that it has learned.

    \b
    esbn search --list
    esbn search learning_rate_and_tcn
    esbn search learning_rate_and_tcn --suggestions 40      20 more, once there are 20
    esbn importance learning_rate_and_tcn                   which settings mattered
    esbn search learning_rate_and_tcn --export-optuna search.db && optuna-dashboard sqlite:///search.db

    SEARCH is a name from --list, or a .py or .yaml file of your own:

    \b
    name: key_size_search
    task: same_different
    withheld: 95
    arm: {tcn: none}                   what all suggestions change in the paper's ESBN
    parameters:
      learning_rate: {low: 1e-5, high: 5e-3, log: true}
      key_size: {low: 16, high: 256, log: true}
      leak: {choices: [0.0, 0.1]}
      leak_into: {choices: [controller, key], when: {leak: [0.1]}}
    seeds: 4                           networks per suggestion; default 2
    suggestions: 20
    validation: 2                      training objects kept apart; 0: hold out problems instead
    """
    if list_spaces:
        for declared in SPACES.values():
            console.print(Text.assemble((declared.name, "bold"), "  ", declared.question))
            varied = "; ".join(f"{name}: {parameter}" for name, parameter in declared.parameters.items())
            console.print(f"    {declared.task} m={declared.withheld} {arm_label(declared.arm)}; {varied}", style="dim")
        return
    if space is None:
        raise click.UsageError("name a search, or a file that declares one; --list shows those there are")
    if export:
        from analysis.data.searches import export_optuna

        export_optuna(results, _search_name(space), export)
        click.echo(export)
        return
    found = find_space(space)
    if suggestions:
        found = replace(found, suggestions=suggestions)
    from study.running.ray_session import Resources
    from study.searching.driver import search
    from study.searching.progress import outcome
    from study.store.store import Store

    store = Store(results)
    ended = search(found, store, Resources(**resources), console, sampler=sampler, pruner=pruner)
    console.print(f"{ended.summary()}. Results are in {store.uri}")
    best = ended.best()
    if best is None:
        raise click.ClickException("no suggestion was completed; `esbn query` on the table suggestions tells why")
    console.print(f"best: {outcome(best)}")


@main.command()
@click.argument("space", metavar="SEARCH")
@RESULTS
@click.option(
    "--evaluator",
    type=click.Choice(["ped_anova", "fanova"]),
    default="fanova",
    show_default=True,
    help="What measures importance. fanova: share of the variance of a random forest; ped_anova: what sets the best "
    "tenth apart.",
)
@click.option("--update", type=int, help="Compare accuracies at this rung, in place of the last that each has reached.")
@FIGURES
@REPORT_FORMAT
def importance(space: str, results: str, evaluator: str, update: int | None, output: Path, kind: str) -> None:
    """Measure which settings mattered in SEARCH, and draw its history, importances, slices and parallel coordinates.

    Intervals are over resampled suggestions. Pruned suggestions count with the last accuracy they reached.

    \b
    esbn importance learning_rate_and_tcn
    esbn importance learning_rate_and_tcn --evaluator ped_anova --update 15
    """
    from analysis.data.searches import load_search
    from analysis.figures.search import save_all
    from analysis.findings.importance import importances, report

    found = load_search(results, _search_name(space))
    frame = importances(found, evaluator, update)
    click.echo(report(found, frame, evaluator, update, kind), nl=False)
    for path in save_all(found, frame, evaluator, update, output):
        click.echo(path, err=True)


@main.command()
@RESULTS
@click.option("--timing", is_flag=True, help="Show instead how much of the workers' time was training and evaluation.")
def status(results: str, timing: bool) -> None:
    """Show how far every study in the store is; reads the store alone, so it works from any machine."""
    from study.monitoring import status
    from study.store.store import Store

    console.print(status.timing(Store(results)) if timing else status.summary(Store(results)))


@main.command()
@RESULTS
def compact(results: str) -> None:
    """Merge the small files of trials that have ended into few large ones, so that reading them is fast.

    Everything can go on meanwhile, runs that train other trials included. Stopped or killed, it has lost nothing; the
    next one goes on. What is trained anew after it counts in place of what was merged.
    """
    from study.store.compact import compact as merge
    from study.store.store import Store

    merge(Store(results), click.echo)


@main.command("export")
@click.argument("bundle", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("studies", metavar="[STUDY]...", nargs=-1)
@RESULTS
@click.option(
    "--figures",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of figures to put into it, for people to look at.",
)
def export_command(bundle: Path, studies: tuple[str, ...], results: str, figures: Path | None) -> None:
    """Write the results of each STUDY, or of all, into one file: rows, plans, searches, images and package versions.

    `esbn import` reads it into another store, where every table and figure can be made again.

    \b
    esbn export encoders.zip encoders
    esbn export everything.zip --figures figures
    """
    from study.store.bundle import export_bundle
    from study.store.store import Store

    counts = export_bundle(Store(results), bundle, [_name(study) for study in studies], figures)
    click.echo(f"{bundle}: {', '.join(f'{table} of {n:,}' for table, n in counts.items())}")


@main.command("import")
@click.argument("source", type=click.Path(path_type=Path))
@RESULTS
@click.option("--origin", default="authors", show_default=True, help="With a folder: whose results it has.")
@click.option(
    "--encoder", default="conv", show_default=True, help="With a folder: the encoder of its networks; no file tells."
)
def import_command(source: Path, results: str, origin: str, encoder: str) -> None:
    """Read SOURCE into the store: a file that `esbn export` wrote, or the folder `test` of the authors' code.

    A bundle adds what is not there yet and is refused if another result of a trial or of a search is. The authors'
    results go into the table `external`, which stands beside ours and enters none of our means.

    \b
    esbn import encoders.zip
    esbn import emergent_symbols/test
    """
    from study.store.bundle import import_bundle
    from study.store.external import import_external
    from study.store.store import Store

    store = Store(results)
    counts = import_external(store, source, origin, encoder) if source.is_dir() else import_bundle(store, source)
    for table, (new, known) in counts.items():
        click.echo(f"{table}: {new:,} new, {known:,} there already")


@main.command()
@click.option(
    "--model", "models", multiple=True, default=["esbn"], show_default=True, help="Can be repeated, as the next ones."
)
@click.option("--task", "tasks", multiple=True, default=["distribution_of_three"], show_default=True, help="Task.")
@click.option("--withheld", type=int, multiple=True, default=[95, 0], show_default=True, help="Withheld objects, m.")
@click.option(
    "--pack",
    "packs",
    type=click.IntRange(1),
    multiple=True,
    default=[1],
    show_default=True,
    help="Networks trained together.",
)
@click.option("--precision", "precisions", multiple=True, default=["float32"], show_default=True, help="float32, bf16.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads.")
@click.option(
    "--jobs",
    type=click.IntRange(0),
    default=0,
    help="Also run so many packs of one network and one update: what a pack costs besides its training.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, e.g. to append to a history.")
def bench(
    models: tuple[str, ...],
    tasks: tuple[str, ...],
    withheld: tuple[int, ...],
    packs: tuple[int, ...],
    precisions: tuple[str, ...],
    threads: int,
    jobs: int,
    as_json: bool,
) -> None:
    """Measure how fast this machine trains: updates a second, the gap to what it allows, and to a slow implementation.

    \b
    esbn bench
    esbn bench --model esbn --model lstm --precision float32 --precision bf16 --threads 2
    esbn bench --pack 1 --pack 10 --pack 50          where larger packs stop paying, on a GPU
    esbn bench --jobs 60 --json >> bench.jsonl
    """
    from study.monitoring.bench import measure, to_json, to_text

    arms = [{"model": x, "task": t, "withheld": m} for x, t, m in itertools.product(models, tasks, withheld)]
    with Console(stderr=True).status("measuring") as line:
        found = measure(arms, packs=packs, precisions=precisions, threads=threads, jobs=jobs, tell=line.update)
    if as_json:
        click.echo(to_json(found))
    else:
        console.print(to_text(found))


@main.command()
@click.argument("sql", required=False)
@RESULTS
@click.option("--schema", is_flag=True, help="Describe the tables and their columns.")
@click.option("--list", "list_saved", is_flag=True, help="List the saved questions and what they answer.")
@click.option("--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Read the question from it.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    default="table",
    show_default=True,
    help="How to print the answer.",
)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to a file instead.")
def query(
    sql: str | None, results: str, schema: bool, list_saved: bool, file: Path | None, kind: str, output: Path | None
) -> None:
    """Ask the results a question in SQL (DuckDB), or one of the saved questions by its name.

    \b
    esbn query accuracy
    esbn query "select arm, avg(test_accuracy) from trials where rehearsal is not true group by arm"
    esbn query "from curves join trials using (trial_id) where arm = 'baseline'" --format csv -o curves.csv
    """
    if schema:
        _print_schema()
        return
    from analysis.data.query import query as ask
    from analysis.data.query import question, saved
    from analysis.tables.answer import render

    if list_saved:
        for name, text in saved().items():
            console.print(Text.assemble((f"{name:10}", "bold"), text.splitlines()[0].removeprefix("-- ")))
        return
    if (sql is None) == (file is None):
        raise click.UsageError(
            'give one question, e.g. "select * from trials" or accuracy, or --file, --list, --schema'
        )
    asked = file.read_text(encoding="utf-8") if file else question(str(sql))
    answer = render(ask(results, asked), kind)
    if output:
        try:
            output.write_bytes(answer.encode() if isinstance(answer, str) else answer)
        except OSError as error:
            raise click.ClickException(f"output={str(output)!r} cannot be written: {error.strerror}") from None
    elif isinstance(answer, bytes):
        raise click.UsageError("--format parquet needs --output FILE")
    else:
        click.echo(answer)


@main.command()
@click.argument("study", metavar="[STUDY]", required=False)
@RESULTS
@click.option(
    "--tuned", "as_tuned", is_flag=True, help="The arms as declared and as `esbn run --tuned` has tuned them."
)
@REPORT_FORMAT
def table(study: str | None, results: str, as_tuned: bool, kind: str) -> None:
    """Show our accuracies beside the published ones.

    \b
    esbn table encoders      STUDY, variant by variant: n, standard error, difference
    esbn table               the paper's Tables 9 to 20, from the trials of every study; a dash where none has run
    esbn table tcn --tuned   default and tuned arms, what tuning spent, and whether the order of arms changed
    """
    from analysis.findings import accuracy, tuned
    from analysis.tables import accuracy as tables
    from analysis.tables import paper as paper_tables

    if study is None and as_tuned:
        raise click.UsageError("--tuned needs a STUDY")
    if study is None:
        report = paper_tables.report(results, kind)
    else:
        name = _name(study)
        report = tuned.report(results, name, kind) if as_tuned else tables.report(accuracy.table(results, name), kind)
    click.echo(report, nl=False)


@main.command()
@STUDY
@RESULTS
@MARGIN
@ALPHA
@click.option("--strict", is_flag=True, help="Exit with 1 if anything is undecided, too.")
@REPORT_FORMAT
def verdict(study: str, results: str, margin: float, alpha: float, strict: bool, kind: str) -> None:
    """Say of each published value whether STUDY reproduces it: reproduced, differs or undecided.

    An equivalence test against the paper's mean and standard error, with the seeds that would decide what is open
    (`esbn topup` trains them at a level that holds; adding seeds until a verdict changes does not).
    Exits with 1 if anything differs.

    \b
    esbn verdict encoders                    within 3 points of the paper, at level 0.05?
    esbn verdict encoders --margin 5 --strict && echo reproduced, all of it
    esbn verdict paper --format latex > verdicts.tex
    """
    from analysis.findings.reproduction import DIFFERS, UNDECIDED, verdicts
    from analysis.tables.reproduction import report

    frame = verdicts(results, _name(study), margin, alpha)
    click.echo(report(frame, kind), nl=False)
    if set(frame["verdict"]) & ({DIFFERS, UNDECIDED} if strict else {DIFFERS}):
        raise SystemExit(1)


@main.command()
@STUDY
@RESULTS
@AGAINST
@click.option(
    "--over-conditions", is_flag=True, help="The paper's t tests instead: over the means of conditions, not over seeds."
)
@REPORT_FORMAT
def compare(study: str, results: str, baseline: str, over_conditions: bool, kind: str) -> None:
    """Compare the arms of STUDY with one of them: which matter, where, and by how much.

    \b
    esbn compare encoders                     seed by seed at each task and m, then over all of them
    esbn compare transformer_encoders --baseline model=transformer --over-conditions
    esbn compare tcn --format csv > tcn.csv
    """
    from analysis.findings.comparison import load_arms
    from analysis.tables.comparison import by_condition, by_seed

    frame = load_arms(results, _name(study), baseline)
    click.echo((by_condition if over_conditions else by_seed)(frame, baseline, kind), nl=False)


@main.command()
@_options(
    STUDY,
    RESULTS,
    click.option(
        "--budget",
        type=click.IntRange(0),
        required=True,
        help="Trials of the study beyond the first look, of all calls together.",
    ),
    click.option("--looks", type=click.IntRange(2), help="Looks at each variant, set once for the study. Default: 3."),
    click.option(
        "--for",
        "command",
        type=click.Choice(["verdict", "compare"]),
        default="verdict",
        show_default=True,
        help="What to decide: which published values are reproduced, or which arms differ from --baseline.",
    ),
    MARGIN,
    ALPHA,
    AGAINST,
    click.option("--dry-run", is_flag=True, help="Show what would be bought next; store and train nothing."),
    *TRAINING,
)
def topup(
    study: str,
    results: str,
    budget: int,
    looks: int | None,
    command: str,
    margin: float,
    alpha: float,
    baseline: str,
    dry_run: bool,
    **training: Any,
) -> None:
    """Train STUDY, then extra seeds where a verdict or a comparison is undecided, and say what they decided.

    The first look is at the seeds that are planned; each other look adds as many to a variant, or to an arm and its
    baseline. A question that is undecided at one look gets the next if, by its means and SDs so far, some look would
    decide it; those that need the fewest seeds come first.

    Who tests again and again errs more often. So each p is multiplied by the number of planned looks (Bonferroni)
    before it is corrected for the family (Holm): all tests of all looks together err with probability alpha at most,
    wherever one stops. The looks are stored with the plan, so verdict, compare and report do the same from then on.
    Plan them before reading a verdict, by --budget 0: who reads one first, and tops up what it left undecided, errs up
    to twice as often.

    Stopped or killed, the same command goes on and buys nothing twice: what was bought is in the stored plan.

    \b
    esbn topup encoders --budget 0                     plan 3 looks and train the first
    esbn topup encoders --budget 60 --dry-run          what would be bought next
    esbn topup encoders --budget 60
    esbn topup tcn --for compare --budget 40 --looks 4
    """
    if command == "compare" and (margin, alpha) != (3.0, 0.05):
        raise click.UsageError("--margin and --alpha belong to verdicts; leave them out with --for compare")
    if command == "verdict" and baseline != BASELINE:
        raise click.UsageError("--baseline belongs to comparisons; add --for compare")
    import pandas as pd

    from analysis.data.trials import load_study
    from analysis.findings.topup import of_cells, of_comparisons, of_verdicts, purchase, report
    from esbn_core.objects import glyphs
    from study.planning.interim_looks import planned_rows, with_looks
    from study.store.store import Store

    declared, store = find_study(study), Store(results)
    asked = of_verdicts(margin, alpha) if command == "verdict" else of_comparisons(declared.name, baseline)
    found = with_looks(variants(declared), declared.name, store, looks)
    questions = of_cells(asked, {variant.cell for variant in found})
    trials = [trial for variant in found for trial in variant.trials()]
    frame = pd.DataFrame(planned_rows(trials, store))
    questions(frame)  # refuses what cannot be asked before anything is stored
    if dry_run:
        click.echo(report(frame, questions, budget), nl=False)
        return
    while True:
        now = _train(store, declared, trials, trials, glyphs(), **training)
        frame = load_study(results, declared.name)
        buy, _ = purchase(frame, questions(frame), budget)
        if not buy:
            break
        for variant in found:
            variant.seeds = buy.get(variant.cell, variant.seeds)
        trials = [trial for variant in found for trial in variant.trials()]
    click.echo(report(frame, questions, budget), nl=False)
    _refuse_failed(now)


@main.command()
@STUDY
@RESULTS
@REPORT_FORMAT
def keys(study: str, results: str, kind: str) -> None:
    """Measure whether the keys of STUDY behave like symbols: the same for training and withheld objects at each step.

    Over all networks with stored keys, not one that was picked. `esbn figures STUDY` draws one of them.

    \b
    esbn keys keys
    """
    from analysis.findings.key_measures import by_step, report

    click.echo(report(by_step(results, _name(study)), kind), nl=False)


@main.command()
@STUDY
@RESULTS
@REPORT_FORMAT
def audit(study: str, results: str, kind: str) -> None:
    """Prove from the stored splits and problems of STUDY that its test was held back and its arms were treated alike.

    Exits with 1 if a check fails.
    """
    from analysis.findings.audit import audit
    from analysis.findings.audit import report as printed

    frame = audit(results, _name(study))
    click.echo(printed(frame, kind), nl=False)
    if not all(frame["passed"]):
        raise SystemExit(1)


@main.command()
@STUDY
@RESULTS
@AGAINST
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("report"),
    show_default=True,
    help="Folder for the page, which becomes its index.html.",
)
def report(study: str, results: str, baseline: str, output: Path) -> None:
    """Write all there is to say of STUDY as one web page that opens from disk, without a network.

    \b
    esbn report encoders
    esbn report transformer_encoders --baseline model=transformer -o rivals/
    """
    from analysis.page.build import write

    click.echo(write(results, _name(study), output, command=study, baseline=baseline))


@main.command()
@STUDY
@RESULTS
@FIGURES
@click.option(
    "--style",
    type=click.Choice(["paper", "talk"]),
    default="paper",
    show_default=True,
    help="For a paper's page, 7 inches wide, or for a slide of 13.33 inches with larger text.",
)
def figures(study: str, results: str, output: Path, style: str) -> None:
    """Draw the figures of STUDY as PNG, SVG and PDF: accuracy against m, time courses, keys, the objects.

    For the study paper, these are Figures 3 to 10 of the paper, from the trials of every study in the store. What is
    missing, incomplete or left out is named under each figure and on the error output.

    \b
    esbn figures encoders
    esbn figures paper --style talk -o slides
    """
    from analysis.figures.paper import save_paper
    from analysis.figures.study import save_all

    if study == "paper":
        paths = save_paper(results, output, style, lambda line: click.echo(line, err=True))
    else:
        paths = save_all(results, _name(study), output, style)
    for path in paths:
        click.echo(path)


def _select(
    study: str,
    images: str | None,
    seeds: int | None,
    tasks: Collection[str],
    withheld: Collection[int],
    arms: Collection[str],
    limit_updates: int | None,
) -> tuple[Study, list[PlannedTrial], list[PlannedTrial], "Objects"]:
    """The study, all its trials, those the filters keep, and the images they use."""
    from esbn_core.objects import from_folder, glyphs

    declared = find_study(study)
    objects = from_folder(images) if images else glyphs()
    own = OwnImages(objects.digest(), len(objects.names)) if images else None
    every = plan(declared, seeds=seeds, images=own, limit_updates=limit_updates)
    return declared, every, select(every, tasks=tasks, withheld=withheld, arms=arms), objects


def _train(
    store: "Store",
    declared: Study,
    every: list[PlannedTrial],
    wanted: list[PlannedTrial],
    objects: "Objects",
    limit: int | None = None,
    *,
    retry_failed: bool,
    **resources: Any,
) -> "State":
    """Stores the plan of every trial and trains those wanted that are not in the store yet; returns what is there."""
    from study.planning import rows
    from study.planning.completion import begun, state
    from study.store.lease import lease

    todo = _todo(state(wanted, store), retry_failed)[:limit]
    store.prepare()
    rows.write_plan(store, declared, every)
    rows.write_objects(store, objects)
    if todo:
        from study.running.launch import launch
        from study.running.ray_session import Resources

        allowed = Resources(**resources)
        ids = {trial.trial_id for trial in todo}
        with lease(store, ids) as held:
            # what another run has ended before it let go
            ids &= {trial.trial_id for trial in _todo(state(wanted, store), retry_failed)}
            if ids:
                launch(wanted, ids, begun(every, ids, store), objects, store, held, allowed, console)
    now = state(wanted, store)
    console.print(f"{_summary(now)}{'' if todo else '; nothing to train'}. Results are in {store.uri}")
    return now


def _tune(
    store: "Store", declared: Study, chosen: Sequence[Variant], space: SearchSpace, training: Mapping[str, Any]
) -> list[Variant]:
    """Searches each variant for its best setting, and returns the tuned variants once all searches have ended."""
    from study.running.ray_session import Resources
    from study.searching import tuned as tuning
    from study.searching.driver import search

    searches = tuning.spaces(chosen, declared.name, space)
    tuning.refuse_another_budget(store, declared.name, searches)
    resources = Resources(**{name: value for name, value in training.items() if name != "retry_failed"})
    found = []
    for i, (variant, own) in enumerate(zip(chosen, searches, strict=True), start=1):
        console.print(f"search {i} of {len(searches)}: {own.name}")
        # A pruner would stop the arms that learn slowly; without one, all spend the same.
        best = search(own, store, resources, console, pruner="none").best()
        found.append(tuning.tuned(variant, own, best))
    return found


def _refuse_failed(now: "State") -> None:
    if now.failed:
        raise click.ClickException(
            f'failed trials: {len(now.failed)}; `esbn query "select trial_id, failure from trials where status = '
            "'failed'\"` tells why, --retry-failed trains them again"
        )


def _name(study: str) -> str:
    """The name results carry: that of a declared study, or of the one in a file."""
    return find_study(study).name if Path(study).suffix in FILES else study


def _search_name(space: str) -> str:
    """The name that the rows of a search carry."""
    return find_space(space).name if Path(space).suffix in FILES else space


def _todo(now: "State", retry_failed: bool) -> list[PlannedTrial]:
    return [*now.missing, *(now.failed if retry_failed else [])]


def _updates(trials: Collection[PlannedTrial]) -> int:
    return sum(trial.config.train.updates or 0 for trial in trials)


def _summary(now: "State") -> str:
    counts = (len(now.completed), len(now.failed), len(now.missing))
    return f"{sum(counts)} trials: {counts[0]} completed, {counts[1]} failed, {counts[2]} missing"


def _print_schema() -> None:
    from study.store.schema import SCHEMA_VERSION, TABLES

    console.print(f"schema version {SCHEMA_VERSION}; every column can be null")
    for name, schema in TABLES.items():
        console.print(Text.assemble("\n", (name, "bold"), "  ", (schema.metadata or {})[b"doc"].decode()))
        columns = Table(box=None, show_header=False, padding=(0, 2))
        for field in schema:
            columns.add_row(field.name, str(field.type), (field.metadata or {})[b"doc"].decode())
        console.print(columns)
