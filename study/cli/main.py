"""The `esbn` command: its subcommands, and the one place where errors are printed.

Commands import slow libraries (Ray, torch, pyarrow, DuckDB, seaborn) inside their functions, so that help and lists
answer at once.
"""

import os
import shlex
import sys
import traceback
from contextlib import suppress
from typing import Any

import click

from esbn_core.errors import UserError
from esbn_core.printable import printable
from study.cli import bench, cluster, data, results, searches, studies, trials
from study.cli.console import console
from study.cli.environment import prepare
from study.cli.working import working
from study.running.signals import Stops, exit_stopped

TRAINING = ("run", "topup", "search")
"""Commands that still do their work when their output is lost."""


class _Group(click.Group):
    """Turns every user error into one sentence and exit code 1, and Ctrl-C and SIGTERM into codes 130 and 143."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Runs `esbn` in any environment and prints errors that no command has caught."""
        prepare()
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            _print_error(f"Error: {printable(_sentence(error))}\n")
        except Exception:
            _print_error(f"{traceback.format_exc()}{_request()}\n")
        sys.exit(1)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Finds a command, and says that it is at work."""
        found = super().resolve_command(ctx, args)
        if not ctx.resilient_parsing:  # as the shell does, to complete a command
            working.begin(f"esbn {found[0]}")
        return found

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command and turns user errors into one sentence; other errors pass through."""
        stops = Stops()
        try:
            answer = super().invoke(ctx)
            working.end()
            if console.lost and ctx.invoked_subcommand not in TRAINING:
                raise UserError(f"the answer cannot be printed: {console.lost.strerror}")
            return answer
        except KeyboardInterrupt:
            console.print("Stopped. Run the same command again to continue from the results in the store.")
            exit_stopped(stops.exit_code)
        except UserError as error:
            raise click.ClickException(printable(str(error))) from error
        finally:
            working.end()


def _sentence(error: OSError) -> str:
    """Names the file that the system cannot use, and why."""
    why = error.strerror or str(error) or type(error).__name__
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    return f"{' and '.join(map(repr, names))} cannot be used: {why}" if names else f"system error: {why}"


def _request() -> str:
    """Asks for a bug report, with the details needed to find the bug."""
    import platform
    from importlib.metadata import version

    versions = f"esbn-study {version('esbn-study')}, Python {platform.python_version()}"
    return (
        "This is a bug in esbn-study; please report it with the lines above and these details: "
        f"{versions}, {shlex.join(['esbn', *map(printable, sys.argv[1:])])}"
    )


def _print_error(text: str) -> None:
    with suppress(OSError):
        click.echo(text, err=True, nl=False)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(None, "--version", package_name="esbn-study", prog_name="esbn")
def main() -> None:
    """Ablation studies of the Emergent Symbol Binding Network (ESBN).

    \b
    esbn list                        all studies
    esbn plan quickstart             what a study would train
    esbn run quickstart              train what is missing; run again to continue
    esbn status                      progress of all studies
    esbn table quickstart            our accuracies beside the paper's
    esbn topup quickstart --budget 9 extra seeds for undecided verdicts; plan before reading any
    esbn verdict quickstart          which published values agree with ours
    esbn compare quickstart          which arms matter
    esbn converge quickstart         updates until the networks have learned
    esbn figures quickstart          figures as PNG, SVG and PDF
    esbn keys quickstart             how far keys behave like symbols
    esbn audit quickstart            were test objects held back and arms treated alike?
    esbn report quickstart           everything on one web page
    esbn search --list               hyperparameter searches on validation problems
    esbn query "select * from trials"
    esbn show 3f9a2c                 one trial: result, curve, split, problems, settings
    esbn diff baseline tcn=none      in which settings two arms differ

    STUDY is a name from `esbn list`, or your own .py or .yaml file. Results are Parquet files in --results. They are
    the only state, so any command can be stopped and run again.
    """


for command in (
    *(studies.list_studies, studies.plan, studies.run, studies.topup, studies.status),
    *(searches.search, searches.importance),
    *(results.query, results.table, results.verdict, results.compare, results.converge, results.keys, results.audit),
    *(results.figures, results.report),
    *(trials.show, trials.diff, trials.forget),
    *(data.compact, data.export, data.import_, bench.bench, cluster.cluster),
):
    main.add_command(command)
