"""Commands about single trials: show, compare and forget them."""

import sys

import click

from study.cli.console import console
from study.cli.options import PLACE, RESULTS, study_name


@click.command()
@click.argument("trial", metavar="TRIAL", type=PLACE)
@RESULTS
def show(trial: str, results: str) -> None:
    """Show one TRIAL: result, training curve, split, test problems, settings and where it was trained.

    TRIAL is an id, as `esbn query "select trial_id, arm, seed from trials"` lists them, or the start of one.

    \b
    esbn show 3f9a2c
    """
    from study.monitoring.trials import find_trial, trial_page
    from study.store.store import Store

    store = Store(results)
    console.print(trial_page(store, find_trial(store, trial)))


@click.command()
@click.argument("one", metavar="TRIAL|ARM", type=PLACE)
@click.argument("other", metavar="TRIAL|ARM", type=PLACE)
@RESULTS
def diff(one: str, other: str, results: str) -> None:
    """Show in which settings two trials or arms differ, and the accuracies they reached.

    Arms are compared at the tasks, m and seeds that both have.

    \b
    esbn diff baseline tcn=none
    esbn diff 3f9a2c 77b01e
    """
    from study.monitoring.trials import difference, find_trials
    from study.store.store import Store

    store = Store(results)
    console.print(difference(store, find_trials(store, one), find_trials(store, other)))


@click.command()
@click.argument("name", metavar="STUDY|TRIAL", type=PLACE)
@RESULTS
@click.option("--trials", is_flag=True, help="With a study: also the trials that no other study plans.")
@click.option("--yes", "-y", is_flag=True, help="Remove without asking.")
def forget(name: str, results: str, trials: bool, yes: bool) -> None:
    """Remove the plan of a study, or all rows of one trial, after showing what would go.

    The trials of a study stay, since they may belong to others, unless --trials is given. A trial that is still planned
    counts as missing afterwards, and `esbn run` trains it again.

    \b
    esbn forget my_study
    esbn forget my_study --trials
    esbn forget 3f9a2c
    """
    from study.monitoring.trials import find_stored
    from study.store.forget import forget_plans, forget_trials, only_of, plan_files
    from study.store.store import Store

    store = Store(results)
    study = study_name(name)
    plans = plan_files(store, study)
    if plans:
        gone = only_of(store, study) if trials else set()
        console.print(f"{study}: its plan and {len(gone):,} trials")
    elif trials:
        raise click.UsageError(f"--trials needs a study with a plan in {store.uri}; {name!r} is none")
    else:
        trial_id, about = find_stored(store, name)
        gone = {trial_id}
        console.print(f"{trial_id}: {about}")
    if not yes:
        if sys.stdin is None or not sys.stdin.isatty():
            raise click.UsageError("there is no terminal to confirm on; add --yes to remove this without asking")
        click.confirm(f"Remove this from {store.uri}?", abort=True)
    if gone:
        forget_trials(store, gone)
    forget_plans(store, plans)
    console.print("Removed.")
