"""Commands that merge, export and import results."""

from pathlib import Path

import click

from study.cli.console import console
from study.cli.options import PLACE, RESULTS, UserPath, study_name

LISTED = 20
"""How many of the files that an import leaves out are named; the rest are counted."""


@click.command()
@RESULTS
def compact(results: str) -> None:
    """Merge the small files of finished trials into a few large ones, which read faster.

    Safe while other trials are training and while results are read. If it is stopped or killed, nothing is lost; run it
    again to finish. A trial that is retrained later replaces its merged row. Large runs merge their own rows and
    curves.
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
    help="Folder of figures to include.",
)
def export(bundle: Path, studies: tuple[str, ...], results: str, figures: Path | None) -> None:
    """Write the results of each STUDY (default: all) to one file: rows, plans, searches, images, package versions.

    `esbn import` loads it into another store, which then yields the same tables and figures.

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
@click.option("--origin", default="authors", show_default=True, help="With a folder: whose results these are.")
@click.option(
    "--encoder", default="conv", show_default=True, help="With a folder: the encoder, which the files do not record."
)
@click.option("--task", help="With a folder: the task, if no folder names it; dist3 or distribution_of_three.")
@click.option("--withheld", type=int, help="With a folder: withheld objects m, if no folder is named m<number>.")
@click.option(
    "--arm", help="With a folder: the arm, e.g. baseline or batch_size=16,tcn=none, if folder names do not give it."
)
def import_(
    source: Path, results: str, origin: str, encoder: str, task: str | None, withheld: int | None, arm: str | None
) -> None:
    """Load SOURCE into the store: a bundle from `esbn export`, or a folder of results from the authors' code.

    A bundle adds the results that the store lacks. It is rejected if the store holds a different result for the same
    trial or search.

    A folder is the `test` folder of the authors' code or of a fork, or a folder within it. Each file run<r>.txt in
    <task>/m<m>/<model>_<norm>_lr<rate> becomes a row of the table `external`, which is shown beside our results and
    never enters our means. The columns loss and acc (in percent) are read; a loss that is nan or infinite becomes null,
    with the reason. Unreadable files, and files that claim to be the same run, are listed and skipped. Exits with 1 if
    nothing could be imported.

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
            raise click.UsageError("--task, --withheld and --arm are for a folder of results, not for a bundle")
        for table, (new, known) in import_bundle(store, source, declared_arms).items():
            console.print(f"{table}: {new:,} new, {known:,} already stored")
        return
    done = import_external(store, source, Given(origin=origin, encoder=encoder, task=task, withheld=withheld, arm=arm))
    console.print(f"external: {done.new:,} new, {done.known:,} already stored, {len(done.left_out):,} left out")
    for line in done.left_out[:LISTED]:
        console.print(f"  {line}")
    if len(done.left_out) > LISTED:
        console.print(f"  and {len(done.left_out) - LISTED:,} more")
    if not done.new + done.known:
        raise click.ClickException(f"no result in {source} can be imported, for the reasons above")
