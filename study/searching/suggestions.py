"""Suggestions of a search: their rows in the store, and the queue of suggestions to train.

The rows are the only state. A resumed search reads them and builds a new Optuna study from them.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from optuna.distributions import distribution_to_json

from ablations import SearchSpace
from esbn_core.config import ResolvedTrial, arm_label
from esbn_core.errors import ConfigError
from study.planning.packs import Pack, Suggestion
from study.planning.plan import PlannedTrial
from study.searching.optuna_replay import STATES, OptunaReplay, Rungs, distribution
from study.store.names import suggestion_name
from study.store.store import Store

ENDED = tuple(STATES)


def trials_left(space: SearchSpace, store: Store) -> list[ResolvedTrial]:
    """Returns the trials of suggestions that have not ended, all with the settings of the first one."""
    ended = sum(row["status"] in ENDED for row in _read_rows(store, space.name))
    settings = space.defaults()
    return [space.config(settings, seed) for seed in space.all_seeds()] * max(0, space.suggestions - ended)


def best_stored(space: SearchSpace, store: Store) -> dict[str, Any] | None:
    """Returns the row of the best suggestion so far, as `Suggestions.best` does at the end of the search."""
    return _best(sorted(_read_rows(store, space.name), key=lambda row: row["suggestion"]))


def _best(rows: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
    return max((r for r in rows if r["status"] == "completed"), key=lambda row: row["accuracy"], default=None)


class Suggestions:
    """All suggestions of a search, as rows by number; asks Optuna for more and writes the result of each."""

    def __init__(self, space: SearchSpace, store: Store, sampler: str, pruner: str, shared: Mapping[str, Any]):
        """Reads the search from the store.

        Args:
            shared: columns shared by all rows.
        Raises:
            ConfigError: the store has a different search of this name, or suggestions from other code.
            StoreError: the store cannot be read or written.
        """
        self.space, self.store = space, store
        self._shared = {**shared, "sampler": sampler, "pruner": pruner}
        _declare(space, store, str(shared["images_hash"]))
        stored = {row["suggestion"]: row for row in _read_rows(store, space.name)}
        for row in stored.values():
            self._refuse_other_code(row)
        rungs = _read_rungs(store, space.name)
        # A sampler with the last driver's seed would repeat its suggestions.
        self._optuna = OptunaReplay(space, sampler, pruner, seed=len(stored))
        self.rows: list[dict[str, Any]] = []
        self.waiting: list[int] = []
        """Suggestions that have not ended, in order; they are trained next."""
        for number in range(max(stored, default=-1) + 1):
            if number in stored:
                self._replay(stored[number], rungs)
            else:
                self._suggest()  # its file was torn, and has been deleted
        self._drop_leftovers()

    @property
    def exhausted(self) -> bool:
        """Whether all suggestions have been made and given out."""
        return not self.waiting and len(self.rows) >= self.space.suggestions

    def take_next(self) -> Suggestion | None:
        """Returns the next suggestion to train; None if all are given out, or if the next waits for its twin.

        Suggestions with the same trials as an earlier one are twins; only the first is trained.
        """
        while not self.exhausted:
            if not self.waiting:
                self._suggest()
                continue
            row = self.rows[self.waiting[0]]
            twin = next((r for r in self.rows[: row["suggestion"]] if r["trial_ids"] == row["trial_ids"]), None)
            if twin is None:
                return self._suggestion(self.rows[self.waiting.pop(0)])
            if twin["status"] not in ENDED:
                return None
            self.report_rungs(row["suggestion"], self._rungs_of(twin["suggestion"]))
            outcome = {name: twin[name] for name in ("update", "accuracies", "accuracy", "spread", "failure")}
            self.record_end(row["suggestion"], twin["status"], same_as=twin["suggestion"], **outcome)
        return None

    def report_rungs(self, number: int, rungs: Rungs) -> bool:
        """Takes all rungs of a suggestion so far; returns whether to stop it."""
        return self._optuna.report(number, rungs)

    def record_end(self, number: int, status: str, **columns: Any) -> None:
        """Ends a suggestion: writes its row, then tells Optuna, and deletes its checkpoint.

        Raises:
            StoreError: the row cannot be written; the suggestion then counts as unfinished.
        """
        row = {**self.rows[number], "status": status, "finished_at": datetime.now(UTC), **columns}
        self.store.write("suggestions", suggestion_name(self.space.name, number), [row])
        self.store.drop_checkpoint(self._pack(row).pack_id)
        self.rows[number] = row
        if number in self.waiting:
            self.waiting.remove(number)
        self._optuna.tell(row)

    def prune(self, number: int) -> None:
        """Ends a suggestion at its last rung, whose row its worker has written."""
        (self.rows[number],) = _read_rows(self.store, self.space.name, number)
        self.record_end(number, "pruned")

    def give_up(self, number: int, failure: str) -> None:
        """Ends a suggestion that is given up, unless its worker wrote its final row before failing."""
        (row,) = _read_rows(self.store, self.space.name, number)
        if row["status"] in ENDED:
            self.take_end(number)
        else:
            self.rows[number] = row
            self.record_end(number, "failed", failure=failure)

    def take_end(self, number: int) -> None:
        """Takes the end of a suggestion from its worker's row; called twice if the worker then died."""
        if self.rows[number]["status"] in ENDED:
            return
        (self.rows[number],) = _read_rows(self.store, self.space.name, number)
        self.report_rungs(number, self._rungs_of(number))
        self._optuna.tell(self.rows[number])

    def put_back(self, number: int) -> None:
        """Puts a suggestion back at the front of the queue."""
        if self.rows[number]["status"] not in ENDED:
            self.waiting.insert(0, number)

    def summary(self) -> str:
        """Returns the number of suggestions by status, as text."""
        states = [row["status"] for row in self.rows]
        return f"{len(states)} suggestions: " + ", ".join(f"{states.count(state)} {state}" for state in ENDED)

    def best(self) -> dict[str, Any] | None:
        """Returns the row of the completed suggestion with the highest accuracy; on ties, the earliest."""
        return _best(self.rows)

    def _suggest(self) -> None:
        """Asks Optuna for a suggestion and writes its row, so that it survives this process."""
        number = len(self.rows)
        values = self._optuna.ask(None if number else self.space.defaults())
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
            pack = self._pack(row)
            row |= {"trial_ids": _ids(pack), "updates": pack.trials[0].config.train.updates}
        except ConfigError as error:  # each value is valid alone, but not with the others
            row |= {"status": "failed", "failure": str(error), "finished_at": datetime.now(UTC)}
        self.store.write("suggestions", suggestion_name(self.space.name, number), [row])
        self.rows += _read_rows(self.store, self.space.name, number)
        if row["status"] == "failed":
            self._optuna.tell(row)
        else:
            self.waiting.append(number)

    def _replay(self, row: dict[str, Any], rungs: Mapping[int, Rungs]) -> None:
        """Tells Optuna the history of a suggestion.

        If it has not ended, its worker reports all its rungs again on resuming, since a decision to stop may not have
        been carried out.
        """
        self.rows.append(row)
        self._optuna.ask(json.loads(row["parameters"]))
        number = row["suggestion"]
        if row["status"] in ENDED:
            self.report_rungs(number, rungs.get(number if row["same_as"] is None else row["same_as"], []))
            self._optuna.tell(row)
        else:
            self.waiting.append(number)

    def _drop_leftovers(self) -> None:
        """Deletes checkpoints of ended suggestions whose worker or driver was killed before doing so."""
        if left := self.store.checkpoints():
            ended = [row for row in self.rows if row["status"] in ENDED and row["trial_ids"]]
            for pack_id in left & {self._pack(row).pack_id for row in ended}:
                self.store.drop_checkpoint(pack_id)

    def _pack(self, row: Mapping[str, Any]) -> Pack:
        values = json.loads(row["parameters"])
        return Pack(tuple(PlannedTrial(self.space.config(values, seed), row["arm"]) for seed in self.space.all_seeds()))

    def _suggestion(self, row: Mapping[str, Any]) -> Suggestion:
        rungs = tuple(self.space.rungs(row["updates"]))
        return Suggestion(self.space.name, row["suggestion"], json.loads(row["parameters"]), self._pack(row), rungs)

    def _rungs_of(self, number: int) -> Rungs:
        return _read_rungs(self.store, self.space.name, number).get(number, [])

    def _refuse_other_code(self, row: Mapping[str, Any]) -> None:
        """Raises `ConfigError` for suggestions from other code (trial ids differ), whose accuracies do not compare."""
        if row["trial_ids"] and row["trial_ids"] != _ids(self._pack(row)):
            raise ConfigError(
                f"name={self.space.name!r}: {self.store.uri} holds suggestions of this search that were trained by "
                "another version of the code; choose another name, or another --results"
            )


def _ids(pack: Pack) -> list[str]:
    return [trial.trial_id for trial in pack.trials]


def _read_rows(store: Store, search: str, number: int | None = None) -> list[dict[str, Any]]:
    """Reads the rows of a search in the order of its suggestions, or the row of one suggestion."""
    names = _names(store, "suggestions", search, number)
    rows = [row for row in store.read("suggestions", names=names).to_pylist() if row["search"] == search]
    return sorted(rows, key=lambda row: row["suggestion"])


def _read_rungs(store: Store, search: str, number: int | None = None) -> dict[int, Rungs]:
    """Reads the rungs of a search or of one of its suggestions, by number of the suggestion."""
    columns = ["search", "suggestion", "update", "seed", "accuracy"]
    table = store.read("rungs", columns, names=_names(store, "rungs", search, number))
    accuracies: dict[int, dict[int, list[float]]] = {}
    for row in sorted(table.to_pylist(), key=lambda row: (row["update"], row["seed"])):
        if row["search"] == search:
            accuracies.setdefault(row["suggestion"], {}).setdefault(row["update"], []).append(row["accuracy"])
    return {suggestion: list(rungs.items()) for suggestion, rungs in accuracies.items()}


def _names(store: Store, table: str, search: str, number: int | None) -> set[str]:
    if number is not None:
        return {suggestion_name(search, number)}
    return {name for name in store.names(table) if name.startswith(f"{search}-")}


def _declare(space: SearchSpace, store: Store, images_hash: str) -> None:
    """Writes the row of a search; raises `ConfigError` if the store has another search of this name."""
    definition = json.dumps({**space.definition(), "images": images_hash}, sort_keys=True)
    known = store.read("searches", names={space.name}).to_pylist()
    if known and known[0]["definition"] != definition:
        old, new = json.loads(known[0]["definition"]), json.loads(definition)
        changed = ", ".join(sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name)))
        raise ConfigError(
            f"name={space.name!r}: {store.uri} holds a search of this name with other {changed}; its suggestions "
            "cannot be compared with new ones, so choose another name"
        )
    if known and known[0]["suggestions"] == space.suggestions:
        return
    distributions = {name: distribution_to_json(distribution(varied)) for name, varied in space.parameters.items()}
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
