"""Commands that merge, export and import results."""

from pathlib import Path

import click

from study.cli.console import console
from study.cli.options import PLACE, RESULTS, UserPath, study_name


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
    esbn export everything.zip --figures figures
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
def import_(source: Path, results: str, origin: str, encoder: str) -> None:
    """Read SOURCE into the store: a file that `esbn export` wrote, or the folder `test` of the authors' code.

    A bundle adds what is not there yet and is refused if another result of a trial or of a search is. The authors'
    results go into the table `external`, which stands beside ours and enters none of our means.

    \b
    esbn import encoders.zip
    esbn import emergent_symbols/test
    """
    from study.planning.study_plan import declared_arms
    from study.store.bundle import import_bundle
    from study.store.external import import_external
    from study.store.store import Store

    store = Store(results)
    if source.is_dir():
        counts = import_external(store, source, origin, encoder)
    else:
        counts = import_bundle(store, source, declared_arms)
    for table, (new, known) in counts.items():
        console.print(f"{table}: {new:,} new, {known:,} there already")
