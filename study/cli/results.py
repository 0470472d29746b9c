"""Commands that query, tabulate, judge and draw results."""

from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from esbn_core.files import read_text, write_file
from esbn_core.printable import printable
from esbn_core.vocabulary import plain_arm
from study.cli.console import console
from study.cli.options import (
    ALPHA,
    ARM_COMPARED_WITH,
    FIGURES,
    MARGIN,
    PLACE,
    REPORT_FORMAT,
    RESULTS,
    STUDY,
    UserPath,
    path_option,
    study_name,
)
from study.cli.output import answer
from study.cli.working import working


@click.command()
@click.argument("sql", required=False)
@RESULTS
@click.option("--schema", is_flag=True, help="Describe the tables and their columns.")
@click.option("--list", "list_saved", is_flag=True, help="List the saved questions.")
@click.option("--file", type=UserPath(), help="Read the SQL from a file.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    default="table",
    show_default=True,
    help="Output format.",
)
@click.option("-o", "--output", type=UserPath(), help="Write to a file instead.")
def query(
    sql: str | None, results: str, schema: bool, list_saved: bool, file: Path | None, kind: str, output: Path | None
) -> None:
    """Query the results in SQL (DuckDB), or run a saved question by name.

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
    from analysis.tables.query import parquet, render

    if list_saved:
        for name, text in saved().items():
            console.print(Text.assemble((f"{name:10}", "bold"), text.splitlines()[0].removeprefix("-- ")))
        return
    if (sql is None) == (file is None):
        raise click.UsageError(
            'give one query, e.g. "select * from trials" or accuracy, or one of --file, --list, --schema'
        )
    asked = read_text(file, "file") if file else question(str(sql))
    if kind == "parquet" and not output:
        raise click.UsageError("--format parquet needs --output FILE")
    working.tell(f"reading {results}")
    rows = ask(results, asked)
    if not output:
        pieces = render(rows, kind)
        for piece in ("".join(pieces),) if console.is_terminal else pieces:  # a table is fitted as a whole
            answer(piece)
        return
    try:
        write_file(output, parquet(rows) if kind == "parquet" else "".join(render(rows, kind)).encode())
    except OSError as error:
        raise click.ClickException(f"output={str(output)!r} cannot be written: {error.strerror}") from None


@click.command()
@click.argument("study", metavar="[STUDY]", type=PLACE, required=False)
@RESULTS
@click.option("--tuned", "as_tuned", is_flag=True, help="Show default and tuned arms, after `esbn run --tuned`.")
@click.option("--protocol", is_flag=True, help="Show the paper's Tables 1 to 8 instead; needs no results.")
@REPORT_FORMAT
def table(study: str | None, results: str, as_tuned: bool, protocol: bool, kind: str) -> None:
    """Show our accuracies beside the published ones.

    \b
    esbn table encoders      each variant of a study: n, standard error, difference
    esbn table               the paper's Tables 9 to 20 from all studies; a dash where nothing has run
    esbn table tcn --tuned   default and tuned arms, the cost of tuning, changes in ranking
    esbn table --protocol    Tables 1 to 8: our problems, learning rates and epochs beside the paper's
    """
    if protocol:
        if study is not None or as_tuned:
            raise click.UsageError("--protocol needs no study; leave out STUDY and --tuned")
        answer(_protocol(kind))
        return
    from analysis.findings.accuracy import table as accuracies
    from analysis.findings.paper import other_code, paper_cells
    from analysis.findings.tuned import tuned_arms
    from analysis.tables import accuracy, paper, tuned

    if study is None and as_tuned:
        raise click.UsageError("--tuned needs a STUDY")
    if study is None:
        printed = paper.report(paper_cells(results), other_code(results), results, kind)
    elif as_tuned:
        printed = tuned.report(tuned_arms(results, study_name(study)), kind)
    else:
        printed = accuracy.report(accuracies(results, study_name(study)), kind)
    answer(printed)


@click.command()
@STUDY
@RESULTS
@MARGIN
@ALPHA
@click.option("--strict", is_flag=True, help="Also exit with 1 if anything is undecided.")
@REPORT_FORMAT
def verdict(study: str, results: str, margin: float, alpha: float, strict: bool, kind: str) -> None:
    """Compare STUDY with each published value: agrees, differs or undecided.

    agrees: most networks lie within --margin of the published mean. differs: the means are further apart than that.
    The probability of any wrong "agrees" is at most --alpha, and so is that of any wrong "differs" where the t test
    holds (docs/verdicts.md). The table says how many seeds would decide the rest. Add them with `esbn topup`, which
    keeps the error rate; adding seeds until a verdict changes inflates it. Exits with 1 if a variant differs that was
    trained like the published networks.

    \b
    esbn verdict encoders                    within 3 points of the paper, at level 0.05?
    esbn verdict encoders --margin 5 --strict && echo everything agrees
    esbn verdict paper --format latex > verdicts.tex
    """
    from analysis.data.trials import load_study
    from analysis.findings.reproduction import DIFFERS, UNDECIDED, verdicts
    from analysis.tables.reproduction import report

    frame = verdicts(load_study(results, study_name(study)), margin, alpha)
    answer(report(frame, kind))
    differs = DIFFERS in set(frame.loc[~frame["confounded"], "verdict"])
    if differs or (strict and UNDECIDED in set(frame["verdict"])):
        raise SystemExit(1)


@click.command()
@STUDY
@RESULTS
@ARM_COMPARED_WITH
@click.option(
    "--over-conditions", is_flag=True, help="Use the paper's t tests, over the means of conditions instead of seeds."
)
@REPORT_FORMAT
def compare(study: str, results: str, baseline: str | None, over_conditions: bool, kind: str) -> None:
    """Compare each arm of STUDY with the baseline: which arms matter, where and by how much.

    \b
    esbn compare encoders                     paired by seed, at each task and m, then over all
    esbn compare transformer_encoders --over-conditions
    esbn compare tcn --baseline tcn=none
    esbn compare tcn --format csv > tcn.csv
    """
    from analysis.data.trials import load_study
    from analysis.findings.comparison import check_arms
    from analysis.tables.comparison import by_condition, by_seed

    name = study_name(study)
    frame = load_study(results, name)
    baseline = baseline or plain_arm(set(frame["arm"]))
    check_arms(frame, name, baseline)
    answer((by_condition if over_conditions else by_seed)(frame, baseline, kind))


@click.command()
@STUDY
@RESULTS
@click.option(
    "--criterion", type=float, default=99.0, show_default=True, help="Training accuracy to reach, in percent."
)
@click.option(
    "--window", type=int, default=10, show_default=True, help="Average it over this many consecutive measurements."
)
@REPORT_FORMAT
def converge(study: str, results: str, criterion: float, window: int, kind: str) -> None:
    """Count the updates until the networks of STUDY reach a training accuracy.

    The paper reports 100 to 200 for the ESBN. Networks that never reach the criterion are counted as censored
    (Kaplan-Meier). `esbn figures STUDY` draws the share of networks that have reached it against updates.

    \b
    esbn converge quickstart
    esbn converge architectures --criterion 95 --window 20
    """
    from analysis.data.curves import curves_of
    from analysis.data.trials import load_study
    from analysis.findings.convergence import updates_to_criterion
    from analysis.tables.convergence import report

    frame = load_study(results, study_name(study))
    networks = updates_to_criterion(frame, curves_of(results, frame), criterion, window)
    answer(report(networks, criterion, window, kind))


@click.command()
@STUDY
@RESULTS
@REPORT_FORMAT
def keys(study: str, results: str, kind: str) -> None:
    """Measure how far the keys of STUDY behave like symbols: the same for training and withheld objects at each step.

    Uses all networks with stored keys, of every task. Networks without stored keys are named on standard error,
    with the reason. `esbn figures STUDY` draws the keys of each network.

    \b
    esbn keys keys
    """
    from analysis.data.trials import load_study
    from analysis.findings.key_measures import by_step
    from analysis.findings.key_trials import without_keys
    from analysis.tables.key_measures import report

    frame = load_study(results, study_name(study))
    answer(report(by_step(results, frame), kind))
    for line in without_keys(results, frame):
        click.echo(printable(line), err=True)


@click.command()
@STUDY
@RESULTS
@REPORT_FORMAT
def audit(study: str, results: str, kind: str) -> None:
    """Check the stored splits and problems of STUDY: were test objects held back and all arms treated alike?

    Exits with 1 if a check fails.
    """
    from analysis.data.trials import load_study
    from analysis.findings.audit import audit_study
    from analysis.tables.audit import report

    frame = audit_study(results, load_study(results, study_name(study)))
    answer(report(frame, kind))
    if not all(frame["passed"]):
        raise SystemExit(1)


@click.command()
@STUDY
@RESULTS
@ARM_COMPARED_WITH
@path_option("-o", "--output", default="report", folder=True, help="Folder to write index.html to.")
def report(study: str, results: str, baseline: str | None, output: Path) -> None:
    """Write the whole report on STUDY as one web page, which opens from disk and offline.

    \b
    esbn report encoders
    esbn report transformer_encoders -o rivals/
    """
    from analysis.page.build import write

    answer(f"{write(results, study_name(study), output, command=study, baseline=baseline)}\n")


@click.command()
@STUDY
@RESULTS
@FIGURES
@click.option(
    "--style",
    type=click.Choice(["paper", "talk"]),
    default="paper",
    show_default=True,
    help="paper: 7 inches wide. talk: for a 13.33 inch slide, with larger text.",
)
def figures(study: str, results: str, output: Path | None, style: str) -> None:
    """Draw the figures of STUDY as PNG, SVG and PDF: accuracy against m, training curves, keys, objects.

    For the study `paper`, these are Figures 3 to 10 of the paper, from the trials of all studies in the store. Missing,
    incomplete and omitted data are named under each figure and on standard error.

    \b
    esbn figures encoders
    esbn figures paper --style talk -o slides
    """
    from analysis.figures.paper import save_paper
    from analysis.figures.study import save_all

    def tell(line: str) -> None:
        working.note(printable(line))

    working.tell("drawing figures")
    name = study_name(study)
    folder = output or Path("figures", name)
    if study == "paper":
        paths = save_paper(results, folder, style, tell)
    else:
        paths = save_all(results, name, folder, style, tell)
    for path in paths:
        answer(f"{path}\n")


def _protocol(kind: str) -> str:
    import pandas as pd

    from analysis.findings.protocol import protocol_cells
    from analysis.tables.protocol import report
    from study.planning.paper_protocol import default_protocol

    return report(protocol_cells(pd.DataFrame(default_protocol())), kind)


def _print_schema() -> None:
    from study.store.schema import SCHEMA_VERSION, TABLES

    console.print(f"schema version {SCHEMA_VERSION}; every column can be null")
    for name, schema in TABLES.items():
        console.print(Text.assemble("\n", (name, "bold"), "  ", (schema.metadata or {})[b"doc"].decode()))
        columns = Table(box=None, show_header=False, padding=(0, 2))
        for field in schema:
            columns.add_row(field.name, str(field.type), (field.metadata or {})[b"doc"].decode())
        console.print(columns)
