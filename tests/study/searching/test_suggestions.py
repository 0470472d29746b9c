"""Suggestions as rows: what a new driver learns from them, without training anything."""

import json
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from ablations import Parameter, SearchSpace
from esbn_core.errors import ConfigError
from study.planning.packs import Suggestion
from study.searching.optuna_replay import PRUNERS, SAMPLERS
from study.searching.suggestions import Suggestions
from study.store.names import suggestion_name
from study.store.store import Store

SPACE = SearchSpace(
    name="mine",
    task="same_different",
    withheld=95,
    arm={"updates": 90},
    parameters={
        "learning_rate": Parameter(low=1e-5, high=1e-2, log=True),
        "tcn": Parameter(choices=["sequence", "none"]),
    },
    suggestions=30,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "results"))
    store.prepare()
    return store


def opened(store: Store, space: SearchSpace = SPACE, sampler: str = "tpe", pruner: str = "asha") -> Suggestions:
    return Suggestions(space, store, sampler, pruner, {"images_hash": "none"})


def study(suggestions: Suggestions) -> optuna.Study:
    return suggestions._optuna.study


def train(suggestions: Suggestions, suggestion: Suggestion | None) -> str:
    """What a worker and Tune would do: accuracy is 1 with TCN and at most 0.5 without, and grows with updates."""
    assert suggestion is not None
    top = 1.0 if suggestion.values["tcn"] == "sequence" else 0.5 - suggestion.values["learning_rate"]
    store, (row,) = suggestions.store, [r for r in suggestions.rows if r["suggestion"] == suggestion.number]
    climbed: list[dict[str, object]] = []
    for update in (*suggestion.rungs, row["updates"]):
        accuracies = [top * update / 90] * 2
        climbed += [
            {"search": "mine", "suggestion": suggestion.number, "seed": seed, "update": update, "accuracy": accuracy}
            for seed, accuracy in zip(row["seeds"], accuracies, strict=True)
        ]
        store.write("rungs", suggestion.name, climbed)
        row = {**row, "update": update, "accuracies": accuracies, "accuracy": accuracies[0], "spread": 0.0}
        done = update == row["updates"]
        store.write("suggestions", suggestion.name, [{**row, "status": "completed" if done else "running"}])
        if done:
            suggestions.take_end(suggestion.number)
        elif suggestions.report_rungs(suggestion.number, [(update, accuracies)]):
            suggestions.prune(suggestion.number)
            return "pruned"
    return "completed"


def rungs_of_pruner(trial: optuna.trial.FrozenTrial) -> dict[str, float]:
    return {name: value for name, value in trial.system_attrs.items() if name.startswith("completed_rung")}


def test_checkpoint_that_outlived_its_suggestion_is_dropped_and_others_stay(store: Store) -> None:
    suggestions = opened(store)
    ended, begun = suggestions.take_next(), suggestions.take_next()
    assert ended is not None and begun is not None
    train(suggestions, ended)
    for suggestion in (ended, begun):
        store.save_checkpoint(suggestion.pack.pack_id, b"")
    store.save_checkpoint("of a study", b"")
    opened(store)
    assert store.checkpoints() == {begun.pack.pack_id, "of a study"}


def test_end_that_is_said_twice_counts_once(store: Store) -> None:
    suggestions = opened(store)
    train(suggestions, suggestion := suggestions.take_next())
    assert suggestion is not None
    before = list(suggestions.rows)
    suggestions.take_end(suggestion.number)
    assert suggestions.rows == before


def test_new_driver_knows_all_that_the_last_one_knew(store: Store) -> None:
    first = opened(store)
    for _ in range(12):
        train(first, first.take_next())
    running = first.take_next()
    assert running is not None
    second = opened(store)
    before, after = study(first).trials, study(second).trials
    states = [trial.state for trial in after]
    assert states == [trial.state for trial in before]
    assert states[-1] == TrialState.RUNNING and {TrialState.COMPLETE, TrialState.PRUNED} < set(states)
    for one, other in zip(before, after, strict=True):
        assert (one.params, one.intermediate_values, one.values) == (
            other.params,
            other.intermediate_values,
            other.values,
        )
        assert rungs_of_pruner(one) == rungs_of_pruner(other)
    assert second.take_next() == running, "what was being trained is trained first"
    fresh = second.take_next()
    assert fresh is not None and fresh.number == 13
    assert all(fresh.values != row_values for row_values in (trial.params for trial in before))


def test_pruner_of_a_new_driver_judges_by_the_old_rungs(store: Store) -> None:
    first = opened(store)
    best = first.take_next()
    assert best is not None and best.number == 0 and best.values == SPACE.defaults()
    assert train(first, best) == "completed"
    second = opened(store)
    following = second.take_next()
    assert following is not None
    assert second.report_rungs(following.number, [(10, [0.0, 0.0])]), "worse than the first at its first rung"


def test_stop_that_was_not_carried_out_is_decided_again(store: Store) -> None:
    first = opened(store)
    train(first, first.take_next())
    poor = first.take_next()
    assert poor is not None
    rungs = [{"search": "mine", "suggestion": 1, "seed": seed, "update": 10, "accuracy": 0.0} for seed in (0, 1)]
    store.write("rungs", poor.name, rungs)
    assert first.report_rungs(1, [(10, [0.0, 0.0])])  # and here the driver is killed
    assert opened(store).report_rungs(1, [(10, [0.0, 0.0])])


def test_suggestion_whose_file_is_gone_is_made_again(store: Store) -> None:
    first = opened(store)
    for _ in range(4):
        train(first, first.take_next())
    before = opened(store).rows
    (Path(store.root) / "suggestions" / f"{suggestion_name('mine', 2)}.parquet").unlink()
    second = opened(store)
    assert [row["suggestion"] for row in second.rows] == [0, 1, 2, 3]
    assert [second.rows[i] for i in (0, 1, 3)] == [before[i] for i in (0, 1, 3)]
    again = second.take_next()
    assert again is not None and again.number == 2
    train(second, again)
    assert opened(store).rows[2]["status"] != "running"


def test_suggestions_of_other_code_are_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first = opened(store)
    train(first, first.take_next())
    monkeypatch.setattr("esbn_core.config.IDENTITY_VERSION", 0)
    with pytest.raises(ConfigError, match="trained by another version of the code"):
        opened(store)


def test_giving_up_keeps_what_the_worker_wrote(store: Store) -> None:
    suggestions = opened(store)
    ended, begun = suggestions.take_next(), suggestions.take_next()
    assert ended is not None and begun is not None
    train(suggestions, ended)
    completed = dict(suggestions.rows[0])
    suggestions.give_up(0, "CUDA error as it ended")
    suggestions.put_back(0)
    assert suggestions.rows[0] == completed and suggestions.waiting == []
    store.write("suggestions", begun.name, [{**suggestions.rows[1], "update": 10, "accuracies": [0.5, 0.6]}])
    suggestions.give_up(1, "upside down")
    row = suggestions.rows[1]
    assert (row["status"], row["failure"]) == ("failed", "upside down")
    assert (row["update"], row["accuracies"]) == (10, [0.5, 0.6])


def test_sampler_goes_on_from_its_history(store: Store) -> None:
    with_tcn = []
    for _ in range(26):  # a driver for each suggestion
        found = opened(store)
        suggestion = found.take_next()
        assert suggestion is not None
        train(found, suggestion)
        with_tcn.append(suggestion.values["tcn"] == "sequence")
    assert sum(with_tcn[16:]) >= 8, "TPE has learned that TCN is better; at random it would be 5"


def test_same_trials_are_trained_once(store: Store) -> None:
    space = SearchSpace(
        name="mine",
        task="same_different",
        withheld=95,
        arm={"updates": 90},
        parameters={"tcn": Parameter(choices=["sequence", "none"])},
        suggestions=8,
    )
    found, trained = opened(store, space, sampler="random"), []
    while (suggestion := found.take_next()) is not None:
        trained.append(suggestion.values["tcn"])
        top = {"sequence": 0.9, "none": 0.4}[suggestion.values["tcn"]]
        names = {"search": "mine", "suggestion": suggestion.number, "update": 90, "accuracy": top}
        store.write("rungs", suggestion.name, [{**names, "seed": seed} for seed in (0, 1)])
        outcome = {"accuracy": top, "accuracies": [top, top], "spread": 0.0, "update": 90}
        found.record_end(suggestion.number, "completed", **outcome)
    assert sorted(trained) == ["none", "sequence"]
    assert len(found.rows) == 8 and found.exhausted
    twins = [row for row in found.rows if row["same_as"] is not None]
    assert len(twins) == 6
    for twin in twins:
        assert twin["accuracy"] == found.rows[twin["same_as"]]["accuracy"]
    assert found.best() == found.rows[0]
    for row, trial in zip(opened(store, space).rows, study(opened(store, space)).trials, strict=True):
        assert row["same_as"] is None or trial.intermediate_values == {90: row["accuracy"]}, "also to a new driver"


def test_values_that_do_not_go_together_are_a_failed_row_and_the_search_goes_on(store: Store) -> None:
    penalty = Parameter(choices=[0.0])
    space = SearchSpace(
        name="mine",
        task="same_different",
        withheld=95,
        parameters={"leak": Parameter(choices=[0.0, 0.1]), "leak_penalty": penalty},
        suggestions=8,
    )
    object.__setattr__(penalty, "choices", [0.0, 0.5])  # as a bound would be that only some values go with
    found = opened(store, space, sampler="random")
    while (suggestion := found.take_next()) is not None:
        found.record_end(suggestion.number, "completed", accuracy=0.5, accuracies=[0.5, 0.5], update=9)
    bad = {"leak": 0.0, "leak_penalty": 0.5}
    failed = [json.loads(row["parameters"]) == bad for row in found.rows]
    assert any(failed) and not all(failed)
    assert failed == [row["status"] == "failed" for row in found.rows]
    assert "needs a leak; set leak" in found.rows[failed.index(True)]["failure"]


def test_other_search_of_the_same_name_is_refused_and_nothing_is_lost(store: Store) -> None:
    first = opened(store)
    train(first, first.take_next())
    other = SearchSpace(name="mine", task="same_different", withheld=95, parameters=SPACE.parameters)
    with pytest.raises(ConfigError, match="holds a search of this name with other arm; .* choose another name"):
        opened(store, other)
    assert opened(store).rows[0]["status"] == "completed"


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("pruner", PRUNERS)
def test_every_sampler_and_pruner_is_resumed(store: Store, sampler: str, pruner: str) -> None:
    for _ in range(4):
        found = opened(store, sampler=sampler, pruner=pruner)
        train(found, found.take_next())
    rows = opened(store).rows
    assert [row["suggestion"] for row in rows] == [0, 1, 2, 3]
    assert len({row["parameters"] for row in rows}) == 4
    assert {row["sampler"] for row in rows} == {sampler}
