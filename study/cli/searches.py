"""Commands that run hyperparameter searches and measure which settings mattered."""

from dataclasses import replace
from pathlib import Path

import click
from rich.text import Text

from esbn_core.vocabulary import MOST_SUGGESTIONS
from study.cli.consent import YES, consent
from study.cli.console import console
from study.cli.options import FIGURES, PLACE, REPORT_FORMAT, RESOURCES, RESULTS, UserPath, search_name
from study.cli.output import answer
from study.running.resources import Resources


@click.command()
@click.argument("space", metavar="[SEARCH]", required=False, type=PLACE)
@RESULTS
@click.option("--list", "list_spaces", is_flag=True, help="List the searches and what each varies.")
@click.option(
    "--suggestions",
    type=click.IntRange(1, MOST_SUGGESTIONS),
    help="How many to try in total. Default: the search's number.",
)
@click.option(
    "--sampler",
    type=click.Choice(["tpe", "random", "gp", "cmaes"]),
    default="tpe",
    show_default=True,
    help="Optuna sampler. cmaes draws categorical choices at random and starts over when a search is resumed.",
)
@click.option(
    "--pruner",
    type=click.Choice(["asha", "median", "none"]),
    default="asha",
    show_default=True,
    help="When to stop a suggestion early: successive halving (asha), or below the median of earlier ones.",
)
@RESOURCES
@YES
@click.option(
    "--export-optuna",
    "export",
    type=UserPath(dir_okay=False),
    help="Train nothing; write the search as an Optuna storage: SQLite if the name ends in .db, else a journal.",
)
def search(
    space: str | None,
    results: str,
    list_spaces: bool,
    suggestions: int | None,
    sampler: str,
    pruner: str,
    resources: Resources,
    yes: bool,
    export: Path | None,
) -> None:
    """Search for the settings with the best accuracy on validation problems. Test problems are never used.

    A suggestion is one choice of settings. Its networks, one per seed, are trained together and validated on objects
    that training did not show. Their mean accuracy counts; worse suggestions are stopped early. The first suggestion is
    the paper's settings, or the nearest ones. After a stop, the same command continues with all earlier suggestions.

    \b
    esbn search learning_rate_and_tcn --suggestions 40      20 more, after the first 20
    esbn importance learning_rate_and_tcn                   which settings mattered
    esbn search learning_rate_and_tcn --export-optuna search.db && optuna-dashboard sqlite:///search.db

    SEARCH is a name from --list, or your own .py or .yaml file:

    \b
    name: key_size_search
    task: same_different
    withheld: 95
    arm: {tcn: none}                   changes to the paper's ESBN in all suggestions
    parameters:
      learning_rate: {low: 1e-5, high: 5e-3, log: true}
      key_size: {low: 16, high: 256, log: true}
      leak: {choices: [0.0, 0.1]}
      leak_into: {choices: [controller, key], when: {leak: [0.1]}}
    seeds: 4                           networks per suggestion; default 2
    suggestions: 20
    validation: 2                      training objects held out; 0: hold out problems instead
    """
    if list_spaces:
        return _list_spaces()
    if space is None:
        raise click.UsageError("name a search or a file that declares one; --list shows all searches")
    if export:
        return _export(space, results, export)
    from study.planning.declarations import find_space
    from study.searching import driver
    from study.searching.progress import outcome
    from study.searching.suggestions import trials_left
    from study.store.store import Store

    declared, store = find_space(space), Store(results)
    declared = replace(declared, suggestions=suggestions or declared.suggestions)
    left = trials_left(declared, store)
    consent(f"at most {len(left):,} networks to train for {declared.name}", left, yes, resources.address)
    ended = driver.search(declared, store, resources, console, sampler=sampler, pruner=pruner)
    console.print(f"{ended.summary()}. Results are in {store.uri}")
    best = ended.best()
    if best is None:
        raise click.ClickException('no suggestion was completed; `esbn query "from suggestions"` shows why')
    console.print(f"best: {outcome(best)}")


def _export(space: str, results: str, export: Path) -> None:
    from analysis.data.searches import export_optuna

    export_optuna(results, search_name(space), export)
    answer(f"{export}\n")


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
    help="Measure of importance. fanova: share of the variance of a random forest; ped_anova: what distinguishes the "
    "best tenth.",
)
@click.option("--update", type=int, help="Compare accuracies at this rung. Default: the last one each has reached.")
@FIGURES
@REPORT_FORMAT
def importance(space: str, results: str, evaluator: str, update: int | None, output: Path | None, kind: str) -> None:
    """Measure which settings mattered in SEARCH; draw its history, importances, slices and parallel coordinates.

    Intervals come from resampling the suggestions. Pruned suggestions count with the last accuracy they reached.

    \b
    esbn importance learning_rate_and_tcn
    esbn importance learning_rate_and_tcn --evaluator ped_anova --update 15
    """
    from analysis.data.searches import load_search
    from analysis.figures.search import save_all
    from analysis.findings.importance import importances
    from analysis.tables.importance import report

    name = search_name(space)
    of_search = load_search(results, name)
    frame = importances(of_search, evaluator, update)
    answer(report(of_search, frame, evaluator, update, kind))
    for path in save_all(of_search, frame, evaluator, update, output or Path("figures", name)):
        click.echo(path, err=True)
