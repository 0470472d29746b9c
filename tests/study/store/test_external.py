"""Result files of the authors' code: read into a table of their own, shown beside ours, and in none of our numbers."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from analysis_store import trial, write_study
from click.testing import CliRunner, Result

from analysis.data.cells import load_external
from analysis.data.query import query, saved
from analysis.data.trials import load_study
from analysis.findings.accuracy import table
from analysis.findings.paper import other_code, paper_cells
from analysis.findings.reproduction import verdicts
from analysis.tables import comparison, paper
from esbn_core.errors import ConfigError
from esbn_core.printable import printable
from study.cli.main import main
from study.store import released_files
from study.store.compact import compact
from study.store.external import Given, import_external
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
    assert import_external(store, folder, Given()) == (1, 0, [])
    (row,) = store.read("external").to_pylist()
    assert (row["task"], row["withheld"], row["arm"], row["run"]) == (task, withheld, arm, 3)
    assert (row["origin"], row["test_accuracy"], row["test_loss"]) == ("authors", 0.9725, 0.0123)


def test_encoder_that_the_files_do_not_tell_can_be_given(store: Store, tmp_path: Path) -> None:
    import_external(store, results_of(tmp_path, {"dist3/m95/ESBN/run1.txt": TEXT}), Given(encoder="mlp"))
    assert store.read("external", ["arm"]).to_pylist() == [{"arm": "encoder=mlp"}]


def test_import_twice_adds_nothing_and_another_result_is_refused(store: Store, tmp_path: Path) -> None:
    folder = results_of(tmp_path, {f"dist3/m95/ESBN/run{run}.txt": TEXT for run in (1, 2)})
    import_external(store, folder, Given())
    compact(store, lambda _: None)
    assert import_external(store, folder, Given()) == (0, 2, [])
    (folder / "dist3/m95/ESBN/run2.txt").write_text("loss acc\n0.0123 50.00")
    with pytest.raises(ConfigError, match=r"ESBN/run2.txt has test_accuracy=0.5, but 0.9725 was imported"):
        import_external(store, folder, Given())
    assert store.read("external").num_rows == 2


LEFT_OUT = {
    "dist3/m95/ESBN/run2.txt": ("", "must have two lines"),
    "dist3/m95/ESBN/run3.txt": ("loss acc\n0.1", "must have two lines"),
    "dist3/m95/ESBN/run4.txt": ("loss acc\n0.1 100.1", "acc=100.1 is not between 0 and 100"),
    "dist3/m95/ESBN/run5.txt": ("loss acc\n0.1 nan", "acc=nan is not between 0 and 100"),
    "dist3/m95/ESBN/run6.txt": ("loss\tacc\n0,1\t50", "loss='0,1' is not a number"),
    "dist3/m95/ESBN/run7.txt": ("loss acc\n1 2\n3 4", "must have two lines"),
    "dist3/m95/ESBN/run$r.txt": (TEXT, r"its name must be run<r>.txt"),
    "dist3/m95/ESBN/run1 (1).txt": (TEXT, r"its name must be run<r>.txt"),
    "dist3/m95/ESBN/run1234567890.txt": (TEXT, r"its name must be run<r>.txt"),
    "dist4/m95/ESBN/run2.txt": (TEXT, "no folder says task; give --task"),
    "dist3/mx/ESBN/run2.txt": (TEXT, "no folder says withheld; give --withheld"),
    "dist3/batchconv32/ESBN/run2.txt": (TEXT, "no folder says withheld; give --withheld"),
    "dist3/m95/m50/ESBN/run2.txt": (TEXT, "its folders give two numbers m, 50 and 95"),
    "dist3/m95/GPT/run2.txt": (TEXT, "names no model .ESBN"),
    "dist3/m99/ESBN/run2.txt": (TEXT, "withheld=99"),
    "dist3/m4294967296/ESBN/run2.txt": (TEXT, "no folder says withheld"),
    "dist3/m95/ESBN_contextnorm_lr5e--5/run2.txt": (TEXT, "learning rate '5e--5', which is not a number"),
    "dist3/m95/ESBN_contextnorm_lr1.0/run2.txt": (TEXT, "learning_rate=1.0 must be"),
    "dist3/m95/ESBN_contextnorm_lrnan/run2.txt": (TEXT, "learning_rate=nan must be"),
    "dist3/m95/ESBN_contextnorm_lr/run2.txt": (TEXT, "names no model"),
    "dist3/m95/ESBN_tasksegmented_contextnorm_lr0.0005/run2.txt": (TEXT, "segmented"),
    "dist3\n/dist3/m95/ESBN/run9.txt": (TEXT, "has control characters"),
}


def test_what_cannot_be_read_is_listed_with_its_reason_and_the_rest_is_imported(store: Store, tmp_path: Path) -> None:
    folder = results_of(
        tmp_path, {"dist3/m95/ESBN/run1.txt": TEXT, **{name: text for name, (text, _) in LEFT_OUT.items()}}
    )
    new, known, left_out = import_external(store, folder, Given())
    assert (new, known, len(left_out)) == (1, 0, len(LEFT_OUT))
    for name, (_, why) in LEFT_OUT.items():
        (line,) = [line for line in left_out if line.startswith(f"{printable(name)}: ")]
        assert re.search(why, line)


def test_odd_files_and_folders_are_passed_over_or_listed(store: Store, tmp_path: Path) -> None:
    folder = results_of(tmp_path, {"dist3/m95/ESBN/run1.txt": TEXT, "dist3/m95/ESBN/run2.txt": "x" * 2**17})
    good = folder / "dist3/m95/ESBN"
    for name in (".DS_Store", "._run1.txt", "run1.txt.bak", "plot.png"):
        (good / name).write_bytes(b"\0x")
    (good / "run3.txt").write_bytes(b"loss acc\n\xff 50")
    (good / "run4.txt").write_bytes(TEXT.encode("utf-16"))
    os.mkfifo(good / "run5.txt")
    (good / "run6.txt").symlink_to("nowhere")
    (good / "run7.txt").symlink_to("run7.txt")
    (good / "run8.txt").mkdir()
    (folder / ".git/dist3/m95/ESBN").mkdir(parents=True)
    (folder / ".git/dist3/m95/ESBN/run9.txt").write_text(TEXT)
    (folder / "up").symlink_to(folder)
    (folder / "RMTS").symlink_to(folder / "dist3")
    latin = os.fsencode(folder) + b"/dist3/m95/\xff/m95/ESBN"
    os.makedirs(latin)
    Path(os.fsdecode(latin), "run1.txt").write_text(TEXT)
    new, known, left_out = import_external(store, folder, Given())
    assert (new, known) == (1, 0)
    assert sorted(line.partition(": ")[2].partition("; ")[0] for line in left_out) == [
        "cannot be read: No such file or directory",
        "cannot be read: Too many levels of symbolic links",
        "has more than 65,536 bytes",
        "is a pipe",
        "is not UTF-8 text (byte 3: NUL is no text)",
        "is not UTF-8 text (byte 9: invalid start byte)",
        "its path is not UTF-8",
    ]


@pytest.mark.parametrize("loss", ["nan", "NaN", "-nan", "inf", "-inf", "1e999"])
def test_diverged_network_has_no_loss_and_says_why(store: Store, tmp_path: Path, loss: str) -> None:
    folder = results_of(tmp_path, {"dist3/m95/ESBN/run1.txt": f"loss acc\n{loss} 25.00"})
    for counts in ((1, 0, []), (0, 1, [])):
        assert import_external(store, folder, Given()) == counts
    (row,) = store.read("external").to_pylist()
    assert (row["test_accuracy"], row["test_loss"]) == (0.25, None)
    assert row["failure"] == f"loss={loss} in the file: the network has diverged"


@pytest.mark.parametrize(
    "text",
    [
        "loss acc\n0.0123 97.25",
        "\ufeffloss acc\r\n0.0123 97.25\r\n\r\n",
        "acc loss\n97.25 1.23e-2",
        "loss acc association error\n0.0123 97.25 NA,NA,0.0,NA NA,NA,1.0000050067901611,NA",
        "train_loss train_acc loss acc\n9 9 .0123 97.25",
        "loss\tacc\n0.0123\t97.25",
    ],
    ids=["released", "of Windows", "other order", "fork", "both splits", "tabs"],
)
def test_columns_are_read_by_name(store: Store, tmp_path: Path, text: str) -> None:
    folder = results_of(tmp_path, {"dist3/m95/ESBN/run1.txt": text})
    assert import_external(store, folder, Given()).new == 1
    (row,) = store.read("external").to_pylist()
    assert (row["test_accuracy"], row["test_loss"], row["failure"]) == (0.9725, 0.0123, None)


@pytest.mark.parametrize(
    "pair",
    [
        ("ESBN/run1.txt", "ESBN/run01.txt"),
        ("ESBN/run1.txt", "ESBN_contextnorm_lr0.0005/run1.txt"),
        ("ESBN_contextnorm_lr0.0005/run1.txt", "ESBN_contextnorm_lr5e-4/run1.txt"),
    ],
)
@pytest.mark.parametrize("text", [TEXT, "loss acc\n0.9 50"], ids=["one result", "two results"])
def test_two_files_never_become_one_row(store: Store, tmp_path: Path, pair: tuple[str, str], text: str) -> None:
    files = {f"dist3/m95/{pair[0]}": TEXT, f"dist3/m95/{pair[1]}": text, "dist3/m95/ESBN/run2.txt": TEXT}
    new, _, left_out = import_external(store, results_of(tmp_path, files), Given())
    if "run01" in pair[1] and text == TEXT:
        assert (new, left_out) == (
            2,
            ["dist3/m95/ESBN/run01.txt: a copy of dist3/m95/ESBN/run1.txt; counted once"],
        )
    else:
        assert new == 1
        assert all(name in line for name in pair for line in left_out) and len(left_out) == 2


FORK = "dist3/batchconv16/ESBN_contextnorm_lr0.0005/run1.txt"


@pytest.mark.parametrize(
    ("files", "within", "given", "cell"),
    [
        (FORK, "", {"withheld": 95, "arm": "batch_size=16"}, ("distribution_of_three", 95, "batch_size=16")),
        (FORK, "dist3", {"withheld": 95}, ("distribution_of_three", 95, "baseline")),
        (FORK, "dist3/batchconv16", {"task": "dist3", "withheld": 0}, ("distribution_of_three", 0, "baseline")),
        ("same_diff_pre/m0/ESBN/run1.txt", "same_diff_pre", {"task": "same_diff"}, ("same_different", 0, "baseline")),
        ("a/b/c/d/run1.txt", "", {"task": "RMTS", "withheld": 50, "arm": "tcn=none,encoder=mlp"},
         ("rmts", 50, "encoder=mlp,tcn=none")),
        ("dist3/m95/CoRelNet_contextnorm_lr0.0005/run1.txt", "", {"arm": "model=corelnet"},
         ("distribution_of_three", 95, "model=corelnet")),
        ("dist3/m95/ESBN/run1.txt", "dist3/m95/ESBN", {"task": "dist3", "withheld": 95},
         ("distribution_of_three", 95, "baseline")),
        ("dist3/m95/ESBN_contextnorm_lr0.0005/run1.txt", "", {"withheld": 95, "encoder": "random"},
         ("distribution_of_three", 95, "encoder=random")),
        ("dist3/m95/x/run1.txt", "", {"arm": "leak=0.5,leak_bound=true"},
         ("distribution_of_three", 95, "leak=0.5,leak_bound=True")),
    ],
)  # fmt: skip
def test_what_no_folder_says_can_be_given(
    store: Store, tmp_path: Path, files: str, within: str, given: dict[str, Any], cell: tuple[str, int, str]
) -> None:
    folder = results_of(tmp_path, {files: TEXT}) / within
    assert import_external(store, folder, Given(**given)) == (1, 0, [])
    (row,) = store.read("external").to_pylist()
    assert (row["task"], row["withheld"], row["arm"]) == cell


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"task": "rmts"}, "task=rmts contradicts the folders of .*run1.txt, which say distribution_of_three"),
        ({"withheld": 50}, "withheld=50 contradicts the folders of .*run1.txt, which say 95; leave --withheld out"),
        ({"arm": "tcn=none"}, "arm=tcn=none has tcn=none, but the folder of .*run1.txt says sequence"),
        ({"arm": "model=lstm"}, "arm=model=lstm has model=lstm, but the folder of .*run1.txt says esbn"),
        ({"arm": "learning_rate=0.1"}, "has learning_rate=0.1, but the folder of .*run1.txt says 0.0005"),
        ({"arm": "encoder=mlp", "encoder": "mlp"}, "both set the encoder; give it only in --arm"),
        ({"arm": "mlp"}, "arm='mlp' must be baseline, or settings such as"),
        ({"arm": ""}, "arm='' must be baseline"),
        ({"task": "dist4"}, "task='dist4' is unknown; choose one of same_different"),
        ({"withheld": -1}, "withheld=-1 must be a whole number"),
        ({"encoder": "vgg"}, "encoder='vgg' is unknown"),
        ({"origin": ""}, "origin='' must be 1 to 200 printable characters"),
        ({"origin": "a\nb"}, r"origin='a\\nb' must be"),
        ({"origin": "\udcff"}, "origin=.* must be"),
    ],
    ids=str,
)
def test_what_is_given_is_refused_where_it_is_wrong_or_contradicts_a_folder(
    store: Store, tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    folder = results_of(tmp_path, {"dist3/m95/ESBN_contextnorm_lr0.0005/run1.txt": TEXT})
    with pytest.raises(ConfigError, match=message):
        import_external(store, folder, Given(**given))
    assert store.names("external") == set()


@pytest.mark.parametrize("arm", ["encoder=vgg", "size=3", "tcn=sequence", "tcn=segmented"])
def test_arm_that_there_cannot_be_leaves_a_file_out(store: Store, tmp_path: Path, arm: str) -> None:
    folder = results_of(tmp_path, {"dist3/m95/x/run1.txt": TEXT})
    (line,) = import_external(store, folder, Given(arm=arm)).left_out
    assert arm.partition("=")[0] in line


def test_folder_without_result_files_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name the folder `test`"):
        import_external(store, tmp_path, Given())


def test_folder_with_too_much_in_it_is_refused(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(released_files, "MOST_ENTRIES", 5)
    folder = results_of(tmp_path, {f"dist3/m95/ESBN/run{run}.txt": TEXT for run in range(6)})
    with pytest.raises(ConfigError, match="has more than 5 files; name the folder `test`"):
        import_external(store, folder, Given())


def test_row_of_a_store_from_before_has_no_failure(store: Store, tmp_path: Path) -> None:
    folder = results_of(tmp_path, {"dist3/m95/ESBN/run1.txt": TEXT})
    import_external(store, folder, Given())
    (path,) = Path(store.root, "external").glob("*.parquet")
    pq.write_table(pq.read_table(path).drop_columns(["failure"]), path)
    again = Store(store.uri)
    assert import_external(again, folder, Given()) == (0, 1, [])
    assert again.read("external", ["run", "failure"]).to_pylist() == [{"run": 1, "failure": None}]


def esbn_import(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["import", *map(str, arguments)])


def test_command_lists_what_it_left_out_within_bounds(tmp_path: Path) -> None:
    files = {f"dist3/m95/ESBN/run{run}.txt": TEXT if run < 2 else "" for run in range(30)}
    folder = results_of(tmp_path, files)
    result = esbn_import(folder, "--results", tmp_path / "results")
    assert result.exit_code == 0
    assert "external: 2 new, 0 already stored, 28 left out" in result.output
    assert result.output.count("must have two lines") == 20
    assert "and 8 more" in result.output


def test_command_fails_if_nothing_can_be_imported(tmp_path: Path) -> None:
    folder = results_of(tmp_path, {"dist3/m95/ESBN/run1.txt": ""})
    result = esbn_import(folder, "--results", tmp_path / "results")
    assert result.exit_code == 1
    assert "dist3/m95/ESBN/run1.txt: must have two lines" in result.output
    assert "Error: no result in " in result.output


@pytest.mark.parametrize("option", [("--task", "rmts"), ("--withheld", "95"), ("--arm", "baseline")])
def test_command_refuses_options_of_folders_with_a_bundle(tmp_path: Path, option: tuple[str, str]) -> None:
    result = esbn_import(tmp_path / "a.zip", *option, "--results", tmp_path / "results")
    assert result.exit_code == 2
    assert "are for a folder of results" in result.output


READERS: dict[str, Callable[[str], str | pd.DataFrame]] = {
    "table": lambda results: table(results, "s").to_csv(),
    "paper tables": lambda results: paper.report(paper_cells(results), {}, results, "csv"),
    "verdict": lambda results: verdicts(load_study(results, "s")),
    "compare": lambda results: comparison.by_seed(load_study(results, "s"), "baseline", "csv"),
    **{
        f"query {name}": lambda results, sql=sql: str(query(results, sql).to_pylist())
        for name, sql in saved().items()
        if name != "external"
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
    import_external(Store(results), results_of(tmp_path, {"dist3/m95/ESBN/run1.txt": TEXT}), Given())
    assert load_external(results)["test_accuracy"].tolist() == [0.9725]
    beside = READERS[reader](results)
    assert beside.equals(alone) if isinstance(beside, pd.DataFrame) else beside == alone


def test_results_of_other_code_stand_beside_ours(tmp_path: Path) -> None:
    results = write_study(tmp_path / "results", "s", [trial("distribution_of_three", 95, "baseline", 0, 0.5)])
    files = {f"dist3/m95/ESBN/run{run}.txt": f"loss acc\n0.1 {acc}" for run, acc in ((1, 90), (2, 92))}
    import_external(Store(results), results_of(tmp_path, files), Given())
    rows = query(results, saved()["external"]).to_pylist()
    assert [(row["origin"], row["n"], row["mean"]) for row in rows] == [("authors", 2, 0.91), ("ours", 1, 0.5)]
    report = paper.report(paper_cells(results), other_code(results), results, "text")
    table_11 = report[report.index("Table 11") : report.index("Table 12")]
    lines = table_11.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("baseline"))
    ours, theirs, authors = lines[first : first + 3]
    assert "50.0" in ours and "paper" in theirs
    assert authors.split()[0] == "authors" and "91.0 ± 1.0 (2)" in authors.replace("  ", " ")
    assert "authors: imported results of other code; not in our means." in report
