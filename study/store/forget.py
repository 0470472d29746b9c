"""Removal of plans and of trials from a store."""

from collections.abc import Collection

from study.store.checks import MERGEABLE
from study.store.compact import refuse_later
from study.store.lease import lease
from study.store.names import KEY
from study.store.store import Store


def plan_files(store: Store, study: str) -> set[str]:
    """Returns the names of the plan files of a study."""
    named = {name for name in store.names("plans") if name.startswith(f"{study}-")}
    return {name for name in named if study in store.read("plans", ["study"], names=[name])["study"].to_pylist()}


def stored(store: Store) -> set[str]:
    """Returns the ids of the trials that have rows, of whatever kind."""
    return set().union(*map(store.names, MERGEABLE))


def only_of(store: Store, study: str) -> set[str]:
    """Returns the trials with rows that a study plans, or has planned, and no other study does."""
    of_study: dict[str, set[str]] = {}
    for name in store.names("plans"):
        plan = store.read("plans", ["study", KEY], names=[name])
        for other, trial in zip(plan["study"].to_pylist(), plan[KEY].to_pylist(), strict=True):
            of_study.setdefault(other, set()).add(trial)
    mine = of_study.pop(study, set())
    return (mine & stored(store)).difference(*of_study.values())


def forget_plans(store: Store, names: Collection[str]) -> None:
    """Deletes plan files; the trials in them stay."""
    files = store.files("plans").single
    store.drop_files("plans", [files[name] for name in names if name in files])


def forget_trials(store: Store, trials: Collection[str]) -> None:
    """Deletes all rows of trials. If it is stopped, the same call goes on.

    Raises:
        LeaseError: a run trains some of them, or of the trials whose rows are in the same files.
        StoreError: the store cannot be written, or a later version of this project wrote into it.
    """
    moved = _in_the_same_files(store, trials)
    while moved:
        with lease(store, leased := moved):
            moved = _in_the_same_files(store, trials)
            if moved <= leased:  # no run has merged others into these files since
                for table in MERGEABLE:  # trials first: without its row a trial is missing, whatever else is there
                    _forget(store, table, set(trials))
                return


def _in_the_same_files(store: Store, trials: Collection[str]) -> set[str]:
    """Returns these trials and all others whose rows have to be written again without theirs."""
    moved = set(trials)
    for table in MERGEABLE:
        for file in store.files(table).merged:
            if not (file.names | file.stale).isdisjoint(trials):
                moved |= file.names | file.stale
    return moved


def _forget(store: Store, table: str, trials: set[str]) -> None:
    files = store.files(table)
    # A file that comes later hides an older one, so the oldest go first: none comes to light again.
    for file in files.merged:
        if listed := (file.names | file.stale) & trials:
            if kept := file.names - listed:
                rows = store.read(table, names=kept)
                refuse_later(store, table)
                store.write_merged(table, kept, rows)
            store.drop_files(table, [file.info])
    store.drop_files(table, [info for name, info in files.single.items() if name in trials])
