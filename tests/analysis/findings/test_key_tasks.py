"""Roles and reads of all four tasks beside a slow second way, what keys share by construction, and networks without."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from analysis_store import key_rows_of, plan_row, trial, write_study
from click.testing import CliRunner
from networks import config, perturbed

from analysis import AnalysisError, load_study
from analysis.findings import key_geometry
from analysis.findings.key_geometry import Trace
from analysis.findings.key_measures import by_step, measures, similarity
from analysis.findings.key_trials import by_construction, n_same, without_keys
from analysis.tables.key_measures import report
from esbn_core.config import PAPER
from esbn_core.keys import record_keys
from esbn_core.objects import glyphs
from esbn_core.tasks.build import build
from esbn_core.tasks.identity_rules import RULES
from esbn_core.tasks.problems import Problems
from study.cli.main import main
from study.store.schema import TABLES
from study.store.store import Store

ROLES = {
    "same_different": {1},
    "rmts": {1, 3, 5},
    "distribution_of_three": {1, 2, 3},
    "identity_rules": {1, 2, 4, 5},
}
SPLITS = [(task, m) for task in ROLES for m in (0, 95)]


def problems_of(task: str, withheld: int) -> tuple[np.ndarray, np.ndarray]:
    """Training and test problems as a trial has them, a few."""
    sizes = {"n_train": 40, "n_test": 40} if withheld else {}
    sets = build(PAPER.with_(task=task, withheld=withheld, **sizes).resolve().task, seed=3)
    return sets.train.indices_PT[:40], sets.test.indices_PT[:40]


def noise(objects_PT: np.ndarray, train_P: np.ndarray) -> Trace:
    """Keys, reads, gates and weights that are all different."""
    rng, (P, T) = np.random.default_rng(1), objects_PT.shape
    numbers = [rng.standard_normal(shape) for shape in ((P, T, 5), (P, T - 1, 5), (P, T), (P, T, T))]
    return Trace("a", train_P, objects_PT, *numbers)


def slow_reads(trace: Trace) -> list[tuple[int, bool, int, list[float], list[float], float, float]]:
    """Role, train, step, read, key, gate and weight of each read, by a walk through every problem."""
    found = []
    for p, shown in enumerate(trace.objects.tolist()):
        first: dict[int, int] = {}
        done: set[int] = set()
        for t, thing in enumerate(shown):
            if thing not in first:
                first[thing] = t
            elif thing not in done:
                done.add(thing)
                o = first[thing]
                vectors = trace.reads[p, t - 1].tolist(), trace.keys[p, o].tolist()
                found.append((o + 1, bool(trace.train[p]), t + 1, *vectors, trace.gates[p, t], trace.weights[p, t, o]))
    return sorted(found, key=lambda read: read[0])  # stable: by problem within a role


@pytest.mark.parametrize(("task", "withheld"), SPLITS)
def test_reads_are_those_of_a_walk_through_every_problem(task: str, withheld: int) -> None:
    train_PT, test_PT = problems_of(task, withheld)
    trace = noise(np.concatenate([test_PT, train_PT]), np.arange(len(test_PT) + len(train_PT)) >= len(test_PT))
    slow, fast = slow_reads(trace), key_geometry.reads(trace)
    assert {role for role, *_ in slow} == ROLES[task]
    for column, array in zip(
        zip(*slow, strict=True),
        (fast.role, fast.train, fast.step, fast.read, fast.key, fast.gate, fast.weight),
        strict=True,
    ):
        np.testing.assert_array_equal(array, np.array(column))
    frame = measures(trace).set_index("step")
    for t in range(1, trace.objects.shape[1] + 1):
        errors = [
            np.sqrt(sum((r - k) ** 2 for r, k in zip(read, key, strict=True)) / sum(k * k for k in key))
            for role, in_training, _, read, key, _, _ in slow
            if role == t and not in_training
        ]
        expected = np.median(errors) if errors else np.nan
        assert frame.at[t, "retrieved"] == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("rule", RULES)
def test_roles_of_identity_rules_are_first_appearances(rule: str) -> None:
    letters = RULES[rule][0] + "CADB"
    objects_PT = np.array([["ABCD".index(letter) for letter in letters]] * 2)
    reads = key_geometry.reads(noise(objects_PT, np.array([False, True])))
    where = dict(zip(reads.role.tolist(), reads.step.tolist(), strict=True))
    assert (
        where
        == {
            "AAA": {1: 2, 4: 5},  # A at steps 1 to 3, B at 4 and 5
            "ABA": {1: 3, 2: 9, 4: 6, 5: 8},
            "ABB": {1: 7, 2: 3, 4: 6, 5: 8},
        }[rule]
    )


@pytest.mark.parametrize("task", ROLES)
@pytest.mark.parametrize("gate", [0.25, 1.0])
def test_one_hot_retrieval_is_off_by_one_minus_the_gate(task: str, gate: float) -> None:
    train_PT, test_PT = problems_of(task, 95)
    trace = noise(np.concatenate([test_PT, train_PT]), np.arange(len(test_PT) + len(train_PT)) >= len(test_PT))
    equal_PTT = trace.objects[:, :, None] == trace.objects[:, None, :]
    entry_PT = equal_PTT.argmax(axis=2)  # step at which the object of each step first appears
    read_PTK = gate * np.take_along_axis(trace.keys, entry_PT[:, :, None], axis=1)
    frame = measures(trace._replace(reads=read_PTK[:, 1:])).set_index("step")
    expected = [abs(gate - 1) if t in ROLES[task] else np.nan for t in frame.index]
    assert frame["retrieved"].tolist() == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_split_without_reads_has_no_measure_of_them() -> None:
    rows = key_rows_of("a", [(0, 1), (2, 2), (3, 3)], [(5, 6), (6, 5)])
    keys = pa.Table.from_pylist(rows, schema=TABLES["keys"])
    summary = key_geometry.key_summary(keys)
    assert summary["reads"].tolist() == [2, 0]
    of_reads = ["weight_median", "gate_min", "gate_max", "distance_median"]
    assert summary[of_reads].isna().to_numpy().tolist() == [[False] * 4, [True] * 4]
    assert summary["gate_max"].tolist()[0] == pytest.approx(0.99)
    assert summary[["k3_sd_1", "k3_sd_2"]].isna().to_numpy().all()
    assert np.isnan(measures(key_geometry.trace(keys))["retrieved"].to_numpy()).all()


def test_keys_that_are_all_zero_have_no_measures_and_no_warning() -> None:
    train_PT, test_PT = problems_of("rmts", 95)
    trace = noise(np.concatenate([test_PT, train_PT]), np.arange(len(test_PT) + len(train_PT)) >= len(test_PT))
    zero = trace._replace(keys=0 * trace.keys, reads=0 * trace.reads)
    frame = measures(zero)
    assert frame[["overlap", "retrieved"]].isna().to_numpy().all()
    assert frame["distance"].tolist() == [0.0] * 6
    assert np.isnan(similarity(zero)).all()
    about = {"task": "rmts", "withheld": 95, "arm": "baseline", "seed": 0, "by_construction": "same"}
    row = report(frame.assign(**about), "text").splitlines()[2].split()
    assert row[-3:] == ["—", "—", "same"]


def test_components_without_variance_are_zeros() -> None:
    line_PTK = np.tile([[1.0, 2.0, 2.0], [3.0, 6.0, 6.0]], (4, 1, 1))  # all keys of same/different
    axes = key_geometry.principal_axes(line_PTK)
    assert axes.variance.tolist() == pytest.approx([1.0, 0.0], abs=1e-12)
    assert axes.project(line_PTK)[..., 1].tolist() == [[0.0, 0.0]] * 4
    assert axes.project(line_PTK)[0, :, 0] == pytest.approx([-3.0, 3.0])
    low, high = key_geometry.panel_limits(axes.project(line_PTK).reshape(-1, 2))
    assert (low < high).all()
    assert key_geometry.principal_axes(np.arange(6.0).reshape(2, 3, 1)).variance.tolist() == [1.0, 0.0]
    assert key_geometry.principal_axes(np.ones((2, 3, 4))).variance.tolist() == [0.0, 0.0]


SETTINGS = [
    {},
    {"retrieval": "free"},
    {"confidence": "off"},
    {"confidence": "default_memory"},
    {"leak": 0.7},
    {"leak": "learned", "leak_into": "key"},
    {"leak": 0.7, "leak_into": "output"},
    {"confidence": "off", "leak": 0.7, "leak_into": "output"},
]


@pytest.mark.parametrize("changes", SETTINGS, ids=str)
def test_what_agrees_by_construction_is_what_agrees_in_networks_with_any_weights(changes: dict[str, Any]) -> None:
    resolved = config("rmts", small=True, **changes)
    problems = build(PAPER.with_(task="rmts", withheld=95, n_train=40, n_test=40).resolve().task, 0).train
    steps = list(record_keys(perturbed(resolved).float(), glyphs().scale(), problems))
    agreeing = [bool(np.ptp(step.keys_PK, axis=0).max() == 0) for step in steps]
    trial_row = {"config": json.dumps(resolved.flat())}
    assert agreeing == [mark == "same" for mark in by_construction(trial_row, 6)]
    assert n_same(trial_row) == sum(agreeing)


def test_third_key_depends_on_the_problem_through_the_confidence_alone() -> None:
    """z_1 . z_2 decides the confidence, so the first two objects may change places; the fourth key sees that."""
    problems = build(PAPER.with_(task="rmts", withheld=95, n_train=40, n_test=40).resolve().task, 0).train
    problems = Problems(problems.indices_PT[problems.indices_PT[:, 0] != problems.indices_PT[:, 1]], problems.targets_P)
    swapped = problems._replace(indices_PT=problems.indices_PT[:, [1, 0, 2, 3, 4, 5]])
    network = perturbed(config("rmts", small=True), quiet=True).float()
    steps, others = (list(record_keys(network, glyphs().scale(), each)) for each in (problems, swapped))
    apart = [np.abs(a.keys_PK - b.keys_PK).max() for a, b in zip(steps, others, strict=True)]
    assert np.ptp(steps[2].keys_PK, axis=0).max() > 1e-3
    assert apart[2] < 1e-5 < 1e-4 < apart[3]
    assert by_construction({}, 6) == ["same", "same", "one number", "nothing", "nothing", "nothing"]


@pytest.fixture
def results(tmp_path: Path) -> str:
    """Networks of all tasks with keys; others that failed, are not trained, not recorded, not asked for, no ESBN."""
    rows = [trial(task, 95, "baseline", 0, 0.9, model="esbn") for task in ROLES]
    failed = trial("rmts", 95, "baseline", 1, model="esbn")
    unrecorded, missing = (trial("rmts", 95, "confidence=off", seed, 0.5, model="esbn") for seed in (0, 1))
    unasked = trial("rmts", 50, "baseline", 0, 0.9, model="esbn")
    lstm = trial("rmts", 50, "model=lstm", 0, 0.9, model="lstm")
    planned = [*rows, failed, unrecorded, missing, unasked, lstm]
    folder = write_study(tmp_path, "s", planned, [row for row in planned if row is not missing])
    models = {row["trial_id"]: row["model"] for row in planned}
    asked = [plan_row("s", row, row not in (unasked, lstm)) for row in planned]
    Store(folder).write("plans", "s", [{**row, "model": models[row["trial_id"]]} for row in asked])
    for row in rows:
        train_PT, test_PT = problems_of(row["task"], 95)
        Store(folder).write("keys", row["trial_id"], key_rows_of(row["trial_id"], train_PT, test_PT))
    return folder


def test_by_step_measures_every_task(results: str) -> None:
    frame = by_step(results, load_study(results, "s"))
    for task, roles in ROLES.items():
        here = frame.loc[frame["task"] == task].dropna(subset="retrieved")
        assert set(here["step"]) == roles
        assert here["retrieved"].tolist() == pytest.approx(
            [0.01] * len(roles), rel=1e-3
        )  # reads are 0.99 of their keys


def test_networks_without_keys_are_named_with_the_reason(results: str) -> None:
    assert without_keys(results, load_study(results, "s")) == [
        "No keys of rmts, m = 95, baseline (seed 1): the trial is failed.",
        "No keys of rmts, m = 95, confidence=off (seed 0): its keys are not recorded yet; run the study again.",
        "No keys of rmts, m = 95, confidence=off (seed 1): the trial is missing.",
        "No keys of rmts, m = 50, baseline: no study has it in a grid with `keys: true`.",
        "No keys of rmts, m = 50, model=lstm: only model=esbn writes keys.",
    ]


def test_command_prints_every_task_and_names_what_has_no_keys(results: str) -> None:
    done = CliRunner().invoke(main, ["keys", "s", "--results", results])
    assert done.exit_code == 0
    assert {line.split()[0] for line in done.stdout.splitlines()[2:] if " 95 " in line} >= set(ROLES)
    assert "No keys of rmts, m = 50, model=lstm: only model=esbn writes keys." in done.stderr


@pytest.mark.parametrize(
    ("model", "keys", "message"),
    [
        ("lstm", False, "study='s' has no keys: only model=esbn writes keys, not lstm"),
        ("esbn", False, "study='s' does not record keys; add `keys: true` to one of its grids"),
        ("esbn", True, "study='s' has no trial with stored keys yet; run it"),
    ],
)
def test_study_without_keys_is_refused_in_a_sentence(tmp_path: Path, model: str, keys: bool, message: str) -> None:
    row = trial("rmts", 95, "baseline", 0, 0.9, model=model)
    folder = write_study(tmp_path, "s", [row])
    Store(folder).write("plans", "s", [{**plan_row("s", row, keys), "model": model}])
    with pytest.raises(AnalysisError, match=message):
        by_step(folder, load_study(folder, "s"))
    done = CliRunner().invoke(main, ["keys", "s", "--results", folder])
    assert done.exit_code == 1 and "Traceback" not in done.output and message in done.output
