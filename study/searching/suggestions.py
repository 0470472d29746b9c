"""The suggestions of a search: rows of the store, and an Optuna study in memory that is made from them.

The rows are the truth. A search that goes on reads them, tells a new Optuna study all that has happened, pruned
suggestions with their rungs included, and asks it for more; so it makes no difference when and how the last driver
ended. Tune's own experiment restore is not used, and neither are Optuna's storages, which are ahead of Tune's after a
kill (`UpdateFinishedTrialError`). Ray's `OptunaSearch` would take finished suggestions, too, but only their last
values: what pruned ones had at each rung would be lost to the pruner. Hence Optuna's own ask and tell.
"""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import optuna
from optuna.trial import TrialState

from ablations import SearchSpace
from ablations.search_space import REDUCTION
from esbn_core.config import arm_label
from esbn_core.errors import ConfigError
from study.planning.plan import Pack, PlannedTrial, Suggestion
from study.store.names import suggestion_name
from study.store.store import Store

SAMPLERS = {
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True),
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "gp": lambda seed: optuna.samplers.GPSampler(seed=seed),
    "cmaes": lambda seed: optuna.samplers.CmaEsSampler(seed=seed),
}
PRUNERS = {
    "asha": lambda space: optuna.pruners.SuccessiveHalvingPruner(
        min_resource=space.first_rung, reduction_factor=REDUCTION
    ),
    "median": lambda space: optuna.pruners.MedianPruner(n_startup_trials=3),
    "none": lambda space: optuna.pruners.NopPruner(),
}
ENDED = ("completed", "pruned", "failed")


class Suggestions:
    """All suggestions of a search, as rows by number; asks Optuna for more and writes what becomes of each."""

    def __init__(self, space: SearchSpace, store: Store, sampler: str, pruner: str, shared: Mapping[str, Any]):
        """Reads what the store has of this search.

        Args:
            shared: columns that all rows have in common.
        Raises:
            ConfigError: the store has a search of this name that is another one, or that other code has made.
            StoreError: it cannot be read or written.
        """
        self.space, self.store = space, store
        self._shared = {**shared, "sampler": sampler, "pruner": pruner}
        _declare(space, store, str(shared["images_hash"]))
        there = {row["suggestion"]: row for row in read(store, space.name)}
        self._refuse_other_code(there.values())
        rungs = _rungs(store, space.name)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(
            direction="maximize",
            # A sampler with the seed of the last driver's would make the same suggestions again.
            sampler=SAMPLERS[sampler](len(there)),
            pruner=PRUNERS[pruner](space),
        )
        self._trials: list[optuna.Trial] = []
        self.rows: list[dict[str, Any]] = []
        self.waiting: list[int] = []
        """Suggestions that were made and have not ended, in order: those to train next."""
        for number in range(max(there, default=-1) + 1):
            if number in there:
                self._replay(there[number], rungs)
            else:
                self._suggest()  # its file was torn, and has been deleted
        self._drop_leftovers()

    @property
    def over(self) -> bool:
        """Whether all suggestions have been made and given out."""
        return not self.waiting and len(self.rows) >= self.space.suggestions

    def next(self) -> Suggestion | None:
        """The next suggestion to train; None if there is none, or if its twin has to end first (see `over`).

        Suggestions that are the same trials as an earlier one are twins, and only the first is trained.
        """
        while not self.over:
            if not self.waiting:
                self._suggest()
                continue
            row = self.rows[self.waiting[0]]
            twin = next((r for r in self.rows[: row["suggestion"]] if r["trial_ids"] == row["trial_ids"]), None)
            if twin is None:
                return self._suggestion(self.rows[self.waiting.pop(0)])
            if twin["status"] not in ENDED:
                return None
            same = ("update", "accuracies", "accuracy", "spread", "failure")
            self.reached(row["suggestion"], self._climbed(twin["suggestion"]))
            outcome = {name: twin[name] for name in same}
            self.end(row["suggestion"], twin["status"], same_as=twin["suggestion"], **outcome)
        return None

    def reached(self, number: int, rungs: Sequence[tuple[int, Sequence[float]]]) -> bool:
        """Takes the (update, accuracies) of all rungs a suggestion has climbed; whether to stop it there."""
        trial, stop = self._trials[number], False
        known = self._study.get_trials(deepcopy=False)[number].intermediate_values
        for update, accuracies in rungs:
            if update not in known:
                trial.report(statistics.fmean(accuracies), update)
                stop = trial.should_prune()
        return stop

    def end(self, number: int, status: str, **columns: Any) -> None:
        """A suggestion is over; its row says so before Optuna knows, and its checkpoint goes.

        Raises:
            StoreError: the row cannot be written; the suggestion counts as unfinished then.
        """
        row = {**self.rows[number], "status": status, "finished_at": datetime.now(UTC), **columns}
        self.store.write("suggestions", suggestion_name(self.space.name, number), [row])
        self.store.drop_checkpoint(self._pack(json.loads(row["parameters"])).pack_id)
        self.rows[number] = row
        if number in self.waiting:
            self.waiting.remove(number)
        self._tell(number)

    def prune(self, number: int) -> None:
        """Ends a suggestion at its last rung, whose row its worker has written."""
        (self.rows[number],) = read(self.store, self.space.name, number)
        self.end(number, "pruned")

    def give_up(self, number: int, failure: str) -> None:
        """Ends a suggestion that is trained no more; one whose worker got to its end before it failed has ended."""
        (row,) = read(self.store, self.space.name, number)
        if row["status"] in ENDED:
            self.ended(number)
        else:
            self.rows[number] = row
            self.end(number, "failed", failure=failure)

    def ended(self, number: int) -> None:
        """A suggestion has come to its end, and its worker has written the row; said twice if the worker then died."""
        if self.rows[number]["status"] in ENDED:
            return
        (self.rows[number],) = read(self.store, self.space.name, number)
        self.reached(number, self._climbed(number))
        self._tell(number)

    def again(self, number: int) -> None:
        """A suggestion is to be trained again, before any other."""
        if self.rows[number]["status"] not in ENDED:
            self.waiting.insert(0, number)

    def summary(self) -> str:
        """How many suggestions came to what."""
        states = [row["status"] for row in self.rows]
        return f"{len(states)} suggestions: " + ", ".join(f"{states.count(state)} {state}" for state in ENDED)

    def best(self) -> dict[str, Any] | None:
        """The row of the completed suggestion with the highest accuracy, the earliest of equals."""
        completed = [row for row in self.rows if row["status"] == "completed"]
        return max(completed, key=lambda row: row["accuracy"], default=None)

    def _suggest(self) -> None:
        """Asks Optuna and writes the row, so that the suggestion is not lost with this process."""
        number = len(self.rows)
        if not number:
            self._study.enqueue_trial(self.space.defaults())
        trial = self._study.ask()
        values = _ask(self.space, trial)
        row: dict[str, Any] = {
            "search": self.space.name,
            "suggestion": number,
            "status": "running",
            "parameters": json.dumps(values),
            "arm": arm_label({**self.space.arm, **values}),
            "seeds": list(self.space.all_seeds()),
            "suggested_at": datetime.now(UTC),
            **self._shared,
        }
        try:
            pack = self._pack(values)
            row |= {"trial_ids": _ids(pack), "updates": pack.trials[0].config.train.updates}
        except ConfigError as error:  # each value can be had, but not together
            row |= {"status": "failed", "failure": str(error), "finished_at": datetime.now(UTC)}
        self.store.write("suggestions", suggestion_name(self.space.name, number), [row])
        self.rows += read(self.store, self.space.name, number)
        self._trials.append(trial)
        if row["status"] == "failed":
            self._tell(number)
        else:
            self.waiting.append(number)

    def _drop_leftovers(self) -> None:
        """Deletes checkpoints of suggestions that ended as their worker or driver was killed."""
        if left := self.store.checkpoints():
            ended = [row for row in self.rows if row["status"] in ENDED and row["trial_ids"]]
            for pack_id in left & {self._pack(json.loads(row["parameters"])).pack_id for row in ended}:
                self.store.drop_checkpoint(pack_id)

    def _pack(self, values: Mapping[str, Any]) -> Pack:
        arm = arm_label({**self.space.arm, **values})
        return Pack(tuple(PlannedTrial(self.space.config(values, seed), arm) for seed in self.space.all_seeds()))

    def _suggestion(self, row: Mapping[str, Any]) -> Suggestion:
        values = json.loads(row["parameters"])
        pack = self._pack(values)
        updates = pack.trials[0].config.train.updates
        assert updates is not None
        return Suggestion(self.space.name, row["suggestion"], values, pack, tuple(self.space.rungs(updates)))

    def _climbed(self, number: int) -> list[tuple[int, list[float]]]:
        return _rungs(self.store, self.space.name, number).get(number, [])

    def _refuse_other_code(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Accuracies of networks of other code cannot be compared; a trial's identity says which code it has."""
        for row in rows:
            if row["trial_ids"] and row["trial_ids"] != _ids(self._pack(json.loads(row["parameters"]))):
                raise ConfigError(
                    f"name={self.space.name!r}: {self.store.uri} holds suggestions of this search that an earlier "
                    "version of the model or the trainer has trained; choose another name, or another --results"
                )

    def _replay(self, row: dict[str, Any], rungs: Mapping[int, Sequence[tuple[int, Sequence[float]]]]) -> None:
        """Tells a new Optuna study what is known of a suggestion.

        The rungs of one that has not ended are left to its worker, which reports them all when it goes on: whether to
        stop there may not have been carried out.
        """
        self.rows.append(row)
        self._study.enqueue_trial(json.loads(row["parameters"]))
        trial = self._study.ask()
        _ask(self.space, trial)
        self._trials.append(trial)
        number = row["suggestion"]
        if row["status"] in ENDED:
            self.reached(number, rungs.get(number if row["same_as"] is None else row["same_as"], []))
            self._tell(number)
        else:
            self.waiting.append(number)

    def _tell(self, number: int) -> None:
        row = self.rows[number]
        if row["status"] == "completed":
            self._study.tell(number, row["accuracy"])
        else:
            self._study.tell(number, state=TrialState.PRUNED if row["status"] == "pruned" else TrialState.FAIL)


def _ids(pack: Pack) -> list[str]:
    return [trial.trial_id for trial in pack.trials]


def read(store: Store, search: str, number: int | None = None) -> list[dict[str, Any]]:
    """The rows of a search in the order of its suggestions, or that of one of them."""
    names = _names(store, "suggestions", search, number)
    rows = [row for row in store.read("suggestions", names=names).to_pylist() if row["search"] == search]
    return sorted(rows, key=lambda row: row["suggestion"])


def _rungs(store: Store, search: str, number: int | None = None) -> dict[int, list[tuple[int, list[float]]]]:
    """The (update, accuracies) of all rungs climbed, by number of the suggestion, in a search or by one of it."""
    columns = ["search", "suggestion", "update", "seed", "accuracy"]
    table = store.read("rungs", columns, names=_names(store, "rungs", search, number))
    found: dict[int, dict[int, list[float]]] = {}
    for row in sorted(table.to_pylist(), key=lambda row: (row["update"], row["seed"])):
        if row["search"] == search:
            found.setdefault(row["suggestion"], {}).setdefault(row["update"], []).append(row["accuracy"])
    return {suggestion: list(rungs.items()) for suggestion, rungs in found.items()}


def _names(store: Store, table: str, search: str, number: int | None) -> set[str]:
    if number is not None:
        return {suggestion_name(search, number)}
    return {name for name in store.names(table) if name.startswith(f"{search}-")}


def _declare(space: SearchSpace, store: Store, images_hash: str) -> None:
    definition = json.dumps({**space.definition(), "images": images_hash}, sort_keys=True)
    known = store.read("searches", names={space.name}).to_pylist()
    if known and known[0]["definition"] != definition:
        old, new = json.loads(known[0]["definition"]), json.loads(definition)
        changed = ", ".join(sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name)))
        raise ConfigError(
            f"name={space.name!r}: {store.uri} holds a search of this name with other {changed}; its suggestions "
            "cannot be compared with those to come, so choose another name"
        )
    if known and known[0]["suggestions"] == space.suggestions:
        return
    distributions = {
        name: optuna.distributions.distribution_to_json(_distribution(space, name)) for name in space.parameters
    }
    row = {
        "search": space.name,
        "question": space.question,
        "task": space.task,
        "withheld": space.withheld,
        "arm": arm_label(space.arm),
        "validation": space.n_apart,
        "seeds": list(space.all_seeds()),
        "suggestions": space.suggestions,
        "distributions": json.dumps(distributions),
        "definition": definition,
        "declared_at": datetime.now(UTC),
    }
    store.write("searches", space.name, [row])


def _distribution(space: SearchSpace, name: str) -> optuna.distributions.BaseDistribution:
    parameter = space.parameters[name]
    if parameter.choices:
        return optuna.distributions.CategoricalDistribution(parameter.choices)
    assert parameter.low is not None and parameter.high is not None
    if parameter.whole:
        return optuna.distributions.IntDistribution(int(parameter.low), int(parameter.high), log=parameter.log)
    return optuna.distributions.FloatDistribution(parameter.low, parameter.high, log=parameter.log)


def _ask(space: SearchSpace, trial: optuna.Trial) -> dict[str, Any]:
    """The values of a suggestion; only those of parameters that are searched given the ones before."""
    values: dict[str, Any] = {}
    for name, parameter in space.parameters.items():
        if not space.active(values, name):
            continue
        if parameter.choices:
            values[name] = trial.suggest_categorical(name, list(parameter.choices))
        elif parameter.whole:
            values[name] = trial.suggest_int(name, int(parameter.low or 0), int(parameter.high or 0), log=parameter.log)
        else:
            values[name] = trial.suggest_float(name, parameter.low or 0.0, parameter.high or 0.0, log=parameter.log)
    return values
