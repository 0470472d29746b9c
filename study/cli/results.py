"""Commands that ask, tabulate, judge and draw results."""

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


@click.command()
@click.argument("sql", required=False)
@RESULTS
@click.option("--schema", is_flag=True, help="Describe the tables and their columns.")
@click.option("--list", "list_saved", is_flag=True, help="List the saved questions and what they answer.")
@click.option("--file", type=UserPath(), help="Read the question from it.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    default="table",
    show_default=True,
    help="How to print the answer.",
)
@click.option("-o", "--output", type=UserPath(), help="Write to a file instead.")
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
    from analysis.tables.query import render

    if list_saved:
        for name, text in saved().items():
            console.print(Text.assemble((f"{name:10}", "bold"), text.splitlines()[0].removeprefix("-- ")))
        return
    if (sql is None) == (file is None):
        raise click.UsageError(
            'give one question, e.g. "select * from trials" or accuracy, or --file, --list, --schema'
        )
    asked = read_text(file, "file") if file else question(str(sql))
    printed = render(ask(results, asked), kind)
    if output:
        try:
            write_file(output, printed.encode() if isinstance(printed, str) else printed)
        except OSError as error:
            raise click.ClickException(f"output={str(output)!r} cannot be written: {error.strerror}") from None
    elif isinstance(printed, bytes):
        raise click.UsageError("--format parquet needs --output FILE")
    else:
        answer(printed)


@click.command()
@click.argument("study", metavar="[STUDY]", type=PLACE, required=False)
@RESULTS
@click.option(
    "--tuned", "as_tuned", is_flag=True, help="The arms as declared and as `esbn run --tuned` has tuned them."
)
@click.option("--protocol", is_flag=True, help="The paper's Tables 1 to 8 instead, which need no results.")
@REPORT_FORMAT
def table(study: str | None, results: str, as_tuned: bool, protocol: bool, kind: str) -> None:
    """Show our accuracies beside the published ones.

    \b
    esbn table encoders      STUDY, variant by variant: n, standard error, difference
    esbn table               the paper's Tables 9 to 20, from the trials of every study; a dash where none has run
    esbn table tcn --tuned   default and tuned arms, what tuning spent, and whether the order of arms changed
    esbn table --protocol    Tables 1 to 8: problems, learning rates and epochs of our default trials and the paper's
    """
    if protocol:
        if study is not None or as_tuned:
            raise click.UsageError("--protocol is of no study; leave out STUDY and --tuned")
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
@click.option("--strict", is_flag=True, help="Exit with 1 if anything is undecided, too.")
@REPORT_FORMAT
def verdict(study: str, results: str, margin: float, alpha: float, strict: bool, kind: str) -> None:
    """Compare STUDY with each published value: agrees, differs or undecided.

    agrees: most networks lie within --margin of the published mean. differs: the means are further apart than that.
    The probability of any wrong "agrees" is at most --alpha, and so is that of any wrong "differs" where the t test
    holds (docs/verdicts.md). The table names the seeds that would decide the rest; `esbn topup` trains them. Adding
    seeds until a verdict changes inflates the false-positive rate. Exits with 1 if anything differs that was trained
    like the published networks.

    \b
    esbn verdict encoders                    within 3 points of the paper, at level 0.05?
    esbn verdict encoders --margin 5 --strict && echo it all agrees
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
    "--over-conditions", is_flag=True, help="The paper's t tests instead: over the means of conditions, not over seeds."
)
@REPORT_FORMAT
def compare(study: str, results: str, baseline: str | None, over_conditions: bool, kind: str) -> None:
    """Compare the arms of STUDY with one of them: which matter, where, and by how much.

    \b
    esbn compare encoders                     seed by seed at each task and m, then over all of them
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
    "--window", type=int, default=10, show_default=True, help="Measurements in a row over which it is averaged."
)
@REPORT_FORMAT
def converge(study: str, results: str, criterion: float, window: int, kind: str) -> None:
    """Count the updates that the networks of STUDY make until training accuracy reaches a criterion.

    The paper says 100 to 200 of the ESBN. Networks that never reach it stay in the count (Kaplan-Meier).
    `esbn figures STUDY` draws how many have reached it after how many updates.

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
    """Measure whether the keys of STUDY behave like symbols: the same for training and withheld objects at each step.

    Over all networks with stored keys, of every task, not one that was picked. What has none is named on the error
    output with the reason. `esbn figures STUDY` draws the keys of each network.

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
    """Prove from the stored splits and problems of STUDY that its test was held back and its arms were treated alike.

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
@path_option("-o", "--output", default="report", folder=True, help="Folder for the page, which becomes its index.html.")
def report(study: str, results: str, baseline: str | None, output: Path) -> None:
    """Write all there is to say of STUDY as one web page that opens from disk, without a network.

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

    def tell(line: str) -> None:
        click.echo(printable(line), err=True)

    if study == "paper":
        paths = save_paper(results, output, style, tell)
    else:
        paths = save_all(results, study_name(study), output, style, tell)
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
