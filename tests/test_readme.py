"""What the front page says can be done can be done."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from analysis_store import trial, write_study
from repository import ROOT

import analysis
from study.cli.main import main
from study.planning.declarations import find_space, find_study
from study.planning.plan import plan
from study.store.compact import compact
from study.store.store import Store

README = (ROOT / "README.md").read_text(encoding="utf-8")
GUARANTEES = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
PLACES = (r"^ {4}(esbn [a-z].*)$", r"`(esbn [a-z][^`]*)`", r"(?:&&|--) (esbn [a-z][^\"]*)")
COMMANDS = sorted({command for place in PLACES for command in re.findall(place, README, flags=re.MULTILINE)})
FILES = re.findall(r"```(?:yaml|python)\n# (\w+\.\w+)\n(.*?)```", README, flags=re.DOTALL)


def test_readme_names_the_commands() -> None:
    assert len(COMMANDS) > 12
    assert {shlex.split(command)[1] for command in COMMANDS} == set(main.commands)


@pytest.mark.parametrize("command", COMMANDS)
def test_readme_command_is_understood(command: str) -> None:
    understood: click.Command = main
    name, *arguments = shlex.split(command, comments=True)
    while isinstance(understood, click.Group):
        name, *arguments = arguments
        understood = understood.commands[name]
    understood.make_context(name, arguments)


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`(tests/[^`]+)`", GUARANTEES))))
def test_guarantee_names_a_test_that_is_there(named: str) -> None:
    path, _, name = named.partition("::")
    assert f"def {name}" in (ROOT / path).read_text(encoding="utf-8")


def test_readme_studies_ask_for_the_same_trials(tmp_path: Path) -> None:
    plans = []
    for name, text in FILES:
        (tmp_path / name).write_text(text)
        if name.startswith("key_size"):
            plans.append({trial.trial_id for trial in plan(find_study(str(tmp_path / name)))})
    assert len(plans) == 2
    assert plans[0] == plans[1]
    assert len(plans[0]) == 30


def test_readme_search_is_declared(tmp_path: Path) -> None:
    for name, text in FILES:
        (tmp_path / name).write_text(text)
    assert set(find_space(str(tmp_path / "key_search.yaml")).defaults()) == {"learning_rate", "key_size", "leak"}


@pytest.mark.parametrize("merged", [False, True])
def test_readme_ways_to_read_the_store_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, merged: bool) -> None:
    planned = [trial("rmts", 95, arm, seed, 0.5 + seed / 4) for arm in ("baseline", "tcn=none") for seed in range(3)]
    results = write_study(tmp_path / "results", "s", planned)
    if merged:
        compact(Store(results), lambda _: None)
        write_study(tmp_path / "results", "s", [trial("rmts", 95, "tcn=none", 3, 0.75)])
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(dict(FILES)["read_store.py"], found)
    assert found["by_duckdb"] == [("baseline", 0.75), ("tcn=none", 0.75)]
    assert dict(found["by_polars"].iter_rows()) == found["by_pandas"].to_dict() == dict(found["by_duckdb"])


def test_readme_pictures_are_there() -> None:
    for path in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / path).is_file()


@pytest.mark.slow
def test_readme_study_runs_from_python(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(
        "name: tiny\nquestion: Does it run?\ngrids:\n"
        "  - {arms: [{updates: 5, n_test: 100, encoder: mlp}], conditions: {same_different: [95]}, seeds: 2}\n"
    )
    code = dict(FILES)["from_python.py"].replace("quickstart", "tiny.yaml")
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, timeout=300)
    assert ran.stdout.decode().splitlines()[-1] == "2 trials: 2 completed, 0 failed, 0 missing"
    assert len(analysis.load(str(tmp_path / "results"))) == 2


@pytest.mark.slow
def test_readme_model_trains_in_its_study(tmp_path: Path) -> None:
    for name, text in FILES:
        (tmp_path / name).write_text(text)
    results = str(tmp_path / "results")
    command = [str(Path(sys.executable).with_name("esbn")), "run", "average.yaml", "--results", results]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=300)
    trials = analysis.load(results, "trials")
    accuracies = {str(arm): of_arm.tolist() for arm, of_arm in trials.groupby("arm")["test_accuracy"]}
    own = "model=average:Average"
    assert {arm: len(values) for arm, values in accuracies.items()} == {
        "baseline": 2,
        own: 2,
        f"{own},hidden_size=32": 2,
    }
    assert min(accuracies["baseline"]) > 0.95 > max(accuracies[own])
