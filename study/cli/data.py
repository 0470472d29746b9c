"""Commands that merge, export and import results."""

from pathlib import Path

import click

from study.cli.console import console
from study.cli.options import PLACE, RESULTS, UserPath, study_name

LISTED = 20
"""Files that an import names as left out; the others are counted."""


@click.command()
@RESULTS
def compact(results: str) -> None:
    """Merge the small files of trials that have ended into few large ones, so that reading them is fast.

    Runs of other trials and readers go on meanwhile. If it is stopped or killed, nothing is lost, and the next one goes
    on. A trial that is retrained later replaces its merged row. Large runs merge their own rows and curves.
    """
    from study.store.compact import compact as merge
    from study.store.store import Store

    merge(Store(results), console.print)


@click.command("export")
@click.argument("bundle", type=UserPath(dir_okay=False))
@click.argument("studies", metavar="[STUDY]...", nargs=-1, type=PLACE)
@RESULTS
@click.option(
    "--figures",
    type=UserPath(exists=True, file_okay=False),
    help="Folder of figures to put into it, for people to look at.",
)
def export(bundle: Path, studies: tuple[str, ...], results: str, figures: Path | None) -> None:
    """Write the results of each STUDY, or of all, into one file: rows, plans, searches, images and package versions.

    `esbn import` reads it into another store, where every table and figure can be made again.

    \b
    esbn export encoders.zip encoders
    esbn export encoders.zip encoders --figures figures/encoders
    """
    from study.store.bundle import export_bundle
    from study.store.store import Store

    counts = export_bundle(Store(results), bundle, [study_name(study) for study in studies], figures)
    console.print(f"{bundle}: {', '.join(f'{table} of {n:,}' for table, n in counts.items())}")


@click.command("import")
@click.argument("source", type=UserPath())
@RESULTS
@click.option("--origin", default="authors", show_default=True, help="With a folder: whose results it has.")
@click.option(
    "--encoder", default="conv", show_default=True, help="With a folder: the encoder of its networks; no file tells."
)
@click.option("--task", help="With a folder: the task, where no folder names it; dist3 or distribution_of_three.")
@click.option("--withheld", type=int, help="With a folder: withheld objects m, where no folder is named m<number>.")
@click.option(
    "--arm", help="With a folder: the arm, e.g. baseline or batch_size=16,tcn=none, where no folder says all."
)
def import_(
    source: Path, results: str, origin: str, encoder: str, task: str | None, withheld: int | None, arm: str | None
) -> None:
    """Read SOURCE into the store: a file that `esbn export` wrote, or a folder of results of the authors' code.

    A bundle adds what is not there yet and is refused if another result of a trial or of a search is.

    A folder is the authors' `test`, that of a fork, or one within it. Every run<r>.txt in
    <task>/m<m>/<model>_<norm>_lr<rate> is a row of the table `external`, which stands beside ours and enters none of
    our means. Of its columns loss and acc (in percent) are read; a loss that is nan or infinite is null, with the
    reason. Files that cannot be read, and files that claim to be the same run, are listed, and the rest is imported.
    The exit code is 1 if nothing is left.

    \b
    esbn import encoders.zip
    esbn import emergent_symbols/test
    esbn import fork/test/dist3/batchconv16 --origin fork --task dist3 --withheld 95 --arm batch_size=16
    """
    from study.planning.study_plan import declared_arms
    from study.store.bundle import import_bundle
    from study.store.external import Given, import_external
    from study.store.store import Store

    store = Store(results)
    if not source.is_dir():
        if (task, withheld, arm) != (None, None, None):
            raise click.UsageError("--task, --withheld and --arm belong to a folder of results, not to a bundle")
        for table, (new, known) in import_bundle(store, source, declared_arms).items():
            console.print(f"{table}: {new:,} new, {known:,} there already")
        return
    done = import_external(store, source, Given(origin=origin, encoder=encoder, task=task, withheld=withheld, arm=arm))
    console.print(f"external: {done.new:,} new, {done.known:,} there already, {len(done.left_out):,} left out")
    for line in done.left_out[:LISTED]:
        console.print(f"  {line}")
    if len(done.left_out) > LISTED:
        console.print(f"  and {len(done.left_out) - LISTED:,} more")
    if not done.new + done.known:
        raise click.ClickException(f"no result in {source} can be imported, for the reasons above")
