"""Tuned studies: one budget for all arms, settings from searches alone, and default beside tuned."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import click
import pytest
from analysis_store import trial, write_study
from click.testing import CliRunner, Result
from runs import Run

from ablations import SPACES, Grid, Parameter, Study
from analysis.findings.tuned import tuned_arms
from analysis.tables.tuned import orders, report
from esbn_core.errors import ConfigError
from study.cli.main import main
from study.planning.plan import variants
from study.searching.tuned import refuse_another_budget, spaces, tuned_variant
from study.store.store import Store

ONE_RATE = SPACES["learning_rate"]
STUDY = Study(
    name="mine",
    question="?",
    grids=[Grid(arms=[{}, {"tcn": "none"}], conditions={"same_different": [95], "rmts": [95]}, seeds=3)],
)


def test_every_arm_and_condition_has_a_search_that_differs_in_these_alone() -> None:
    found = spaces(variants(STUDY), "mine", ONE_RATE)
    assert len({space.name for space in found}) == 4
    assert [(space.task, space.withheld, dict(space.arm)) for space in found] == [
        ("same_different", 95, {}),
        ("same_different", 95, {"tcn": "none"}),
        ("rmts", 95, {}),
        ("rmts", 95, {"tcn": "none"}),
    ]
    assert {(space.suggestions, space.seeds, space.all_seeds()) for space in found} == {(12, 3, range(1000, 1003))}
    assert [space.defaults() for space in found[:2]] == [{"learning_rate": 5e-4}, {"learning_rate": 5e-5}]


@pytest.mark.parametrize(
    ("arm", "parameter", "message"),
    [
        ({"learning_rate": 1e-3}, "learning_rate", "learning_rate is fixed by the arm"),
        ({"model": "lstm"}, "key_size", "model lstm has no setting 'key_size'"),
    ],
)
def test_search_that_does_not_suit_an_arm_is_refused_with_its_name(
    arm: dict[str, object], parameter: str, message: str
) -> None:
    study = replace(STUDY, grids=[Grid(arms=[{}, arm], conditions={"rmts": [95]})])
    bounds = Parameter(low=1e-5, high=1e-2) if parameter == "learning_rate" else Parameter(low=16, high=256)
    with pytest.raises(ConfigError, match=message) as error:
        spaces(variants(study), "mine", replace(ONE_RATE, parameters={parameter: bounds}))
    assert "cannot tune the arm" in str(error.value) and "--arm" in str(error.value)


def test_tuned_variant_is_the_declared_one_where_the_default_did_best() -> None:
    variant = variants(STUDY)[1]
    (space,) = spaces([variant], "mine", ONE_RATE)
    default = {"parameters": json.dumps(space.defaults()), "arm": "learning_rate=5e-05,tcn=none"}
    same = tuned_variant(variant, space, default)
    assert [t.trial_id for t in same.trials()] == [t.trial_id for t in variant.trials()]
    assert (same.arm, same.search) == ("tcn=none", space.name)
    other = tuned_variant(
        variant, space, {"parameters": '{"learning_rate": 0.002}', "arm": "learning_rate=0.002,tcn=none"}
    )
    assert other.config == variant.config.with_(learning_rate=0.002).resolve()
    assert other.arm == "learning_rate=0.002,tcn=none"
    assert [t.config.seed for t in other.trials()] == [0, 1, 2], "seeds of the study, not of the search"


def test_arm_without_a_completed_suggestion_is_named() -> None:
    variant = variants(STUDY)[1]
    (space,) = spaces([variant], "mine", ONE_RATE)
    with pytest.raises(ConfigError, match=r"no completed suggestion, so tcn=none has no best setting"):
        tuned_variant(variant, space, None)


def write_search(store: Store, arm: str, accuracies: list[float | None]) -> str:
    """A search of two seeds whose suggestion i has a learning rate of i / 100; None failed."""
    name = f"s-tuned-rmts-95-{arm.replace('=', '-')}"
    definition = {"parameters": {"learning_rate": {}}, "seeds": 2, "task": "rmts", "withheld": 95, "validation": 0}
    about = {"search": name, "task": "rmts", "withheld": 95, "arm": arm, "suggestions": len(accuracies)}
    store.write("searches", name, [{**about, "definition": json.dumps(definition), "distributions": "{}"}])
    for i, accuracy in enumerate(accuracies):
        row = {"search": name, "suggestion": i, "seeds": [1000, 1001], "parameters": f'{{"learning_rate": {i / 100}}}'}
        ended = (
            {"status": "failed"} if accuracy is None else {"status": "completed", "accuracy": accuracy, "update": 50}
        )
        store.write("suggestions", f"{name}-{i:04d}", [{**row, **ended}])
    return name


@pytest.fixture
def results(tmp_path: Path) -> str:
    """Study s: a beats b by default and loses when tuned; the default of a is best, so its trials are shared."""
    a = [trial("rmts", 95, "a=1", seed, accuracy) for seed, accuracy in enumerate([0.8, 0.9])]
    b = [trial("rmts", 95, "b=1", seed, accuracy) for seed, accuracy in enumerate([0.5, 0.6])]
    best_b = [trial("rmts", 95, "b=1,learning_rate=0.02", seed, accuracy) for seed, accuracy in enumerate([0.9, 1.0])]
    folder = write_study(tmp_path / "results", "s", [*a, *b])
    store = Store(folder)
    searches = [write_search(store, "a=1", [0.9, 0.8, 0.9]), write_search(store, "b=1", [0.5, None, 0.7])]
    write_study(tmp_path / "results", "s-tuned", [*a, *best_b])
    rows = store.read("plans", names={"s-tuned"}).to_pylist()
    for row in rows:
        row["search"] = searches["b" in row["arm"]]
    store.write("plans", "s-tuned", rows)
    return folder


def test_table_pairs_default_with_tuned_and_says_what_was_spent(results: str) -> None:
    found = {row["arm"]: row for row in tuned_arms(results, "s").to_dict("records")}
    assert list(found) == ["a=1", "b=1"]
    assert (found["a=1"]["default_mean"], found["a=1"]["mean"]) == pytest.approx((0.85, 0.85))
    assert (found["b=1"]["default_mean"], found["b=1"]["mean"]) == pytest.approx((0.55, 0.95))
    assert found["b=1"]["sem"] == pytest.approx(0.05)  # |1.0 - 0.9| / 2
    assert [row["setting"] for row in found.values()] == ["learning_rate=0", "learning_rate=0.02"], "first of equals"
    assert [row["suggestions"] for row in found.values()] == [3, 3]
    assert [row["updates"] for row in found.values()] == [3 * 50 * 2, 2 * 50 * 2]
    assert [row["validation_accuracy"] for row in found.values()] == [0.9, 0.7]


def test_table_says_that_the_order_of_arms_has_changed(results: str) -> None:
    assert orders(tuned_arms(results, "s")) == [
        "Order of arms at rmts, m = 95: default a=1 > b=1; tuned b=1 > a=1: changed (a=1 and b=1)."
    ]


def test_order_is_not_known_before_all_trials_are_completed(results: str) -> None:
    Store(results).write("trials", "rmts-95-b_1-0", [trial("rmts", 95, "b=1", 0)])
    text = report(tuned_arms(results, "s"), "text")
    assert "Incomplete: rmts, m = 95, b=1." in text
    assert "unknown until all trials are completed" in text


def test_order_that_stays_is_not_changed(results: str) -> None:
    for seed in range(2):
        row = trial("rmts", 95, "b=1,learning_rate=0.02", seed, 0.7)
        Store(results).write("trials", row["trial_id"], [row])
    assert orders(tuned_arms(results, "s"))[0].endswith("tuned a=1 > b=1: not changed.")


def test_another_budget_is_refused(results: str) -> None:
    space = replace(ONE_RATE, suggestions=4)
    with pytest.raises(
        ConfigError, match=r"s has been tuned with other parameters, seeds, suggestions in .*s-tuned-rmts-95"
    ):
        refuse_another_budget(Store(results), "s", [space])
    refuse_another_budget(Store(results), "another", [space])


def test_arms_of_a_condition_are_validated_alike(results: str) -> None:
    store = Store(results)
    (row,) = [row for row in store.read("searches").to_pylist() if row["search"].endswith("a-1")]
    space = replace(ONE_RATE, name=row["search"], task="rmts", withheld=85, suggestions=3, validation=5)
    definition = {**space.definition(), "validation": 4}
    for name in store.names("searches"):
        store.write("searches", name, [{**row, "search": name, "definition": json.dumps(definition)}])
    with pytest.raises(ConfigError, match="s has been tuned with other validation in"):
        refuse_another_budget(store, "s", [space])
    refuse_another_budget(store, "s", [replace(space, withheld=50)])


def esbn(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "tcn", "--suggestions", "3"], "--suggestions needs --tuned"),
        (["run", "tcn", "--tuned", "--limit-updates", "3"], "--tuned cannot be combined with"),
        (["run", "tcn", "--tuned", "learning_rat"], "did you mean learning_rate?"),
        (["run", "tcn", "--tuned", "learning_rate_and_tcn"], "tcn is fixed by the arm"),
        (["table", "--tuned"], "--tuned needs a STUDY"),
    ],
)
def test_mistake_is_one_sentence_and_stores_nothing(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = esbn(*arguments, "--results", str(tmp_path / "results"))
    assert done.exit_code != 0 and "Traceback" not in done.output
    assert message in " ".join(done.output.replace("│", " ").split())
    assert not (tmp_path / "results").exists()


def test_table_of_a_study_that_was_not_tuned_says_how_to(tmp_path: Path) -> None:
    results = write_study(tmp_path / "results", "s", [trial("rmts", 95, "a=1", 0, 0.8)])
    done = esbn("table", "s", "--tuned", "--results", results)
    assert done.exit_code == 1
    assert "study='s' has not been tuned" in done.output and "`esbn run s --tuned`" in done.output


TINY = """
name: tiny
question: Are arms as far apart when each is tuned?
grids:
  - arms: [{updates: 27}, {encoder: mlp, updates: 27}]
    conditions: {same_different: [95]}
    seeds: 2
"""


def networks_to_train(run: Run, *command: str) -> int:
    """How many networks a command asks about before it trains any."""
    asked: list[int] = []

    def refuse(work: str, configs: Iterable[object], yes: bool, address: str | None) -> None:
        asked.append(len(list(configs)))
        raise click.Abort

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(run.folder)
        patch.setattr("study.cli.studies.consent", refuse)
        CliRunner().invoke(main, command)
    return asked[0]


@pytest.mark.slow
def test_tuned_study_tests_after_all_searches_and_goes_on_without_training_anything_twice(tmp_path: Path) -> None:
    run = Run(tmp_path, TINY)
    command = ("run", "study.yaml", "--tuned", "--suggestions", "2")
    code, output = run.finish(*command)
    assert code == 0, output
    assert "Order of arms at same_different, m = 95" in output
    suggestions = run.store.read("suggestions").to_pylist()
    assert sorted(row["suggestion"] for row in suggestions) == [0, 0, 1, 1]
    assert {row["status"] for row in suggestions} == {"completed"}
    trials = run.rows()
    assert {t.trial_id for t in run.trials} <= set(trials)
    assert max(row["finished_at"] for row in suggestions) < min(row["started_at"] for row in trials.values())
    frame = tuned_arms(str(tmp_path / "results"), "tiny")
    assert frame["suggestions"].tolist() == [2, 2] and frame["updates"].tolist() == [2 * 27 * 3] * 2
    for search, validation in zip(frame["search"], frame["validation_accuracy"], strict=True):
        assert validation == max(row["accuracy"] for row in suggestions if row["search"] == search)

    lost = run.trials[0].trial_id  # as after a kill between two trials
    (tmp_path / "results" / "trials" / f"{lost}.parquet").unlink()
    assert networks_to_train(run, *command) == 1, "of the tuned and declared arms, none is to be searched"
    code, output = run.finish(*command)
    assert code == 0, output
    again = run.rows()
    assert {name: row for name, row in again.items() if name != lost} == {
        name: row for name, row in trials.items() if name != lost
    }
    assert again[lost]["test_accuracy"] == trials[lost]["test_accuracy"]
    assert run.store.read("suggestions").to_pylist() == suggestions, "no suggestion is trained twice"
