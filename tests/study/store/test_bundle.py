"""One archive from store to store: the same tables elsewhere, and nothing from an archive that is not in order."""

import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from analysis_store import curve, key_rows, object_rows, write_study
from s3 import bucket_uri

from analysis.findings import accuracy
from esbn_core.config import PAPER, arm_label
from study.planning.declarations import find_study
from study.planning.plan import PlannedTrial
from study.planning.rows import settings, write_plan
from study.planning.study_plan import declared_arms, plan_study
from study.store.bundle import export_bundle, import_bundle
from study.store.compact import compact
from study.store.errors import BundleError, LeaseError, StoreError
from study.store.lease import lease
from study.store.names import lease_of_search, suggestion_name
from study.store.schema import TABLES
from study.store.store import Store, parquet


def trial(task: str, withheld: int, changes: dict[str, str], seed: int, accuracy: float) -> dict[str, Any]:
    """A row of trials whose id is that of its settings."""
    config = PAPER.with_(task=task, withheld=withheld, seed=seed, **changes).resolve()
    outcome = {"status": "completed", "test_accuracy": accuracy}
    return {**settings(PlannedTrial(config, arm_label(changes))), **outcome}


PLANNED = [trial("distribution_of_three", 95, arm, seed, 0.9) for arm in ({}, {"tcn": "none"}) for seed in range(2)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two studies, one trial of the first failed, curves, keys and images; half of it merged."""
    failed = {**PLANNED[-1], "status": "failed", "test_accuracy": None, "failure": "loss is NaN"}
    other = [trial("rmts", 0, {}, 0, 0.7)]
    store = Store(write_study(tmp_path / "results", "first", PLANNED, [*PLANNED[:2], failed]))
    for row in PLANNED[:2]:
        store.write("curves", row["trial_id"], curve(row["trial_id"], [0.25, 0.5]))
    compact(store, lambda _: None)
    write_study(tmp_path / "results", "second", other)
    store.write("keys", PLANNED[0]["trial_id"], key_rows(PLANNED[0]["trial_id"], 2, 2))
    store.write("objects", "0123", object_rows("0123"))
    return store


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.slow)])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "disk":
        return Store(str(tmp_path / "elsewhere"))
    return Store(bucket_uri(request.getfixturevalue("s3"), uuid.uuid4().hex))


@pytest.fixture
def bundle(store: Store, tmp_path: Path) -> Path:
    export_bundle(store, tmp_path / "all.zip", [], None)
    return tmp_path / "all.zip"


def content(store: Store) -> dict[str, list[dict[str, object]]]:
    return {table: sorted(store.read(table).to_pylist(), key=repr) for table in TABLES}


def test_import_makes_the_same_rows_and_tables_elsewhere(store: Store, bundle: Path, elsewhere: Store) -> None:
    counts = import_bundle(elsewhere, bundle)
    assert counts == {"curves": (2, 0), "keys": (1, 0), "objects": (1, 0), "plans": (2, 0), "trials": (4, 0)}
    assert content(elsewhere) == content(store)
    for study in ("first", "second"):
        assert accuracy.table(elsewhere.uri, study).equals(accuracy.table(store.uri, study))


def test_export_of_a_study_leaves_the_others_out(store: Store, tmp_path: Path, elsewhere: Store) -> None:
    export_bundle(store, tmp_path / "second.zip", ["second"], None)
    import_bundle(elsewhere, tmp_path / "second.zip")
    assert elsewhere.read("trials", ["task"]).to_pylist() == [{"task": "rmts"}]
    assert elsewhere.read("plans", ["study"]).to_pylist() == [{"study": "second"}]


def test_export_takes_the_searches_of_a_study_along_and_import_knows_them(
    store: Store, tmp_path: Path, elsewhere: Store
) -> None:
    for search in ("tuned", "tuned-0001"):  # a name that looks like that of a suggestion
        store.write("searches", search, [{"search": search, "definition": "{}"}])
        row = {"search": search, "suggestion": 1, "status": "completed", "parameters": "{}", "accuracies": [0.9]}
        store.write("suggestions", suggestion_name(search, 1), [row])
        store.write("rungs", suggestion_name(search, 1), [{"search": search, "suggestion": 1, "update": 90}])
    planned = store.read("plans", names=store.names("plans")).to_pylist()
    third = [row | {"study": "third", "search": "tuned"} for row in planned if row["study"] == "second"]
    store.write("plans", "third", third)
    export_bundle(store, tmp_path / "third.zip", ["third"], None)
    counts = import_bundle(elsewhere, tmp_path / "third.zip")
    assert counts["searches"] == counts["suggestions"] == counts["rungs"] == (1, 0)
    assert elsewhere.names("suggestions") == {"tuned-0001"} and elsewhere.names("searches") == {"tuned"}
    assert import_bundle(elsewhere, tmp_path / "third.zip")["suggestions"] == (0, 1)

    (row,) = elsewhere.read("suggestions").to_pylist()
    elsewhere.write("suggestions", "tuned-0001", [row | {"accuracies": [0.8]}])
    with pytest.raises(BundleError, match=r"tuned-0001 \(accuracies: \[0.8\] here, \[0.9\] in the bundle\)"):
        import_bundle(elsewhere, tmp_path / "third.zip")
    for ours, counts in (("running", (1, 0)), ("completed", (0, 1))):
        elsewhere.write("suggestions", "tuned-0001", [row | {"status": ours, "accuracies": [0.9]}])
        assert import_bundle(elsewhere, tmp_path / "third.zip")["suggestions"] == counts
        assert elsewhere.read("suggestions").to_pylist() == [row]
    with lease(elsewhere, [lease_of_search("tuned")]), pytest.raises(LeaseError, match="has search tuned; wait for it"):
        elsewhere.write("suggestions", "tuned-0001", [row])
        import_bundle(elsewhere, tmp_path / "third.zip")


def test_bundle_holds_figures_versions_and_checksums(store: Store, tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "accuracy.svg").write_text("<svg/>")
    export_bundle(store, tmp_path / "with.zip", [], tmp_path / "figures")
    with zipfile.ZipFile(tmp_path / "with.zip") as archive:
        assert archive.read("figures/accuracy.svg") == b"<svg/>"
        assert f"pyarrow=={pa.__version__}\n" in archive.read("environment.txt").decode()
        manifest = json.loads(archive.read("manifest.json"))
        assert {"commit", "torch_version"} <= manifest["provenance"].keys()
        for name, expected in manifest["files"].items():
            assert hashlib.sha256(archive.read(name)).hexdigest() == expected["sha256"]
    import_bundle(Store(str(tmp_path / "elsewhere")), tmp_path / "with.zip")


def test_import_adds_what_is_not_there_and_keeps_what_is(store: Store, bundle: Path, elsewhere: Store) -> None:
    elsewhere.prepare()
    ours = {**PLANNED[0], "host": "another machine"}
    elsewhere.write("trials", ours["trial_id"], [ours])
    assert import_bundle(elsewhere, bundle)["trials"] == (3, 1)
    assert elsewhere.read("trials", ["host"], names=[ours["trial_id"]]).to_pylist() == [{"host": "another machine"}]
    assert import_bundle(elsewhere, bundle) == {
        table: (0, len(names)) for table in TABLES if (names := store.names(table))
    }
    assert len(elsewhere.read("trials")) == 4


def test_import_refuses_another_result_of_a_trial_and_says_which(bundle: Path, elsewhere: Store) -> None:
    elsewhere.prepare()
    ours = {**PLANNED[0], "test_accuracy": 0.8}
    elsewhere.write("trials", ours["trial_id"], [ours])
    before = content(elsewhere)
    with pytest.raises(BundleError, match=rf"{ours['trial_id']} \(test_accuracy: 0.8 here, 0.9 in the bundle\)"):
        import_bundle(elsewhere, bundle)
    assert content(elsewhere) == before


def test_import_is_refused_while_a_run_trains_one_of_its_trials(bundle: Path, elsewhere: Store) -> None:
    elsewhere.prepare()
    with lease(elsewhere, [PLANNED[1]["trial_id"]]), pytest.raises(LeaseError, match="1 of these trials"):
        import_bundle(elsewhere, bundle)
    assert not any(content(elsewhere).values())


def rewrite(bundle: Path, change: Callable[[dict[str, bytes]], None], signed: bool = True) -> Path:
    """A bundle with other files in it, for which the manifest has right checksums unless told otherwise."""
    with zipfile.ZipFile(bundle) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(files.pop("manifest.json"))
    change(files)
    if signed:
        manifest["files"] = {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()
        }
    changed = bundle.with_name("changed.zip")
    with zipfile.ZipFile(changed, "w") as archive:
        for name, data in {**files, "manifest.json": json.dumps(manifest).encode()}.items():
            archive.writestr(name, data)
    return changed


def part(rows: pa.Table, names: list[str] | None) -> bytes:
    return parquet(rows, names).to_pybytes()


FOREIGN = part(pa.table({"trial_id": ["x"], "payload": ["y"]}), ["x"])
STRANGER = part(TABLES["trials"].empty_table(), ["../../x"])
UNLISTED = part(pa.Table.from_pylist([{"trial_id": "x"}], schema=TABLES["trials"]), [])
NUMBER = part(TABLES["curves"].empty_table(), None)


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("../outside.parquet", b"", "does not belong"),
        ("/tmp/outside", b"", "does not belong"),
        ("plans/../../outside.parquet", b"", "does not belong"),
        ("plans/..\\outside.parquet", b"", "does not belong"),
        ("plans/.hidden.parquet", b"", "does not belong"),
        ("leases/x.json", b"", "does not belong"),
        ("checkpoints/x.pkl", b"", "does not belong"),
        ("trials/9.parquet", b"PAR1", "trials/9.parquet of the bundle is not a file of the store"),
        ("trials/9.parquet", FOREIGN, "has no column task"),
        ("trials/9.parquet", STRANGER, "names that are not trial ids"),
        ("trials/9.parquet", UNLISTED, "do not match the names in its footer"),
        ("curves/9.parquet", NUMBER, "curves/9.parquet of the bundle is not a file of the store"),
    ],
)
def test_hostile_archive_is_refused_and_writes_nothing(
    bundle: Path, tmp_path: Path, name: str, data: bytes, why: str
) -> None:
    changed = rewrite(bundle, lambda files: files.update({name: data}))
    there = sorted(tmp_path.rglob("*"))
    with pytest.raises(BundleError, match=why):
        import_bundle(Store(str(tmp_path / "elsewhere")), changed)
    assert sorted(tmp_path.rglob("*")) == there


def with_rows(member: str, change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, bytes]], None]:
    """A change of all rows of a file."""

    def rewritten(files: dict[str, bytes]) -> None:
        file = pq.ParquetFile(pa.BufferReader(files[member]))
        rows = file.read().to_pylist()
        for row in rows:
            change(row)
        table = pa.Table.from_pylist(rows, schema=file.schema_arrow)
        names = None if b"names" not in file.metadata.metadata else [str(row["trial_id"]) for row in rows]
        files[member] = part(table, names)

    return rewritten


def setting(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(row: dict[str, Any]) -> None:
        row["config"] = json.dumps({**json.loads(row["config"]), name: value})

    return change


@pytest.mark.parametrize(
    ("change", "why"),
    [
        *((lambda row, a=a: row.update(test_accuracy=a), "test_accuracy=") for a in (7.0, -1e-9, math.inf, math.nan)),
        (lambda row: row.update(test_accuracy=None, status="completed"), "test_accuracy=None"),
        (lambda row: row.update(status="pwned"), "status=pwned is neither completed nor failed"),
        (lambda row: row.update(status=None), "status=None"),
        *(
            (lambda row, config=config: row.update(config=config), "config is not the settings of a trial")
            for config in (None, "", "{", "[]", "null", "[" * 100_000)
        ),
        (setting("learning_rate", 1.0), "its config belongs to trial"),
        (lambda row: row.update(trial_id=row["trial_id"][:-1] + "\n"), "has names that are not trial ids"),
        (lambda row: row.update(trial_id=row["trial_id"][::-1]), "its config belongs to trial"),
        (lambda row: row.update(arm="\x1b[2Jbaseline"), r"arm=.* has control characters"),
        (lambda row: row.update(failure="\x1b[2J"), r"failure=.* has control characters"),
        (lambda row: row.update(seed=row["seed"] + 1), "seed="),
        (lambda row: row.update(model="lstm"), "model='lstm', but 'esbn' in its config"),
        (lambda row: row.update(n_test=-1), "n_test=-1 is negative"),
        (lambda row: row.update(withheld_objects=[1, -1]), "withheld_objects=-1 is negative"),
    ],
)
def test_row_that_cannot_be_a_result_is_refused(
    bundle: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], why: str
) -> None:
    with pytest.raises(BundleError, match=why):
        import_bundle(Store(str(tmp_path / "elsewhere")), rewrite(bundle, with_rows("trials/000000.parquet", change)))
    assert not (tmp_path / "elsewhere").exists()


def test_import_refuses_a_plan_that_renames_an_arm_of_a_declared_study(tmp_path: Path) -> None:
    plan = plan_study(find_study("quickstart"))
    store = Store(str(tmp_path / "results"))
    store.prepare()
    write_plan(store, plan.study, plan.trials)
    row = {**settings(plan.trials[0]), "status": "completed", "test_accuracy": 0.5}
    store.write("trials", plan.trials[0].trial_id, [row])
    export_bundle(store, tmp_path / "all.zip", [], None)
    import_bundle(Store(str(tmp_path / "same")), tmp_path / "all.zip", declared_arms)
    (member,) = (f"plans/{name}.parquet" for name in store.names("plans"))
    renamed = rewrite(tmp_path / "all.zip", with_rows(member, lambda row: row.update(arm="better than baseline")))
    with pytest.raises(BundleError, match="of study quickstart with arm='better than baseline', but here it has"):
        import_bundle(Store(str(tmp_path / "other")), renamed, declared_arms)


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("arm", "other", "with arm='other', but here it has 'baseline'"),
        ("seed", 9, "with seed=9, but here it has 0"),
        ("withheld", 0, "with withheld=0, but here it has 95"),
        ("looks", 5, "has 5 looks for study first, unlike the plan here"),
    ],
)
def test_import_refuses_a_plan_that_contradicts_what_is_here(
    store: Store, bundle: Path, column: str, value: object, why: str
) -> None:
    changed = rewrite(bundle, with_rows("plans/first.parquet", lambda row: row.update({column: value})))
    before = content(store)
    with pytest.raises(BundleError, match=why):
        import_bundle(store, changed)
    assert content(store) == before


def test_small_archive_of_many_rows_is_refused_before_it_takes_memory(bundle: Path, tmp_path: Path) -> None:
    zeros = np.zeros(10_000_000)
    columns = {"trial_id": pa.repeat("x", len(zeros)), "update": zeros, "loss": zeros, "accuracy": zeros}
    rows = pa.table(columns)
    data = part(rows.cast(TABLES["curves"]), ["x"])
    changed = rewrite(bundle, lambda files: files.update({"curves/9.parquet": data}))
    with pytest.raises(BundleError, match=r"has 10,000,000 rows in [\d,]+ bytes"):
        import_bundle(Store(str(tmp_path / "elsewhere")), changed)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_regular_file_is_no_bundle(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "odd.zip")
    with pytest.raises(BundleError, match=r"odd.zip' is a (pipe|folder|device)"):
        import_bundle(Store(str(tmp_path / "elsewhere")), tmp_path / "odd.zip")


def test_trial_that_is_in_two_files_of_an_archive_is_refused(bundle: Path, tmp_path: Path) -> None:
    changed = rewrite(bundle, lambda files: files.update({"trials/9.parquet": files["trials/000000.parquet"]}))
    with pytest.raises(BundleError, match="twice in table trials"):
        import_bundle(Store(str(tmp_path / "elsewhere")), changed)


def test_compressed_archive_is_refused(bundle: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(bundle, "a") as archive:
        archive.writestr("figures/large.png", bytes(10**6), zipfile.ZIP_DEFLATED)
    with pytest.raises(BundleError, match="large.png' does not belong"):
        import_bundle(Store(str(tmp_path / "elsewhere")), bundle)


@pytest.mark.parametrize("change", ["damaged", "missing", "added"])
def test_archive_that_is_not_what_its_manifest_says_is_refused(bundle: Path, tmp_path: Path, change: str) -> None:
    def damage(files: dict[str, bytes]) -> None:
        name = "curves/000000.parquet"
        if change == "damaged":
            files[name] = bytes([*files[name][:-9], 7, *files[name][-8:]])
        elif change == "missing":
            del files[name]
        else:
            files["curves/9.parquet"] = files[name]

    why = "is damaged" if change == "damaged" else "differ from those in its manifest"
    with pytest.raises(BundleError, match=why):
        import_bundle(Store(str(tmp_path / "elsewhere")), rewrite(bundle, damage, signed=False))


@pytest.mark.parametrize("size", [0, 100, -100])
def test_archive_that_is_cut_short_or_none_is_refused(bundle: Path, tmp_path: Path, size: int) -> None:
    (tmp_path / "cut.zip").write_bytes(bundle.read_bytes()[:size])
    with pytest.raises(BundleError, match=r"cut.zip' cannot be read"):
        import_bundle(Store(str(tmp_path / "elsewhere")), tmp_path / "cut.zip")


@pytest.mark.parametrize("table", ["trials", "plans", "curves"])
def test_export_refuses_to_leave_out_what_a_later_version_wrote(store: Store, tmp_path: Path, table: str) -> None:
    path = next(Path(store.root, table).rglob("*.parquet"))
    file = pq.ParquetFile(path)
    rows = file.read()
    later = rows.append_column("mood", pa.array(["good"] * len(rows)))
    pq.write_table(later.replace_schema_metadata(file.metadata.metadata), path)
    with pytest.raises(StoreError, match=rf"table {table} .* has data of a later version of esbn-study .mood."):
        export_bundle(store, tmp_path / "x.zip", [], None)
    assert not (tmp_path / "x.zip").exists()


def test_export_refuses_what_is_not_there_and_leaves_no_file(store: Store, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="study='nosuch' is not in"):
        export_bundle(store, tmp_path / "x.zip", ["nosuch"], None)
    with pytest.raises(BundleError, match="has no trials to export"):
        export_bundle(Store(str(tmp_path / "nowhere")), tmp_path / "x.zip", [], None)
    with pytest.raises(BundleError, match="cannot be written: No such file or directory"):
        export_bundle(store, tmp_path / "no" / "x.zip", [], None)
    assert not list(tmp_path.glob("*.zip*")) + list(tmp_path.glob(".*"))


KILLED = """
import os, signal, sys
from pathlib import Path
from study.store.bundle import import_bundle
from study.store.store import Store

left, put = int(sys.argv[3]), Store._put

def killed_before(store, path, data):
    global left
    left -= path.endswith(".parquet")
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    put(store, path, data)

Store._put = killed_before
import_bundle(Store(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_import_killed_before_each_file_it_writes_can_be_done_again(store: Store, bundle: Path, tmp_path: Path) -> None:
    writes = 0
    while True:
        elsewhere = Store(str(tmp_path / f"elsewhere{writes}"))
        command = [sys.executable, "-c", KILLED, elsewhere.uri, str(bundle), str(writes)]
        killed = subprocess.run(command, capture_output=True)
        import_bundle(elsewhere, bundle)
        assert content(elsewhere) == content(store)
        if killed.returncode == 0:
            break
        assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
        writes += 1
    assert writes == 7  # curves, keys, objects, two plans, and trials of one file and of a merged one
