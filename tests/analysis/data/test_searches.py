"""What a search's rows say: importances against a known answer, exports that Optuna opens, figures that show it all."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from analysis.data.searches import export_optuna, load_search, measured
from analysis.errors import AnalysisError
from analysis.figures.search import draw_history, draw_parallel, draw_slices, save_all
from analysis.findings.importance import importances
from analysis.tables.importance import report
from study.store.store import Store

N = 40
DISTRIBUTIONS = {
    "learning_rate": optuna.distributions.FloatDistribution(1e-5, 1e-2, log=True),
    "tcn": optuna.distributions.CategoricalDistribution(["sequence", "none"]),
    "key_size": optuna.distributions.IntDistribution(16, 256),
    "leak": optuna.distributions.FloatDistribution(0.0, 1.0),
}
NUMBER = {"choices": [], "when": {}}
PARAMETERS = {
    "learning_rate": {"low": 1e-5, "high": 1e-2, "log": True, **NUMBER},
    "tcn": {"low": None, "high": None, "log": False, "choices": ["sequence", "none"], "when": {}},
    "key_size": {"low": 16, "high": 256, "log": False, **NUMBER},
    "leak": {"low": 0.0, "high": 1.0, "log": False, "choices": [], "when": {"tcn": ["none"]}},
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A search whose accuracy is 0.6 with TCN, plus a twentieth per decade of the learning rate; keys do nothing.

    No test writes there.
    """
    store, draw = Store(str(tmp_path_factory.mktemp("results"))), np.random.default_rng(0)
    store.prepare()
    about = {
        "search": "mine",
        "task": "same_different",
        "withheld": 95,
        "seeds": [1000, 1001],
        "suggestions": N,
        "distributions": json.dumps(
            {name: optuna.distributions.distribution_to_json(d) for name, d in DISTRIBUTIONS.items()}
        ),
        "definition": json.dumps({"parameters": PARAMETERS}),
    }
    store.write("searches", "mine", [about])
    for i in range(N):
        tcn = str(draw.choice(["sequence", "none"]))
        values: dict[str, Any] = {"learning_rate": float(10 ** draw.uniform(-5, -2)), "tcn": tcn}
        values["key_size"] = int(draw.integers(16, 257))
        if tcn == "none":
            values["leak"] = float(draw.random())
        accuracy = 0.3 + 0.3 * (tcn == "sequence") + 0.05 * np.log10(values["learning_rate"] / 1e-5)
        status = ["completed", "pruned", "failed", "running"][i if i < 4 else i % 2]
        climbed = [10, 30, 90] if status == "completed" else [10]
        done = status in ("completed", "pruned")
        store.write(
            "rungs",
            f"mine-{i:04d}",
            [
                {"search": "mine", "suggestion": i, "seed": s, "update": u, "accuracy": accuracy * u / climbed[-1] + e}
                for u in (climbed if status != "failed" else [])
                for s, e in ((1000, -0.01), (1001, 0.01))
            ],
        )
        row = {
            "search": "mine",
            "suggestion": i,
            "status": status,
            "parameters": json.dumps(values),
            "arm": f"tcn={tcn}",
            "failure": "training loss became nan" if status == "failed" else None,
            "accuracy": accuracy if done else None,
            "accuracies": [accuracy - 0.01, accuracy + 0.01] if done else None,
            "suggested_at": datetime(2026, 1, 1, 0, i, tzinfo=UTC),
            "finished_at": None if status == "running" else datetime(2026, 1, 1, 1, i, tzinfo=UTC),
        }
        store.write("suggestions", f"mine-{i:04d}", [row])
    return store.uri


@pytest.fixture(scope="module")
def fanova(results: str) -> pd.DataFrame:
    """Importances by forests, which take 12 s."""
    return importances(load_search(results, "mine"), "fanova")


@pytest.fixture(scope="module")
def ped_anova(results: str) -> pd.DataFrame:
    return importances(load_search(results, "mine"), "ped_anova")


@pytest.mark.parametrize(
    ("evaluator", "order"),
    # The best tenth all have TCN, but differ more from the rest in their rates.
    [
        pytest.param("fanova", ["tcn", "learning_rate", "key_size", "leak"], marks=pytest.mark.slow),
        ("ped_anova", ["learning_rate"]),
    ],
)
def test_importances_tell_what_made_the_accuracies(
    request: pytest.FixtureRequest, evaluator: str, order: list[str]
) -> None:
    rows = {row["parameter"]: row for row in request.getfixturevalue(evaluator).to_dict("records")}
    assert list(rows)[: len(order)] == order
    known = [row for name, row in rows.items() if name != "leak"]
    assert sum(row["importance"] for row in known) == pytest.approx(1.0)
    assert all(row["low"] <= row["high"] and row["n"] == N - 2 for row in known)
    assert np.isnan(rows["leak"]["importance"]), "it is searched in some suggestions only"
    assert 0 < rows["leak"]["n"] < N - 2


@pytest.mark.slow
def test_fanova_agrees_with_the_variance_that_the_parameters_explain(fanova: pd.DataFrame) -> None:
    frame = fanova.set_index("parameter")["importance"]
    tcn, rate = (
        0.15**2,
        (0.05 * 3) ** 2 / 12,
    )  # variances of a fair coin times 0.3, and of 0.05 per decade over 3 decades
    assert float(frame.to_dict()["tcn"]) == pytest.approx(tcn / (tcn + rate), abs=0.12)


def test_report_states_n_and_what_the_interval_is(results: str, ped_anova: pd.DataFrame) -> None:
    text = report(load_search(results, "mine"), ped_anova, "fanova", None, "text")
    assert "20 pruned" in text or "19 pruned" in text
    assert "mean over 2 seeds" in text and "50 bootstrap samples" in text


def test_equal_accuracies_are_not_explained(results: str) -> None:
    search = load_search(results, "mine")
    flat = search._replace(suggestions=search.suggestions.assign(accuracy=0.5))
    with pytest.raises(AnalysisError, match="all 38 suggestions have accuracy 0.500"):
        importances(flat)


def test_samples_that_vary_in_no_common_parameter_are_passed_over(results: str) -> None:
    search = load_search(results, "mine")
    some = search.suggestions.loc[search.suggestions["status"] == "completed"].head(6).reset_index(drop=True)
    some["values"] = [{"tcn": "sequence" if i else "none", "leak": 0.1 * (i % 2)} for i in range(6)]
    found = importances(search._replace(suggestions=some.assign(accuracy=[0.1 * i for i in range(6)])))
    assert set(found.dropna()["parameter"]) <= {"tcn", "leak"}
    some["values"] = [{"tcn": "none"}] * 6
    with pytest.raises(AnalysisError, match="no parameter is active and varies in all suggestions"):
        importances(search._replace(suggestions=some))


def test_suggestions_are_compared_at_one_rung_when_asked(results: str) -> None:
    search = load_search(results, "mine")
    assert len(measured(search, 90)) == list(search.suggestions["status"]).count("completed")
    with pytest.raises(AnalysisError, match="0 suggestions were validated at update=7; the rungs are at 10, 30, 90"):
        measured(search, 7)


def test_unknown_search_is_named_with_its_like(results: str) -> None:
    with pytest.raises(AnalysisError, match="did you mean 'mine'"):
        load_search(results, "mines")


@pytest.mark.parametrize("name", ["search.db", "search.log"])
def test_export_opens_in_optuna_with_every_suggestion(results: str, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    export_optuna(results, "mine", path)
    journal = JournalStorage(JournalFileBackend(str(path))) if name.endswith("log") else None
    storage = journal or f"sqlite:///{path}"
    study = optuna.load_study(study_name="mine", storage=storage)
    states = {"completed": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
    rows = load_search(results, "mine").suggestions.to_dict("records")
    assert len(study.trials) == N
    for trial, row in zip(study.trials, rows, strict=True):
        assert trial.state == states.get(row["status"], TrialState.RUNNING)
        assert trial.params == row["values"]
        if trial.state == TrialState.COMPLETE:
            assert trial.value == pytest.approx(row["accuracy"])
            assert list(trial.intermediate_values) == [10, 30, 90]
            assert trial.intermediate_values[90] == pytest.approx(row["accuracy"])
        if trial.state == TrialState.PRUNED:
            assert trial.intermediate_values == {10: pytest.approx(row["accuracy"])}
    assert study.best_trial.params["tcn"] == "sequence"
    assert study.trials[2].user_attrs["failure"] == "training loss became nan"
    assert {trial.number for trial in study.trials if "failure" in trial.user_attrs} == {
        row["suggestion"] for row in rows if row["status"] == "failed"
    }
    with pytest.raises(AnalysisError, match="exists already"):
        export_optuna(results, "mine", path)


def test_export_into_no_folder_is_refused(results: str, tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="cannot be written: No such file or directory"):
        export_optuna(results, "mine", tmp_path / "none" / "search.db")


def test_figures_show_every_measured_suggestion(
    results: str, ped_anova: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analysis.figures.sheet.FORMATS", ("svg",))
    search = load_search(results, "mine")
    counts = measured(search)["status"].value_counts().to_dict()
    panel = draw_history(search).axes[0]
    shown = {c.get_gid(): len(np.asarray(c.get_offsets())) for c in panel.collections}
    assert shown == counts
    assert len(draw_slices(search, None).axes) == len(PARAMETERS)
    lines = [
        line for line in draw_parallel(search, None).axes[0].lines if str(line.get_gid()).startswith("suggestion-")
    ]
    assert len(lines) == N - 2
    paths = save_all(search, ped_anova, "ped_anova", None, tmp_path / "figures")
    assert [path.name for path in paths] == [
        f"mine-{kind}.svg" for kind in ("history", "importance", "slices", "parallel")
    ]
    plt.close("all")
