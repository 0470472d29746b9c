"""Commands that search the settings of a network, and say which mattered."""

from dataclasses import replace
from pathlib import Path

import click
from rich.text import Text

from esbn_core.vocabulary import MOST_SUGGESTIONS
from study.cli.console import console
from study.cli.options import FIGURES, PLACE, REPORT_FORMAT, RESOURCES, RESULTS, UserPath, search_name
from study.cli.output import answer
from study.running.resources import Resources


@click.command()
@click.argument("space", metavar="[SEARCH]", required=False, type=PLACE)
@RESULTS
@click.option("--list", "list_spaces", is_flag=True, help="List the searches there are, and what each varies.")
@click.option(
    "--suggestions",
    type=click.IntRange(1, MOST_SUGGESTIONS),
    help="How many to try, in place of the search's own number.",
)
@click.option(
    "--sampler",
    type=click.Choice(["tpe", "random", "gp", "cmaes"]),
    default="tpe",
    show_default=True,
    help="What suggests. cmaes takes choices at random, and forgets its course where a search is taken up again.",
)
@click.option(
    "--pruner",
    type=click.Choice(["asha", "median", "none"]),
    default="asha",
    show_default=True,
    help="What stops suggestions early: successive halving, or below the median of those before.",
)
@RESOURCES
@click.option(
    "--export-optuna",
    "export",
    type=UserPath(dir_okay=False),
    help="Train nothing: write the search as an Optuna storage, SQLite if the name ends in .db, else a journal.",
)
def search(
    space: str | None,
    results: str,
    list_spaces: bool,
    suggestions: int | None,
    sampler: str,
    pruner: str,
    resources: Resources,
    export: Path | None,
) -> None:
    """Search the settings of a network for the best accuracy on validation problems. Test problems are never met.

    Every suggestion is some networks of different seeds, trained together and validated on objects that training did
    not show; their mean accuracy counts, and the worse suggestions are stopped early. The first is the paper's setting.
    Stop the search with Ctrl-C, or have it killed: run it again and it goes on, with all that it has learned.

    \b
    esbn search --list
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
        return _list_spaces()
    if space is None:
        raise click.UsageError("name a search, or a file that declares one; --list shows those there are")
    if export:
        from analysis.data.searches import export_optuna

        export_optuna(results, search_name(space), export)
        return answer(f"{export}\n")
    from study.planning.declarations import find_space
    from study.searching import driver
    from study.searching.progress import outcome
    from study.store.store import Store

    declared, store = find_space(space), Store(results)
    declared = replace(declared, suggestions=suggestions or declared.suggestions)
    ended = driver.search(declared, store, resources, console, sampler=sampler, pruner=pruner)
    console.print(f"{ended.summary()}. Results are in {store.uri}")
    best = ended.best()
    if best is None:
        raise click.ClickException("no suggestion was completed; `esbn query` on the table suggestions tells why")
    console.print(f"best: {outcome(best)}")


def _list_spaces() -> None:
    from ablations import SPACES
    from esbn_core.config import arm_label

    for declared in SPACES.values():
        console.print(Text.assemble((declared.name, "bold"), "  ", declared.question))
        varied = "; ".join(f"{name}: {parameter}" for name, parameter in declared.parameters.items())
        console.print(f"    {declared.task} m={declared.withheld} {arm_label(declared.arm)}; {varied}", style="dim")


@click.command()
@click.argument("space", metavar="SEARCH", type=PLACE)
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
    from analysis.findings.importance import importances
    from analysis.tables.importance import report

    of_search = load_search(results, search_name(space))
    frame = importances(of_search, evaluator, update)
    answer(report(of_search, frame, evaluator, update, kind))
    for path in save_all(of_search, frame, evaluator, update, output):
        click.echo(path, err=True)
