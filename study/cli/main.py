"""The `esbn` command: its commands by room, and the one place where errors are printed.

What takes long to import (Ray, torch, pyarrow, DuckDB, seaborn) is imported by the commands that need it, so that help
and lists answer at once.
"""

from typing import Any

import click

from esbn_core.errors import UserError
from esbn_core.printable import printable
from study.cli import bench, cluster, data, results, searches, studies
from study.cli.console import console
from study.cli.environment import prepare
from study.running.signals import Stops, exit_stopped

TRAINING = ("run", "topup", "search")
"""Commands whose work is done when what they print is lost."""


class _Group(click.Group):
    """Turns every error a user can mend into one sentence and exit code 1, and Ctrl-C and SIGTERM into 130 and 143."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Runs `esbn` in whatever environment it is started."""
        prepare()
        return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command; what is an error of the project itself is raised as it is."""
        stops = Stops()
        try:
            answer = super().invoke(ctx)
            if console.lost and ctx.invoked_subcommand not in TRAINING:
                raise UserError(f"the answer cannot be printed: {console.lost.strerror}")
            return answer
        except KeyboardInterrupt:
            console.print("Stopped. The same command goes on from what is in the store.")
            exit_stopped(stops.exit_code)
        except UserError as error:
            raise click.ClickException(printable(str(error))) from error


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


for command in (
    *(studies.list_studies, studies.plan, studies.run, studies.topup, studies.status),
    *(searches.search, searches.importance),
    *(results.query, results.table, results.verdict, results.compare, results.keys, results.audit),
    *(results.figures, results.report),
    *(data.compact, data.export, data.import_, bench.bench, cluster.cluster),
):
    main.add_command(command)
