"""The run workflow: plan, lease, launch, and the resulting completion."""

from rich.console import Console

from study.planning import rows
from study.planning.completion import Completion, completion
from study.planning.study_plan import StudyPlan
from study.running.console import LastingConsole
from study.running.resources import Resources
from study.store.lease import lease
from study.store.store import Store


def run_study(
    plan: StudyPlan,
    store: Store,
    resources: Resources | None = None,
    *,
    limit: int | None = None,
    retry_failed: bool = False,
    console: Console | None = None,
) -> Completion:
    """Stores the plan of a study and trains its trials that are not in the store yet.

    Args:
        limit: train at most this many trials now, in declared order.
        retry_failed: train failed trials again.
        console: where progress is shown; None: standard output.
    Returns:
        What the store holds of its trials then.
    Raises:
        ConfigError: this machine or cluster lacks the requested `resources`.
        RunError: Ray or Tune stopped and cannot continue; repeating the call continues.
        LeaseError: another run that is alive trains some of these trials.
        StoreError: the store cannot be read or written.
    """
    console = console or LastingConsole()
    todo = completion(plan.trials, store).todo(retry_failed)[:limit]
    store.prepare()
    rows.write_plan(store, plan.study, plan.trials)
    rows.write_objects(store, plan.objects)
    if todo:
        console.print(f"{plan.study.name}: {len(todo):,} of {len(plan.trials):,} trials to train; Ray starts")
        with console.status("starting Ray"):
            from study.running.launch import launch  # with Ray, which takes seconds to import

        ids = {trial.trial_id for trial in todo}
        with lease(store, ids) as held:
            # another run may have completed some before it released them
            ids &= {trial.trial_id for trial in completion(plan.trials, store).todo(retry_failed)}
            if ids:
                launch(plan, ids, store, held, resources or Resources(), console)
    now = completion(plan.trials, store)
    console.print(f"{now}{'' if todo else '; nothing to train'}. Results are in {store.uri}")
    return now
