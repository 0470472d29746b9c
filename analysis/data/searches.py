"""Searches as frames, and as Optuna studies for Optuna's own tools: importances here, optuna-dashboard elsewhere."""

import contextlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import optuna
import pandas as pd
import pyarrow.compute as pc
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial

from analysis.data.results import has_rows, read
from analysis.errors import AnalysisError, choices
from esbn_core.files import write_file
from study.store.location import Place

STATES = {
    "completed": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "running": TrialState.RUNNING,
}


class Search(NamedTuple):
    """A search, as stored."""

    about: dict[str, Any]  # its row of searches
    suggestions: pd.DataFrame  # by number, with the values of its parameters as a dict in `values`
    rungs: pd.DataFrame  # suggestion, update, and the mean accuracy over seeds
    parameters: dict[str, dict[str, Any]]  # low, high, log, choices and when of each
    distributions: dict[str, BaseDistribution]  # the same, in Optuna's form


def load_search(results: Place, name: str) -> Search:
    """Reads a search with all its suggestions, whatever their status; errors as for `load_searches`."""
    return load_searches(results, [name])[name]


def load_searches(results: Place, names: Sequence[str]) -> dict[str, Search]:
    """Reads searches with all their suggestions, by name; reads each table once.

    Raises:
        AnalysisError: there is no such search or it has no suggestions yet.
        StoreError: the place cannot be read.
    """
    there = read(results, "searches").to_pylist() if has_rows(results, "searches") else []
    about = {row["search"]: row for row in there}
    wanted = pc.field("search").isin(list(names))
    suggestions = read(results, "suggestions", rows=wanted).to_pandas() if has_rows(results, "suggestions") else None
    rungs = pd.DataFrame({"search": [], "suggestion": [], "update": [], "accuracy": []})
    if has_rows(results, "rungs"):
        rungs = read(results, "rungs", list(rungs), wanted).to_pandas()
    searches = {}
    for name in names:
        if name not in about:
            raise AnalysisError(f"search={name!r} is not in results={str(results)!r}; {choices(name, list(about))}")
        if suggestions is None or not (mine := suggestions["search"] == name).any():
            raise AnalysisError(f"search={name!r} has no suggestions yet; `esbn search {name}` makes them")
        searches[name] = _search(about[name], suggestions.loc[mine], rungs.loc[rungs["search"] == name])
    return searches


def _search(about: dict[str, Any], suggestions: pd.DataFrame, rungs: pd.DataFrame) -> Search:
    frame = suggestions.sort_values("suggestion", ignore_index=True)
    frame["values"] = frame["parameters"].map(json.loads)
    means = rungs.groupby(["suggestion", "update"], as_index=False).agg({"accuracy": "mean"})
    distributions = {name: json_to_distribution(text) for name, text in json.loads(about["distributions"]).items()}
    return Search(about, frame, means, json.loads(about["definition"])["parameters"], distributions)


def measured(search: Search, update: int | None = None) -> pd.DataFrame:
    """Returns suggestions with an accuracy to compare in `score`: each one's last, or that at a rung.

    Twins of earlier suggestions are left out, since they were not trained.

    Raises:
        AnalysisError: there are fewer than 2.
    """
    frame = search.suggestions
    frame = frame.loc[frame["status"].isin(["completed", "pruned"]) & frame["same_as"].isna()]
    if update is None:
        frame = frame.assign(score=frame["accuracy"])
    else:
        at = search.rungs.loc[search.rungs["update"] == update].set_index("suggestion")["accuracy"]
        frame = frame.assign(score=frame["suggestion"].map(at)).dropna(subset="score")
    if len(frame) < 2 and update is None:
        raise AnalysisError(f"{len(frame)} suggestions have been validated so far; a comparison needs 2")
    if len(frame) < 2:
        there = ", ".join(map(str, sorted(search.rungs["update"].unique())))
        raise AnalysisError(f"{len(frame)} suggestions were validated at update={update}; the rungs are at {there}")
    return frame


def as_optuna(search: Search, frame: pd.DataFrame) -> optuna.Study:
    """Makes an Optuna study in memory with the suggestions as completed trials and their `score` as value."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize")
    study.add_trials(
        create_trial(value=score, params=values, distributions=_of(search, values))
        for score, values in zip(frame["score"], frame["values"], strict=True)
    )
    return study


def export_optuna(results: Place, name: str, path: str | Path) -> None:
    """Writes a search, finished or running, as an Optuna storage with one study of the same name.

    Args:
        path: new file; SQLite if it ends in .db, .sqlite or .sqlite3, else a journal.
    Raises:
        AnalysisError: there is no such search, or the file cannot be written.
    """
    search, path = load_search(results, name), Path(path)
    if os.path.lexists(path):
        raise AnalysisError(f"{path} exists already; name another file, or delete it first")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        write_file(path, (_sqlite if path.suffix in (".db", ".sqlite", ".sqlite3") else _journal)(search))
    except OSError as error:
        raise AnalysisError(f"{path} cannot be written: {error.strerror}") from None


def _sqlite(search: Search) -> bytes:
    with contextlib.closing(sqlite3.connect(":memory:", check_same_thread=False)) as database:
        _fill(optuna.storages.RDBStorage("sqlite://", engine_kwargs={"creator": lambda: database}), search)
        return database.serialize()


def _journal(search: Search) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "journal")
        _fill(optuna.storages.JournalStorage(JournalFileBackend(str(file))), search)
        return file.read_bytes()


def _fill(storage: optuna.storages.BaseStorage, search: Search) -> None:
    study = optuna.create_study(study_name=search.about["search"], direction="maximize", storage=storage)
    study.set_user_attr("definition", json.loads(search.about["definition"]))
    study.add_trials(_trials(search))


def _trials(search: Search) -> Sequence[optuna.trial.FrozenTrial]:
    trials = []
    for row in search.suggestions.to_dict("records"):
        trained = row["suggestion"] if pd.isna(row["same_as"]) else row["same_as"]
        rungs = search.rungs.loc[search.rungs["suggestion"] == trained]
        trial = create_trial(
            state=STATES[row["status"]],
            value=row["accuracy"] if row["status"] == "completed" else None,
            params=row["values"],
            distributions=_of(search, row["values"]),
            intermediate_values=dict(zip(rungs["update"].tolist(), rungs["accuracy"].tolist(), strict=True)),
            user_attrs={
                "arm": row["arm"],
                "accuracies": [] if row["accuracies"] is None else list(row["accuracies"]),
                **({} if pd.isna(row["failure"]) else {"failure": row["failure"]}),
            },
        )
        trial.datetime_start = _naive(row["suggested_at"])
        trial.datetime_complete = None if row["status"] == "running" else _naive(row["finished_at"])
        trials.append(trial)
    return trials


def _naive(at: pd.Timestamp) -> Any:
    """Returns a time in Optuna's form: local and naive."""
    return at.to_pydatetime().astimezone().replace(tzinfo=None)


def _of(search: Search, values: dict[str, Any]) -> dict[str, BaseDistribution]:
    return {name: search.distributions[name] for name in values}
