"""`esbn topup`: what it buys, that it goes on from the store alone, and a real one that is killed between looks."""

import os
import signal
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
from analysis_store import trial, write_study
from click.testing import CliRunner, Result
from runs import Run, wait_for

import analysis
from analysis.findings.audit import audit_study
from analysis.findings.topup import Question, bought, of_cells, of_comparisons, of_verdicts, purchase
from analysis.tables.topup import report
from esbn_core.errors import ConfigError
from esbn_core.vocabulary import Cell
from study.cli.main import main
from study.planning import rows
from study.planning.declarations import find_study
from study.planning.interim_looks import planned_rows, with_looks
from study.planning.plan import Variant, plan, variants
from study.store.store import Store

CONSTANT = """
from dataclasses import dataclass

import torch

from esbn_core.models.core import Core


class ConstantCore(Core):
    def __init__(self, config, n_features, task, stream):
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(task.n_choices))

    def forward(self, z_BTZ):
        return self.bias.expand(len(z_BTZ), -1)


@dataclass(frozen=True)
class Constant:
    core = ConstantCore
"""
STUDY = """
name: constant
question: Is an answer that ignores the images as good?
grids:
  - arms:
      - {updates: 60, n_test: 100, encoder: mlp}
      - {updates: 60, n_test: 100, encoder: mlp, model: "constant:Constant"}
    conditions: {same_different: [95]}
    seeds: 4
"""
BASELINE = "n_test=100,encoder=mlp,updates=60"


def frame(arms: dict[str, list[float]], *, per_look: int = 3, looks: int = 3) -> pd.DataFrame:
    """Rows of a study at rmts, m = 95, whose trials have these accuracies."""
    return pd.DataFrame(
        [
            {**trial("rmts", 95, arm, seed, accuracy), "looks": looks, "seeds_per_look": per_look}
            for arm, accuracies in arms.items()
            for seed, accuracy in enumerate(accuracies)
        ]
    )


def question(arm: str, more_seeds: int | None, *others: str, outcome: str = "undecided") -> Question:
    cells = tuple(Cell("rmts", 95, name) for name in (arm, *others))
    return Question(cells[0], cells, outcome, more_seeds, "" if more_seeds else "n < 2")


def test_purchase_takes_the_next_look_of_what_needs_the_fewest_seeds_first() -> None:
    study = frame({"a": [0.9] * 3, "b": [0.9] * 3, "c": [0.9] * 3})
    asked = [question("a", 5), question("b", 1), question("c", 2)]
    want, why = purchase(study, asked, budget=7)
    assert want == {("rmts", 95, "b"): 6, ("rmts", 95, "c"): 6}
    assert why == {asked[0]: "its 3 trials exceed the budget"}


def test_purchase_leaves_what_is_decided_or_out_of_reach() -> None:
    study = frame({"a": [0.9] * 3, "b": [0.9] * 3, "c": [0.9] * 3, "d": [0.9] * 9})
    asked = [question("a", 1, outcome="agrees"), question("b", 7), question("c", None), question("d", 1)]
    want, why = purchase(study, asked, budget=100)
    assert want == {}
    assert why == {
        asked[1]: "needs about 10 seeds; the last planned look is at 9, so it will stay undecided",
        asked[2]: "n < 2",
        asked[3]: "all looks taken",
    }


def test_purchase_counts_what_was_bought_before() -> None:
    study = frame({"a": [0.9] * 6, "b": [0.9] * 3})
    assert bought(study) == 3
    assert purchase(study, [question("b", 1)], budget=5)[0] == {}
    assert purchase(study, [question("b", 1)], budget=6)[0] == {("rmts", 95, "b"): 6}


def test_purchase_gives_the_baseline_that_arms_share_its_seeds_once() -> None:
    study = frame({"baseline": [0.9] * 3, "a": [0.8] * 3, "b": [0.8] * 3})
    asked = [question(arm, 1, "baseline") for arm in "ab"]
    assert purchase(study, asked, budget=9)[0] == {("rmts", 95, arm): 6 for arm in ("a", "b", "baseline")}
    assert set(purchase(study, asked, budget=8)[0]) == {("rmts", 95, "a"), ("rmts", 95, "baseline")}


def test_purchase_waits_for_seeds_that_are_planned() -> None:
    study = frame({"a": [0.9] * 6})
    study.loc[5, "status"] = "missing"
    asked = [question("a", 1)]
    assert purchase(study, asked, budget=9) == ({}, {asked[0]: "waits for planned seeds"})


def test_verdict_that_seeds_would_decide_is_bought_and_one_that_is_decided_is_not() -> None:
    near = [0.93, 0.96, 0.945]  # the paper has 95.0 +- 0.7; three networks show no majority
    study = frame({"baseline": near})
    assert purchase(study, of_verdicts(3.0, 0.05)(study), 9)[0] == {("rmts", 95, "baseline"): 6}
    enough = frame({"baseline": near * 3}, per_look=9)
    assert purchase(enough, of_verdicts(3.0, 0.05)(enough), 9) == ({}, {})


def test_report_says_what_was_open_what_it_cost_and_what_it_decided() -> None:
    rng = np.random.default_rng(0)
    base = 0.9 + 0.01 * rng.standard_normal(6)
    study = frame({"baseline": list(base), "a": list(base - 0.03 + 0.02 * rng.standard_normal(6))}, per_look=2)
    text = report(study, of_comparisons("s", "baseline"), 10)
    assert "8 extra trials of a budget of 10. Of 1 questions, 1 were undecided at the first look" in text
    assert "2 → 6, 2 → 6  3/3" in text
    assert "Looks: 3 are planned" in text


def test_questions_about_variants_no_more_declared_buy_nothing(tmp_path: Path) -> None:
    asked = of_comparisons("s", "baseline")
    rows = [
        trial("rmts", 95, arm, seed, accuracy)
        for arm, accuracies in (("baseline", (0.9, 0.8)), ("a=1", (0.7, 0.75)), ("b=1", (0.7, 0.75)))
        for seed, accuracy in enumerate(accuracies)
    ]
    frame = analysis.load_study(write_study(tmp_path, "s", rows), "s")
    assert {q.cell.arm for q in asked(frame)} == {"a=1", "b=1"}
    declared = {Cell("rmts", 95, arm) for arm in ("baseline", "a=1")}
    assert {q.cell.arm for q in of_cells(asked, declared)(frame)} == {"a=1"}


def planned(store: Store, study: str, looks: int | None = None) -> list[Variant]:
    return with_looks(variants(find_study(study)), study, store, looks)


def test_looks_begin_with_the_seeds_planned_so_far_and_stay_as_they_are(tmp_path: Path) -> None:
    store, declared = Store(str(tmp_path)), find_study("tcn")
    store.prepare()
    assert {(v.seeds, v.looks.seeds) for v in planned(store, "tcn") if v.looks} == {(10, 10)}
    rows.write_plan(store, declared, plan(declared, seeds=12))
    found = planned(store, "tcn", 4)
    found[0].seeds = 24
    rows.write_plan(store, declared, [t for v in found for t in v.trials()])
    again = planned(store, "tcn")
    assert [v.seeds for v in again] == [24, *[12] * (len(again) - 1)]
    assert {(v.looks.number, v.looks.seeds) for v in again if v.looks} == {(4, 12)}
    with pytest.raises(ConfigError, match="looks=3 cannot be changed: tcn already has 4 planned looks"):
        planned(store, "tcn", 3)


def test_looks_need_two_seeds_for_a_test(tmp_path: Path) -> None:
    store, declared = Store(str(tmp_path)), find_study("tcn")
    store.prepare()
    rows.write_plan(store, declared, plan(declared, seeds=1))
    with pytest.raises(ConfigError, match="1 seed planned, and a test needs 2"):
        planned(store, "tcn")


def test_rehearsals_plan_no_seeds(tmp_path: Path) -> None:
    store, declared = Store(str(tmp_path)), find_study("tcn")
    store.prepare()
    rows.write_plan(store, declared, plan(declared, seeds=40, limit_updates=3))
    assert {v.seeds for v in planned(store, "tcn")} == {10}


def test_planned_rows_are_those_a_plan_would_have(tmp_path: Path) -> None:
    store, declared = Store(str(tmp_path)), find_study("tcn")
    store.prepare()
    trials = [t for v in planned(store, "tcn") for t in v.trials()]
    before = planned_rows(trials, store)
    rows.write_plan(store, declared, trials)
    after = analysis.load_study(str(tmp_path), "tcn")
    columns = ["trial_id", "task", "withheld", "arm", "seed", "status", "looks", "seeds_per_look"]
    assert [tuple(row[name] for name in columns) for row in before] == list(after[columns].itertuples(index=False))


def esbn(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["topup", *arguments])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tcn", "--budget", "9", "--for", "compare", "--baseline", "tcn=non"], "did you mean 'tcn=none'"),
        (["separation", "--budget", "9", "--margin", "0"], "margin=0.0 is not a distance"),
        (["tcn", "--budget", "9", "--for", "compare", "--margin", "2"], "--margin and --alpha are for verdicts"),
        (["tcn", "--budget", "9", "--baseline", "tcn=none"], "--baseline is for comparisons"),
        (["tcn"], "Missing option '--budget'"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_stored(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    done = esbn(*arguments, "--results", str(tmp_path / "results"))
    assert done.exit_code != 0 and "Traceback" not in done.output
    assert message in " ".join(done.output.replace("│", " ").split())
    assert not (tmp_path / "results").exists()


def test_no_more_seeds_are_asked_about_than_the_looks_allow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def refuse(work: str, configs: list[object], yes: bool, address: str | None) -> None:
        asked.append(len(configs))
        raise click.Abort

    monkeypatch.setattr("study.cli.studies.consent", refuse)
    for budget in ("9", "1000000000"):
        esbn("tcn", "--budget", budget, "--looks", "2", "--results", str(tmp_path / "results"))
    assert asked == [340 + 9, 340 + 340]


def test_dry_run_stores_nothing(tmp_path: Path) -> None:
    done = esbn("tcn", "--budget", "9", "--dry-run", "--results", str(tmp_path / "results"))
    assert done.exit_code == 0, done.output
    assert "waits for planned seeds" in done.output
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
def test_topup_killed_between_looks_goes_on_and_buys_nothing_twice(tmp_path: Path) -> None:
    """Four equal differences are 2/2^4 by the exact test, eight are 2/2^8, and there are two looks."""
    (tmp_path / "constant.py").write_text(CONSTANT)
    run = Run(tmp_path, STUDY)
    command = ("topup", "study.yaml", "--for", "compare", "--baseline", BASELINE, "--budget", "9", "--looks", "2")
    process = run.start(*command)
    try:
        wait_for(lambda: len(run.store.names("plans")) == 2, process)  # the second look is bought
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    first = {t.trial_id for t in run.trials}
    assert first <= set(run.rows())

    code, output = run.finish(*command)
    assert code == 0, output
    assert "8 extra trials of a budget of 9" in output
    assert "4 → 8, 4 → 8  2/2" in output
    assert "the extra trials decided 1 of these" in output
    trained = run.rows()
    assert sorted(str(row["seed"]) for row in trained.values()) == sorted("0123456701234567")
    assert len(run.store.names("plans")) == 2
    results = str(tmp_path / "results")
    checks = audit_study(results, analysis.load_study(results, "constant"))
    assert all(checks["passed"]), checks

    code, output = run.finish(*command)
    assert code == 0 and "nothing to train" in output
    assert run.rows() == trained
    _, compared = run.finish("compare", "constant", "--baseline", BASELINE)
    assert "Looks: 2 are planned" in compared
