"""Result files of the authors' code: read into a table of their own, shown beside ours, and in none of our numbers."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from analysis_store import trial, write_study

from analysis.data.cells import load_external
from analysis.data.query import query, saved
from analysis.data.trials import load_study
from analysis.findings.accuracy import table
from analysis.findings.paper import other_code, paper_cells
from analysis.findings.reproduction import verdicts
from analysis.tables import comparison, paper
from esbn_core.errors import ConfigError
from study.store.compact import compact
from study.store.external import import_external
from study.store.store import Store

TEXT = "loss acc\n0.0123 97.25"


def results_of(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / "test" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "test" / name).write_text(text)
    return folder / "test"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "results"))


@pytest.mark.parametrize(
    ("place", "task", "withheld", "arm"),
    [
        ("same_diff/m95/ESBN_contextnorm_lr0.0005", "same_different", 95, "baseline"),
        ("same_diff/m95/ESBN", "same_different", 95, "baseline"),
        ("same_diff/m0/ESBN_nonorm_lr5e-05", "same_different", 0, "tcn=none"),
        ("RMTS/m50/ESBN_tasksegmented_contextnorm_lr0.0005", "rmts", 50, "baseline"),
        ("RMTS/m50/ESBN_contextnorm_lr0.0005", "rmts", 50, "tcn=sequence"),
        ("RMTS/m85/RN_nonorm_lr5e-05", "rmts", 85, "model=rn,tcn=none"),
        ("dist3/m95/Transformer_contextnorm_lr0.0005", "distribution_of_three", 95, "model=transformer"),
        ("dist3/m95/LSTM_contextnorm_lr0.001", "distribution_of_three", 95, "model=lstm,learning_rate=0.001"),
        ("identity_rules/m85/ESBN_confidence_ablation_contextnorm_lr0.0005", "identity_rules", 85, "confidence=off"),
    ],
)
def test_result_file_is_a_row_with_the_label_of_the_same_arm(
    store: Store, tmp_path: Path, place: str, task: str, withheld: int, arm: str
) -> None:
    folder = results_of(tmp_path, {f"{place}/run3.txt": TEXT})
    assert import_external(store, folder, "authors", "conv") == {"external": (1, 0)}
    (row,) = store.read("external").to_pylist()
    assert (row["task"], row["withheld"], row["arm"], row["run"]) == (task, withheld, arm, 3)
    assert (row["origin"], row["test_accuracy"], row["test_loss"]) == ("authors", 0.9725, 0.0123)


def test_encoder_that_the_files_do_not_tell_can_be_given(store: Store, tmp_path: Path) -> None:
    import_external(store, results_of(tmp_path, {"dist3/m95/ESBN/run1.txt": TEXT}), "authors", "mlp")
    assert store.read("external", ["arm"]).to_pylist() == [{"arm": "encoder=mlp"}]


def test_import_twice_adds_nothing_and_another_result_is_refused(store: Store, tmp_path: Path) -> None:
    folder = results_of(tmp_path, {f"dist3/m95/ESBN/run{run}.txt": TEXT for run in (1, 2)})
    import_external(store, folder, "authors", "conv")
    compact(store, lambda _: None)
    assert import_external(store, folder, "authors", "conv") == {"external": (0, 2)}
    (folder / "dist3/m95/ESBN/run2.txt").write_text("loss acc\n0.0123 50.00")
    with pytest.raises(ConfigError, match=r"ESBN/run2.txt has test_accuracy=0.5, but 0.9725 was imported"):
        import_external(store, folder, "authors", "conv")
    assert store.read("external").num_rows == 2


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("dist3/m95/ESBN/run2.txt", "", "must be two lines"),
        ("dist3/m95/ESBN/run2.txt", "loss acc\n0.1", "must be two lines"),
        ("dist3/m95/ESBN/run2.txt", "loss acc\n0.1 100.1", "acc from 0 to 100"),
        ("dist3/m95/ESBN/run2.txt", "loss acc\nnan 50", "must be two lines"),
        ("dist3/m95/ESBN/run2.txt", "acc loss\n50 0.1", "must be two lines"),
        ("dist4/m95/ESBN/run2.txt", TEXT, "the task must be one of same_diff"),
        ("dist3/m95/GPT/run2.txt", TEXT, "the model of ESBN"),
        ("dist3/m99/ESBN/run2.txt", TEXT, "withheld=99"),
        ("dist3/mx/ESBN/run2.txt", TEXT, "must be whole numbers"),
        ("dist3/m95/ESBN_tasksegmented_contextnorm_lr0.0005/run2.txt", TEXT, "segmented"),
    ],
)
def test_bad_result_file_is_named_and_nothing_is_imported(
    store: Store, tmp_path: Path, name: str, text: str, why: str
) -> None:
    folder = results_of(tmp_path, {"dist3/m95/ESBN/run1.txt": TEXT, name: text})
    with pytest.raises(ConfigError, match=why) as refused:
        import_external(store, folder, "authors", "conv")
    assert name in str(refused.value)
    assert store.names("external") == set()


def test_folder_without_result_files_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name the folder `test`"):
        import_external(store, tmp_path, "authors", "conv")


READERS: dict[str, Callable[[str], str | pd.DataFrame]] = {
    "table": lambda results: table(results, "s").to_csv(),
    "paper tables": lambda results: paper.report(paper_cells(results), {}, results, "csv"),
    "verdict": lambda results: verdicts(load_study(results, "s")),
    "compare": lambda results: comparison.by_seed(load_study(results, "s"), "baseline", "csv"),
    **{
        f"query {name}": lambda results, sql=sql: str(query(results, sql).to_pylist())
        for name, sql in saved().items()
        if name not in ("external", "speed")  # speed is of curves
    },
}


@pytest.mark.parametrize("reader", READERS)
def test_results_of_other_code_change_none_of_our_numbers(tmp_path: Path, reader: str) -> None:
    planned = [
        trial("distribution_of_three", 95, arm, seed, 0.9 + seed / 100)
        for arm in ("baseline", "encoder=mlp")
        for seed in range(3)
    ]
    results = write_study(tmp_path / "results", "s", planned)
    alone = READERS[reader](results)
    import_external(Store(results), results_of(tmp_path, {"dist3/m95/ESBN/run1.txt": TEXT}), "authors", "conv")
    assert load_external(results)["test_accuracy"].tolist() == [0.9725]
    beside = READERS[reader](results)
    assert beside.equals(alone) if isinstance(beside, pd.DataFrame) else beside == alone


def test_results_of_other_code_stand_beside_ours(tmp_path: Path) -> None:
    results = write_study(tmp_path / "results", "s", [trial("distribution_of_three", 95, "baseline", 0, 0.5)])
    files = {f"dist3/m95/ESBN/run{run}.txt": f"loss acc\n0.1 {acc}" for run, acc in ((1, 90), (2, 92))}
    import_external(Store(results), results_of(tmp_path, files), "authors", "conv")
    rows = query(results, saved()["external"]).to_pylist()
    assert [(row["origin"], row["n"], row["mean"]) for row in rows] == [("authors", 2, 0.91), ("ours", 1, 0.5)]
    report = paper.report(paper_cells(results), other_code(results), results, "text")
    table_11 = report[report.index("Table 11") : report.index("Table 12")]
    lines = table_11.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("baseline"))
    ours, theirs, authors = lines[first : first + 3]
    assert "50.0" in ours and "paper" in theirs
    assert authors.split()[0] == "authors" and "91.0 ± 1.0 (2)" in authors.replace("  ", " ")
    assert "authors: results of other code, imported; in none of our means." in report
