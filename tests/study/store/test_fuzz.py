"""Mutations of every kind of file in a store: nothing but a sentence comes of them, and no other trial is affected.

pytest tests/study/store/test_fuzz.py --rounds 50      # of each kind of file, fifty times as many mutations
"""

import functools
import hashlib
import json
import resource
import shutil
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from analysis_store import curve, key_rows, object_rows
from rich.console import Console
from safetensors.torch import save

from ablations import Grid, Study
from analysis import load_study, query
from analysis.findings import accuracy
from analysis.tables.accuracy import report
from esbn_core.errors import UserError
from study.monitoring.status import summary
from study.planning import rows
from study.planning.completion import begun_packs, completion
from study.planning.packs import pack
from study.planning.study_plan import StudyPlan, plan_study
from study.store.bundle import export_bundle, import_bundle
from study.store.compact import compact
from study.store.lease import held
from study.store.store import Store

pytestmark = pytest.mark.slow

SECONDS = 10.0
BYTES = 2**30
PER_KIND = 7

Mutation = Callable[[Path, np.random.Generator], None]


@pytest.fixture(scope="module")
def plan() -> StudyPlan:
    grid = Grid(arms=({}, {"encoder": "mlp"}), conditions={"rmts": (95,)}, seeds=3, keys=True)
    return plan_study(Study(name="fuzzed", question="Does it hold?", grids=(grid,)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, plan: StudyPlan) -> Path:
    """A store with a file of each kind: half of the trials merged, one to be trained yet, and a bundle beside it."""
    folder = tmp_path_factory.mktemp("whole")
    store = Store(str(folder / "results"))
    store.prepare()
    rows.write_plan(store, plan.study, plan.trials)
    store.write("objects", "0123", object_rows("0123"))
    for number, trial in enumerate(plan.trials[:-1]):
        outcome = {"status": "completed", "test_accuracy": 0.5 + number / 100}
        store.write("curves", trial.trial_id, curve(trial.trial_id, [0.25, 0.5]))
        store.write("keys", trial.trial_id, key_rows(trial.trial_id, 2, 2))
        store.write("trials", trial.trial_id, [{**rows.settings(trial), **outcome}])
        if number == 1:
            compact(store, lambda _: None)
    left = pack(plan.trials, {plan.trials[-1].trial_id}, n_slots=1, largest=1)[0]
    position = {"update": 1, "trial_ids": [plan.trials[-1].trial_id], "curve": []}
    store.save_checkpoint(left.pack_id, save({"x": torch.ones(2)}, metadata={"position": json.dumps(position)}))
    store.write_lease("0123", json.dumps({"host": "elsewhere", "machine": "elsewhere", "trials": ["x"]}))
    export_bundle(store, folder / "all.zip", [], None)
    return folder


def noise(path: Path, rng: np.random.Generator) -> None:
    path.write_bytes(rng.bytes(int(rng.integers(0, 5000))))


def cut(path: Path, rng: np.random.Generator) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(rng.integers(0, len(data)))])


def flip(path: Path, rng: np.random.Generator) -> None:
    data = bytearray(path.read_bytes())
    for place in rng.integers(0, len(data), int(rng.integers(1, 20))):
        data[place] = int(rng.integers(0, 256))
    path.write_bytes(data)


def overwrite(path: Path, rng: np.random.Generator) -> None:
    data = bytearray(path.read_bytes())
    start = int(rng.integers(0, len(data)))
    data[start : start + 200] = bytes(len(data[start : start + 200]))
    path.write_bytes(data)


VALUES = [None, "", "\x1b[2J", "\n", "x" * 10_000, -1, 2**31 - 1, float("nan"), float("inf"), 7.0, [], {}, True]


def one_value(path: Path, rng: np.random.Generator) -> None:
    """Another value in one column of a Parquet file, or one field of JSON, in a file that is otherwise whole."""
    if path.suffix == ".json":
        fields = json.loads(path.read_text())
        fields[rng.choice(list(fields))] = VALUES[rng.integers(len(VALUES))]
        path.write_text(json.dumps(fields))
    elif path.suffix == ".parquet":
        table = pq.read_table(path)
        column = int(rng.integers(table.num_columns))
        field = table.schema.field(column)
        value = VALUES[rng.integers(len(VALUES))]
        try:
            values = pa.array([value] * len(table), field.type)
        except (pa.ArrowException, OverflowError, TypeError):
            values = pa.array([value] * len(table)) if not isinstance(value, dict) else pa.nulls(len(table))
            field = pa.field(field.name, values.type)
        pq.write_table(table.set_column(column, field, values), path)
    else:
        flip(path, rng)


def columns_gone(path: Path, rng: np.random.Generator) -> None:
    if path.suffix != ".parquet":
        return cut(path, rng)
    table = pq.read_table(path)
    kept = rng.permutation(table.num_columns)[: int(rng.integers(1, table.num_columns))]
    pq.write_table(table.select([int(i) for i in kept]), path)


def twice(path: Path, rng: np.random.Generator) -> None:
    if path.suffix != ".parquet":
        return flip(path, rng)
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table] * int(rng.integers(2, 4))), path)


MUTATIONS: list[Mutation] = [noise, cut, flip, overwrite, one_value, columns_gone, twice]


def commands(folder: Path, plan: StudyPlan) -> list[Callable[[], Any]]:
    """What people do with a store, each with a reader of its own."""
    results = str(folder / "results")
    console = Console(quiet=True)
    return [
        lambda: console.print(summary(Store(results))),
        lambda: load_study(results, "fuzzed"),
        lambda: report(accuracy.table(results, "fuzzed"), "text"),
        lambda: query(results, "select * from trials join curves using (trial_id) join plans using (trial_id)"),
        lambda: query(results, "select count(*) from keys"),
        lambda: completion(plan.trials, Store(results)),
        lambda: begun_packs(plan.trials, {t.trial_id for t in plan.trials}, Store(results)),
        lambda: held(Store(results)),
        lambda: export_bundle(Store(results), folder / "again.zip", [], None),
        lambda: compact(Store(results), lambda _: None),
        lambda: load_study(results, "fuzzed"),
    ]


KINDS = [
    *(f"{table}{merged}" for table in ("trials", "curves", "keys") for merged in ("", "/merged")),
    *("plans", "objects", "checkpoints", "leases"),
]


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_file_costs_a_sentence_at_most_and_no_other_trial(
    whole: Path, plan: StudyPlan, tmp_path: Path, kind: str, pytestconfig: pytest.Config
) -> None:
    before = {row["trial_id"]: row for row in Store(str(whole / "results")).read("trials").to_pylist()}
    (victim, *_) = sorted(path for path in (whole / "results" / kind).iterdir() if path.is_file())
    in_file = set(Store(str(whole / "results")).names("trials") if kind == "trials/merged" else {victim.stem})
    for number in range(PER_KIND * pytestconfig.option.rounds):
        rng = np.random.default_rng([KINDS.index(kind), number])
        mutate = MUTATIONS[number % len(MUTATIONS)]
        folder = tmp_path / str(number)
        shutil.copytree(whole, folder)
        mutate(folder / victim.relative_to(whole), rng)
        for command in commands(folder, plan):
            run(command, f"{kind} {mutate.__name__} {number}")
        after = {row["trial_id"]: row for row in Store(str(folder / "results")).read("trials").to_pylist()}
        for trial_id in before.keys() - in_file:
            assert after[trial_id] == before[trial_id], (kind, mutate.__name__, number)
        shutil.rmtree(folder)


def test_mutated_bundle_is_refused_or_has_the_same_rows(
    whole: Path, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    before = sorted(Store(str(whole / "results")).read("trials").to_pylist(), key=repr)
    with zipfile.ZipFile(whole / "all.zip") as archive:
        members = archive.namelist()
    for number in range(3 * PER_KIND * pytestconfig.option.rounds):
        rng = np.random.default_rng([99, number])
        changed = tmp_path / "changed.zip"
        if number % 3:
            shutil.copy(whole / "all.zip", changed)
            MUTATIONS[number % 4](changed, rng)
        else:
            rewrite(whole / "all.zip", changed, members[rng.integers(len(members))], MUTATIONS[number % 7], rng)
        elsewhere = Store(str(tmp_path / f"elsewhere{number}"))
        run(functools.partial(import_bundle, elsewhere, changed), f"bundle {number}")
        rows = sorted(elsewhere.read("trials").to_pylist(), key=repr)
        assert rows in ([], before)


def rewrite(bundle: Path, target: Path, member: str, mutate: Mutation, rng: np.random.Generator) -> None:
    """Mutates a file of an archive, whose checksum is made to fit."""
    with zipfile.ZipFile(bundle) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    aside = target.with_name(f"member{Path(member).suffix}")
    aside.write_bytes(files[member])
    mutate(aside, rng)
    files[member] = aside.read_bytes()
    manifest = json.loads(files.pop("manifest.json")) if member != "manifest.json" else None
    if manifest:
        manifest["files"][member] = {"bytes": len(files[member]), "sha256": hashlib.sha256(files[member]).hexdigest()}
        files["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def run(command: Callable[[], Any], what: str) -> None:
    began, before = time.monotonic(), peak()
    try:
        command()
    except UserError as error:
        assert "\n" not in str(error).strip(), what
    assert time.monotonic() - began < SECONDS, what
    assert peak() - before < BYTES, what


def peak() -> int:
    """Bytes of memory that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
